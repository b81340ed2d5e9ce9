"""Writes many events into a ledger at once, past the checks of an append: for tests and measurements of what reads it.

Invariant: each row is what an append of the same event would have written, but for the tree of hashes.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import insert

from ratchet.records import Event
from ratchet.store.database import Database
from ratchet.store.ledger import _ENCODER, _envelope
from ratchet.store.schema import ledger, payload

_BATCH = 5000
_SALT = bytes(16)


def write_rows(database: Database, events: Iterable[Event]) -> int:
    """Write events with the places that they have; return how many."""
    written = 0
    remaining: Iterator[Event] = iter(events)
    while batch := list(islice(remaining, _BATCH)):
        bodies = [_ENCODER.encode(event.data) for event in batch]
        with database.write() as transaction:
            transaction.execute(insert(ledger), [_row(e, body) for e, body in zip(batch, bodies, strict=True)])
            transaction.execute(
                insert(payload),
                [{"seq": e.seq, "body": body, "salt": _SALT} for e, body in zip(batch, bodies, strict=True)],
            )
        written += len(batch)
    return written


def _row(event: Event, body: bytes) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "source": event.source,
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "pipeline": event.pipeline,
        "cause": event.causationid,
        "envelope": _envelope(event, salt=_SALT, body=body),
    }
