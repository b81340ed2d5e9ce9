"""The cheapest next step of a pipeline: the stage nearest to its threshold, and the shipped rule that would move it.

Invariant: a step is what stands before the next level, never before one that comes after it; how much is lacking is an
upper bound, counted as if nothing old dropped out of the sample.
"""

import math
from collections.abc import Iterable, Sequence

from ratchet.measure.capability import Means
from ratchet.measure.criteria import CriterionResult
from ratchet.measure.levels import LevelReport
from ratchet.measure.policies import Policy
from ratchet.measure.practices import CLAIMS, PRACTICES
from ratchet.measure.rulebook import Rule
from ratchet.measure.stages import things
from ratchet.records import Record


class Step(Record, frozen=True):
    """What to do next for one pipeline.

    Attributes:
        pipeline: Whose step.
        level: The level that it leads towards.
        measure: The criterion that is nearest to being met.
        stage: Its stage; ``""`` where it has none.
        lacking: How many further transitions, rules or closures are needed at most.
        rule_id: The enabled rule that does it already; ``""`` where none does.
        preset: The shipped rule that would do it; ``""`` where one is enabled, or none ships.
        sentence: All of it in words.
        command: What to type for it; ``""`` where no command does it.
    """

    pipeline: str
    level: int
    measure: str
    stage: str
    lacking: int
    rule_id: str
    preset: str
    sentence: str
    command: str = ""


def next_step(
    report: LevelReport, policy: Policy, *, enabled: Sequence[Rule] = (), means: Sequence[Means] = ()
) -> Step | None:
    """Return the cheapest step towards the next level of a pipeline; ``None`` at the top.

    Args:
        report: Where it stands.
        policy: By which policy.
        enabled: Its enabled rules.
        means: The rules that ship.
    """
    if not report.blocking:
        return None
    nearest = min(report.blocking, key=lambda result: lacking(result, policy.sample_size))
    stage = nearest.criterion.stage or PRACTICES.get(nearest.criterion.measure, "")
    rule = next((rule.rule_id for rule in enabled if stage in rule.leads_to), "")
    preset = "" if rule else next((one.name for one in means if one.kind == "preset" and stage in one.stages), "")
    missing = lacking(nearest, policy.sample_size)
    level = next(result.level.id for result in report.levels if nearest in result.results)
    return Step(
        pipeline=report.pipeline,
        level=level,
        measure=nearest.criterion.measure,
        stage=stage,
        lacking=missing,
        rule_id=rule,
        preset=preset,
        sentence=_sentence(nearest, stage, missing, rule=rule, preset=preset),
        command=f"ratchet rules adopt {preset} --pipeline {report.pipeline}" if preset else "",
    )


def lacking(result: CriterionResult, sample_size: int) -> int:
    """Return how many further good transitions, rules or closures meet a criterion at the latest.

    Args:
        result: How it stands.
        sample_size: Old transitions have dropped out of the sample after so many.
    """
    criterion = result.criterion
    if criterion.measure in ("user_rules_fired", "loop_closure"):
        return max(0, criterion.min - result.k)
    if result.status == "stale":
        return 1
    # The smallest m with (k + m) / (n + m) >= theta; the margin takes back what binary fractions add.
    needed = 0
    if criterion.theta < 1:
        needed = math.ceil((criterion.theta * result.n - result.k) / (1 - criterion.theta) - 1e-9)
    elif result.k < result.n:
        needed = sample_size
    return max(0, criterion.n_min - result.n, min(needed, math.ceil(criterion.theta * sample_size - 1e-9)))


def cheapest_first(steps: Iterable[Step]) -> list[Step]:
    """Return steps in the order of what they cost: a rule that is on already, one that ships, one to be written."""
    return sorted(steps, key=lambda step: (not step.rule_id, not step.preset, step.lacking, step.pipeline))


def _sentence(result: CriterionResult, stage: str, missing: int, *, rule: str, preset: str) -> str:
    criterion = result.criterion
    if criterion.measure == "user_rules_fired":
        return f"Write a rule of your own; it has to fire {criterion.fires} times and succeed."
    if criterion.measure == "loop_closure":
        return "Let one alert or one batch of outcomes go all the way to live traffic with no person in it."
    if criterion.measure in PRACTICES:
        return f"{missing} more {things(stage, missing)} of which it can be said: {CLAIMS[criterion.measure]}."
    how = "started by automation" if criterion.measure == "init" else "without a hand in it"
    what = f"{missing} more {things(stage, missing)} {how}"
    if rule:
        return f"{what}: the rule '{rule}' is on; leave it to it."
    if preset:
        return f"{what}: the shipped rule '{preset}' does it."
    return f"{what}: no shipped rule does it; write one, or let the system that does it say who started it."
