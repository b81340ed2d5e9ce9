"""The report: where automation stands, where it should be, and how it gets there sooner; figures only.

Invariant: figures come from events and from the settings beside them; nothing here draws, signs or opens a file.
"""
