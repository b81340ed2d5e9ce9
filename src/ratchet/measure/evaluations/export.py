"""A comparison as values for programs.

Invariant: what is not known is null, never a zero or an empty text.
"""

from typing import Any

import msgspec

from ratchet.measure.evaluations.comparison import Comparison

_KEPT = ("id", "title", "conclusion", "digest", "gone")


def to_values(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values, the evaluation's own things first."""
    plain: dict[str, Any] = msgspec.to_builtins(comparison)
    about = plain.pop("evaluation")
    for one, values in zip(comparison.candidates, plain["candidates"], strict=True):
        values["is_disqualified"] = one.is_disqualified
        values["counts"] = {sentiment.value: count for sentiment, count in one.counts.items()}
    return {**{name: about[name] for name in _KEPT}, "period": str(comparison.evaluation.period), **plain}
