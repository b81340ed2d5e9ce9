"""What is asked of a KPI, and what it answers.

Invariant: an answer that rests on no event is "no evidence", whatever its numbers; a number that cannot be said is
``None`` and never 0.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.kpis.facts import OfTypes, View
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.organisation import Organisation
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.policies import ALWAYS, Policy, shipped
from ratchet.records import Event, Record, digest_of

ScopeKind = Literal["organisation", "node", "pipeline", "endpoint", "model"]
Status = Literal["ok", "no evidence", "insufficient"]
Direction = Literal["up", "down", "none"]
Value = float | int | str | None
ACTIVE = timedelta(days=90)
_OWNED = ("pipeline.declared", "ownership.changed")
_ARCHIVED = ("pipeline.declared", "pipeline.archived")
_HOUR = timedelta(hours=1)


class Scope(Record, frozen=True):
    """Of what part of the whole a KPI is asked.

    Attributes:
        kind: ``organisation`` for all of it; ``node`` for a team, department or cost centre with all that is part of
            it.
        name: Which one; ``""`` for the organisation. The node ``""`` is what belongs to nobody.
    """

    kind: ScopeKind = "organisation"
    name: str = ""


EVERYTHING = Scope()


class Ids(frozenset[str]):
    """Ids of events, each once, in no order.

    Args:
        listed: The ids in the order in which they were made, next to one another in memory: to look for the first and
            the last of a hundred thousand takes a third of the time there.

    Attributes:
        first: The first by name, ``""`` where there are none.
        last: The last by name.
    """

    first: str
    last: str

    def __new__(cls, listed: Sequence[str]) -> "Ids":
        """Look through the ids once."""
        made = super().__new__(cls, listed)
        made.first, made.last = (min(listed), max(listed)) if listed else ("", "")
        return made

    def joined(self, others: Sequence[str]) -> "Ids":
        """Return these ids and others."""
        more = Ids(others)
        made = super().__new__(Ids, self | more)
        made.first = min(self.first or more.first, more.first or self.first)
        made.last = max(self.last, more.last)
        return made


class Answer(Record, frozen=True, dict=True):
    """What a KPI came to.

    Attributes:
        status: ``no evidence`` where no event stands behind it; ``insufficient`` where too few do.
        values: Numbers by name, the unit last in the name; ``None`` where nothing can be said.
        by: The same by whatever the KPI breaks it down by.
        ids: Ids of the events that stand behind it, in no order.
    """

    status: Status
    values: dict[str, Value]
    by: dict[str, Any]
    ids: Ids

    @cached_property
    def events(self) -> tuple[str, ...]:
        """Return the ids in order; of a hundred thousand that takes longer than the answer."""
        return tuple(sorted(self.ids))

    @classmethod
    def of(cls, values: dict[str, Value], by: dict[str, Any], events: Iterable[Event | str] | Ids) -> "Answer":
        """Return an answer that rests on some events, or on ids; on none, there is no evidence."""
        ids = events if isinstance(events, Ids) else Ids([one if isinstance(one, str) else one.id for one in events])
        return cls(status="ok" if ids else "no evidence", values=values, by=by, ids=ids)


class Question:
    """What is asked: of which facts, at which moment, of which part.

    Args:
        view: What was known at the moment.
        settings: Those of the project.
        scope: Of what part it is asked.
        policies: The level policies in force; those that always are, if not given.
    """

    def __init__(
        self, view: View, settings: Settings, scope: Scope = EVERYTHING, *, policies: Sequence[Policy] = ()
    ) -> None:
        self.view = view
        self.settings = settings
        self.scope = scope
        self.policies = tuple(policies) or tuple(map(shipped, ALWAYS))
        self.organisation = Organisation(settings.team, settings.zone)
        self._endpoint_pipelines: frozenset[str] | None = None
        self._names: dict[str, tuple[str, ...]] = {}
        self._month_of_hour: dict[datetime, str] = {}

    @property
    def as_of(self) -> datetime:
        """Return the moment (UTC)."""
        return self.view.at

    @property
    def zone(self) -> ZoneInfo:
        """Return the organisation's time zone."""
        return self.settings.zone

    def at(self, moment: datetime) -> "Question":
        """Return the same question as of an earlier moment."""
        if moment == self.as_of:
            return self
        return Question(self.view.earlier(moment), self.settings, self.scope, policies=self.policies)

    # ---- events

    def events(self, *types: str) -> list[Event]:
        """Return the events of some types that the scope covers, by their own time."""
        found = self.view.of(*types)
        return list(found) if self.scope.kind == "organisation" else [event for event in found if self.covers(event)]

    def covers(self, event: Event, *, at: datetime | None = None) -> bool:
        """Tell whether an event is about the scope.

        Args:
            event: Any.
            at: At which moment a part of the organisation must own what the event is about; when it happened, if
                not given.
        """
        moment = at or event.at
        if self.scope.kind == "organisation":
            return True
        if self.scope.kind == "endpoint":
            named = event.data.get("endpoint") or event.data.get("service")
            return named == self.scope.name if named else self.covers_pipeline(event.pipeline, moment)
        if self.scope.kind == "model":
            models = models_named(event)
            return self.scope.name in models if models else self.covers_pipeline(event.pipeline, moment)
        if event.pipeline:
            return self.covers_pipeline(event.pipeline, moment)
        return self.scope.kind == "node" and self.covers_team(event.team, moment)

    def covers_pipeline(self, pipeline: str, at: datetime | None = None) -> bool:
        """Tell whether the scope covers a pipeline at a moment; now if none is given."""
        if self.scope.kind == "organisation":
            return True
        if self.scope.kind == "pipeline":
            return pipeline == self.scope.name
        if self.scope.kind == "node":
            return bool(pipeline) and self.covers_team(self.owner(pipeline, at), at)
        return pipeline in self._behind()

    def covers_team(self, team: str, at: datetime | None = None) -> bool:
        """Tell whether a team belongs to the scope at a moment; now if none is given."""
        if self.scope.kind != "node":
            return self.scope.kind == "organisation"
        if not self.scope.name:
            return not team
        return self.organisation.is_part_of(team, self.scope.name, at or self.as_of)

    def owner(self, pipeline: str, at: datetime | None = None) -> str:
        """Return the team that owned a pipeline at a moment, now if none is given; ``""`` where nobody did.

        Before it was first declared it belonged to whoever declared it.
        """
        moment = at or self.as_of
        entries = self.view.made("owners", _owners, of=_OWNED).get(pipeline, [])
        found = [team for since, team in entries if since <= moment] or [team for _, team in entries[:1]]
        return found[-1] if found else ""

    # ---- pipelines

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Return the pipelines that the scope covers now, by name."""
        if "all" not in self._names:
            self._names["all"] = tuple(sorted(name for name in self.view.pipelines if self.covers_pipeline(name)))
        return self._names["all"]

    @property
    def archived(self) -> tuple[str, ...]:
        """Return the pipelines that were archived, and not declared again since, by name."""
        archived = self.view.made("archived", _archived, of=_ARCHIVED)
        return tuple(name for name in self.pipelines if name in archived)

    @property
    def active(self) -> tuple[str, ...]:
        """Return the pipelines with an event in the last 90 days that are not archived, by name."""
        if "active" not in self._names:
            archived = self.view.made("archived", _archived, of=_ARCHIVED)
            since, latest = to_us(self.as_of - ACTIVE), self.view.latest_us
            found = (name for name in self.pipelines if latest[name] >= since and name not in archived)
            self._names["active"] = tuple(found)
        return self._names["active"]

    # ---- months

    def month(self, moment: datetime) -> str:
        """Return the local month of a moment, such as ``2024-03``."""
        hour = moment.replace(minute=0, second=0, microsecond=0)
        if hour not in self._month_of_hour:
            around = {f"{one.astimezone(self.zone):%Y-%m}" for one in (hour - _HOUR, hour + 2 * _HOUR)}
            self._month_of_hour[hour] = around.pop() if len(around) == 1 else ""
        # Near its ends a month is read off each moment: zones are not whole hours off, and clocks are put back there.
        return self._month_of_hour[hour] or f"{moment.astimezone(self.zone):%Y-%m}"

    @property
    def months(self) -> tuple[str, ...]:
        """Return the local months from that of the ledger's first event to that of the moment."""
        first = self.view.first_at
        return () if first is None else months_between(first, self.as_of, self.zone)

    @property
    def month_ends(self) -> tuple[tuple[str, datetime], ...]:
        """Return the local months with the moment at which each ended (UTC); now for the one that is not over."""
        ends = [(month, month_end(month, self.zone).astimezone(UTC)) for month in self.months]
        return tuple((month, min(end, self.as_of)) for month, end in ends)

    def _behind(self) -> frozenset[str]:
        """Return the pipelines behind an endpoint or a model."""
        if self._endpoint_pipelines is None:
            kind, name = self.scope.kind, self.scope.name
            if kind == "endpoint":
                found = (e.pipeline for e in self.view.of("traffic.shifted") if e.data.get("endpoint") == name)
            else:
                types = ("model.version.registered", "traffic.shifted", "pipeline.declared")
                found = (e.pipeline for e in self.view.of(*types) if name in models_named(e))
            self._endpoint_pipelines = frozenset(found)
        return self._endpoint_pipelines


class Line(Record, frozen=True):
    """A value that somebody holds against a KPI, in the unit of its headline."""

    label: str
    value: float


class Kpi(Record, frozen=True):
    """A number about how the work is done, and what it means.

    Attributes:
        name: As in ``[kpi.NAME]``.
        title: What people call it.
        sentence: What it says, in one plain sentence.
        unit: Of its headline.
        headline: Which of the values stands for it.
        formula: How it is worked out, in words; with ``version`` it is the definition that the digest names.
        edge_cases: What is counted, left out or shown apart.
        direction: Which direction is good.
        timing: Whether it moves before the result does, or after it.
        nature: Whether it shows what a team gains, or what it risks.
        answer: Works it out.
        lines: Gives what the headline is held against, beside the target.
        version: Raised whenever the same events give another answer.
    """

    name: str
    title: str
    sentence: str
    unit: str
    headline: str
    formula: str
    direction: Direction
    timing: Literal["leading", "lagging"]
    nature: Literal["leverage", "risk"]
    answer: Callable[[Question], Answer]
    edge_cases: tuple[str, ...] = ()
    lines: Callable[[Question], tuple[Line, ...]] = lambda _: ()
    version: int = 1

    @property
    def digest(self) -> str:
        """Return the sha256 of name, definition and version: with a place in the ledger it names a value."""
        return digest_of([self.name, self.headline, self.formula, list(self.edge_cases), self.version])


def months_between(first: datetime, until: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    """Return the local months from one moment to another; one that begins at the second moment is out."""
    start, end = first.astimezone(zone), (until - MICROSECOND).astimezone(zone)
    count = (end.year - start.year) * 12 + end.month - start.month
    places = [start.month - 1 + step for step in range(count + 1)]
    return tuple(f"{start.year + place // 12:04d}-{place % 12 + 1:02d}" for place in places)


def month_end(month: str, zone: ZoneInfo) -> datetime:
    """Return the moment at which a local month ends."""
    year, number = int(month[:4]), int(month[5:7])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone)


def moment_named(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) that a date or a date and time means; a date means its end.

    Args:
        text: ISO 8601; without an offset it is local.
        zone: The zone of local times.

    Raises:
        ValueError: It is neither.
    """
    moment = datetime.fromisoformat(text)
    if len(text) <= len("2026-03-31"):
        moment += timedelta(days=1)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def models_named(event: Event) -> frozenset[str]:
    """Return the models that an event names, itself or by their versions."""
    data = event.data
    versions = [data.get("version"), data.get("model_version"), *(data.get("weights") or {})]
    named = {model_of(version) for version in versions if isinstance(version, str) and version}
    return frozenset(named | ({data["model"]} if isinstance(data.get("model"), str) else set()))


def share(part: float, whole: float) -> float | None:
    """Return a quotient; ``None`` where there is nothing to divide by."""
    return part / whole if whole else None


def hours(since: datetime, until: datetime) -> float:
    """Return the hours from one moment to another; negative where the second came first."""
    return (until - since).total_seconds() / 3600


def _owners(view: OfTypes) -> dict[str, list[tuple[datetime, str]]]:
    found: dict[str, list[tuple[datetime, str]]] = {}
    for event in view.of(*_OWNED):
        data = event.data
        team = data.get("to") if event.type == "ownership.changed" else data.get("owner") or event.team
        found.setdefault(event.pipeline, []).append((event.at, str(team or "")))
    return found


def _archived(view: OfTypes) -> frozenset[str]:
    last = {event.pipeline: event for event in view.of(*_ARCHIVED)}
    return frozenset(name for name, event in last.items() if event.type == "pipeline.archived")
