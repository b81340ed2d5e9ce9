"""Writes readings into the ledger, page by page, with a cursor for each page.

Invariants: a page's events and its cursor are in the ledger together or not at all; importing again changes nothing,
and an import that broke off goes on behind its last page; what is imported is history, and sets off no rule.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ratchet.importers.claims import Claims, Key
from ratchet.importers.readings import Reading
from ratchet.records import NATIVE_SOURCE, Actor, Event, derive_id, digest_of
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger

PAGE_RECORDS = 500


@dataclass
class Tally:
    """What became of one source's records.

    Attributes:
        claimed: How many the source says there are; ``None`` where it does not say.
        records: How many were read, each once.
        imported: How many are in the ledger now as they were read; where the source says how many there are, with
            those of earlier imports.
        new_events: Events that were appended.
        known_events: Events that were there already.
        conflicts: Names of records that the ledger has with another body.
    """

    source: str
    claimed: int | None = None
    records: int = 0
    imported: int = 0
    new_events: int = 0
    known_events: int = 0
    conflicts: list[str] = field(default_factory=list)

    @property
    def completeness(self) -> float | None:
        """Return the share of what the source claims that is in the ledger; ``None`` where it claims nothing."""
        return min(1.0, self.imported / self.claimed) if self.claimed else None


class Puller:
    """Writes what importers have read.

    Args:
        database: Where the ledger is.
        actor: Who imports.
        is_dry: Change nothing, and count as if.
        report: Called with the number of records done and of all, after each page.
    """

    def __init__(
        self,
        database: Database,
        *,
        actor: Actor,
        is_dry: bool = False,
        report: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._database = database
        self._ledger = Ledger(database, _react_to_nothing)
        self._actor = actor
        self._is_dry = is_dry
        self._report = report
        self._would_be: dict[Key, Event] = {}
        self.tallies: dict[str, Tally] = {}

    def take(self, readings: Iterable[Reading], *, claimed: dict[str, int] | None = None, position: str = "") -> None:
        """Write readings, the earliest first, with a cursor for each page of a source.

        Args:
            readings: In any order.
            claimed: Source -> how many records it says there are in all that is handed over here.
            position: Where the source goes on behind the last page; ``""`` at its end.
        """
        wanted = claimed or {}
        by_source: dict[str, list[Reading]] = {}
        for reading in readings:
            by_source.setdefault(reading.source, []).append(reading)
        total = sum(map(len, by_source.values()))
        done = 0
        for source, found in by_source.items():
            tally = self.tallies.setdefault(source, Tally(source))
            claims = Claims(_cursors(self._ledger, source), wanted.get(source))
            ordered = sorted(found, key=_begins)
            pages = [ordered[start : start + PAGE_RECORDS] for start in range(0, len(ordered), PAGE_RECORDS)]
            for number, page in enumerate(pages, start=1):
                is_last = number == len(pages)
                go_on = position if is_last else f"page {number + 1}"
                self._take_page(tally, page, claims, is_last=is_last, position=go_on)
                done += len(page)
                self._report(done, total)
            tally.records += claims.records
            tally.imported += claims.imported
            tally.claimed = claims.claimed

    def _take_page(self, tally: Tally, page: list[Reading], claims: Claims, *, is_last: bool, position: str) -> None:
        events = sorted((event for reading in page for event in reading.events), key=_moment)
        if self._is_dry:
            present = self._ledger.known(events) | self._would_be
            others = []
            for event in events:
                kept = present.get(event.key) or self._would_be.setdefault(event.key, event)
                others += [event] if is_other(event, kept) else []
            added = claims.take(page, present=present, other={one.key for one in others}, is_last=is_last)
        else:
            with self._database.write() as transaction:
                present = self._ledger.known(events)
                others = self._append(transaction, events)
                added = claims.take(page, present=present, other={one.key for one in others}, is_last=is_last)
                cursor = self._cursor(tally.source, page, events, claimed=claims.said, position=position)
                data = cursor.data | {"imported": added.imported, "count": added.count}
                self._ledger.append(transaction, msgspec.structs.replace(cursor, data=data))
        tally.conflicts += added.conflicts
        keys = {event.key for event in events}
        tally.new_events += len(keys - present.keys())
        tally.known_events += len(keys & present.keys())

    def close(self, source: str) -> None:
        """Record that a source was read to its end, where the last cursor says that it goes on somewhere."""
        last = _last_cursor(self._ledger, source)
        if self._is_dry or last is None or not last.data.get("position"):
            return
        cursor = self._cursor(source, [], [], claimed=None, position="")
        data = cursor.data | {"count": 0, "imported": 0}
        self._ledger.record(msgspec.structs.replace(cursor, id=derive_id("cursor", source, last.id, "end"), data=data))

    def _append(self, transaction: Any, events: Sequence[Event]) -> list[Event]:
        """Append events; one that is there with another body stays as it is, and that is recorded and returned."""
        stored = self._ledger.append(transaction, *events)
        others = [(event, kept) for event, kept in zip(events, stored, strict=True) if is_other(event, kept)]
        for event, kept in others:
            self._ledger.append(transaction, conflict_of(event, kept))
        return [event for event, _ in others]

    def _cursor(
        self,
        source: str,
        page: list[Reading],
        events: list[Event],
        *,
        claimed: int | None,
        position: str,
    ) -> Event:
        content = digest_of([[event.id, event.subject, event.data] for event in events])
        moments = [event.at for event in events]
        data: dict[str, Any] = {
            "source": source,
            "from": min(moments).isoformat() if moments else "",
            "to": max(moments).isoformat() if moments else "",
            "kinds": dict(sorted(Counter(reading.kind for reading in page).items())),
            "is_claimed": claimed is not None,
            "position": position,
        }
        return Event(
            type="source.cursor",
            subject=source,
            id=derive_id("cursor", source, content, claimed, position),
            authtype=self._actor.authtype,
            authid=self._actor.authid,
            authclaims=self._actor.claims,
            trigger="cli",
            data=data,
        )


def last_position(database: Database, source: str) -> str:
    """Return where an import of a source broke off, for it to go on there; ``""`` where it came to its end."""
    last = _last_cursor(Ledger(database, _react_to_nothing), source)
    return str(last.data.get("position", "")) if last else ""


def _last_cursor(ledger: Ledger, source: str) -> Event | None:
    return next(_cursors(ledger, source, limit=1), None)


def _cursors(ledger: Ledger, source: str, *, limit: int | None = None) -> Iterator[Event]:
    kinds = ["source.cursor"]
    return ledger.read(types=kinds, subject=source, source=NATIVE_SOURCE, newest_first=True, limit=limit)


def broken_starts(database: Database, readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings that go back to a start which nobody has written: their initiator is unknown."""
    ledger = Ledger(database, _react_to_nothing)
    found = list(readings)
    written = {event.key for reading in found for event in reading.events}
    known: dict[tuple[str, str], bool] = {}
    broken = []
    for reading in found:
        key = (reading.source, reading.cause)
        if (
            reading.events
            and key not in written
            and any(event.causationid == reading.cause for event in reading.events)
        ):
            if key not in known:
                known[key] = ledger.get(reading.cause, source=reading.source) is not None
            broken += [] if known[key] else [reading]
    return broken


def _react_to_nothing(transaction: Any, events: Sequence[Event]) -> None:
    """Let history be history: what happened elsewhere long ago must not start anything here now."""


def _begins(reading: Reading) -> float:
    return min(map(_moment, reading.events), default=0.0)


def _moment(event: Event) -> float:
    return event.at.timestamp()


def is_other(event: Event, present: Event) -> bool:
    """Tell whether the ledger has an event with another body; of one whose payload was erased nothing is known."""
    if (present.type, present.subject) != (event.type, event.subject):
        return True
    return bool(present.data) and present.data != event.data


def conflict_of(event: Event, present: Event) -> Event:
    """Return the event that says that a key came with another body, as the ledger itself records it."""
    return Event(
        type="ledger.conflict.detected",
        subject=f"{event.source}#{event.id}",
        id=derive_id("conflict", event.source, event.id, msgspec.json.encode(event.data)),
        source=NATIVE_SOURCE,
        causationid=present.id,
        correlationid=present.correlationid,
        data={"source": event.source, "id": event.id, "type": event.type},
    )
