"""What pages show of the measure: where all pipelines stand, a line for each that is shown, and levels over time.

Invariant: a number that the ledger does not hold is ``None`` and shown as such, never 0; a level of a month that is
over is computed once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ratchet import clock
from ratchet.measure.counts import TOO_LITTLE
from ratchet.measure.criteria import CriterionResult
from ratchet.measure.freshness import Freshness, read_freshness
from ratchet.measure.history import History, Snapshot, moment_of
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import Policy
from ratchet.measure.standings import Standing
from ratchet.measure.steps import Step, next_step, runs_here
from ratchet.measuring import Measuring, means
from ratchet.records import Record
from ratchet.web.tallies import Tallies

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

# The event types in which the changes of a stage show, for links to the evidence.
EVIDENCE_TYPES = {
    "data": ("dataset.version.published",),
    "train": ("run.finished",),
    "experiment": ("experiment.concluded",),
    "evaluate": ("gate.evaluated",),
    "deploy": ("traffic.shifted",),
    "monitor": ("monitor.evaluated",),
    "sample": ("sample.taken",),
    "label": ("feedback.joined", "label.batch.ingested"),
    "dataset": ("dataset.generated",),
    "pipeline-ci": ("pipeline_version.released",),
}


class StageMark(Record, frozen=True):
    """How one stage stands, small enough for a table."""

    stage: str
    result: CriterionResult
    na_reason: str = ""


class PipelineLine(Record, frozen=True):
    """A pipeline in the list.

    Attributes:
        step: The cheapest step towards its next level; ``None`` at the top.
        predictions: Rows answered so far; ``None`` where no usage was ever recorded.
        human_actions: What people commanded, by month.
        alerts: Alerts that are raised now; ``None`` where nothing was ever monitored.
        runs_here: Whether Ratchet carries it out; else all that is known of it are events of another system.
    """

    name: str
    owner: str
    report: LevelReport
    step: Step | None
    stages: tuple[StageMark, ...]
    freshness: Freshness
    predictions: int | None
    human_actions: dict[str, int]
    alerts: int | None
    runs_here: bool

    @property
    def actions_this_month(self) -> int:
        """Return how often people had to act in the month that is not over."""
        return next(reversed(self.human_actions.values()), 0)


class Overview(Record, frozen=True):
    """Where all pipelines stand at one place in the ledger, and some of them with all that is shown.

    Attributes:
        seq: That place.
        at: The moment (UTC).
        month: The month that is not over.
        standings: All pipelines, by name.
        lines: Those that were asked for.
        predictions: Of all pipelines; ``None`` where no usage was ever recorded.
        human_actions: What people commanded, by month, over all pipelines.
        alerts: Raised alerts of all pipelines; ``None`` where nothing was ever monitored.
    """

    seq: int
    at: datetime
    month: str
    standings: tuple[Standing, ...]
    lines: tuple[PipelineLine, ...]
    predictions: int | None
    human_actions: dict[str, int]
    alerts: int | None

    def line(self, name: str) -> PipelineLine | None:
        """Return a pipeline's line, if it was asked for."""
        return next((line for line in self.lines if line.name == name), None)

    @property
    def levels(self) -> dict[str, int]:
        """Return the number of pipelines at each level, from the highest; those without evidence last."""
        counts = Counter("" if one.is_insufficient else str(one.level) for one in self.standings)
        return dict(sorted(counts.items(), key=lambda item: int(item[0] or -1), reverse=True))


class LevelPoint(Record, frozen=True):
    """A level at the end of a month, or now; ``None`` where there was too little evidence to give one."""

    month: str
    level: int | None
    label: str


class Measurements:
    """Reads the measure for pages; what belongs to the past is kept.

    Args:
        workspace: Whose ledger is measured.
    """

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace
        self._tallies = Tallies(workspace.ledger)
        self._means = means()
        self._measured: tuple[tuple[str, ...], Measuring] | None = None
        self._past: dict[tuple[str, str, str], tuple[LevelPoint, int]] = {}
        self._names: tuple[str, ...] = ()

    def known_pipelines(self) -> tuple[str, ...]:
        """Return the pipelines of which the last overview knew."""
        return self._names

    @property
    def measuring(self) -> Measuring:
        """Return what measures levels; made anew where the policies have changed."""
        known = tuple(one.digest for one in self._workspace.policies())
        if self._measured is None or self._measured[0] != known:
            self._measured = known, Measuring(self._workspace)
        return self._measured[1]

    def overview(self, policy: Policy, *, start: int = 0, limit: int = 50) -> Overview:
        """Return where all pipelines stand now, and all that is shown of some of them.

        Args:
            policy: By whose levels.
            start: The first of those, in the order of their names.
            limit: How many.
        """
        standings = self.measuring.standings(policy)
        self._names = tuple(one.pipeline for one in standings)
        return self._seen(policy, standings, self._names[start : start + limit])

    def one(self, pipeline: str, policy: Policy) -> Overview:
        """Return all that is shown of one pipeline; without a line where there is no such pipeline."""
        self._names = self._names or tuple(self.measuring.pipelines())
        known = pipeline in self._workspace.pipelines() or pipeline in self.measuring.pipelines()
        return self._seen(policy, [], [pipeline] if known else [])

    def _seen(self, policy: Policy, standings: Sequence[Standing], names: Sequence[str]) -> Overview:
        history = self._workspace.history()
        snapshot = history.as_of(clock.now())
        self._tallies.catch_up()
        return Overview(
            seq=snapshot.seq,
            at=snapshot.at,
            month=f"{snapshot.at:%Y-%m}",
            standings=tuple(standings),
            lines=tuple(self._line(history, snapshot, name, policy) for name in names),
            predictions=self._tallies.predictions,
            human_actions=_by_month(self._tallies.commands, snapshot, None),
            alerts=self._tallies.alerts,
        )

    def _line(self, history: History, snapshot: Snapshot, name: str, policy: Policy) -> PipelineLine:
        declared = self._workspace.pipelines().get(name, {})
        report = measure_level(history, name, policy, as_of=snapshot.at)
        enabled = snapshot.rules.enabled(name)
        is_here = runs_here(snapshot, name)
        tally = self._tallies.of(name)
        return PipelineLine(
            name=name,
            owner=str(declared.get("owner", "")),
            report=report,
            step=next_step(report, policy, enabled=enabled, means=self._means, is_here=is_here),
            stages=stage_marks(report, policy),
            freshness=read_freshness(snapshot, name),
            predictions=tally.predictions,
            human_actions=_by_month(tally.commands, snapshot, name),
            alerts=tally.alerts,
            runs_here=is_here,
        )

    def levels_over_time(self, pipeline: str, policy: Policy) -> list[LevelPoint]:
        """Return the level at the end of each month since the pipeline's first event."""
        history = self._workspace.history()
        now = clock.now()
        first = history.as_of(now).first(pipeline)
        if first is None:
            return []
        zone = ZoneInfo(self._workspace.config.project.time_zone)
        return [
            self._point(history, pipeline, policy, month=f"{end_of[0]:%Y-%m}", end=end_of[1], now=now)
            for end_of in _months(moment_of(first).astimezone(zone), now.astimezone(zone))
        ]

    def _point(
        self, history: History, pipeline: str, policy: Policy, *, month: str, end: datetime, now: datetime
    ) -> LevelPoint:
        key = (pipeline, policy.digest, month)
        kept, seq = self._past.get(key, (None, 0))
        if kept is not None and not history.is_past_rewritten(end, since_seq=seq):
            return kept
        seq = history.last_seq
        report = measure_level(history, pipeline, policy, as_of=min(end, now))
        is_unknown = report.is_insufficient
        point = LevelPoint(
            month=month,
            level=None if is_unknown else report.level,
            label=TOO_LITTLE if is_unknown else f"{report.label} {report.name}",
        )
        if end < now:
            self._past[key] = point, seq
        return point


def stage_marks(report: LevelReport, policy: Policy) -> tuple[StageMark, ...]:
    """Return how each stage stands, by the measure that the policy asks for there."""
    asked = {one.stage: one.measure for level in policy.levels for one in level.criteria if one.stage}
    marks = []
    for stage, profile in report.profile.items():
        result = profile.exec if asked.get(stage) == "exec" else profile.init
        if stage in asked or result.n:
            marks.append(StageMark(stage=stage, result=result, na_reason=profile.na_reason))
    return tuple(marks)


def _by_month(counts: Mapping[str, int], snapshot: Snapshot, pipeline: str | None) -> dict[str, int]:
    """Return counts by month since the first event, with the months without any."""
    first = snapshot.first(pipeline)
    if first is None:
        return {}
    return {
        month: counts.get(month, 0)
        for month in (f"{start:%Y-%m}" for start, _ in _months(moment_of(first), snapshot.at))
    }


def _months(first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """Return the start of each month from one moment to another, each with the start of the next."""
    months = []
    start = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while start <= last:
        following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        months.append((start, following))
        start = following
    return months
