"""What ``ratchet doctor`` looks at: each check says what is so and, where it is not well, what to do.

Invariant: nothing is changed, whatever is found; a check that cannot be made is a finding, and keeps no other from
being made.
"""
