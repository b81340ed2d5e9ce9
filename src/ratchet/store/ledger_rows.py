"""The ledger's rows, in each driver's own words: every append comes here, and every look at an event by its key.

Invariant: what an append asks is one question to a server, and what it writes is one statement, since each is a way
there and back while everybody waits for the lock; in a file it is as many as are simple.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from ratchet.records import Record
from ratchet.store import tree
from ratchet.store.tree import Growth, State

Key = tuple[str, str]
Row = tuple[int, bytes, bytes | None]

_PAGE = 1000
_ENTRY = ("seq", "source", "id", "type", "subject", "pipeline", "cause", "envelope")
_PAYLOAD = ("seq", "body", "salt")
_LOOK_UP = "SELECT l.seq, l.envelope, p.body FROM ledger l LEFT JOIN payload p ON p.seq = l.seq WHERE l.source"

# Each key by itself: before the table was analysed, PostgreSQL takes all entries of the source and sorts them out.
_KNOWN = (
    "SELECT known.* FROM unnest(%s::text[], %s::text[]) AS wanted (source, id), "  # noqa: S608, of constants
    f"LATERAL ({_LOOK_UP} = wanted.source AND l.id = wanted.id LIMIT 1) AS known"
)
_KNOWN_AND_STATE = (
    "SELECT known.seq, known.envelope, known.body, t.size, t.frontier, t.leaves, "  # noqa: S608, of constants
    "(SELECT coalesce(max(seq), 0) FROM ledger) AS last FROM (SELECT 1) AS once "
    f"LEFT JOIN ledger_tree t ON t.id = {tree.ONLY_ROW} LEFT JOIN ({_KNOWN}) AS known ON true"
)
_ADD = (
    f"WITH entries AS (INSERT INTO ledger ({', '.join(_ENTRY)}) SELECT * FROM unnest("  # noqa: S608, of constants
    "%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[])), "
    f"payloads AS (INSERT INTO payload ({', '.join(_PAYLOAD)}) SELECT * FROM unnest("
    "%s::bigint[], %s::bytea[], %s::bytea[])) "
)
_GROW = f"UPDATE ledger_tree SET size = %s, frontier = %s, leaves = %s WHERE id = {tree.ONLY_ROW}"  # noqa: S608, of constants


class Stand(Record, frozen=True):
    """What an append has to know of the ledger.

    Attributes:
        known: The rows of those events that are in it already.
        last: Number of its last entry.
        state: How far its tree has grown; ``None`` where the row was taken away.
    """

    known: list[Row]
    last: int
    state: State | None


def look_up(connection: Connection, keys: Sequence[Key]) -> list[Row]:
    """Return number, envelope and payload of the entries that are there, by source and id."""
    if connection.dialect.name == "sqlite":
        return list(_look_up_in_file(connection, keys))
    return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql(_KNOWN, _columns(keys, 2))]


def stand(transaction: Connection, keys: Sequence[Key]) -> Stand:
    """Return where the ledger stands, and which entries of some keys are there."""
    if transaction.dialect.name == "sqlite":
        last, state = tree.last_and_state(transaction)
        return Stand(known=list(_look_up_in_file(transaction, keys)), last=last, state=state)
    rows = transaction.exec_driver_sql(_KNOWN_AND_STATE, _columns(keys, 2)).all()
    state = None if rows[0].size is None else tree.state_of(rows[0])
    known = [(row[0], row[1], row[2]) for row in rows if row.seq is not None]
    return Stand(known=known, last=rows[0].last, state=state)


def _look_up_in_file(connection: Connection, keys: Sequence[Key]) -> Iterable[Row]:
    wanted: dict[str, list[str]] = {}
    for source, event_id in keys:
        wanted.setdefault(source, []).append(event_id)
    for source, ids in wanted.items():
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            marks = ", ".join("?" * len(page))
            for row in connection.exec_driver_sql(f"{_LOOK_UP} = ? AND l.id IN ({marks})", (source, *page)):
                yield row[0], row[1], row[2]


def add(
    transaction: Connection,
    entries: Sequence[tuple[int, str, str, str, str, str, str, bytes]],
    payloads: Sequence[tuple[int, bytes, bytes]],
    growth: Growth | None,
) -> None:
    """Write entries with their payloads, and let the tree grow.

    Args:
        entries: Number, source, id, type, subject, pipeline, cause and envelope of each.
        payloads: Number, body and salt of each.
        growth: Of the tree; ``None`` where it is not as far as the ledger.
    """
    if transaction.dialect.name == "sqlite":
        _add_in_file(transaction, "ledger", _ENTRY, entries)
        _add_in_file(transaction, "payload", _PAYLOAD, payloads)
        if growth is not None:
            tree.keep(transaction, growth)
        return
    columns = (*_columns(entries, len(_ENTRY)), *_columns(payloads, len(_PAYLOAD)))
    if growth is None:
        transaction.exec_driver_sql(_ADD + "SELECT 1", columns)
        return
    tree.keep_tiles(transaction, growth)
    transaction.exec_driver_sql(_ADD + _GROW, (*columns, growth.size, growth.frontier, growth.leaves))


def _add_in_file(transaction: Connection, table: str, names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    # Composed from the tables, it would cost as much as the rest of an append.
    marks = ", ".join("?" * len(names))
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608, of constants
    transaction.exec_driver_sql(insert, [*rows])


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> tuple[list[object], ...]:
    return tuple([row[place] for row in rows] for place in range(width))
