"""Quantiles of whatever was measured.

Invariant: a quantile of nothing is nothing, and never 0.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt


def quantile(values: Iterable[float] | npt.NDArray[Any], share: float) -> float | None:
    """Return a quantile by linear interpolation between order statistics; ``None`` of nothing.

    Args:
        values: In any order and any unit.
        share: 0 to 1; the place is ``(n - 1) x share``, counted from 0.

    Source: R. J. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, The American Statistician 50 (1996),
    definition 7.
    """
    ordered = np.sort(np.fromiter(values, dtype=np.float64) if not isinstance(values, np.ndarray) else values)
    if not len(ordered):
        return None
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
