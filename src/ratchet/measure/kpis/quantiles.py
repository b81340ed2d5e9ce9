"""Quantiles of whatever was measured.

Invariant: a quantile of nothing is nothing, and never 0.
"""

from collections.abc import Iterable


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return a quantile by linear interpolation between order statistics; ``None`` of nothing.

    Args:
        values: In any order and any unit.
        share: 0 to 1; the place is ``(n - 1) x share``, counted from 0.

    Source: R. J. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, The American Statistician 50 (1996),
    definition 7.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
