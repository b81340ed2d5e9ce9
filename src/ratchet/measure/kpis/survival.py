"""The median of durations of which some have not ended yet.

Invariant: nothing that is still open is left out, or taken for ended.
"""

from collections import Counter
from collections.abc import Sequence

# Products of quotients miss one half by a rounding.
_HALF = 0.5 + 1e-12


def product_limit_median(ended: Sequence[float], censored: Sequence[float]) -> float | None:
    """Return the first duration by which half of all cases have ended; ``None`` if that is never reached.

    Args:
        ended: Durations of the cases that ended.
        censored: How long the others had lasted when they were last seen; one that was seen until the very
            duration at which another ended was still open then.

    Source: E. L. Kaplan, P. Meier, Nonparametric Estimation from Incomplete Observations, JASA 53 (1958).
    """
    ends, seen = Counter(ended), Counter([*ended, *censored])
    at_risk, survival = sum(seen.values()), 1.0
    for duration in sorted(seen):
        survival *= 1 - ends[duration] / at_risk
        if ends[duration] and survival <= _HALF:
            return duration
        at_risk -= seen[duration]
    return None
