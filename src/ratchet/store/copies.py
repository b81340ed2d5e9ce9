"""Copies of a whole database: as it stood at one moment, while others write, and from one kind of database to another.

Invariant: a copy holds what was committed at one moment and nothing else; what others write meanwhile neither waits for
it nor comes into it; rows are carried over with their exact bytes.
"""

import json
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Column, Connection, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from ratchet.errors import CopyFailed
from ratchet.store import schema, tree
from ratchet.store.database import Database

_PAGES = 2_000
_ROWS = 1_000
_BUSY_MS = 30_000

Report = Callable[[float], None]
TablesOf = Callable[[Connection], Sequence[Table]]


class Pinned:
    """A database as it stands at one moment.

    Args:
        to_sqlite: Writes it to a new SQLite file, and tells the share that is done.
    """

    def __init__(self, to_sqlite: Callable[[Path, Report], None] | None, connection: Connection | None) -> None:
        self._to_sqlite = to_sqlite
        self.connection = connection

    @property
    def is_rows(self) -> bool:
        """Tell whether the copy is made row by row, into a database that was made for it."""
        return self._to_sqlite is None

    def write(self, target: Path, report: Report = lambda _share: None) -> None:
        """Write it to a new SQLite file, page by page.

        Raises:
            CopyFailed: There is no room for it.
        """
        assert self._to_sqlite is not None, "of a server, rows are copied"
        self._to_sqlite(target, report)


@contextmanager
def pinned(database: Database) -> Iterator[Pinned]:
    """Hold a database as it stands now, for as long as the block lasts; others go on writing."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            tree.last_seq(connection)
            yield Pinned(None, connection)
        return
    with closing(sqlite3.connect(sqlite_file(database), isolation_level=None)) as source:
        source.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        source.execute("BEGIN")
        # Only now the moment is settled: SQLite looks at the log when something is read.
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield Pinned(lambda target, report: _copy_pages(source, target, report), None)


def sqlite_file(database: Database) -> Path:
    """Return where the file of a SQLite database lies."""
    assert database.engine.url.database, "a workspace's database is a file"
    return Path(database.engine.url.database)


def copy_file(database: Database, target: Path) -> None:
    """Copy a SQLite database as it stands now to a new file.

    Raises:
        CopyFailed: There is no room for it.
    """
    with pinned(database) as moment:
        moment.write(target)


def _copy_pages(source: sqlite3.Connection, target: Path, report: Report) -> None:
    def progress(_status: int, remaining: int, total: int) -> None:
        report(1 - remaining / total if total else 1.0)

    try:
        with closing(sqlite3.connect(target)) as copy:
            # A copy that breaks off is thrown away, so its pages need not reach the disk one by one.
            copy.execute("PRAGMA synchronous=OFF")
            source.backup(copy, pages=_PAGES, progress=progress, sleep=0.01)
        settle(target)
    except sqlite3.Error as error:
        raise CopyFailed(path=str(target), problem=str(error)) from error


def settle(path: Path) -> None:
    """Make one file of a SQLite database that nobody has open: its log becomes part of it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    for leftover in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + leftover).unlink()


# ---- row by row


def copy_rows(
    source: Connection, target: Connection, *, tables_of: TablesOf, report: Report = lambda _share: None
) -> None:
    """Copy all rows into a database that has the tables already and is empty, in the transaction that is open there.

    Args:
        tables_of: Gives further tables of a database, beside ours, in the order in which they are filled.
    """
    pairs = [(table, table) for table in schema.metadata.sorted_tables]
    others = {table.name: table for table in tables_of(target)}
    pairs += [(table, others[table.name]) for table in tables_of(source) if table.name in others]
    counts = [int(source.execute(select(func.count()).select_from(table)).scalar_one()) for table, _ in pairs]
    done, total = 0, max(1, sum(counts))
    # The migration has made this row; the one that comes has the same number.
    target.execute(schema.ledger_tree.delete())
    for table, into in pairs:
        with closing(_batches(source, table, into)) as batches:
            for rows in batches:
                target.execute(into.insert(), rows)
                done += len(rows)
                report(done / total)


def _batches(source: Connection, table: Table, into: Table) -> Generator[list[dict[str, Any]]]:
    """Give the rows of a table by the thousand, as the other one takes them."""
    names = [column.name for column in table.columns if column.name in into.c]
    query = select(*(table.c[name] for name in names))
    found = source.execute(query, execution_options={"yield_per": _ROWS})
    changes = {name: change for name in names if (change := _change(table.c[name], into.c[name]))}
    with found:
        for part in found.partitions():
            rows = [dict(zip(names, row, strict=True)) for row in part]
            for name, change in changes.items():
                for row in rows:
                    row[name] = None if row[name] is None else change(row[name])
            yield rows


def _change(column: Column[Any], into: Column[Any]) -> Callable[[Any], Any] | None:
    is_json = isinstance(column.type, JSON)
    if is_json == isinstance(into.type, JSON):
        return None
    return json.dumps if is_json else json.loads


def state_of(connection: Connection) -> tuple[int, int, str]:
    """Return how many entries a ledger has, how many its own tree covers, and that tree's root in hexadecimal."""
    state = tree.load(connection)
    root = state.root.hex() if state is not None and state.is_whole else ""
    return tree.last_seq(connection), state.size if state is not None else 0, root


def damage(path: Path) -> str:
    """Say what is wrong with a SQLite file, ``""`` where nothing is."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


@contextmanager
def telling(database: Database) -> Iterator[None]:
    """Say in a sentence what a database answers that cannot be used.

    Raises:
        CopyFailed: It cannot.
    """
    try:
        yield
    except DBAPIError as error:
        problem = " ".join(str(error.orig).split())
        raise CopyFailed(path=database.name, problem=problem) from error


def is_taken(connection: Connection) -> bool:
    """Tell whether a database holds anything of a workspace already; tables without rows do not count."""
    known = inspect(connection)
    empty_ones = (schema.ledger_tree,)
    return any(
        connection.execute(select(table).limit(1)).first() is not None
        for table in schema.metadata.sorted_tables
        if table not in empty_ones and known.has_table(table.name)
    )


def forget_what_is_of_a_place(transaction: Connection) -> None:
    """Delete rows about processes, and about results that were kept and are computed anew where they are missing."""
    for table in (schema.worker, schema.step_result):
        transaction.execute(table.delete())
