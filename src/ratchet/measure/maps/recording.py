"""Maps in the ledger: what is recorded of one, and the maps that were recorded.

Invariant: the event holds the whole map, so that a recorded version can be read again without its file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from ratchet.errors import ConfigInvalid, RatchetError
from ratchet.measure.history import History
from ratchet.measure.maps.process_maps import ProcessMap, from_record, parse, to_toml
from ratchet.records import Event, Record

ASSESSMENT = "map"


class RecordedMap(Record, frozen=True):
    """A version of a map that somebody put on record.

    Attributes:
        event_id: The event's id.
        at: When (UTC).
        digest: Of the map's content.
        process_map: The map.
    """

    event_id: str
    at: datetime
    digest: str
    process_map: ProcessMap


def to_data(process_map: ProcessMap) -> dict[str, Any]:
    """Return what is recorded of a map."""
    return {
        "assessment": ASSESSMENT,
        "id": process_map.id,
        "version": process_map.version,
        "kind": process_map.kind,
        "name": process_map.title,
        "digest": process_map.digest,
        "degrees": process_map.count_by_degree(),
        "map": msgspec.to_builtins(process_map),
    }


def recorded_maps(history: History, *, as_of: datetime | None = None) -> list[RecordedMap]:
    """Return the maps that were on record at a moment, in the order in which they were recorded."""
    return from_events(history.as_of(as_of).all("assessment.recorded"))


def from_events(events: Iterable[Event]) -> list[RecordedMap]:
    """Return the maps among some events; one whose payload was erased, or that others sent broken, holds none."""
    found = (_recorded(event) for event in events if event.type == "assessment.recorded")
    return [one for one in found if one is not None]


def _recorded(event: Event) -> RecordedMap | None:
    data = event.data
    if data.get("assessment") != ASSESSMENT:
        return None
    process_map = _whole(msgspec.json.encode(data.get("map")))
    if process_map is None:
        return None
    return RecordedMap(event_id=event.id, at=event.at, digest=str(data.get("digest") or ""), process_map=process_map)


@lru_cache(maxsize=256)
def _whole(content: bytes) -> ProcessMap | None:
    """Return a map that was recorded, checked as a file is; ``None`` for one that no file could hold."""
    try:
        process_map = from_record(msgspec.json.decode(content))
        return parse(to_toml(process_map).encode(), where="the record")
    except (msgspec.ValidationError, ConfigInvalid):
        return None


@dataclass
class MapVersionTaken(RatchetError):
    """A version of a map was recorded with other content."""

    reference: str
    recorded_at: str
    template: ClassVar[str] = (
        "{reference} was recorded on {recorded_at} with other content, and a recorded version never changes. "
        "Nothing was recorded. Give the map its next version, and record that."
    )
