"""Looks at a database without touching it: settings, damage, the ledger's numbers, and the end of its proof.

Invariant: nothing is written, no table made, no file left behind; a database that is away or damaged is said in a
sentence.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from sqlalchemy import Connection, func, inspect, select, text

from ratchet.errors import RatchetError
from ratchet.records import Record
from ratchet.store import migrations, schema, tree
from ratchet.store.database import Database, normal_url
from ratchet.store.entries import Chunk
from ratchet.store.findings import check_chunk
from ratchet.store.ledger import Ledger

# Beyond this size SQLite's quick check, which leaves indexes out, takes the place of the whole one.
WHOLE_CHECK_BYTES = 200 << 20
TAIL_TILES = 8
_TAIL_EVENTS = 200
_WAL_VERSIONS = b"\x02\x02"
_VERSIONS_AT = slice(18, 20)
_OLDEST_POSTGRES = 130000
_OLDEST_SQLITE = (3, 38)


@dataclass
class DatabaseUnreadable(RatchetError):
    """A database cannot be looked at."""

    database: str
    problem: str
    template: ClassVar[str] = "{database} cannot be read: {problem}."


class Numbers(Record, frozen=True):
    """The ledger's numbers.

    Attributes:
        count: Entries.
        first: The lowest number, 0 where there is none.
        last: The highest.
        payloads: Payloads; fewer than entries where some were erased.
        tree_size: Entries that the tree covers.
    """

    count: int
    first: int
    last: int
    payloads: int
    tree_size: int

    @property
    def is_dense(self) -> bool:
        """Tell whether no number is missing."""
        return (self.first, self.last) == ((1, self.count) if self.count else (0, 0))


@contextmanager
def looking(database_url: str, file: Path) -> Iterator[Database]:
    """Open a database for looking at it alone.

    Args:
        database_url: As in ``ratchet.toml``; ``""`` for the file.
        file: The SQLite file of the workspace.

    Raises:
        DatabaseUnreadable: There is none, it is damaged, or the server does not answer.
    """
    database = None
    try:
        if not database_url:
            _refuse_unreadable(file)
        database = Database(database_url or _url_of(file))
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
        yield database
    except RatchetError:
        raise
    except Exception as error:
        raise DatabaseUnreadable(database="The server" if database_url else str(file), problem=_said(error)) from error
    finally:
        if database is not None:
            database.close()


def _said(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _refuse_unreadable(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            head = opened.read(100)
    except OSError as error:
        raise DatabaseUnreadable(database=str(file), problem=str(error.strerror)) from error
    if not head.startswith(b"SQLite format 3\0"):
        raise DatabaseUnreadable(database=str(file), problem="it is no SQLite file, or its first page was destroyed")
    if head[_VERSIONS_AT] != _WAL_VERSIONS:
        raise DatabaseUnreadable(
            database=str(file),
            problem="it does not keep a write-ahead log, as it did; another program has changed that",
        )


def _url_of(file: Path) -> str:
    log = file.with_name(f"{file.name}-wal")
    # Without a log nobody has it open, and looking at it as it lies leaves no files beside it.
    is_quiet = not log.exists() or log.stat().st_size == 0
    return f"sqlite:///file:{quote(str(file.resolve()))}?mode=ro{'&immutable=1' if is_quiet else ''}&uri=true"


def version_problem(connection: Connection) -> tuple[str, str]:
    """Return the version of what keeps the database, and what is wrong with it, ``""`` where nothing is."""
    if connection.dialect.name == "sqlite":
        shown = f"SQLite {sqlite3.sqlite_version}"
        is_old = sqlite3.sqlite_version_info < _OLDEST_SQLITE
        return shown, "it is older than 3.38" if is_old else ""
    shown = f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar()}"
    number = int(str(connection.execute(text("SHOW server_version_num")).scalar()))
    return shown, "it is older than 13" if number < _OLDEST_POSTGRES else ""


def unsafe_settings(connection: Connection) -> list[str]:
    """Return the server's settings with which a power failure may cost what was accepted."""
    if connection.dialect.name == "sqlite":
        return []
    found = []
    for name, lost in (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")):
        if str(connection.execute(text(f"SHOW {name}")).scalar()) == lost:
            found.append(f"{name} = {lost}")
    return found


def schema_version(connection: Connection) -> int:
    """Return the schema's version, 0 where there is none."""
    return migrations.version_of(connection)


def damage(file: Path) -> str:
    """Say what SQLite finds when it reads all pages of a file, ``""`` for nothing."""
    check = "quick_check" if file.stat().st_size > WHOLE_CHECK_BYTES else "integrity_check"
    path = re.sub(r"^sqlite:///(.*)&uri=true$", r"\1", _url_of(file))
    try:
        with closing(sqlite3.connect(path, uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}(3)")]
    except sqlite3.Error as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def numbers(connection: Connection) -> Numbers:
    """Return how many entries the ledger has, and from which number to which."""
    seq = schema.ledger.c.seq
    count, first, last = connection.execute(select(func.count(), func.min(seq), func.max(seq))).one()
    payloads = connection.execute(select(func.count()).select_from(schema.payload)).scalar_one()
    has_tree = inspect(connection).has_table(schema.ledger_tree.name)
    state = tree.load(connection) if has_tree else None
    return Numbers(
        count=int(count),
        first=int(first or 0),
        last=int(last or 0),
        payloads=int(payloads),
        tree_size=state.size if state is not None else 0,
    )


def tail_problem(database: Database, known: Numbers) -> str:
    """Hash the newest entries again and compare them with the ledger's tree; say what does not fit, ``""`` for nothing.

    The whole ledger is read by ``ratchet ledger verify``.
    """
    start = max(0, known.last // tree.TILE_LEAVES - TAIL_TILES) * tree.TILE_LEAVES
    chunk = Chunk(place=database.url, is_file=False, start=start, until=known.last)
    report = check_chunk(chunk, [], database)
    if report.findings:
        first = report.findings[0]
        return f"entry {first.seq}: {first.what}"
    return "" if known.tree_size <= known.last else "its tree covers more entries than there are"


def server_seconds(connection: Connection) -> float | None:
    """Return what the server's clock says, seconds since 1970; ``None`` for a file."""
    if connection.dialect.name == "sqlite":
        return None
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def newest_times(database: Database) -> list[datetime]:
    """Return when the newest entries were recorded, the oldest of them first."""
    ledger = Ledger(database, lambda _transaction, _events: None)
    found = [event.recordedtime for event in ledger.read(newest_first=True, limit=_TAIL_EVENTS)]
    return [moment for moment in reversed(found) if moment is not None]


def is_file_url(database_url: str) -> bool:
    """Tell whether a URL is that of a SQLite file."""
    return normal_url(database_url).startswith("sqlite:")
