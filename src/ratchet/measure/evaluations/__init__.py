"""Choosing a platform: questionnaires by group, candidates, answers with sentiments, and their comparison in numbers.

Invariant: an answer is what somebody declared, so it never counts towards a level; a comparison gives no single score.
"""
