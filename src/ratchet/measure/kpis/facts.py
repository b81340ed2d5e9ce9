"""What KPIs read of the ledger: all events by type, and what they looked like at any moment since.

Invariant: events are only added, in the order of the ledger, and what a view sees follows from its moment and its place
in the ledger, so a value that was once published with both comes out the same for ever. Unlike levels, KPIs go by an
event's own time however late it was recorded: a deployment that was reported a day later took no longer for that.
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar, cast

from ratchet import clock
from ratchet.clock import from_us, to_us
from ratchet.measure.history import DEFAULT_WINDOW, History
from ratchet.measure.kpis.bulk import Rows, Table
from ratchet.records import NATIVE_SOURCE, Event

_Made = TypeVar("_Made")
# What ``when`` gives, without a call for each event.
_WHEN = attrgetter("time", "seq")
_SEQ = attrgetter("seq")


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
        self._active: dict[str, tuple[array[int], array[int]]] = defaultdict(lambda: (array("q"), array("q")))
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
        return sum(self.add(event) for event in events)

    def add(self, event: Event) -> bool:
        """Add one event; return False for one that is here already, which changes nothing."""
        if not self.history.add(event):
            return False
        assert self._taken + 1 == len(self.history._events), "what the history had before is taken in by catch_up"
        self._take(event)
        return True

    def catch_up(self) -> int:
        """Take in what was added to the history alone; return how much that was."""
        before = self._taken
        # As a list at once: the history may grow in another thread while events are taken in.
        for event in list(islice(self.history._events.values(), before, None)):
            self._take(event)
        return self._taken - before

    def _take(self, event: Event) -> None:
        self._taken += 1
        self._last_seq = event.seq
        self._follow_cause(event)
        table = self._tables.get(event.type)
        if table is not None:
            table.add(event)
        time_us = to_us(event.at)
        if event.pipeline:
            _keep_extreme(*self._active[event.pipeline], event.seq, time_us, better=time_us.__gt__)
        _keep_extreme(*self._first, event.seq, time_us, better=time_us.__lt__)

    def _follow_cause(self, event: Event) -> None:
        """Note an event whose cause is not here, from any source, and those whose cause this one is."""
        if event.source != NATIVE_SOURCE:
            self._foreign_ids.add(event.id)
        if event.causationid and not self._is_here(event.causationid):
            self._waiting.setdefault(event.causationid, []).append(event)
        self._late += [(waiting, event.seq) for waiting in self._waiting.pop(event.id, ())]

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
    def pipelines(self) -> tuple[str, ...]:
        """Return all pipelines that any known event belongs to."""
        return tuple(name for name in self._facts._active if self.last_active(name) is not None)

    def last_active(self, pipeline: str) -> datetime | None:
        """Return the time of the latest event of a pipeline; ``None`` where there is none."""
        recorded = _known(self._facts._active.get(pipeline), self._recorded)
        later = self._imported_later.get(pipeline)
        return max((at for at in (recorded, later) if at is not None), default=None)

    @cached_property
    def _imported_later(self) -> dict[str, datetime]:
        """Return when the last thing happened to each pipeline of which something was imported after this moment."""
        found: dict[str, datetime] = {}
        for event in self.snapshot.imported_later:
            found[event.pipeline] = max(event.at, found.get(event.pipeline, event.at))
        return found

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
