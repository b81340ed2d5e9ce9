"""The ledger: an append-only log of events, each with its actor and its cause.

Invariants: sequence numbers are dense; (source, id) is unique, so appending again changes nothing; what reacts to an
event is enqueued in the transaction that appends it; no event but a root is without a cause; an event and its leaf of
the Merkle tree are written together.
"""

import hashlib
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Protocol

import msgspec
from msgspec.structs import force_setattr
from sqlalchemy import Connection, bindparam, select

from ratchet import clock, origin
from ratchet.catalogue import event_type, wire_name
from ratchet.errors import CauseMissing, EventInvalid, LedgerConflict
from ratchet.records import NATIVE_SOURCE, Event, derive_id
from ratchet.store import ledger_rows, tree
from ratchet.store.database import Database
from ratchet.store.merkle import hash_leaf
from ratchet.store.schema import ledger, payload

SALT_BYTES = 16
# Two of them are the key of one index, and an entry of PostgreSQL's indexes has at most 2,704 bytes.
NAME_LIMIT_BYTES = 1024
_NAMES = ("source", "id", "subject", "pipeline", "causationid", "correlationid")
_PAGE = 1000
_ENCODER = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_EVENT = msgspec.json.Decoder(Event)
_SHARED_NAMES = ("source", "specversion", "authtype", "authid", "pipeline", "team", "trigger")


class Reaction(Protocol):
    """What the ledger calls inside the transaction of an append."""

    def __call__(self, transaction: Connection, events: Sequence[Event]) -> None:
        """Enqueue what reacts to the events; it may use nothing but the transaction."""


class Ledger:
    """The log of all that happened.

    Args:
        database: Where it is kept.
        react: Called with the new events in each appending transaction. It has no default, so that nobody can append
            without it.
    """

    def __init__(self, database: Database, react: Reaction) -> None:
        self._database = database
        self._react = react

    # ---- appending

    def append(self, transaction: Connection, *events: Event) -> list[Event]:
        """Append events in a transaction that the caller holds; those that are in already stay as they are.

        Returns:
            The events as they stand in the ledger, in the order given.

        Raises:
            UnknownEventType: A type is not in the catalogue.
            CauseMissing: An event that is no root has no cause.
            EventInvalid: One from elsewhere has a name that no column holds.
        """
        complete = [_complete(event) for event in events]
        stand = ledger_rows.stand(transaction, [event.key for event in complete])
        known, added = _by_key(stand.known), list[Event]()
        for event in complete:
            if event.key not in known:
                added.append(msgspec.structs.replace(event, seq=stand.last + len(added) + 1))
                known[event.key] = added[-1]
        if added:
            _insert(transaction, added, [_ENCODER.encode(event.data) for event in added], state=stand.state)
            self._leave_evidence(added[0])
            self._react(transaction, added)
        return [known[event.key] for event in complete]

    def record(self, *events: Event) -> list[Event]:
        """Append events in a transaction of their own."""
        with self._database.write() as transaction:
            return self.append(transaction, *events)

    def ingest(self, event: Event, body: bytes) -> tuple[Event, bool]:
        """Append an event from outside with the exact bytes of its payload; see ``ingest_all``."""
        return self.ingest_all([(event, body)])[0]

    def ingest_all(self, received: Sequence[tuple[Event, bytes]]) -> list[tuple[Event, bool]]:
        """Append events from outside, each with the exact bytes of its payload, in one transaction.

        Returns:
            Each event as it stands in the ledger, and whether it is new.

        Raises:
            LedgerConflict: A key is taken by an event with another body. That is recorded, too, and so are the events
                before it; those behind it are not.
            EventInvalid: One has a name that no column holds; none is appended.
        """
        complete = [_complete(event) for event, _ in received]
        found: list[tuple[Event, bool]] = []
        added: list[Event] = []
        refused: Event | None = None
        with self._database.write() as transaction:
            stand = ledger_rows.stand(transaction, [event.key for event in complete])
            known = _by_key(stand.known)
            for event in complete:
                if is_new := event.key not in known:
                    added.append(msgspec.structs.replace(event, seq=stand.last + len(added) + 1))
                    known[event.key] = added[-1]
                elif not _is_same(transaction, known[event.key], event, is_written=known[event.key].seq <= stand.last):
                    refused = event
                    break
                found.append((known[event.key], is_new))
            if added:
                bodies = [body for (_, body), (_, is_new) in zip(received, found, strict=False) if is_new]
                _insert(transaction, added, bodies, state=stand.state)
                self._leave_evidence(added[0])
                self._react(transaction, added)
            if refused is not None:
                self.append(transaction, _conflict(refused, known[refused.key]))
        if refused is not None:
            raise LedgerConflict(source=refused.source, event_id=refused.id)
        return found

    def _leave_evidence(self, event: Event) -> None:
        """Let a write whose reply is lost be found by an event that was new in it."""
        self._database.leaves(lambda connection: _find(connection, event.source, event.id) is not None)

    # ---- reading

    def read(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        types: Sequence[str] = (),
        pipeline: str = "",
        subject: str = "",
        source: str = "",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Read events in the order of the ledger, or the newest first, filtered; pages are fetched as needed.

        Args:
            after: Only events with a higher sequence number.
            before: Only events with a lower one, where given.
            types: Only these short names, where given.
            pipeline: Only this pipeline, where given.
            subject: Only this subject, where given.
            source: Only what this source says, where given; subjects of others may have the same names as ours.
            newest_first: Turn the order.
            limit: At most so many.
        """
        query = _query(types=types, pipeline=pipeline, subject=subject, source=source)
        order = ledger.c.seq.desc() if newest_first else ledger.c.seq
        left = limit
        while left is None or left > 0:
            # One bound on each side: of two on one side SQLite may begin at the further one, and pass all rows again.
            page = query.where(ledger.c.seq > after)
            if before is not None:
                page = page.where(ledger.c.seq < before)
            size = _PAGE if left is None else min(_PAGE, left)
            with self._database.read() as connection:
                rows = connection.execute(page.order_by(order).limit(size)).all()
            for row in rows:
                yield _decode(row.seq, row.envelope, row.body)
            if len(rows) < size:
                return
            if newest_first:
                before = rows[-1].seq
            else:
                after = rows[-1].seq
            left = None if left is None else left - len(rows)

    def nth_newest(self, number: int, *, types: Sequence[str], subject: str, source: str) -> Event | None:
        """Return the event at a place from the end, 1 for the newest, without reading those behind it.

        Args:
            number: The place, at least 1.
            types: Only these short names.
            subject: Only this subject.
            source: Only what this source says.
        """
        wanted = {"types": types, "subject": subject, "source": source, "passed": number - 1}
        with self._database.read() as connection:
            row = connection.execute(_NTH_NEWEST, wanted).first()
        return None if row is None else _decode(row.seq, row.envelope, row.body)

    def get(self, event_id: str, *, source: str = NATIVE_SOURCE) -> Event | None:
        """Return an event by its key, or ``None``."""
        with self._database.read() as connection:
            return _find(connection, source, event_id)

    def known(self, events: Sequence[Event]) -> dict[tuple[str, str], Event]:
        """Return those of some events that are in the ledger, by source and id, as they stand there."""
        with self._database.read() as connection:
            return _by_key(ledger_rows.look_up(connection, [event.key for event in events]))

    def done_before(self, kind: str, subject: str) -> Event | None:
        """Return the event that an earlier attempt at the work in force has appended, or ``None``.

        Work is done again when its process was killed between the commit and the record of the step; what it reads has
        changed meanwhile, by itself or by others, so it must know the first attempt by its event.
        """
        source = origin.current()
        return self.get(derive_id(source.key, kind, subject)) if source and source.key else None

    def find_in(self, transaction: Connection, event_id: str) -> Event | None:
        """Return a native event by its id, as a transaction that is under way sees it."""
        return _find(transaction, NATIVE_SOURCE, event_id)

    def find(self, event_id: str) -> Event | None:
        """Return an event by its id alone: the native one, or the first from anywhere."""
        found = self.get(event_id)
        if found is not None:
            return found
        query = _query().where(ledger.c.id == event_id).order_by(ledger.c.seq).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _decode(row.seq, row.envelope, row.body)

    def caused_by(self, event_id: str) -> list[Event]:
        """Return the events whose cause is this one."""
        query = _query().where(ledger.c.cause == event_id).order_by(ledger.c.seq)
        with self._database.read() as connection:
            return [_decode(row.seq, row.envelope, row.body) for row in connection.execute(query)]

    def last_seq(self) -> int:
        """Return the highest sequence number, 0 for an empty ledger."""
        with self._database.read() as connection:
            return tree.last_seq(connection)


def _query(*, types: Sequence[str] = (), pipeline: str = "", subject: str = "", source: str = "") -> Any:
    query = select(ledger.c.seq, ledger.c.envelope, payload.c.body).join(
        payload, payload.c.seq == ledger.c.seq, isouter=True
    )
    if types:
        query = query.where(ledger.c.type.in_(types))
    if pipeline:
        query = query.where(ledger.c.pipeline == pipeline)
    if subject:
        query = query.where(ledger.c.subject == subject)
    if source:
        query = query.where(ledger.c.source == source)
    return query


def _nth_newest() -> Any:
    chosen = (ledger.c.type.in_(bindparam("types", expanding=True)), ledger.c.subject == bindparam("subject"))
    place = select(ledger.c.seq).where(*chosen, ledger.c.source == bindparam("source")).order_by(ledger.c.seq.desc())
    place = place.offset(bindparam("passed")).limit(1)
    return _query().where(ledger.c.seq == place.scalar_subquery())


# Made once: to compose a query takes as long as to answer it.
_NTH_NEWEST = _nth_newest()


def _complete(event: Event) -> Event:
    """Fill in what the origin in force and the catalogue know."""
    kind = event_type(event.type)
    source = origin.current()
    cause = event.causationid or (source.cause if source else "")
    if not cause and not kind.is_root:
        raise CauseMissing(type=event.type)
    identity = event.id or _identity(event, source)
    now = clock.now()
    if event.source != NATIVE_SOURCE:
        check_names(event)
    return msgspec.structs.replace(
        event,
        type=kind.name,
        id=identity,
        causationid=cause,
        correlationid=event.correlationid or (source.correlation if source and cause else "") or identity,
        time=event.time or now,
        recordedtime=now,
        stage=event.stage or kind.stage,
        trigger=event.trigger or (source.trigger if source else "") or "unknown",
        **_actor_fields(event, source),
    )


def check_names(event: Event) -> None:
    """Refuse names that no column could hold; those of our own are short.

    Raises:
        EventInvalid: One is too long, or holds NUL.
    """
    for name in _NAMES:
        value = getattr(event, name)
        if "\0" in value:
            raise EventInvalid(field=name, problem="holds the character NUL", remedy="Leave it out.")
        if len(value) > NAME_LIMIT_BYTES or len(value.encode()) > NAME_LIMIT_BYTES:
            problem = f"has more than {NAME_LIMIT_BYTES} bytes"
            raise EventInvalid(field=name, problem=problem, remedy="Send a shorter one.")


def _identity(event: Event, source: origin.Origin | None) -> str:
    if source and source.key:
        return derive_id(source.key, event.type, event.subject)
    return clock.new_id()


def _actor_fields(event: Event, source: origin.Origin | None) -> dict[str, Any]:
    if event.authtype:
        return {}
    actor = source.actor if source else origin.ENGINE
    return {"authtype": actor.authtype, "authid": actor.authid, "authclaims": actor.claims}


def _find(connection: Connection, source: str, event_id: str) -> Event | None:
    found = ledger_rows.look_up(connection, [(source, event_id)])
    return _decode(*found[0]) if found else None


def _by_key(rows: Iterable[ledger_rows.Row]) -> dict[tuple[str, str], Event]:
    events = [_decode(*row) for row in rows]
    return {event.key: event for event in events}


def _insert(
    transaction: Connection, events: Sequence[Event], bodies: Sequence[bytes], *, state: tree.State | None
) -> None:
    """Write numbered events and the bytes of their payloads, and let the Merkle tree grow by them."""
    entries, payloads, leaves = [], [], []
    salts = secrets.token_bytes(SALT_BYTES * len(events))
    for number, (event, body) in enumerate(zip(events, bodies, strict=True)):
        salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
        envelope = _envelope(event, salt=salt, body=body)
        names = (event.source, event.id, event.type, event.subject, event.pipeline, event.causationid)
        entries.append((event.seq, *names, envelope))
        payloads.append((event.seq, body, salt))
        leaves.append(hash_leaf(envelope))
    ledger_rows.add(transaction, entries, payloads, tree.growth(state, leaves, first=events[0].seq))


def _envelope(event: Event, *, salt: bytes, body: bytes) -> bytes:
    """Serialise the envelope once: these bytes are what a proof is made over, the payload by its salted digest."""
    fields = msgspec.structs.asdict(event)
    del fields["data"], fields["type"]
    fields["type"] = wire_name(event.type)
    fields["datadigest"] = hashlib.sha256(salt + body).hexdigest()
    return _ENCODER.encode(fields)


def _decode(seq: int, envelope: bytes, body: bytes | None) -> Event:
    event = _EVENT.decode(envelope)
    # Nobody else has it yet. What the envelope lacks is put into it, and what a million events share is shared.
    force_setattr(event, "type", _short_name(event.type))
    force_setattr(event, "seq", seq)
    for name in _SHARED_NAMES:
        force_setattr(event, name, sys.intern(getattr(event, name)))
    if event.time == event.recordedtime:
        force_setattr(event, "recordedtime", event.time)
    if event.authclaims and all(isinstance(claim, str) for claim in event.authclaims.values()):
        force_setattr(event, "authclaims", _shared_claims(tuple(event.authclaims.items())))
    # An erased payload leaves its envelope: the event stays in every count, without its content.
    if body is not None:
        force_setattr(event, "data", _OBJECT.decode(body))
    return event


@lru_cache(maxsize=4096)
def _shared_claims(claims: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return dict(claims)


@cache
def _short_name(wire: str) -> str:
    return event_type(wire).name


def _is_same(connection: Connection, present: Event, event: Event, *, is_written: bool) -> bool:
    """Tell whether an event that is delivered again is the one that is there; of an erased one nothing is known.

    Args:
        is_written: Whether it is in the database; else it came a moment before, in the same message.
    """
    if (present.type, present.subject) != (event.type, event.subject):
        return False
    if not is_written:
        return bool(present.data == event.data)
    kept = connection.execute(select(payload.c.seq).where(payload.c.seq == present.seq)).first()
    return kept is None or present.data == event.data


def _conflict(event: Event, present: Event) -> Event:
    return Event(
        type="ledger.conflict.detected",
        subject=f"{event.source}#{event.id}",
        id=derive_id("conflict", event.source, event.id, _ENCODER.encode(event.data)),
        causationid=present.id,
        correlationid=present.correlationid,
        data={"source": event.source, "id": event.id, "type": event.type},
    )


def to_export(event: Event) -> dict[str, Any]:
    """Return an event as it is exported: the envelope's names, the short type, and ``data``."""
    values: dict[str, Any] = msgspec.to_builtins(event)
    return values


def parse_time(value: str) -> datetime:
    """Return the moment that an exported or received event names.

    Raises:
        ValueError: Not a date and time of RFC 3339 with an offset.
    """
    return msgspec.convert(value, datetime)
