"""Where each of many pipelines stands by a policy, from what a projection keeps: no event is read.

Invariant: a standing says what the full report of the same moment says; where what was kept does not suffice for
that, there is none, and the caller measures that pipeline from its events.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median

import msgspec

from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.criteria import QUIET_AT_LEAST, QUIET_FACTOR, SATISFIED, Status, counting_modes, status_of_share
from ratchet.measure.initiators import EVIDENCE, MODES, Mode
from ratchet.measure.levels import GATED_SHARE, LevelReport, is_insufficient
from ratchet.measure.policies import Criterion, Level, Policy
from ratchet.measure.practices import PRACTICES
from ratchet.measure.rulebook import has_slots
from ratchet.measure.stages import CustomStage
from ratchet.records import Evidence, Record, digest_of

_FIRST_LETTER = ord("0")
_PRACTICES_OF: dict[str, tuple[str, ...]] = {
    stage: tuple(name for name, place in PRACTICES.items() if place == stage) for stage in set(PRACTICES.values())
}
Moments = Callable[[str, str, int, int], list[tuple[int, int]]]


class Blocking(Record, frozen=True):
    """The first unmet criterion of the next level."""

    level: int
    level_name: str
    measure: str
    stage: str
    status: Status
    k: int
    n: int


class Standing(Record, frozen=True):
    """The level of one pipeline in short.

    Attributes:
        pipeline: Whose level.
        level: The highest that is met with all below it; 0 where none is.
        suffix: ``g`` where more than half of the deployments waited for a required approval.
        name: What the policy calls the level.
        blocking: What stands before the next level; ``None`` at the top.
        is_insufficient: Whether nothing but a want of evidence keeps it at level 0.
    """

    pipeline: str
    level: int
    suffix: str
    name: str
    blocking: Blocking | None
    is_insufficient: bool

    @property
    def label(self) -> str:
        """Return the level as it is shown, such as ``2g``."""
        return f"{self.level}{self.suffix}"

    @property
    def bucket(self) -> str:
        """Return the bucket of a distribution that it falls into: its level, or ``insufficient``."""
        return "insufficient" if self.is_insufficient else str(self.level)


class Schedule(Record, frozen=True):
    """A schedule on which it depended whether a rule's first firing was automation."""

    cron: str
    time_zone: str
    recurs: bool


class PipelineFacts(Record, frozen=True):
    """What is kept of a pipeline beside its transitions; moments are microseconds since 1970, UTC.

    Attributes:
        na: Stages declared not to apply, with the reason.
        cadence_days: How often it is meant to be renewed; 0 where nothing was declared.
        promised_days: How old its live model may get; 0 where nothing was promised.
        trained_us: When what serves was trained, weighted by traffic; ``None`` where nothing serves or it is unknown.
        own_rules: How often each of the team's own rules fired and succeeded.
        closures: How often the loop closed.
        last: When the last transition of each stage was, with its place.
        asked: When an enabled rule last asked for one, with its place.
        schedules: What must still be so for the kept modes to hold.
        rules: Source and name of each rule that was written for it or fired on the way to its events.
        doubtful: Those of which something rested on a single firing.
    """

    na: dict[str, str]
    cadence_days: float
    promised_days: float
    trained_us: int | None
    own_rules: dict[str, int]
    closures: int
    last: dict[str, tuple[int, int]]
    asked: dict[str, tuple[int, int]]
    schedules: tuple[Schedule, ...]
    rules: tuple[tuple[str, str], ...]
    doubtful: tuple[tuple[str, str], ...]


_FACTS = msgspec.json.Decoder(PipelineFacts)


def standing_of(report: LevelReport) -> Standing:
    """Return a full report in short."""
    above = [result for result in report.levels if not result.is_met]
    blocking = None
    if report.blocking:
        first, level = report.blocking[0], above[0].level
        blocking = _blocking(level, first.criterion, first.status, first.k, first.n)
    return Standing(
        pipeline=report.pipeline,
        level=report.level,
        suffix=report.suffix,
        name=report.name,
        blocking=blocking,
        is_insufficient=report.is_insufficient,
    )


# ---- transitions as two letters


def code_of(mode: Mode, evidence: Evidence, shown: Sequence[bool | None]) -> str:
    """Return a transition in two letters: mode and grade of evidence; what it shows of each practice of its stage."""
    bits = sum(((verdict is not None) | (bool(verdict) << 1)) << (2 * place) for place, verdict in enumerate(shown))
    return chr(_FIRST_LETTER + MODES.index(mode) * len(EVIDENCE) + EVIDENCE.index(evidence)) + chr(_FIRST_LETTER + bits)


def practices_of(stage: str) -> tuple[str, ...]:
    """Return the practices that transitions of a stage show, in the order of their bits."""
    return _PRACTICES_OF.get(stage, ())


def stage_key(stage: str | CustomStage) -> str:
    """Return under which name a stage's transitions are kept: a custom one's has its definition in it."""
    if isinstance(stage, str):
        return stage
    return f"{stage.name}@{digest_of(msgspec.to_builtins(stage))[:12]}"


def stages_asked(policy: Policy) -> list[str]:
    """Return the stages whose transitions a policy asks for, and those of deployments, for the suffix."""
    asked = [
        criterion.stage or PRACTICES.get(criterion.measure, "")
        for level in policy.levels
        for criterion in level.criteria
    ]
    return [*dict.fromkeys(stage for stage in [*asked, "deploy"] if stage)]


@lru_cache(maxsize=64)
def _letters(modes: tuple[str, ...], evidence_min: Evidence) -> str:
    """Return the first letters of transitions in these modes whose evidence is good enough."""
    grades = EVIDENCE[: EVIDENCE.index(evidence_min) + 1]
    return "".join(code_of(mode, grade, ())[0] for mode in MODES if mode in modes for grade in grades)


@lru_cache(maxsize=64)
def _bits(stage: str, practice: str) -> tuple[int, int]:
    place = 2 * _PRACTICES_OF[stage].index(practice)
    return 1 << place, 2 << place


# ---- judging


class _Judge:
    """Judges one pipeline by one policy; the rules are those of ``criteria``, on counts in place of transitions."""

    def __init__(
        self, policy: Policy, facts: PipelineFacts, tail: dict[str, str], *, at_us: int, keys: dict[str, str]
    ) -> None:
        self.policy = policy
        self.facts = facts
        self.tail = tail
        self.at_us = at_us
        self.keys = keys

    def status(self, level: Level, criterion: Criterion) -> tuple[Status, int, int]:
        """Return what came of a criterion, how many counted, and out of how many."""
        measure = criterion.measure
        if measure == "user_rules_fired":
            return self._count(criterion, sum(fires >= criterion.fires for fires in self.facts.own_rules.values()))
        if measure == "loop_closure":
            return self._count(criterion, self.facts.closures)
        if measure in PRACTICES:
            k, n = self._practised(measure)
            return status_of_share(criterion, k, n), k, n
        if criterion.stage in level.na_allowed and self.facts.na.get(criterion.stage, "").strip():
            return "n/a", 0, 0
        k, n = self._shared(criterion)
        return status_of_share(criterion, k, n), k, n

    def codes(self, stage: str) -> str:
        return self.tail.get(self.keys[stage], "")

    def is_gated(self) -> bool:
        """Tell whether more than half of the deployments waited for a required approval."""
        letters = self.codes("deploy")[::2]
        gated = _count(letters, _letters(("gated",), EVIDENCE[-1]))
        return gated > GATED_SHARE * len(letters)

    def _shared(self, criterion: Criterion) -> tuple[int, int]:
        letters = self.codes(criterion.stage)[::2]
        n = len(letters)
        if criterion.measure == "init" and self.policy.approval == "neutral":
            n -= _count(letters, _letters(("gated",), EVIDENCE[-1]))
        modes = counting_modes(criterion, self.policy)
        return _count(letters, _letters(modes, self.policy.evidence_min)), n

    def _practised(self, practice: str) -> tuple[int, int]:
        stage = PRACTICES[practice]
        codes = self.codes(stage)
        asked, shown = _bits(stage, practice)
        good = _letters(MODES, self.policy.evidence_min)
        k = n = 0
        for letter, flags in zip(codes[::2], codes[1::2], strict=True):
            bits = ord(flags) - _FIRST_LETTER
            n += bool(bits & asked)
            k += bool(bits & shown) and letter in good
        return k, n

    def _count(self, criterion: Criterion, found: int) -> tuple[Status, int, int]:
        return "met" if found >= criterion.min else "not met", found, criterion.min

    def is_stale(self, stage: str, moments: Moments) -> bool:
        """Tell whether a stage whose criterion is met has been quiet although it should not have."""
        key = self.keys[stage]
        last = self.facts.last[key]
        quiet = self.at_us - last[0]
        if quiet <= QUIET_AT_LEAST // MICROSECOND:
            return False
        since = self.at_us - window_us(self.policy, self.facts)
        found = [at for at, _ in moments(self.facts_of, key, since, self.policy.sample_size)]
        gaps = [after - before for after, before in pairwise(found)]
        if gaps and quiet <= QUIET_FACTOR * median(gaps):
            return False
        if self.facts.asked.get(stage, (0, 0)) > last:
            return True
        trained, promised = self.facts.trained_us, self.facts.promised_days
        return bool(promised) and trained is not None and self.at_us - trained > promised * 86_400_000_000

    facts_of: str = ""


def _count(letters: str, wanted: str) -> int:
    """Count the letters that are among the wanted ones: in most samples there are one or two different ones."""
    return sum(letters.count(letter) for letter in set(letters) if letter in wanted)


def window_us(policy: Policy, facts: PipelineFacts) -> int:
    """Return how far back evidence for a pipeline counts, in microseconds."""
    return max(policy.window, 4 * timedelta(days=facts.cadence_days)) // MICROSECOND


def judge_all(
    policy: Policy,
    kept: dict[str, str],
    tails: dict[str, dict[str, str]],
    *,
    at: datetime,
    moments: Moments,
) -> tuple[list[Standing], list[str]]:
    """Return where pipelines stand, and those of which what was kept does not tell.

    Args:
        policy: What each level asks for.
        kept: The facts of each pipeline, as JSON.
        tails: The codes of its recent transitions by stage.
        at: The moment (UTC).
        moments: Gives when a pipeline's last transitions of a stage were, latest first, since a moment, so many.
    """
    at_us = to_us(at)
    standings: list[Standing] = []
    open_: list[str] = []
    for pipeline, text in kept.items():
        facts = _FACTS.decode(text)
        if not still_holds(facts.schedules, at, window_us(policy, facts)):
            open_.append(pipeline)
            continue
        standings.append(judge(policy, pipeline, facts, tails.get(pipeline, {}), at_us=at_us, moments=moments))
    return standings, open_


def judge(
    policy: Policy, pipeline: str, facts: PipelineFacts, tail: dict[str, str], *, at_us: int, moments: Moments
) -> Standing:
    """Return where one pipeline stands.

    Args:
        policy: What each level asks for.
        pipeline: Which one.
        facts: What is kept of it.
        tail: The codes of its recent transitions by stage.
        at_us: The moment, in microseconds since 1970, UTC.
        moments: Gives when its last transitions of a stage were, latest first, since a moment, so many.
    """
    judged = _Judge(
        policy, facts, tail, at_us=at_us, keys={name: stage_key(policy.stage(name)) for name in stages_asked(policy)}
    )
    judged.facts_of = pipeline
    return _stand(judged, pipeline, moments)


def _stand(judge: _Judge, pipeline: str, moments: Moments) -> Standing:
    reached = Level(id=0, name=judge.policy.level(0).name)
    blocking: list[tuple[Level, Criterion, Status, int, int]] = []
    speaks_of_deployments = False
    for level in judge.policy.levels:
        for criterion in level.criteria:
            status, k, n = judge.status(level, criterion)
            if status == "met" and criterion.measure in ("init", "exec") and judge.is_stale(criterion.stage, moments):
                status = "stale"
            if status not in SATISFIED:
                blocking.append((level, criterion, status, k, n))
        if blocking:
            break
        if level.id:
            reached = level
        speaks_of_deployments |= any(criterion.stage == "deploy" for criterion in level.criteria)
    return Standing(
        pipeline=pipeline,
        level=reached.id,
        suffix="g" if speaks_of_deployments and judge.is_gated() else "",
        name=reached.name,
        blocking=_blocking(*blocking[0]) if blocking else None,
        is_insufficient=is_insufficient(reached.id, [status for _, _, status, _, _ in blocking]),
    )


def _blocking(level: Level, criterion: Criterion, status: Status, k: int, n: int) -> Blocking:
    return Blocking(
        level=level.id,
        level_name=level.name,
        measure=criterion.measure,
        stage=criterion.stage or PRACTICES.get(criterion.measure, ""),
        status=status,
        k=k,
        n=n,
    )


def still_holds(schedules: tuple[Schedule, ...], at: datetime, window: int) -> bool:
    """Tell whether the kept modes of a pipeline hold at a moment, with evidence from a window in microseconds."""
    return all(
        has_slots(one.cron, one.time_zone, until=at, window=window * MICROSECOND) == one.recurs for one in schedules
    )
