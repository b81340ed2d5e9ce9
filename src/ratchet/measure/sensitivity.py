"""How much a level depends on its thresholds: the same evidence, judged with other shares.

Invariant: nothing but the share that is asked for changes; sample, window and order of levels stay.
"""

from datetime import datetime

from msgspec.structs import replace

from ratchet.measure.history import History
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import Level, Policy
from ratchet.records import Record

THETAS = (0.7, 0.8, 0.9)
_COUNTS = ("user_rules_fired", "loop_closure")


class AtTheta(Record, frozen=True):
    """The level with one threshold.

    Attributes:
        theta: The share that each criterion asks for.
        level: The level.
        label: As it is shown.
        is_insufficient: Whether nothing but a want of evidence keeps it at level 0.
        explanation: Why the next one is not reached; ``""`` at the top.
    """

    theta: float
    level: int
    label: str
    is_insufficient: bool
    explanation: str


def sensitivity(
    history: History, pipeline: str, policy: Policy, *, as_of: datetime | None = None
) -> tuple[AtTheta, ...]:
    """Return the level of a pipeline with a lower, the usual and a higher threshold."""
    reports = [(theta, measure_level(history, pipeline, at_theta(policy, theta), as_of=as_of)) for theta in THETAS]
    return tuple(
        AtTheta(
            theta=theta,
            level=report.level,
            label=report.label,
            is_insufficient=report.is_insufficient,
            explanation=report.explanation,
        )
        for theta, report in reports
    )


def at_theta(policy: Policy, theta: float) -> Policy:
    """Return a policy in which each criterion asks for the same share."""
    return replace(policy, theta=theta, levels=tuple(_level_at(level, theta) for level in policy.levels))


def _level_at(level: Level, theta: float) -> Level:
    criteria = tuple(one if one.measure in _COUNTS else replace(one, theta=theta) for one in level.criteria)
    return replace(level, criteria=criteria)
