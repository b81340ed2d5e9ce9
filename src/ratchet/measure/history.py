"""All events that the measure has read, and what they looked like at any moment since.

Invariant: events are only added, in the order of the ledger, and what a snapshot sees follows from its moment and its
place in the ledger, so a level that was once published with both comes out the same for ever.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, TypeVar, cast

from ratchet import clock
from ratchet.catalogue import EVENT_TYPES
from ratchet.measure.rulebook import KEPT, LIFECYCLE, RuleBook, RuleKey, rule_key
from ratchet.records import NATIVE_SOURCE, Event, Evidence

BACKDATING_TOLERANCE = timedelta(hours=1)
DEFAULT_WINDOW = timedelta(days=180)
_OWN_STAGE = {"code.pushed": "code", "pipeline_version.released": "pipeline-ci"}
_TARGETED = ("touch.recorded", "approval.requested", "approval.decided", "approval.closed")
_SEQ = attrgetter("seq")
_Made = TypeVar("_Made")


class History:
    """Events by what the measure asks for; feed it new events as they come.

    Args:
        is_whole: Whether it gets all events, or only what one pipeline's levels rest on.
    """

    def __init__(self, *, is_whole: bool = True) -> None:
        self.is_whole = is_whole
        self._events: dict[tuple[str, str], Event] = {}
        self._of_type: dict[tuple[str, str], list[Event]] = {}
        self._of_kind: dict[str, list[Event]] = {}
        self._of_rule: dict[RuleKey, list[Event]] = {}
        self._changes_of_rule: dict[RuleKey, list[Event]] = {}
        self._rules_of: dict[str, dict[RuleKey, None]] = {}
        self._of_target: dict[str, list[Event]] = {}
        self._of_pipeline: dict[str, list[Event]] = {}
        self._of_source: dict[str, list[Event]] = {}
        self._earliest: dict[str | None, list[Event]] = {}
        self._earliest_at: dict[str | None, datetime] = {}
        self._imported: list[Event] = []
        self._earliest_import: dict[int, tuple[int, datetime | None]] = {}
        self._last_erasure = 0
        self._seqs: list[int] = []
        self._recorded: list[datetime] = []

    @property
    def last_seq(self) -> int:
        """Return the place in the ledger up to which events were added; 0 before the first."""
        return self._seqs[-1] if self._seqs else 0

    @property
    def last_recorded(self) -> datetime:
        """Return when the last event was recorded; only for a history with events."""
        return self._recorded[-1]

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Return the names of all pipelines that any event belongs to, in order of appearance."""
        return tuple(name for name in self._earliest if name)

    def fold(self, events: Iterable[Event]) -> int:
        """Add events in the order of the ledger; return how many were new."""
        return sum(self.add(event) for event in events)

    def add(self, event: Event) -> bool:
        """Add one event; return False for one that is here already, which changes nothing."""
        key = event.key
        if key in self._events:
            return False
        assert event.seq > self.last_seq, "events are added in the order of the ledger"
        assert event.recordedtime is not None, "only events of the ledger are measured"
        self._events[key] = event
        self._seqs.append(event.seq)
        latest = self._recorded[-1] if self._recorded else event.recordedtime
        self._recorded.append(max(latest, event.recordedtime))
        self._of_type.setdefault((event.type, event.pipeline), []).append(event)
        self._of_kind.setdefault(event.type, []).append(event)
        self._of_pipeline.setdefault(event.pipeline, []).append(event)
        if event.source != NATIVE_SOURCE:
            self._of_source.setdefault(event.source, []).append(event)
        if event.evidence == "imported":
            self._imported.append(event)
        elif event.type == "payload.erased":
            self._last_erasure = event.seq
        moment = moment_of(event)
        for whose in (None, event.pipeline):
            before = self._earliest_at.get(whose)
            if before is None or moment < before:
                self._earliest_at[whose] = moment
                self._earliest.setdefault(whose, []).append(event)
        if event.type in KEPT:
            self._of_rule.setdefault(rule_key(event), []).append(event)
            if event.type in LIFECYCLE:
                self._changes_of_rule.setdefault(rule_key(event), []).append(event)
            self._rules_of.setdefault(event.pipeline, {}).setdefault(rule_key(event))
        elif event.type in _TARGETED:
            self._of_target.setdefault(str(event.data.get("target") or event.subject), []).append(event)
        return True

    def is_past_rewritten(self, moment: datetime, *, since_seq: int) -> bool:
        """Tell whether what came after a place in the ledger changed what a moment looks like.

        Something was imported that had happened by then, or a payload was erased, of whatever time.
        """
        since = self.earliest_import(since_seq)
        return self._last_erasure > since_seq or (since is not None and since <= moment)

    def is_over(self, moment: datetime, *, seq: int) -> bool:
        """Tell whether something up to a place was recorded after a moment: all else that is recorded is after it too.

        Until then, what was recorded just before the moment may still come in.
        """
        known = bisect_right(self._seqs, seq)
        return known > 0 and self._recorded[known - 1] > moment

    def earliest_import(self, since_seq: int) -> datetime | None:
        """Return when the earliest happened of what was imported after a place in the ledger; ``None`` for nothing."""
        until = len(self._imported)
        first = bisect_right(self._imported, since_seq, key=_SEQ)
        seen, earliest = self._earliest_import.get(since_seq, (first, None))
        found = [event.at for event in self._imported[seen:until]]
        earliest = min([*found, earliest] if earliest else found, default=None)
        self._earliest_import[since_seq] = (until, earliest)
        return earliest

    def rules_behind(self, pipeline: str) -> set[RuleKey]:
        """Return the rules that were written for a pipeline, or that fired on the way to its events."""
        found = set(self._rules_of.get(pipeline, ()))
        seen: set[tuple[str, str]] = set()
        for event in self._events.values():
            link: Event | None = event if event.pipeline == pipeline else None
            while link is not None and (link.source, link.id) not in seen:
                seen.add((link.source, link.id))
                if link.type == "rule.fired":
                    found.add(rule_key(link))
                own, native = (link.source, link.causationid), (NATIVE_SOURCE, link.causationid)
                link = self._events.get(own) or self._events.get(native)
        return found

    def as_of(
        self, moment: datetime | None = None, *, window: timedelta = DEFAULT_WINDOW, seq: int | None = None
    ) -> "Snapshot":
        """Return how things stood at a moment: what was recorded until then, and what was imported later of that time.

        Args:
            moment: When (UTC); now if not given.
            window: How far back evidence counts.
            seq: Leave out what came after this place in the ledger: what was imported later changes no answer that
                was given with its place.
        """
        at = moment or clock.now()
        last = self.last_seq if seq is None else seq
        known = min(bisect_right(self._recorded, at), bisect_right(self._seqs, last))
        recorded = self._seqs[known - 1] if known else 0
        later = self._imported[bisect_right(self._imported, recorded, key=_SEQ) :]
        found = [event.seq for event in later if event.seq <= last and event.at <= at]
        return Snapshot(self, at=at, seq=max([recorded, *found[-1:]]), recorded_seq=recorded, window=window)


class Snapshot:
    """The history up to one moment and one place in the ledger.

    Attributes:
        at: The moment (UTC).
        seq: The place of the last event that it sees; with the moment, it names what is seen.
        recorded_seq: The place of the last event that was recorded by then. Those after it are imported.
        window: How far back evidence counts.
        since: Where the window begins.
    """

    def __init__(self, history: History, *, at: datetime, seq: int, recorded_seq: int, window: timedelta) -> None:
        """Look at a history; ``History.as_of`` makes these."""
        self._history = history
        self.at = at
        self.seq = seq
        self.recorded_seq = recorded_seq
        self.window = window
        self.since = at - window
        self.rules = RuleBook(self._rule_keys, self._rule_events, self._rule_changes, at=at, window=window)
        self._ordered: dict[tuple[str, str], list[Event]] = {}
        self._made: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], _Made]) -> _Made:
        """Return what a function makes of this snapshot; it is called once for each name."""
        if name not in self._made:
            self._made[name] = make()
        return cast("_Made", self._made[name])

    def over(self, window: timedelta) -> "Snapshot":
        """Return the same events seen with another window."""
        return Snapshot(self._history, at=self.at, seq=self.seq, recorded_seq=self.recorded_seq, window=window)

    @property
    def is_whole(self) -> bool:
        """Tell whether all events are here, or only what one pipeline's levels rest on."""
        return self._history.is_whole

    def events(self, type_: str, pipeline: str) -> list[Event]:
        """Return a pipeline's events of one type, in the order in which they happened."""
        key = (type_, pipeline)
        if key not in self._ordered:
            self._ordered[key] = self._known(self._history._of_type.get(key, []))
        return self._ordered[key]

    def all(self, type_: str) -> list[Event]:
        """Return the events of one type, of all pipelines and of none, in the order in which they happened."""
        return self._known(self._history._of_kind.get(type_, []))

    def recorded(self, type_: str) -> list[Event]:
        """Return the events of one type, of all pipelines and of none, in the order of the ledger."""
        return self._seen(self._history._of_kind.get(type_, []))

    def of_pipeline(self, pipeline: str) -> list[Event]:
        """Return all events of a pipeline, in the order of the ledger."""
        return self._seen(self._history._of_pipeline.get(pipeline, []))

    def from_source(self, source: str) -> list[Event]:
        """Return all events that came from another system, in the order of the ledger."""
        return self._seen(self._history._of_source.get(source, []))

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Return the names of all pipelines that any event belonged to, in order of appearance."""
        return tuple(name for name in self._history.pipelines if self.first(name) is not None)

    def first(self, pipeline: str | None = None) -> Event | None:
        """Return the earliest event, of one pipeline if it is named."""
        earliest = self._history._earliest.get(pipeline or None, [])
        return next((event for event in reversed(earliest) if self.sees(event)), None)

    def about(self, target: str) -> list[Event]:
        """Return the touches and approvals of one target, in order."""
        return self._known(self._history._of_target.get(target, []))

    def cause(self, event: Event) -> Event | None:
        """Return the event that led to this one: from its own source first, then a native one.

        ``None`` at a root, and where the cause is not in the ledger (yet).
        """
        return self.find(event.causationid, source=event.source)

    def find(self, event_id: str, *, source: str = NATIVE_SOURCE) -> Event | None:
        """Return the event of an id: from a source first, then a native one; ``None`` where it is not known."""
        for where in (source, NATIVE_SOURCE):
            found = self._history._events.get((where, event_id))
            if found is not None and self.sees(found):
                return found
        return None

    def sees(self, event: Event) -> bool:
        """Tell whether an event is among those that are seen."""
        if event.seq <= self.recorded_seq:
            return True
        return event.seq <= self.seq and event.evidence == "imported" and event.at <= self.at

    def chain(self, event: Event) -> list[Event]:
        """Return an event and all its causes, up to the root or to where the chain breaks or turns in a circle."""
        links = [event]
        seen = {event.key}
        while (cause := self.cause(links[-1])) is not None and (cause.source, cause.id) not in seen:
            seen.add((cause.source, cause.id))
            links.append(cause)
        return links

    def _known(self, events: list[Event]) -> list[Event]:
        if not events:
            # Most of what is asked for, such as touches of a change, never was.
            return []
        known = self._seen(events)
        known.sort(key=order)
        return known

    def _seen(self, events: list[Event]) -> list[Event]:
        """Return the events that are seen of some, in the order of the ledger."""
        recorded = bisect_right(events, self.recorded_seq, key=_SEQ)
        later = events[recorded : bisect_right(events, self.seq, key=_SEQ)]
        return events[:recorded] + [event for event in later if self.sees(event)]

    @property
    def imported_later(self) -> list[Event]:
        """Return what is seen although it was recorded later: what was imported of the time before the moment."""
        imported = self._history._imported
        return [event for event in imported[bisect_right(imported, self.recorded_seq, key=_SEQ) :] if self.sees(event)]

    def _rule_keys(self, pipeline: str) -> list[RuleKey]:
        return list(self._history._rules_of.get(pipeline, ()))

    def _rule_events(self, key: RuleKey) -> list[Event]:
        return self._known(self._history._of_rule.get(key, []))

    def _rule_changes(self, key: RuleKey) -> list[Event]:
        return self._known(self._history._changes_of_rule.get(key, []))


def moment_of(event: Event) -> datetime:
    """Return when an event counts as having happened: when it says, or when it was recorded if it is backdated."""
    time, recorded = event.time, event.recordedtime
    assert time is not None, "an event gets its time when it is appended"
    assert recorded is not None, "only events of the ledger are measured"
    return time if time == recorded else counted_moment(time, recorded, evidence=event.evidence)


def counted_moment(time: datetime, recorded: datetime, *, evidence: Evidence) -> datetime:
    """Return when something counts as having happened, by when it says and by when it was recorded.

    What we fetched ourselves from the system where it happened counts when that system says, however long ago; nobody
    can send anything with that grade.
    """
    is_trusted = evidence == "imported" and time <= recorded
    return time if is_trusted or abs(recorded - time) <= BACKDATING_TOLERANCE else recorded


def is_backdated(event: Event) -> bool:
    """Tell whether an event's own time is not to be trusted: more than an hour from its recording, and not imported."""
    return moment_of(event) != event.at


def order(event: Event) -> tuple[datetime, int]:
    """Return the key by which events are ordered; those of one instant keep the order of the ledger."""
    return moment_of(event), event.seq


def stage_of(event: Event) -> str:
    """Return the stage that an event belongs to, ``""`` for those that belong to none.

    A smoke test is part of the deployment that it guards. The catalogue decides; the sender's word counts only for
    types that the catalogue leaves open, such as a foreign signal that moves an alias.
    """
    if event.type == "fitness.suite.finished" and event.data.get("kind") == "smoke":
        return "deploy"
    if event.type in _OWN_STAGE:
        return _OWN_STAGE[event.type]
    kind = EVENT_TYPES.get(event.type)
    return (kind.stage if kind else "") or event.stage
