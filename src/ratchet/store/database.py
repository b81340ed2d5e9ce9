"""One database for ledger, registry and engine: SQLite on one machine, PostgreSQL on many.

Invariant: at most one write transaction is open in the whole workspace, and nothing that would wait for another one is
called inside it.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url

from ratchet import clock, faults
from ratchet.errors import NestedWrite

POOL_SIZE = 24
_KNOWS_SUBSECONDS = (3, 42)
WRITE_LOCK = 0x5261746368657401
SQLITE_SETTINGS = (
    "busy_timeout=30000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",
)
_POSTGRES_OPTIONS = "-c idle_in_transaction_session_timeout=60000"

# What is to be done after the write that is open in this flow of control; None where none is.
_writing: ContextVar[list[Callable[[], None]] | None] = ContextVar("writing", default=None)


class Database:
    """A database that hands out read and write transactions.

    Args:
        url: SQLAlchemy's form, such as ``sqlite:////srv/churn/.ratchet/ratchet.db`` or
            ``postgresql://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        self.url = normal_url(url)
        self.engine = _make_engine(self.url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction: all of it happens, or nothing.

        Raises:
            NestedWrite: A write is open already in this flow of control.
        """
        refuse_inside_write("A second write")
        afterwards: list[Callable[[], None]] = []
        token = _writing.set(afterwards)
        try:
            with self.engine.begin() as connection:
                if self.is_sqlite:
                    # pysqlite would begin at the first INSERT only, and two readers that both turn writers collide.
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK})
                yield connection
                faults.point("write.before_commit")
            faults.point("write.after_commit")
        finally:
            _writing.reset(token)
        for call in afterwards:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have something done once the open write has happened; never when it did not."""
        afterwards = _writing.get()
        assert afterwards is not None, "only inside a write"
        afterwards.append(call)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading; what it sees is committed."""
        with self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def refuse_inside_write(what: str) -> None:
    """Raise where a call would wait for a lock that this flow of control holds itself.

    Raises:
        NestedWrite: A write transaction is open.
    """
    if _writing.get() is not None:
        raise NestedWrite(what=what)


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path}"


def normal_url(url: str) -> str:
    """Return the URL with the driver that we use: psycopg 3 for PostgreSQL."""
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)


def _make_engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=POOL_SIZE, max_overflow=0)
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    arguments = {"options": _POSTGRES_OPTIONS}
    return create_engine(url, pool_size=POOL_SIZE, max_overflow=0, pool_pre_ping=True, connect_args=arguments)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # Handing an engine to DBOS drops what it would have set itself, so all of it is set here.
    connection.isolation_level = "IMMEDIATE"
    if sqlite3.sqlite_version_info < _KNOWS_SUBSECONDS:
        # From Python 3.12 on DBOS asks for unixepoch('subsec'), of which an older SQLite makes NULL.
        connection.create_function("unixepoch", -1, lambda *_: clock.real_seconds())
    for setting in SQLITE_SETTINGS:
        connection.execute(f"PRAGMA {setting}")
