"""The cheapest next step of a pipeline: the stage nearest to its threshold, and what would move it.

Invariant: a step is what stands before the next level, never before one that comes after it; how much is lacking is an
upper bound, counted as if nothing old dropped out of the sample; what runs elsewhere is never told to take rules that
act only here.
"""

import math
from collections.abc import Iterable, Sequence

from ratchet.measure.capability import Means
from ratchet.measure.criteria import CriterionResult
from ratchet.measure.history import Snapshot
from ratchet.measure.levels import LevelReport
from ratchet.measure.policies import Policy
from ratchet.measure.practices import CLAIMS, PRACTICES
from ratchet.measure.rulebook import Rule
from ratchet.measure.stages import things
from ratchet.records import NATIVE_SOURCE, Record

_BEGUN_HERE = ("pipeline.declared", "run.queued")


class Step(Record, frozen=True):
    """What to do next for one pipeline.

    Attributes:
        pipeline: Whose step.
        level: The level that it leads towards.
        measure: The criterion that is nearest to being met.
        stage: Its stage; ``""`` where it has none.
        lacking: How many further transitions, rules or closures are needed at most.
        rule_id: The enabled rule that does it already; ``""`` where none does.
        preset: The shipped rule that would do it; ``""`` where one is enabled, none ships, or none would act on it.
        sentence: All of it in words.
        command: What to type for it; ``""`` where no command does it.
        runs_here: Whether Ratchet carries it out; else all that is known of it are the events of another system.
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
    runs_here: bool = True


def runs_here(snapshot: Snapshot, pipeline: str) -> bool:
    """Tell whether Ratchet carries a pipeline out: it was declared or run here, or nothing is known of it yet."""
    if any(event.source == NATIVE_SOURCE for kind in _BEGUN_HERE for event in snapshot.events(kind, pipeline)):
        return True
    first = snapshot.first(pipeline)
    return first is None or first.source == NATIVE_SOURCE


def next_step(
    report: LevelReport,
    policy: Policy,
    *,
    enabled: Sequence[Rule] = (),
    means: Sequence[Means] = (),
    is_here: bool = True,
) -> Step | None:
    """Return the cheapest step towards the next level of a pipeline; ``None`` at the top.

    Args:
        report: Where it stands.
        policy: By which policy.
        enabled: Its enabled rules.
        means: The rules that ship.
        is_here: Whether it runs here; what ships acts on nothing else.
    """
    if not report.blocking:
        return None
    nearest = min(report.blocking, key=lambda result: lacking(result, policy.sample_size))
    stage = nearest.criterion.stage or PRACTICES.get(nearest.criterion.measure, "")
    rule = next((rule.rule_id for rule in enabled if stage in rule.leads_to), "")
    shipped = [one.name for one in means if one.kind == "preset" and stage in one.stages]
    preset = shipped[0] if shipped and is_here and not rule else ""
    missing = lacking(nearest, policy.sample_size)
    level = next(result.level.id for result in report.levels if nearest in result.results)
    here = _sentence(nearest, stage, missing, rule=rule, preset=preset)
    return Step(
        pipeline=report.pipeline,
        level=level,
        measure=nearest.criterion.measure,
        stage=stage,
        lacking=missing,
        rule_id=rule,
        preset=preset,
        sentence=here if is_here else _sentence_elsewhere(report, nearest, stage, missing, rule=rule),
        command=f"ratchet rules adopt {preset} --pipeline {report.pipeline}" if preset else "",
        runs_here=is_here,
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
    what = _lacking_in_words(result, stage, missing)
    if criterion.measure == "loop_closure" or criterion.measure in PRACTICES:
        return f"{what}."
    if rule:
        return f"{what}: the rule '{rule}' is on; leave it to it."
    if preset:
        return f"{what}: the shipped rule '{preset}' does it."
    return f"{what}: no shipped rule does it; write one, or let the system that does it say who started it."


def _sentence_elsewhere(report: LevelReport, result: CriterionResult, stage: str, missing: int, *, rule: str) -> str:
    """Say what to change in the system where a pipeline runs, or what that system has to tell."""
    criterion = result.criterion
    if criterion.measure == "user_rules_fired":
        return (
            "Let a rule of your own do something where it runs, and send what it did as events; "
            f"it has to fire {criterion.fires} times and succeed."
        )
    what = _lacking_in_words(result, stage, missing)
    if criterion.measure == "loop_closure":
        return f"{what}, and let each event that is sent name its cause."
    if criterion.measure in PRACTICES:
        return f"{what}. It runs elsewhere: do it there, or let that system send what shows it."
    return f"{what}: {_what_to_do_there(report, result, stage, rule=rule)}."


def _what_to_do_there(report: LevelReport, result: CriterionResult, stage: str, *, rule: str) -> str:
    unknown = report.profile[stage].modes.get("unknown", 0) if stage in report.profile else 0
    if unknown:
        of_these = f"{unknown} of the {things(stage)} that are here"
        return f"nobody knows who started {of_these}; let the source's mapping say who starts them"
    if rule:
        return f"the rule '{rule}' is on where it runs; leave it to it"
    if result.status == "stale":
        return "it runs elsewhere, and nothing came from there of late; import again, or look there"
    if not result.n:
        return "it runs elsewhere, and none has come from there; import them, or begin with them there"
    is_init = result.criterion.measure == "init"
    there = "let a schedule or an event start them there" if is_init else "change that there"
    return f"it runs elsewhere; {there}"


def _lacking_in_words(result: CriterionResult, stage: str, missing: int) -> str:
    measure = result.criterion.measure
    if measure == "loop_closure":
        return "Let one alert or one batch of outcomes go all the way to live traffic with no person in it"
    if measure in PRACTICES:
        return f"{missing} more {things(stage, missing)} of which it can be said: {CLAIMS[measure]}"
    how = "started by automation" if measure == "init" else "without a hand in it"
    return f"{missing} more {things(stage, missing)} {how}"
