"""One database for ledger, registry and engine: SQLite on one machine, PostgreSQL on many.

Invariant: at most one write transaction is open in the whole workspace, and nothing that would wait for another one is
called inside it; a write whose reply was lost is looked for before anybody is told that it failed.
"""

import os
import re
import select
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ratchet import clock, faults
from ratchet.errors import DatabaseAway, DatabaseInvalid, NestedWrite, WriteUncertain

POOL_SIZE = 24
_KNOWS_SUBSECONDS = (3, 42)
WRITE_LOCK = 0x5261746368657401
SQLITE_SETTINGS = {
    "busy_timeout": "30000",
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "recursive_triggers": "ON",
}
# A process that stands still inside a transaction keeps all others from writing: after this the server breaks it off.
_POSTGRES_OPTIONS = "-c idle_in_transaction_session_timeout=10000"
# A server that is gone without a word is noticed within a minute; what the URL says goes before all of it.
_POSTGRES_ARGUMENTS = {
    "application_name": "ratchet",
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "40000",
}
RECYCLE_SECONDS = 1800
ALIVE_SECONDS = 1.0
_USED = "used"
UNCERTAIN_SECONDS = 60.0
_RETRY_SECONDS = 0.1
_CANCELLED = "57014"
# Classes of PostgreSQL's codes: connection exception, insufficient resources, operator intervention.
_AWAY = ("08", "53", "57")
_IDLE_TOO_LONG = "25P03"
# What the driver says before and after a reason.
_WHERE = re.compile(r"^(connection failed: )?(connection to server .*? failed: )+")
_GUESS = re.compile(r" (Is the server running|This probably means|Multiple connection attempts failed).*$")
# A password in a URL that is no variable: before the host, or among the parameters.
_PASSWORD = re.compile(r"://[^/@]*:(?!\$\{\w+\}@)[^/]+@|[?&]password=(?!\$\{\w+\}(&|$))", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class BrokenOff(BaseException):
    """The connection went while a job was under way: it ends here as if its process had been killed.

    Not an ``Exception``, so that nothing takes it for an answer: whatever the job was doing is done again.
    """


@dataclass
class _Write:
    """The write that is open in a flow of control.

    Attributes:
        afterwards: What is to be done once it has happened.
        evidence: Tells by what it would have left whether it has happened; the first one counts.
    """

    afterwards: list[Callable[[], None]] = field(default_factory=list)
    evidence: Callable[[Connection], bool] | None = None


# The write that is open in this flow of control; None where none is.
_writing: ContextVar[_Write | None] = ContextVar("writing", default=None)
_breaks_off: ContextVar[bool] = ContextVar("breaks_off", default=False)


@dataclass
class Conclusion:
    """What is to be written with the last write of a piece of work.

    Attributes:
        call: Writes it.
        is_written: Whether it was, in a write that has happened.
    """

    call: Callable[[Connection], object]
    is_written: bool = False


_conclusion: ContextVar[Conclusion | None] = ContextVar("conclusion", default=None)
# Called first in each write of this flow of control: raises where it may not write any more.
_fence: ContextVar[Callable[[Connection], None] | None] = ContextVar("fence", default=None)


class Database:
    """A database that hands out read and write transactions.

    Args:
        url: SQLAlchemy's form, such as ``sqlite:////srv/churn/.ratchet/ratchet.db`` or
            ``postgresql://user@host/name``; ``${NAME}`` stands for a variable of the environment.

    Attributes:
        engine: Its commits are on the disk when they return.
        jobs_engine: For what is recorded of jobs on the way, which is done again where it is missing. On SQLite its
            commits wait for no disk. They come before whatever is committed later, also after a loss of power: both
            write one log, and who waits for the disk waits for all that stands in it.

    Raises:
        DatabaseInvalid: The URL means nothing, names a variable that is not set, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = normal_url(url)
        self.engine = _make_engine(self.url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # A server's group of commits is cheap, and its sudden end, which we survive, would undo what did not wait.
        self.jobs_engine = _sqlite_engine(self.engine.url, synchronous="NORMAL") if self.is_sqlite else self.engine
        self._before_first_write: list[Callable[[], object]] = []

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction: all of it happens, or nothing.

        Raises:
            NestedWrite: A write is open already in this flow of control.
            DatabaseAway: The server could not be reached; nothing was written.
            WriteUncertain: It went away while the write was being confirmed, and did not come back.
        """
        refuse_inside_write("A second write")
        before, self._before_first_write = self._before_first_write, []
        for call in before:
            call()
        write = _Write()
        token = _writing.set(write)
        try:
            with self.telling(), self.engine.connect() as connection:
                self._begin(connection)
                if (fence := _fence.get()) is not None:
                    fence(connection)
                yield connection
                faults.point("write.before_commit")
                try:
                    connection.commit()
                except DBAPIError as error:
                    # Closed, so that nothing of the write stays open in the pool.
                    connection.invalidate()
                    if self.is_sqlite or not is_away(error) or _breaks_off.get():
                        raise  # a file says itself that it did not happen
                    self._look_for(write, error)
            faults.point("write.after_commit")
        finally:
            _writing.reset(token)
        for call in write.afterwards:
            call()

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            # pysqlite would begin at the first INSERT only, and two readers that both turn writers collide.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # Begun by ourselves, so that the beginning and the lock are one round trip; the driver ends it as its own.
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql(f"BEGIN; SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    def _look_for(self, write: _Write, lost: DBAPIError) -> None:
        """Return where a write of which no reply came has happened, and raise where it has not.

        The lock comes first: whoever holds it knows that the server has ended that transaction, one way or the other.
        """
        if write.evidence is None:
            raise lost
        deadline = clock.monotonic() + UNCERTAIN_SECONDS
        while True:
            try:
                with self.engine.connect() as connection:
                    self._begin(connection)
                    if write.evidence(connection):
                        return
                break
            except DBAPIError as error:
                if not is_away(error):
                    raise
                if clock.monotonic() > deadline:
                    raise WriteUncertain(database=self.name, reason=_reason(error)) from error
                clock.sleep(_RETRY_SECONDS)
        raise lost

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have something done once the open write has happened; never when it did not."""
        write = _writing.get()
        assert write is not None, "only inside a write"
        write.afterwards.append(call)

    def before_first_write(self, call: Callable[[], object]) -> None:
        """Have something done once before the first write, such as an import that would hold everybody's lock."""
        self._before_first_write.append(call)

    @contextmanager
    def concluding(self, call: Callable[[Connection], object]) -> Iterator[Conclusion]:
        """Have something written with the last write of the work inside, where that knows which of its writes it is.

        Whether it was is told; else it is written behind the work, in a write of its own.
        """
        conclusion = Conclusion(call)
        token = _conclusion.set(conclusion)
        try:
            yield conclusion
        finally:
            _conclusion.reset(token)

    def conclude(self, transaction: Connection) -> None:
        """Say that the open write is the last of the work in force: nothing behind it is written, or can fail."""
        conclusion = _conclusion.get()
        if conclusion is not None:
            conclusion.call(transaction)

            def note() -> None:
                conclusion.is_written = True

            self.after_commit(note)

    def leaves(self, evidence: Callable[[Connection], bool]) -> None:
        """Say how to tell, later and from outside, whether the open write has happened: by what it alone leaves."""
        write = _writing.get()
        if write is not None and write.evidence is None:
            write.evidence = evidence

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """Open a small write beside the one write transaction: never for what the ledger or the registry says."""
        with self.telling(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        """Open a connection for one statement about jobs, which is a transaction of its own."""
        if self.is_sqlite:
            with self.jobs_engine.begin() as connection:
                yield connection
        else:
            # Begun and committed by itself, it is one round trip in place of three.
            with self.jobs_engine.connect() as connection:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def fenced(self, fence: Callable[[Connection], None]) -> Iterator[None]:
        """Have each write of this flow of control ask first whether it may."""
        token = _fence.set(fence)
        try:
            yield
        finally:
            _fence.reset(token)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading; what it sees is committed.

        Raises:
            DatabaseAway: The server could not be reached.
        """
        with self.telling(), self.engine.connect() as connection:
            if not self.is_sqlite:
                # Each statement sees what is committed anyway; a transaction would cost two round trips more.
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say in our own words that the server is away; for whatever uses the engine.

        Raises:
            DatabaseAway: It could not be reached; inside ``breaking_off`` it is ``BrokenOff``.
        """
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            if self.is_sqlite or not is_away(error):
                raise
            if _breaks_off.get():
                raise BrokenOff(_reason(error)) from error
            raise DatabaseAway(database=self.name, reason=_reason(error)) from error

    @property
    def name(self) -> str:
        """Return where the database is, without any password."""
        shown = self.engine.url.set(drivername=self.engine.dialect.name, query={})
        return shown.render_as_string(hide_password=True)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
        self.jobs_engine.dispose()


def refuse_inside_write(what: str) -> None:
    """Raise where a call would wait for a lock that this flow of control holds itself.

    Raises:
        NestedWrite: A write transaction is open.
    """
    if _writing.get() is not None:
        raise NestedWrite(what=what)


@contextmanager
def breaking_off() -> Iterator[None]:
    """Let what runs inside end with ``BrokenOff`` where the connection is lost."""
    token = _breaks_off.set(True)
    try:
        yield
    finally:
        _breaks_off.reset(token)


def is_away(error: Exception) -> bool:
    """Tell whether an error of PostgreSQL means that a connection was lost, or that none could be made."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or code == _IDLE_TOO_LONG:
        return True
    return isinstance(error, OperationalError) and code != _CANCELLED and (not code or code[:2] in _AWAY)


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path}"


def normal_url(url: str) -> str:
    """Return the URL with the driver that we use: psycopg 3 for PostgreSQL."""
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)


def filled_url(url: str) -> URL:
    """Return a URL whose variables are filled in from the environment; a value needs no quoting there.

    Raises:
        DatabaseInvalid: It means nothing, or a variable is not set.
    """
    if _VARIABLE.fullmatch(url.strip()):
        url = normal_url(_fill(url.strip()))
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, ValueError) as error:
        # Not what the library says: it may repeat the URL, and that may hold a password.
        problem = "means nothing. Write it as postgresql://USER@HOST/NAME, and leave it out for SQLite."
        raise DatabaseInvalid(problem=problem) from error
    # Part by part: what stands in a variable may hold any character.
    return parsed.set(
        username=_fill(parsed.username or "") or None,
        password=_fill(parsed.password or "") or None,
        host=_fill(parsed.host or "") or None,
        database=_fill(parsed.database or "") or None,
    )


def url_to_keep(url: str) -> str:
    """Return a URL that may stand in a file: one of a server, without a password.

    Raises:
        DatabaseInvalid: It holds a password, or is none of a server.
    """
    if _VARIABLE.fullmatch(url.strip()):
        return url.strip()
    filled = filled_url(normal_url(url))
    if filled.get_backend_name() == "sqlite":
        problem = "is that of a file. Leave it out: a workspace has a SQLite file of its own."
        raise DatabaseInvalid(problem=problem)
    if _PASSWORD.search(url):
        problem = (
            "holds a password, which would stand in ratchet.toml. Put ${NAME} in its place, where NAME is a variable "
            "of the environment, or leave it out and use PGPASSWORD or ~/.pgpass."
        )
        raise DatabaseInvalid(problem=problem)
    return url


def _fill(value: str) -> str:
    def read(found: re.Match[str]) -> str:
        name = found[1]
        if name not in os.environ:
            raise DatabaseInvalid(problem=f"names ${{{name}}}, but this variable is not set. Set it: export {name}=...")
        return os.environ[name]

    return _VARIABLE.sub(read, value)


def _make_engine(url: str) -> Engine:
    filled = filled_url(url)
    try:
        if filled.get_backend_name() == "sqlite":
            return _sqlite_engine(filled)
        engine = create_engine(
            filled,
            pool_size=POOL_SIZE,
            max_overflow=0,
            # The one that was used last has prepared what is asked most.
            pool_use_lifo=True,
            pool_recycle=RECYCLE_SECONDS,
            connect_args=_postgres_arguments(filled),
        )
        event.listen(engine, "connect", _note_use)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", partial(_ask_whether_alive, engine))
    except ModuleNotFoundError as error:
        problem = f"needs '{error.name}', which is not installed. Install it: pip install 'mlratchet[postgres]'"
        raise DatabaseInvalid(problem=problem) from error
    return engine


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = clock.monotonic()


def _ask_whether_alive(engine: Engine, connection: Any, record: Any, _proxy: Any) -> None:
    """Ask a connection that was idle, or on which the server has said something, whether it still is one.

    To ask each time is a round trip for every statement. A server that ends a connection says so.
    """
    try:
        is_fresh = clock.monotonic() - record.info[_USED] < ALIVE_SECONDS
        if not is_fresh or _has_something_to_read(connection.fileno()):
            engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _has_something_to_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _postgres_arguments(url: URL) -> dict[str, str]:
    own = str(url.query.get("options", ""))
    # Of two values the server takes the later one.
    options = {"options": f"{_POSTGRES_OPTIONS} {own}".strip()}
    return options | {name: value for name, value in _POSTGRES_ARGUMENTS.items() if name not in url.query}


def _reason(error: Exception) -> str:
    """Return what the server or the driver said, in one line and without what we say ourselves."""
    said = re.sub(r"\s+", " ", str(getattr(error, "orig", error))).strip()
    said = _WHERE.sub("", _GUESS.sub("", said)).strip(" .")
    return said or type(error).__name__


def _sqlite_engine(url: URL, **settings: str) -> Engine:
    engine = create_engine(url, pool_size=POOL_SIZE, max_overflow=0)
    event.listen(engine, "connect", partial(_set_up_sqlite, {**SQLITE_SETTINGS, **settings}))
    return engine


def _set_up_sqlite(settings: dict[str, str], connection: Any, _record: Any) -> None:
    # Handing an engine to DBOS drops what it would have set itself, so all of it is set here.
    connection.isolation_level = "IMMEDIATE"
    if sqlite3.sqlite_version_info < _KNOWS_SUBSECONDS:
        # From Python 3.12 on DBOS asks for unixepoch('subsec'), of which an older SQLite makes NULL.
        connection.create_function("unixepoch", -1, lambda *_: clock.real_seconds())
    for name, value in settings.items():
        connection.execute(f"PRAGMA {name}={value}")
