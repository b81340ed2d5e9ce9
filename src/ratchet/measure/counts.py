"""Counts in words: one of a thing, or several, or too few to say anything.

Invariant: only one is one; none and many are several.
"""

# What stands in place of a level that nothing but a want of evidence keeps at 0.
TOO_LITTLE = "too little evidence"


def several(count: int, one: str, many: str) -> str:
    """Return how many things there are, such as ``1 library`` or ``0 libraries``."""
    return f"{count} {one if count == 1 else many}"


def times(count: int) -> str:
    """Return how often something was, such as ``once`` or ``3 times``."""
    return "once" if count == 1 else f"{count} times"
