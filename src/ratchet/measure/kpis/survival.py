"""The median of durations of which some have not ended yet.

Invariant: nothing that is still open is left out, or taken for ended.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Products of quotients miss one half by a rounding.
_HALF = 0.5 + 1e-12
Durations = Sequence[float] | npt.NDArray[Any]


def product_limit_median(ended: Durations, censored: Durations) -> float | None:
    """Return the first duration by which half of all cases have ended; ``None`` if that is never reached.

    Args:
        ended: Durations of the cases that ended.
        censored: How long the others had lasted when they were last seen; one that was seen until the very
            duration at which another ended was still open then.

    Source: E. L. Kaplan, P. Meier, Nonparametric Estimation from Incomplete Observations, JASA 53 (1958).
    """
    ends, times = np.asarray(ended, dtype=np.float64), np.concatenate([np.asarray(ended), np.asarray(censored)])
    durations, seen = np.unique(times.astype(np.float64), return_counts=True)
    if not len(durations):
        return None
    ended_then = np.bincount(np.searchsorted(durations, ends), minlength=len(durations))
    at_risk = seen[::-1].cumsum()[::-1]
    # One after the other, as products of quotients are rounded.
    survival = np.multiply.accumulate(1 - ended_then / at_risk)
    reached = np.flatnonzero((ended_then > 0) & (survival <= _HALF))
    return float(durations[reached[0]]) if len(reached) else None
