"""Erasure: payloads and names of persons go, and the ledger stays provable.

Invariant: the envelope of an erased payload stays as it was, an event says that and why the payload is gone, and both
happen in one transaction; no key and no backup here brings it back.
"""

from sqlalchemy import Connection, delete, select, text

from ratchet.errors import NotErasable, UnknownName
from ratchet.records import Event
from ratchet.store.checkpoints import CHECKPOINT, ROTATION
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.schema import payload, pseudonym

ERASED = "payload.erased"
_NEEDED = {
    CHECKPOINT: "checkpoints prove the ledger and say nothing of a person",
    ROTATION: "it says which key to trust",
    ERASED: "it says what was erased, and why",
}


def erase_payload(database: Database, ledger: Ledger, event: Event, *, reason: str) -> Event:
    """Delete an event's payload with its salt, inside an origin; returns the event that says so.

    Args:
        event: As it stands in the ledger.
        reason: Why, in words that may be kept for ever.

    Raises:
        NotErasable: The ledger needs this payload, or it is erased already.
    """
    refuse_needed(database, event)
    with database.write() as transaction:
        _overwrite(transaction)
        transaction.execute(delete(payload).where(payload.c.seq == event.seq))
        data = {"seq": event.seq, "id": event.id, "source": event.source, "type": event.type, "reason": reason}
        said = ledger.append(transaction, Event(type=ERASED, subject=event.id, pipeline=event.pipeline, data=data))[0]
    scrub(database)
    return said


def refuse_needed(database: Database, event: Event) -> None:
    """Raise where a payload cannot be erased.

    Raises:
        NotErasable: The ledger needs it, or it is erased already.
    """
    name = f"{event.type} #{event.seq}"
    if event.type in _NEEDED:
        raise NotErasable(event=name, reason=_NEEDED[event.type])
    with database.read() as connection:
        if connection.execute(select(payload.c.seq).where(payload.c.seq == event.seq)).first() is None:
            raise NotErasable(event=name, reason="it was erased before")


def find_actor(database: Database, name: str) -> str:
    """Return the pseudonym of an account, given by either.

    Raises:
        UnknownName: There is no such mapping, or not any more.
    """
    table = pseudonym
    with database.read() as connection:
        found = connection.execute(
            select(table.c.authid).where((table.c.authid == name) | (table.c.account == name))
        ).scalar()
        known = connection.execute(select(table.c.account).order_by(table.c.account)).scalars().all()
    if found is None:
        raise UnknownName(kind="actor", name=name, known=", ".join(known) or "none")
    return str(found)


def forget_actor(database: Database, authid: str) -> None:
    """Delete the row that says whose pseudonym this is; events go on saying that one and the same person did them."""
    with database.write() as transaction:
        _overwrite(transaction)
        transaction.execute(delete(pseudonym).where(pseudonym.c.authid == authid))
    scrub(database)


def _overwrite(transaction: Connection) -> None:
    """Let SQLite write zeros over what this connection deletes; it would only mark the room as free otherwise."""
    if transaction.dialect.name == "sqlite":
        transaction.exec_driver_sql("PRAGMA secure_delete = ON")


def scrub(database: Database) -> None:
    """Take what was deleted out of the database's files, as far as other transactions do not hold it back."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            outside.execute(text("VACUUM payload"))
            outside.execute(text("VACUUM pseudonym"))
