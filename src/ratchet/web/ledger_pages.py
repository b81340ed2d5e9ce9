"""The ledger as pages show it: lists from a place downwards, and chains of causes.

Invariant: a page shows each event once, however the ledger grows meanwhile; a chain that breaks or turns in a circle is
shown as far as it goes.
"""

from itertools import islice
from typing import TYPE_CHECKING

from ratchet.records import NATIVE_SOURCE, Event, Record

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

PAGE_SIZE = 100
CHAIN_LIMIT = 200
CONSEQUENCES_LIMIT = 100


class Page(Record, frozen=True):
    """Some events, the newest first.

    Attributes:
        older: Sequence number to go on below; 0 where nothing is older.
    """

    events: tuple[Event, ...]
    older: int


class Chain(Record, frozen=True):
    """An event and what led to it.

    Attributes:
        links: The event, its cause, and so on.
        is_whole: Whether the last one is a root; else the chain breaks there.
    """

    links: tuple[Event, ...]
    is_whole: bool


def events_below(
    workspace: "Workspace",
    *,
    before: int = 0,
    types: list[str] | None = None,
    pipeline: str = "",
    subject: str = "",
    limit: int = PAGE_SIZE,
) -> Page:
    """Return events below a place in the ledger, the newest first.

    Args:
        before: Only events with a lower sequence number; 0 for the newest.
        types: Only these short names, where given.
        pipeline: Only this pipeline, where given.
        subject: Only this subject, where given.
        limit: At most so many.
    """
    ledger = workspace.ledger
    if not (types or pipeline or subject):
        # Places are dense, so that any page of the whole ledger is found at once.
        end = min(before, ledger.last_seq() + 1) if before else ledger.last_seq() + 1
        start = max(0, end - 1 - limit)
        shown = list(ledger.read(after=start, limit=end - 1 - start))
        return Page(events=tuple(reversed(shown)), older=shown[0].seq if shown and start else 0)
    newest = ledger.read(
        types=types or (),
        pipeline=pipeline,
        subject=subject,
        newest_first=True,
        limit=None if before else limit + 1,
    )
    found = list(islice((event for event in newest if not before or event.seq < before), limit + 1))
    return Page(events=tuple(found[:limit]), older=found[limit - 1].seq if len(found) > limit else 0)


def find(workspace: "Workspace", event_id: str, *, source: str = "") -> Event | None:
    """Return an event by its id, and by its source where ids of several sources are equal."""
    return workspace.ledger.get(event_id, source=source) if source else workspace.ledger.find(event_id)


def chain(workspace: "Workspace", event: Event) -> Chain:
    """Return an event with all its causes: looked for at its own source first, then among ours."""
    links = [event]
    seen = {event.key}
    while links[-1].causationid and len(links) < CHAIN_LIMIT:
        last = links[-1]
        cause = workspace.ledger.get(last.causationid, source=last.source)
        if cause is None and last.source != NATIVE_SOURCE:
            cause = workspace.ledger.get(last.causationid)
        if cause is None or (cause.source, cause.id) in seen:
            return Chain(links=tuple(links), is_whole=False)
        seen.add((cause.source, cause.id))
        links.append(cause)
    return Chain(links=tuple(links), is_whole=not links[-1].causationid)
