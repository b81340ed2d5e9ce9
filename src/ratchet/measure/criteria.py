"""Whether a criterion of a level is met, from the evidence of one pipeline.

Invariant: too little evidence is "insufficient", never a share of 0, and each verdict names what it rests on.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from statistics import median
from typing import Literal

from msgspec.structs import replace

from ratchet.measure.changes import Change, changes, left_out
from ratchet.measure.closures import Closure, closures, own_rules_at_work
from ratchet.measure.counts import times
from ratchet.measure.freshness import read_freshness
from ratchet.measure.history import Snapshot, moment_of, order
from ratchet.measure.initiators import EVIDENCE, Mode, weakest_grade
from ratchet.measure.policies import Criterion, Level, Policy
from ratchet.measure.practices import CLAIMS, PRACTICES, Practices
from ratchet.measure.stages import CustomStage, counts_when, things
from ratchet.measure.transitions import Transition, read
from ratchet.records import Event, Evidence, Record

Status = Literal["met", "not met", "insufficient", "stale", "n/a"]
SATISFIED: tuple[Status, ...] = ("met", "n/a")
_ONE_SIDED_90 = 1.2815515655446004
QUIET_FACTOR = 3
QUIET_AT_LEAST = timedelta(days=30)
_WHY_NOT: dict[Mode, str] = {
    "auto": "started by automation",
    "gated": "that waited for a required approval",
    "assisted": "started by a person",
    "semi": "with a person's hand in it on the way",
    "overridden": "overruled by a person",
    "manual": "made by hand",
    "unknown": "started by nobody who is known",
}
_WHY_NOT_OF = ("init", "exec")


class CriterionResult(Record, frozen=True):
    """What came of one criterion.

    Attributes:
        criterion: What was asked.
        status: met, not met, insufficient, stale (met once, but quiet since) or n/a (declared not to apply).
        k: How many counted.
        n: Out of how many; for counts, how many were asked for.
        share: ``k / n``, or ``None`` where nothing can be said or nothing is shared.
        lower_bound: One-sided 90 % lower bound of the share, to be shown only; ``None`` where there is no share.
        counted: Event ids of the transitions that count.
        failing: Event ids of the transitions that do not.
        evidence: The weakest grade among those that count; ``None`` where none does.
        sentence: The verdict in plain words.
    """

    criterion: Criterion
    status: Status
    k: int
    n: int
    share: float | None = None
    lower_bound: float | None = None
    counted: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    evidence: Evidence | None = None
    sentence: str = ""


KnownTransitions = dict[tuple[str | CustomStage, int], Transition]


class PipelineEvidence:
    """The evidence for one pipeline in one snapshot, each part read when it is first asked for."""

    def __init__(
        self, snapshot: Snapshot, pipeline: str, policy: Policy, *, known: KnownTransitions | None = None
    ) -> None:
        """Look at a pipeline through a policy; the pipeline's declared cadence widens the window.

        Args:
            snapshot: The events.
            pipeline: Which one.
            policy: What each level asks for.
            known: Transitions that were read of the same pipeline before, where nothing since can have changed them;
                those that are read now are added.
        """
        declared = snapshot.events("pipeline.declared", pipeline)
        self.declared = declared[-1].data if declared else {}
        cadence = timedelta(days=float(self.declared.get("cadence_days") or 0))
        self.snapshot = snapshot.over(max(policy.window, 4 * cadence))
        self.pipeline = pipeline
        self.policy = policy
        self._samples: dict[str, list[tuple[Change, Transition]]] = {}
        self._known = {} if known is None else known
        self._closures: list[Closure] | None = None
        self._practices = Practices(self.snapshot, pipeline)

    def through(self, policy: Policy) -> "PipelineEvidence":
        """Return the same evidence seen through another policy; where both sample alike, it is read once."""
        seen = PipelineEvidence(self.snapshot, self.pipeline, policy)
        if _sampling(policy) == _sampling(self.policy):
            seen.snapshot, seen._samples = self.snapshot, self._samples
        return seen

    def sample(self, stage: str) -> list[Transition]:
        """Return the most recent transitions of a stage within the window, the latest last."""
        return [transition for _, transition in self._sample(stage)]

    def practised(self, practice: str) -> list[tuple[Transition, bool]]:
        """Return the sampled transitions that a practice concerns, and whether each shows it."""
        verdicts = [(t, self._practices.shown(practice, change)) for change, t in self._sample(PRACTICES[practice])]
        return [(transition, shown) for transition, shown in verdicts if shown is not None]

    def closures(self) -> list[Closure]:
        """Return how often the loop closed with no person in it, without a window."""
        if self._closures is None:
            self._closures = closures(self.snapshot, self.pipeline)
        return self._closures

    def reason_na(self, stage: str) -> str:
        """Return why a stage was declared not to apply; ``""`` where it was not, or without a reason."""
        return str((self.declared.get("na") or {}).get(stage) or "").strip()

    def why_stale(self, stage: str) -> str:
        """Return why a stage's evidence is stale, in words; ``""`` while it is not."""
        sample = self.sample(stage)
        last = sample[-1]
        gaps = [(after.at - before.at).total_seconds() for before, after in pairwise(sample)]
        usual = timedelta(seconds=median(gaps)) if gaps else timedelta(0)
        if self.snapshot.at - last.at <= max(QUIET_FACTOR * usual, QUIET_AT_LEAST):
            return ""
        asked = self._asked_after(stage, last)
        if asked is not None:
            return f"the rule '{_rule_id(asked)}' asked for one since"
        return self._why_too_old()

    def _sample(self, stage: str) -> list[tuple[Change, Transition]]:
        if stage not in self._samples:
            kind = self.policy.stage(stage)
            found = changes(self.snapshot, self.pipeline, kind)
            recent = [change for change in found if moment_of(change.event) >= self.snapshot.since]
            recent = recent[-self.policy.sample_size :]
            self._samples[stage] = [(change, self._read(kind, change)) for change in recent]
        return self._samples[stage]

    def _read(self, stage: str | CustomStage, change: Change) -> Transition:
        key = (stage, change.event.seq)
        if key not in self._known:
            self._known[key] = read(self.snapshot, change)
        return self._known[key]

    def _asked_after(self, stage: str, last: Transition) -> Event | None:
        """Return an event after the last transition for which an enabled rule had a true condition."""
        leading = {rule.rule_id for rule in self.snapshot.rules.enabled(self.pipeline) if stage in rule.leads_to}
        asked = [
            event
            for type_ in ("rule.fired", "rule.suppressed")
            for pipeline in (self.pipeline, "")
            for event in self.snapshot.events(type_, pipeline)
            if _rule_id(event) in leading and event.data.get("condition_result") and order(event) > (last.at, last.seq)
        ]
        return asked[0] if asked else None

    def _why_too_old(self) -> str:
        """Return why the live model is older than was promised; ``""`` if it is not or nothing was promised."""
        promised = self.declared.get("freshness_days") or self.declared.get("cadence_days")
        age = read_freshness(self.snapshot, self.pipeline).train_age_days if promised else None
        if not promised or age is None or age <= float(promised):
            return ""
        return f"the live model is {age:.0f} days old, where {float(promised):.0f} were promised"


def _sampling(policy: Policy) -> tuple[object, ...]:
    return policy.sample_size, policy.window, policy.stages


def judge(evidence: PipelineEvidence, criterion: Criterion, level: Level) -> CriterionResult:
    """Return whether a pipeline meets a criterion of a level, and why."""
    return _JUDGES[criterion.measure](evidence, criterion, level)


def wilson_lower_bound(k: int, n: int) -> float:
    """Return the one-sided 90 % lower bound of a share of k in n.

    Args:
        k: Successes, 0 to n.
        n: Trials, at least 1.

    Returns:
        A share, 0 to 1: 0.646 for 3 of 3, 0.514 for 4 of 5, 0.924 for 20 of 20.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).
    """
    assert 0 <= k <= n, "k of n"
    assert n > 0, "a share of nothing has no bound"
    z_squared = _ONE_SIDED_90**2
    share = k / n
    spread = _ONE_SIDED_90 * math.sqrt(share * (1 - share) / n + z_squared / (4 * n * n))
    return max(0.0, (share + z_squared / (2 * n) - spread) / (1 + z_squared / n))


def status_of_share(criterion: Criterion, k: int, n: int) -> Status:
    """Return what a share of k in n amounts to."""
    if n == 0 or n < criterion.n_min:
        return "insufficient"
    return "met" if k / n >= criterion.theta else "not met"


def _judge_stage(evidence: PipelineEvidence, criterion: Criterion, level: Level) -> CriterionResult:
    """Judge how many of a stage's transitions were started, or carried out, by automation."""
    stage = criterion.stage
    reason = evidence.reason_na(stage) if stage in level.na_allowed else ""
    if reason:
        sentence = f"{_capitalised(things(stage))} were declared not to apply: {reason}."
        return CriterionResult(criterion=criterion, status="n/a", k=0, n=0, sentence=sentence)
    sample = evidence.sample(stage)
    if criterion.measure == "init" and evidence.policy.approval == "neutral":
        sample = [transition for transition in sample if transition.mode != "gated"]
    modes = counting_modes(criterion, evidence.policy)
    verdicts = [(transition, transition.mode in modes) for transition in sample]
    result = _judge_share(evidence, criterion, stage, verdicts)
    if result.status != "met":
        return result
    why = evidence.why_stale(stage)
    if not why:
        return result
    stale = f"The {things(stage)} stopped on {sample[-1].at:%Y-%m-%d}, and {why}."
    return replace(result, status="stale", sentence=stale)


def _judge_practice(evidence: PipelineEvidence, criterion: Criterion, _level: Level) -> CriterionResult:
    """Judge how many transitions show a practice."""
    return _judge_share(evidence, criterion, PRACTICES[criterion.measure], evidence.practised(criterion.measure))


def _judge_own_rules(evidence: PipelineEvidence, criterion: Criterion, _level: Level) -> CriterionResult:
    """Judge how many of the team's own rules work."""
    found = own_rules_at_work(evidence.snapshot, evidence.pipeline, fires=criterion.fires)
    sentence = (
        f"{len(found)} of the team's own rules fired at least {criterion.fires} times and succeeded, "
        f"and {criterion.min} must."
    )
    return _judge_count(criterion, len(found), sentence)


def _judge_closure(evidence: PipelineEvidence, criterion: Criterion, _level: Level) -> CriterionResult:
    """Judge how often the loop closed by itself."""
    found = len(evidence.closures())
    sentence = (
        f"The loop from alert or labels to live traffic closed {times(found)} with no person in it, "
        f"and {times(criterion.min)} is asked for."
    )
    return _judge_count(criterion, found, sentence)


_JUDGES: dict[str, Callable[[PipelineEvidence, Criterion, Level], CriterionResult]] = {
    "init": _judge_stage,
    "exec": _judge_stage,
    **dict.fromkeys(PRACTICES, _judge_practice),
    "user_rules_fired": _judge_own_rules,
    "loop_closure": _judge_closure,
}


def _judge_share(
    evidence: PipelineEvidence, criterion: Criterion, stage: str, verdicts: list[tuple[Transition, bool]]
) -> CriterionResult:
    """Judge a share of sampled transitions; those whose evidence is too weak stay in the sample and never count."""
    weakest_allowed = EVIDENCE.index(evidence.policy.evidence_min)
    counted = [t for t, counts in verdicts if counts and EVIDENCE.index(t.evidence) <= weakest_allowed]
    ids = {transition.event_id for transition in counted}
    failing = [transition.event_id for transition, _ in verdicts if transition.event_id not in ids]
    k, n = len(counted), len(verdicts)
    share = k / n if n else None
    status = status_of_share(criterion, k, n)
    return CriterionResult(
        criterion=criterion,
        status=status,
        k=k,
        n=n,
        share=share,
        lower_bound=wilson_lower_bound(k, n) if n else None,
        counted=tuple(transition.event_id for transition in counted),
        failing=tuple(failing),
        evidence=weakest_grade(transition.evidence for transition in counted),
        sentence=" ".join(
            [
                _sentence(criterion, stage, k=k, n=n, days=evidence.snapshot.window.days),
                *_why_not_counted(criterion, evidence.policy, [t for t, _ in verdicts if t.event_id not in ids]),
                *(_why_so_few(evidence, stage, n) if status == "insufficient" else ()),
            ]
        ),
    )


def _judge_count(criterion: Criterion, found: int, sentence: str) -> CriterionResult:
    status: Status = "met" if found >= criterion.min else "not met"
    return CriterionResult(criterion=criterion, status=status, k=found, n=criterion.min, sentence=sentence)


def counting_modes(criterion: Criterion, policy: Policy) -> tuple[str, ...]:
    """Return the modes that count: an approval can make the start human, never the execution."""
    if criterion.measure == "exec":
        return ("auto", "gated", "assisted")
    return ("auto", "gated") if policy.approval == "auto" else ("auto",)


def _called(criterion: Criterion, stage: str, number: int) -> str:
    called = things(stage, number)
    return f"passed {called}" if criterion.measure == "delivered" else called


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sentence(criterion: Criterion, stage: str, *, k: int, n: int, days: int) -> str:
    if n < criterion.n_min:
        seen = f"there {'was' if n == 1 else 'were'} {n} {_called(criterion, stage, n)}"
        return f"Within {days} days {seen}, and at least {criterion.n_min} are needed to say anything."
    claim = {
        "init": "were started by automation",
        "exec": "ran without a hand in them once started",
        **CLAIMS,
    }[criterion.measure]
    return (
        f"{k} of the last {n} {_called(criterion, stage, 2)} {claim} ({k / n:.0%}); {criterion.theta:.0%} is asked for."
    )


def _why_not_counted(criterion: Criterion, policy: Policy, failing: list[Transition]) -> list[str]:
    """Say of the transitions that do not count what each was; nothing where the claim says it already."""
    weakest_allowed = EVIDENCE.index(policy.evidence_min)
    modes = counting_modes(criterion, policy) if criterion.measure in _WHY_NOT_OF else tuple(_WHY_NOT)
    reasons = Counter(
        _WHY_NOT[one.mode] if one.mode not in modes else f"known only as {one.evidence}"
        for one in failing
        if one.mode not in modes or EVIDENCE.index(one.evidence) > weakest_allowed
    )
    return [f"Not counted: {_listed(reasons)}."] if reasons else []


def _why_so_few(evidence: PipelineEvidence, stage: str, n: int) -> list[str]:
    """Say what makes a change of this stage, where there is none, and what was seen that is none."""
    policy_stage = evidence.policy.stage(stage)
    reasons = left_out(evidence.snapshot, evidence.pipeline, policy_stage)
    said = [counts_when(stage)] if not n and isinstance(policy_stage, str) else []
    return [*said, f"Left out: {_listed(reasons)}."] if reasons else said


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in reasons.items())


def _rule_id(event: Event) -> str:
    return str(event.data.get("rule_id") or event.subject)
