"""What was sent: read as JSON, and delivered with all events that it stands for, in one transaction.

Invariant: a message is taken as a whole, once; the same key with another body is refused, and that is recorded; what
some reader of the ledger or some database could not take is refused before anything is written.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ratchet.errors import EventInvalid, LedgerConflict
from ratchet.importers.pulls import conflict_of, is_other
from ratchet.importers.readings import Reading
from ratchet.records import Event
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger

DEPTH_LIMIT = 32
_WHOLE = range(-(2**63), 2**63)


def read_object(body: bytes, *, field: str, remedy: str) -> dict[str, Any]:
    """Return the JSON object that was sent.

    Args:
        body: Byte for byte.
        field: Its name, for messages.
        remedy: What to send instead.

    Raises:
        EventInvalid: It is none, or holds what cannot be kept.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventInvalid(field=field, problem=f"is no JSON object: {error}", remedy=remedy) from error
    check_values(found, field=field)
    return found


def check_values(data: dict[str, Any], *, field: str = "data") -> None:
    """Refuse what could not be read again: deep nesting, numbers beyond 64 bits, texts that PostgreSQL does not hold.

    Raises:
        EventInvalid: There is some of it.
    """
    level: list[Any] = [data]
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                below += (*value, *value.values()) if isinstance(value, dict) else value
            elif isinstance(value, str) and "\0" in value:
                raise EventInvalid(field=field, problem="holds the character NUL", remedy="Leave it out.")
            elif isinstance(value, int) and value not in _WHOLE:
                problem = f"holds the number {str(value)[:24]}, which 64 bits cannot"
                raise EventInvalid(field=field, problem=problem, remedy="Send it as a text.")
        if not below:
            return
        level = below
    raise EventInvalid(field=field, problem=f"is nested deeper than {DEPTH_LIMIT}", remedy="Flatten it.")


def deliver(database: Database, ledger: Ledger, events: Sequence[Event]) -> list[tuple[Event, bool]]:
    """Append all events of a message, or none.

    Args:
        database: Where the ledger is.
        ledger: With the reaction that the workspace has: what is sent is news.
        events: Each after its cause.

    Returns:
        The events as they stand in the ledger, each with whether it is new.

    Raises:
        LedgerConflict: One is there with another body; only that is recorded.
    """
    with database.write() as transaction:
        known = [ledger.get(event.id, source=event.source) for event in events]
        others = [
            (event, present)
            for event, present in zip(events, known, strict=True)
            if present is not None and is_other(event, present)
        ]
        if others:
            ledger.append(transaction, *(conflict_of(event, present) for event, present in others))
        else:
            stored = ledger.append(transaction, *events)
            return [(event, present is None) for event, present in zip(stored, known, strict=True)]
    raise LedgerConflict(source=others[0][0].source, event_id=others[0][0].id)


def named_by_sender(reading: Reading, message_id: str, digest: str) -> tuple[Event, ...]:
    """Return the events of a message, the main one under the id that its sender gave it.

    Others can then name it as their cause, and a message that comes in again with another content is seen.

    Args:
        reading: What the message stands for.
        message_id: The sender's id.
        digest: Names the whole content of the message.
    """
    main = next((event for event in reading.events if event.id != reading.cause), None)
    if main is None:
        return reading.events
    renamed = []
    for event in reading.events:
        cause = message_id if event.causationid == main.id else event.causationid
        data = event.data | {"message_digest": digest} if event is main else event.data
        identity = message_id if event is main else event.id
        renamed.append(msgspec.structs.replace(event, id=identity, causationid=cause, data=data))
    return tuple(renamed)
