"""How complete the record of a pipeline is: what sources claim and gave, unknown initiators, broken chains of causes.

Invariant: what was never recorded cannot be seen; this says where something is known to be missing, and a level whose
record is less than 95 % complete says so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from ratchet.measure.history import Snapshot, moment_of
from ratchet.measure.transitions import Transition
from ratchet.records import Event, Record

COMPLETE_FROM = 0.95


class SourceCount(Record, frozen=True):
    """What one source claims to have, and how much of it is in the ledger."""

    source: str
    imported: int
    claimed: int


class Completeness(Record, frozen=True):
    """How complete the record is.

    Attributes:
        sources: Those that have said how much they have; of a pipeline, those that its events came from.
        unknown: Sampled transitions whose initiator is unknown.
        transitions: Sampled transitions.
        broken: Ids of events within the window whose cause is not in the ledger.
    """

    sources: tuple[SourceCount, ...]
    unknown: int
    transitions: int
    broken: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Return the share of claimed records that was imported; ``None`` where no source claims any."""
        claimed = sum(one.claimed for one in self.sources)
        return sum(min(one.imported, one.claimed) for one in self.sources) / claimed if claimed else None

    @property
    def unknown_share(self) -> float | None:
        """Return the share of transitions with an unknown initiator; ``None`` where there are none."""
        return self.unknown / self.transitions if self.transitions else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return in sentences what a level should not be read without; empty where nothing is missing."""
        found = []
        for one in self.sources:
            if one.imported < COMPLETE_FROM * one.claimed:
                share = f"{one.imported / one.claimed:.0%}"
                found.append(f"Only {one.imported} of the {one.claimed} records ({share}) of '{one.source}' are here.")
        share_unknown = self.unknown_share
        if share_unknown is not None and share_unknown > 1 - COMPLETE_FROM:
            found.append(f"Nobody knows who started {self.unknown} of {self.transitions} transitions.")
        if self.broken:
            events, cause = ("event names", "cause") if len(self.broken) == 1 else ("events name", "causes")
            found.append(f"{len(self.broken)} {events} a cause that is not in the ledger ({cause} unknown).")
        return tuple(found)


def completeness(snapshot: Snapshot, pipeline: str, sampled: Sequence[Transition]) -> Completeness:
    """Return how complete the record of one pipeline is.

    Args:
        snapshot: The events, with the window that counts.
        pipeline: Whose record.
        sampled: The transitions that its level rests on.
    """
    known = snapshot.of_pipeline(pipeline)
    events = [event for event in known if moment_of(event) >= snapshot.since]
    return Completeness(
        sources=_sources(snapshot, {event.source for event in known}),
        unknown=sum(transition.root_class == "unknown" for transition in sampled),
        transitions=len(sampled),
        broken=tuple(event.id for event in events if event.causationid and snapshot.cause(event) is None),
    )


def _sources(snapshot: Snapshot, wanted: set[str]) -> tuple[SourceCount, ...]:
    """Return what the cursors of some sources say, each of which covers a part of the source."""
    counts: dict[str, tuple[int, int]] = {}
    for cursor in snapshot.all("source.cursor"):
        source = str(cursor.data.get("source") or cursor.subject)
        if source not in wanted or cursor.data.get("is_claimed") is False:
            continue
        imported, claimed = counts.get(source, (0, 0))
        counts[source] = (imported + _imported(snapshot, source, cursor), claimed + int(cursor.data.get("count") or 0))
    return tuple(
        SourceCount(source=source, imported=imported, claimed=claimed)
        for source, (imported, claimed) in sorted(counts.items())
        if claimed
    )


def _imported(snapshot: Snapshot, source: str, cursor: Event) -> int:
    """Return how many records of a cursor's part are here: as it says itself, or counted where all events are here."""
    if "imported" in cursor.data or not snapshot.is_whole:
        return int(cursor.data.get("imported", cursor.data.get("count") or 0))
    since, until = (_moment(cursor.data.get(name)) for name in ("from", "to"))
    return sum(
        (since is None or event.at >= since) and (until is None or event.at < until)
        for event in snapshot.from_source(source)
        if event.type != "source.cursor"
    )


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
