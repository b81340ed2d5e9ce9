"""What pages show of the measure: a line for each pipeline, and levels over time.

Invariant: a number that the ledger does not hold is ``None`` and shown as such, never 0; a level of a month that is
over is computed once.
"""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ratchet import clock
from ratchet.measure.criteria import CriterionResult
from ratchet.measure.freshness import Freshness, human_actions, read_freshness
from ratchet.measure.history import History, Snapshot, moment_of
from ratchet.measure.initiators import acting_class
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import Policy
from ratchet.records import Record

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
        predictions: Rows answered so far; ``None`` where no usage was ever recorded.
        human_actions: What people commanded, by month.
        alerts: Alerts that are raised now; ``None`` where nothing was ever monitored.
    """

    name: str
    owner: str
    report: LevelReport
    stages: tuple[StageMark, ...]
    freshness: Freshness
    predictions: int | None
    human_actions: dict[str, int]
    alerts: int | None

    @property
    def actions_this_month(self) -> int:
        """Return how often people had to act in the month that is not over."""
        return next(reversed(self.human_actions.values()), 0)


class Overview(Record, frozen=True):
    """All pipelines at one place in the ledger.

    Attributes:
        seq: That place.
        at: The moment (UTC).
        month: The month that is not over.
        human_actions: What people commanded, by month, over all pipelines.
    """

    seq: int
    at: datetime
    month: str
    lines: tuple[PipelineLine, ...]
    human_actions: dict[str, int]

    def line(self, name: str) -> PipelineLine | None:
        """Return a pipeline's line."""
        return next((line for line in self.lines if line.name == name), None)

    @property
    def predictions(self) -> int | None:
        """Return all predictions; ``None`` where no usage was ever recorded."""
        known = [line.predictions for line in self.lines if line.predictions is not None]
        return sum(known) if known else None

    @property
    def alerts(self) -> int | None:
        """Return all raised alerts; ``None`` where nothing was ever monitored."""
        known = [line.alerts for line in self.lines if line.alerts is not None]
        return sum(known) if known else None

    @property
    def levels(self) -> dict[str, int]:
        """Return the number of pipelines at each level, from the highest; those without evidence last."""
        counts = Counter("" if lacks_evidence(line.report) else str(line.report.level) for line in self.lines)
        return dict(sorted(counts.items(), key=lambda item: int(item[0] or -1), reverse=True))


class LevelPoint(Record, frozen=True):
    """A level at the end of a month, or now; ``None`` where there was too little evidence to give one."""

    month: str
    level: int | None
    label: str


def lacks_evidence(report: LevelReport) -> bool:
    """Tell whether a level of 0 only says that too little has been seen."""
    return report.is_insufficient


class Measurements:
    """Reads the measure for pages; what belongs to the past is kept.

    Args:
        workspace: Whose ledger is measured.
    """

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace
        self._past: dict[tuple[str, str, str], tuple[LevelPoint, int]] = {}
        self._names: tuple[str, ...] = ()

    def known_pipelines(self) -> tuple[str, ...]:
        """Return the pipelines of which the last overview knew."""
        return self._names

    def overview(self, policy: Policy) -> Overview:
        """Return all pipelines as they stand now."""
        history = self._workspace.history()
        declared = self._workspace.pipelines()
        now = clock.now()
        snapshot = history.as_of(now)
        names = sorted({*declared, *history.pipelines})
        self._names = tuple(names)
        lines = [_line(history, snapshot, name, declared.get(name, {}), policy) for name in names]
        return Overview(
            seq=snapshot.seq,
            at=now,
            month=f"{now:%Y-%m}",
            lines=tuple(lines),
            human_actions=human_actions(history, as_of=now),
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
        is_unknown = lacks_evidence(report)
        point = LevelPoint(
            month=month,
            level=None if is_unknown else report.level,
            label="too little evidence" if is_unknown else f"{report.label} {report.name}",
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


def _line(history: History, snapshot: Snapshot, name: str, declared: dict[str, Any], policy: Policy) -> PipelineLine:
    report = measure_level(history, name, policy, as_of=snapshot.at)
    return PipelineLine(
        name=name,
        owner=str(declared.get("owner", "")),
        report=report,
        stages=stage_marks(report, policy),
        freshness=read_freshness(snapshot, name),
        predictions=_predictions(snapshot, name),
        human_actions=_human_actions(snapshot, name),
        alerts=_alerts(snapshot, name),
    )


def _predictions(snapshot: Snapshot, pipeline: str) -> int | None:
    usage = snapshot.events("usage.recorded", pipeline)
    return sum(int(event.data.get("rows") or 0) for event in usage) if usage else None


def _human_actions(snapshot: Snapshot, pipeline: str) -> dict[str, int]:
    """Count people's commands about one pipeline by month, with the months without any."""
    first = snapshot.first(pipeline)
    if first is None:
        return {}
    commands = snapshot.events("command.issued", pipeline)
    counts = Counter(f"{moment_of(event):%Y-%m}" for event in commands if acting_class(event) == "human")
    return {f"{start:%Y-%m}": counts[f"{start:%Y-%m}"] for start, _ in _months(moment_of(first), snapshot.at)}


def _alerts(snapshot: Snapshot, pipeline: str) -> int | None:
    raised = snapshot.events("monitor.alert.raised", pipeline)
    if not raised and not snapshot.events("monitor.evaluated", pipeline):
        return None
    last = {event.subject: event for event in raised}
    for event in snapshot.events("monitor.alert.cleared", pipeline):
        if event.subject in last and last[event.subject].seq < event.seq:
            del last[event.subject]
    return len(last)


def _months(first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """Return the start of each month from one moment to another, each with the start of the next."""
    months = []
    start = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while start <= last:
        following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        months.append((start, following))
        start = following
    return months
