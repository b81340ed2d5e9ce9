"""The level of automation of a pipeline: computed from the ledger, explained down to the events behind it.

Invariant: a level is reached only if it and every level below it are met; nobody can type one in.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from ratchet.measure.closures import Closure
from ratchet.measure.completeness import completeness
from ratchet.measure.criteria import SATISFIED, CriterionResult, KnownTransitions, PipelineEvidence, Status, judge
from ratchet.measure.history import History
from ratchet.measure.initiators import MODES, weakest_grade
from ratchet.measure.policies import Criterion, Level, Policy
from ratchet.records import Evidence, Record

GATED_SHARE = 0.5


class StageProfile(Record, frozen=True):
    """How one stage of a pipeline runs, whatever its level.

    Attributes:
        stage: Which one.
        modes: Number of sampled transitions by mode.
        init: How many were started by automation.
        exec: How many were carried out by it.
        last_at: When the latest counts as having happened; ``None`` where there is none.
        backdated: Ids of sampled transitions that were recorded more than an hour from their own time.
        na_reason: Why the stage was declared not to apply; ``""`` where it was not.
    """

    stage: str
    modes: dict[str, int]
    init: CriterionResult
    exec: CriterionResult
    last_at: datetime | None
    backdated: tuple[str, ...]
    na_reason: str


class LevelResult(Record, frozen=True):
    """Whether one level's own criteria are met.

    Attributes:
        level: Which one.
        is_met: Whether all its criteria are; those of the levels below it are not looked at here.
        results: One for each criterion.
    """

    level: Level
    is_met: bool
    results: tuple[CriterionResult, ...]


class LevelReport(Record, frozen=True):
    """The level of one pipeline at one moment, with all that it rests on.

    Attributes:
        pipeline: Whose level.
        policy: Name of the policy that it was measured by.
        policy_digest: Digest of that policy's file.
        at: The moment (UTC).
        seq: The place in the ledger up to which events were read.
        level: The highest level that is met with all below it; 0 where none is.
        name: What the policy calls it.
        suffix: ``g`` where more than half of the deployments waited for a required approval, else ``""``.
        levels: Each level with its criteria, from the lowest.
        profile: Each stage, by name.
        blocking: The unmet criteria of the next level; empty at the top.
        explanation: Why the next level is not reached, in one sentence; ``""`` at the top.
        weakest_evidence: The weakest grade that the level rests on; ``None`` at level 0.
        closures: How the loop closed with no person in it.
        approvals: Sampled deployments with a required approval.
        rubber_stamps: Approvals given within five seconds of being asked for.
        not_applicable: Stages declared not to apply, with the reason.
        warnings: What is known to be missing from the record, in sentences.
    """

    pipeline: str
    policy: str
    policy_digest: str
    at: datetime
    seq: int
    level: int
    name: str
    suffix: str
    levels: tuple[LevelResult, ...]
    profile: dict[str, StageProfile]
    blocking: tuple[CriterionResult, ...]
    explanation: str
    weakest_evidence: Evidence | None
    closures: tuple[Closure, ...]
    approvals: int
    rubber_stamps: int
    not_applicable: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def rubber_stamp_share(self) -> float | None:
        """Return the share of approved deployments whose approval came within five seconds; ``None`` without any."""
        return min(1.0, self.rubber_stamps / self.approvals) if self.approvals else None

    @property
    def label(self) -> str:
        """Return the level as it is shown, such as ``2g``."""
        return f"{self.level}{self.suffix}"

    @property
    def is_insufficient(self) -> bool:
        """Tell whether nothing but a want of evidence keeps it at level 0: that is no finding, and not shown as one."""
        return is_insufficient(self.level, [result.status for result in self.blocking])


def is_insufficient(level: int, blocking: Iterable[Status]) -> bool:
    """Tell whether a pipeline is at level 0 for want of evidence alone: nothing that was seen speaks against more."""
    found = list(blocking)
    return level == 0 and bool(found) and all(status == "insufficient" for status in found)


def measure_level(
    history: History,
    pipeline: str,
    policy: Policy,
    *,
    as_of: datetime | None = None,
    seq: int | None = None,
    known: KnownTransitions | None = None,
) -> LevelReport:
    """Return the level of a pipeline at a moment, from what the ledger held then.

    Args:
        history: The events.
        pipeline: Whose level.
        policy: What each level asks for.
        as_of: The moment (UTC); now if not given.
        seq: Leave out what came after this place in the ledger.
        known: Transitions that were read of the pipeline before, where nothing since can have changed them.
    """
    evidence = PipelineEvidence(history.as_of(as_of, seq=seq), pipeline, policy, known=known)
    results = tuple(_judge_level(evidence, level) for level in policy.levels if level.id)
    reached = _reached(results)
    blocked = next((result for result in results if not result.is_met), None)
    blocking = tuple(r for r in blocked.results if r.status not in SATISFIED) if blocked else ()
    deployments = evidence.sample("deploy")
    sampled = [transition for stage in policy.stage_names for transition in evidence.sample(stage)]
    return LevelReport(
        pipeline=pipeline,
        policy=policy.name,
        policy_digest=policy.digest,
        at=evidence.snapshot.at,
        seq=evidence.snapshot.seq,
        level=reached[-1].level.id if reached else 0,
        name=policy.level(reached[-1].level.id if reached else 0).name,
        suffix=_suffix(evidence, reached),
        levels=results,
        profile={stage: _profile(evidence, stage) for stage in policy.stage_names},
        blocking=blocking,
        explanation=_explanation(blocked, blocking),
        weakest_evidence=_weakest_evidence(reached),
        closures=tuple(evidence.closures()),
        approvals=sum(transition.gates > 0 for transition in deployments),
        rubber_stamps=sum(transition.rubber_stamps for transition in deployments),
        not_applicable={stage: reason for stage in policy.stage_names if (reason := evidence.reason_na(stage))},
        warnings=completeness(evidence.snapshot, pipeline, sampled).warnings,
    )


def _judge_level(evidence: PipelineEvidence, level: Level) -> LevelResult:
    results = tuple(judge(evidence, criterion, level) for criterion in level.criteria)
    return LevelResult(level=level, is_met=all(result.status in SATISFIED for result in results), results=results)


def _reached(results: tuple[LevelResult, ...]) -> list[LevelResult]:
    """Return the levels from the lowest up to the first that is not met."""
    reached = []
    for result in results:
        if not result.is_met:
            break
        reached.append(result)
    return reached


def _suffix(evidence: PipelineEvidence, reached: list[LevelResult]) -> str:
    """Return ``g`` where the level speaks of deployments and most of them waited for a person's approval."""
    speaks_of_deployments = any(
        criterion.stage == "deploy" for result in reached for criterion in result.level.criteria
    )
    modes = [transition.mode for transition in evidence.sample("deploy")]
    return "g" if speaks_of_deployments and modes.count("gated") > GATED_SHARE * len(modes) else ""


def _profile(evidence: PipelineEvidence, stage: str) -> StageProfile:
    sample = evidence.sample(stage)
    modes = Counter(transition.mode for transition in sample)
    theta, n_min = evidence.policy.theta, evidence.policy.n_min
    anywhere = Level(id=0, name="")
    return StageProfile(
        stage=stage,
        modes={mode: modes[mode] for mode in MODES if modes[mode]},
        init=judge(evidence, Criterion(measure="init", stage=stage, theta=theta, n_min=n_min), anywhere),
        exec=judge(evidence, Criterion(measure="exec", stage=stage, theta=theta, n_min=n_min), anywhere),
        last_at=sample[-1].at if sample else None,
        backdated=tuple(transition.event_id for transition in sample if transition.is_backdated),
        na_reason=evidence.reason_na(stage),
    )


def _explanation(blocked: LevelResult | None, blocking: tuple[CriterionResult, ...]) -> str:
    if blocked is None:
        return ""
    named = f"Level {blocked.level.id} ({blocked.level.name})"
    return f"{named} is not reached: {blocking[0].sentence}"


def _weakest_evidence(reached: list[LevelResult]) -> Evidence | None:
    return weakest_grade(judged.evidence for result in reached for judged in result.results if judged.evidence)
