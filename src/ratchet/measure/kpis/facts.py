"""What KPIs read of the ledger: all events by type, and what they looked like at any moment since.

Invariant: events are only added, in the order of the ledger, and what a view sees follows from its moment and its place
in the ledger, so a value that was once published with both comes out the same for ever. Unlike levels, KPIs go by an
event's own time however late it was recorded: a deployment that was reported a day later took no longer for that.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar, cast

import numpy as np

from ratchet import clock
from ratchet.clock import from_us, to_us
from ratchet.measure.history import DEFAULT_WINDOW, History
from ratchet.measure.kpis.bulk import Rows, Table
from ratchet.measure.kpis.inputs import Inputs
from ratchet.measure.kpis.logs import NEVER, Column, Log, Seen, Whole, Words
from ratchet.measure.kpis.traces import Traces
from ratchet.records import NATIVE_SOURCE, Event

_Made = TypeVar("_Made")
# What ``when`` gives, without a call for each event.
_WHEN = attrgetter("time", "seq")
_SEQ = attrgetter("seq")
# The ends of the months of a year, now, and what else is asked in between.
_LATEST_KEPT = 24


class Facts:
    """Events by what KPIs ask for; feed it new events as they come.

    Args:
        history: The levels' view of the same events; one of its own if not given. It is fed along.
    """

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self.usage = Table(
            "usage.recorded",
            words={
                "endpoint": "",
                "version": "",
                "caller": "",
                "kind": "call",
                "role": "live",
                "mode": "online",
                "outcome": "success",
                "day": "",
                "segment": "",
            },
            numbers=dict.fromkeys(("count", "rows", "errors", "retries", "cpu_s", "minutes_missing"), 0.0),
        )
        self.costs = Table(
            "cost.recorded",
            words=dict.fromkeys(
                ("step", "resource", "unit", "endpoint", "segment", "run_id", "from", "until", "adjusts", "currency"),
                "",
            ),
            numbers=dict.fromkeys(("qty", "amount", "capacity_cpu_s"), 0.0),
        )
        self._tables = {table.type: table for table in (self.usage, self.costs)}
        self.inputs = Inputs()
        self._traces = Traces()
        self._seqs = array("q")
        self._times = Column(np.int64)
        self._pipelines = Words()
        self._pipeline_of = Column(np.int32)
        self._latest: dict[int, Whole] = {}
        self._first: tuple[array[int], array[int]] = (array("q"), array("q"))
        self._taken = 0
        self._last_seq = 0
        self._foreign_ids: set[str] = set()
        self._waiting: dict[str, list[Event]] = {}
        self._late: list[tuple[Event, int]] = []
        self._chains: dict[int, tuple[Event, ...]] = {}
        self._ordered: dict[str, list[Event]] = {}
        self._made: dict[str, tuple[list[list[Event]], Any]] = {}

    def fold(self, events: Iterable[Event]) -> int:
        """Add events in the order of the ledger; return how many were new."""
        found = sum(self._add(event) for event in events)
        self._settle()
        return found

    def add(self, event: Event) -> bool:
        """Add one event; return False for one that is here already, which changes nothing."""
        return self.fold([event]) > 0

    def _add(self, event: Event) -> bool:
        if not self.history.add(event):
            return False
        assert self._taken + 1 == len(self.history._events), "what the history had before is taken in by catch_up"
        self._take(event)
        return True

    def catch_up(self) -> int:
        """Take in what was added to the history alone; return how much that was."""
        before = self._taken
        for event in self._untaken():
            self._take(event)
        self._settle()
        return self._taken - before

    def _untaken(self) -> list[Event]:
        """Return what the history has and these facts have not, found from its end: a ledger is long."""
        known = self.history._events
        while True:
            size = len(known)
            added = list(islice(reversed(known.values()), size - self._taken))
            if len(known) == size:  # else it grew in another thread in between
                return added[::-1]

    def _take(self, event: Event) -> None:
        self._taken += 1
        self._seqs.append(event.seq)
        cause = self._row_of_cause(event)
        self._follow_cause(event, is_here=cause is None or cause >= 0)
        table = self._tables.get(event.type)
        if table is not None:
            table.add(event)
        time_us = to_us(event.at)
        self._times.append(time_us)
        self._pipeline_of.append(self._pipelines.code(event.pipeline))
        trace = self._traces.add(event, time_us, cause)
        self.inputs.take(event, time_us, trace)
        _keep_extreme(*self._first, event.seq, time_us, better=time_us.__lt__)

    def _settle(self) -> None:
        """Let what was taken in be seen by whoever asks, also from other threads."""
        for part in (self._times, self._pipeline_of, self.inputs):
            part.settle()
        self._last_seq = self._seqs[-1] if self._seqs else 0

    def _row_of_cause(self, event: Event) -> int | None:
        """Return the row of an event's cause; ``None`` for one without, -1 where it did not come from there before."""
        if not event.causationid:
            return None
        cause = self.history._events.get((event.source, event.causationid))
        if cause is None or cause.seq >= event.seq:
            return -1
        # A ledger has no gaps; what a test makes may have some.
        row = cause.seq - self._seqs[0]
        return row if row < len(self._seqs) and self._seqs[row] == cause.seq else bisect_left(self._seqs, cause.seq)

    def latest(self, seq: int) -> Whole:
        """Return when the last thing happened to each pipeline up to a place, ``NEVER`` where nothing did.

        Returns:
            Microseconds since 1970, UTC, by the code of the pipeline; of shape ``(pipelines,)``.
        """
        count = bisect_right(self._seqs, seq, hi=len(self._times.values))
        known = self._latest.get(count)
        if known is None:
            before = max((one for one in list(self._latest) if one < count), default=0)
            codes = self._pipeline_of.values[before:count]
            known = np.full(len(self._pipelines), NEVER, dtype=np.int64)
            if before:
                earlier = self._latest[before]
                known[: len(earlier)] = earlier
            np.maximum.at(known, codes, self._times.values[before:count])
            kept = dict(list(self._latest.items())[-_LATEST_KEPT:])
            self._latest = {**kept, count: known}
        return known

    def _follow_cause(self, event: Event, *, is_here: bool) -> None:
        """Note an event whose cause is not here, from any source, and those whose cause this one is."""
        if event.source != NATIVE_SOURCE:
            self._foreign_ids.add(event.id)
        if not is_here and not self._is_here(event.causationid):
            self._waiting.setdefault(event.causationid, []).append(event)
        if event.id in self._waiting:
            self._late += [(waiting, event.seq) for waiting in self._waiting.pop(event.id)]

    def _is_here(self, event_id: str) -> bool:
        return event_id in self._foreign_ids or (NATIVE_SOURCE, event_id) in self.history._events

    def chain(self, event: Event) -> tuple[Event, ...] | None:
        """Return an event and all its causes where nothing can change them any more; ``None`` where something can.

        So it is where each cause came before its effect, from the same source, and the first event has none.
        """
        links = [event]
        found = self._chains.get(event.seq)
        while found is None:
            last = links[-1]
            if not last.causationid:
                found = ()
                break
            cause = self.history._events.get((last.source, last.causationid))
            if cause is None or cause.seq >= last.seq:
                return None
            found = self._chains.get(cause.seq)
            if found is None:
                links.append(cause)
        whole = found if len(links) == 1 and found and found[0] is event else (*links, *found)
        self._chains[event.seq] = whole
        return whole

    def ordered(self, type_: str, seq: int) -> list[Event] | None:
        """Return the events of a type up to a place by their own time; ``None`` where later ones were asked for before.

        As long as there are no new ones, it is the same list.
        """
        events = self.history._of_kind.get(type_, [])
        count, kept = bisect_right(events, seq, key=_SEQ), self._ordered.get(type_)
        if kept is None or len(kept) < count:
            kept = self._ordered[type_] = sorted([*(kept or ()), *events[len(kept or ()) : count]], key=_WHEN)
        return kept if len(kept) == count else None

    def made(self, name: str, lists: list[list[Event]]) -> Any:
        """Return what was made of these very lists before; ``None`` where it was made of others."""
        of, found = self._made.get(name, ([], None))
        is_same = len(of) == len(lists) and all(one is other for one, other in zip(of, lists, strict=True))
        return found if is_same else None

    def keep(self, name: str, types: Sequence[str], lists: list[list[Event]], made: Any) -> None:
        """Keep what was made of lists of events, where they are those that the next view will see, too."""
        if all(self._ordered.get(type_) is found for type_, found in zip(types, lists, strict=True)):
            self._made[name] = (lists, made)

    def _broken(self, seq: int) -> list[Event]:
        """Return the events up to a place in the ledger whose cause was not there yet."""
        never = [event for events in self._waiting.values() for event in events]
        later = [event for event, came in self._late if came > seq]
        return sorted((event for event in never + later if event.seq <= seq), key=when)

    def as_of(self, moment: datetime | None = None, *, seq: int | None = None) -> "View":
        """Return how things stood at a moment: what was recorded until then, and what was imported later of that time.

        Args:
            moment: When (UTC); now if not given.
            seq: Leave out what came after this place in the ledger.
        """
        return View(self, moment or clock.now(), self._last_seq if seq is None else min(seq, self._last_seq))


class View:
    """The facts up to one place in the ledger."""

    def __init__(self, facts: Facts, at: datetime, until: int) -> None:
        """Look at the facts; ``Facts.as_of`` makes these."""
        self._facts = facts
        self.until = until
        self.at = at
        self.snapshot = facts.history.as_of(at, window=DEFAULT_WINDOW, seq=until)
        self.seq = self.snapshot.seq
        self._recorded = self.snapshot.recorded_seq
        # Both are metered here and never imported.
        self.usage: Rows = facts.usage.up_to(self._recorded)
        self.costs: Rows = facts.costs.up_to(self._recorded)
        self._of: dict[str, list[Event]] = {}
        self._made: dict[str, Any] = {}
        self._logs: dict[int, Seen] = {}

    def of(self, *types: str) -> list[Event]:
        """Return the events of some types, of all pipelines and of none, by their own time."""
        if len(types) == 1:
            type_ = types[0]
            if type_ not in self._of:
                # Where nothing is seen that was imported later, it is the beginning of all there is.
                known = self._facts.ordered(type_, self.seq) if self.seq == self._recorded else None
                self._of[type_] = sorted(self.snapshot.recorded(type_), key=_WHEN) if known is None else known
            return self._of[type_]
        return sorted((event for type_ in types for event in self.of(type_)), key=_WHEN)

    def once(self, name: str, make: "Callable[[View], _Made]") -> _Made:
        """Return what a function makes of this view; it is called once for each name."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast("_Made", self._made[name])

    def made(self, name: str, make: "Callable[[OfTypes], _Made]", *, of: Sequence[str]) -> _Made:
        """Return what a function makes of the events of some types alone; later views that see the same take it over.

        Args:
            name: Names what is made.
            make: Makes it, and reads nothing but these events; what it gives is never ``None`` and never changed.
            of: The types.
        """
        if name not in self._made:
            lists = [self.of(type_) for type_ in of]
            found = self._facts.made(name, lists)
            if found is None:
                seen = OfTypes(self, frozenset(of))
                found = make(seen)
                if not seen.is_open:
                    self._facts.keep(name, of, lists, found)
            self._made[name] = found
        return cast("_Made", self._made[name])

    def earlier(self, moment: datetime) -> "View":
        """Return how things stood at an earlier moment, as far as it is known here."""
        assert moment <= self.at, "nothing is known of the future"
        return self.once(f"as of {moment.isoformat()}", lambda _: self._facts.as_of(moment, seq=self.until))

    def count_from(self, source: str, since: datetime, until: datetime) -> int:
        """Count the events of another system from one moment on, up to another, which is out."""
        return sum(since <= event.at < until for event in self.snapshot.from_source(source))

    def cause(self, event: Event) -> Event | None:
        """Return the event that led to this one, if it is known."""
        return self.snapshot.cause(event)

    def chain(self, event: Event) -> Sequence[Event]:
        """Return an event and all its causes, the event first."""
        # Of what was recorded by then, the causes that came before it are seen as well.
        known = self._facts.chain(event) if event.seq <= self._recorded else None
        return self.snapshot.chain(event) if known is None else known

    @property
    def history(self) -> History:
        """Return the levels' view of the same events, up to now."""
        return self._facts.history

    @property
    def broken_chains(self) -> list[Event]:
        """Return the events whose cause is not in the ledger."""
        return [event for event in self._facts._broken(self.seq) if self.snapshot.sees(event)]

    @property
    def recorded_seq(self) -> int:
        """Return the place of the last event that was recorded by the moment: up to there all is seen."""
        return self._recorded

    @cached_property
    def at_us(self) -> int:
        """Return the moment in microseconds since 1970, UTC."""
        return to_us(self.at)

    @property
    def inputs(self) -> Inputs:
        """Return the logs of what comes by the hundred thousand."""
        return self._facts.inputs

    def seen(self, log: Log) -> Seen:
        """Return what is seen of a log, by the events' own time."""
        key = id(log)
        if key not in self._logs:
            self._logs[key] = log.seen(self)
        return self._logs[key]

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Return all pipelines that any known event belongs to, in order of appearance."""
        return tuple(self.latest_us)

    def last_active(self, pipeline: str) -> datetime | None:
        """Return the time of the latest event of a pipeline; ``None`` where there is none."""
        found = self.latest_us.get(pipeline)
        return None if found is None else from_us(found)

    @cached_property
    def latest_us(self) -> dict[str, int]:
        """Return when the last thing happened to each pipeline, in microseconds since 1970, UTC."""
        names = self._facts._pipelines.texts
        moments = self._facts.latest(self._recorded).tolist()
        if self.seq > self._recorded:
            moments += [NEVER] * (len(names) - len(moments))
            for event in self.snapshot.imported_later:
                code = self._facts._pipelines.known(event.pipeline)
                moments[code] = max(moments[code], to_us(event.at))
        return {name: at for name, at in zip(names, moments, strict=False) if name and at != NEVER}

    @property
    def first_at(self) -> datetime | None:
        """Return the time of the earliest event; ``None`` in an empty ledger."""
        recorded = _known(self._facts._first, self._recorded)
        return min((at for at in (recorded, *(event.at for event in self.snapshot.imported_later)) if at), default=None)


class OfTypes:
    """The events of some types in a view with what led to them, and nothing else of it.

    Attributes:
        is_open: Whether a further event of another type could change what was read: a cause that is missing may come.
    """

    def __init__(self, view: View, types: frozenset[str]) -> None:
        """Look at a view; ``View.made`` makes these."""
        self._view = view
        self._types = types
        self.is_open = False

    def of(self, *types: str) -> list[Event]:
        """Return the events of some of the types, by their own time."""
        assert self._types.issuperset(types), f"{types} are read, and not named as read"
        return self._view.of(*types)

    def made(self, name: str, make: "Callable[[OfTypes], _Made]", *, of: Sequence[str]) -> _Made:
        """Return what a function makes of some of the types."""
        assert self._types.issuperset(of), f"{of} are read, and not named as read"
        found = self._view.made(name, make, of=of)
        self.is_open = self.is_open or self._view._facts.made(name, [self._view.of(type_) for type_ in of]) is None
        return found

    def chain(self, event: Event) -> Sequence[Event]:
        """Return an event and all its causes, the event first."""
        self.is_open = self.is_open or self._view._facts.chain(event) is None
        return self._view.chain(event)

    def cause(self, event: Event) -> Event | None:
        """Return the event that led to this one, if it is known."""
        self.is_open = self.is_open or self._view._facts.chain(event) is None
        return self._view.cause(event)


def when(event: Event) -> tuple[datetime, int]:
    """Return the key by which KPIs order events: their own time, then their place in the ledger."""
    return event.at, event.seq


def _keep_extreme(
    seqs: "array[int]", times: "array[int]", seq: int, time_us: int, *, better: Callable[[int], bool]
) -> None:
    """Note a time that is later, or earlier, than all before it, with the place from which on it is known."""
    if not times or better(times[-1]):
        seqs.append(seq)
        times.append(time_us)


def _known(kept: Sequence[Sequence[int]] | None, seq: int) -> datetime | None:
    if kept is None:
        return None
    place = bisect_right(kept[0], seq)
    return from_us(kept[1][place - 1]) if place else None
