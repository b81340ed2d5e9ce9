"""Jobs as rows: what the engine keeps of them, read for diagnosis, and carried from one database to another.

Invariant: reading takes no job and changes none; what is carried over to another place is plain data, so that no
archive can bring code that would run when its jobs go on.
"""

import base64
import builtins
import io
import pickle
import re
from binascii import Error as NotBase64
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect, select

from ratchet import errors
from ratchet.engine.runs import INTERPRETER, JOBS
from ratchet.errors import JobUnreadable, RatchetError
from ratchet.records import Record

TABLES = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")
UNFINISHED = ("ENQUEUED", "PENDING", "DELAYED")
GIVEN_UP = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
_POSTGRES_SCHEMA = "dbos"
_STEP = "step"
_VALUES = ("inputs", "output", "error")
_DIGEST = re.compile(rb"[0-9a-f]{64}")


class Job(Record, frozen=True):
    """A job that is not finished, or that was given up.

    Attributes:
        id: Such as ``run:V3WZSSPT...``.
        name: What carries it out.
        status: ``ENQUEUED``, ``PENDING`` (somebody has taken it), ``DELAYED``, or why it was given up.
        version: Which interpreter can go on with it.
        created_seconds: When it was enqueued, real seconds since 1970.
        attempts: How often somebody began it.
    """

    id: str
    name: str
    status: str
    version: str
    created_seconds: float
    attempts: int

    @property
    def is_orphan(self) -> bool:
        """Tell whether nothing that runs today would ever take it."""
        return self.name not in {*JOBS, _STEP} or self.version != INTERPRETER


def tables(connection: Connection) -> list[Table]:
    """Return the engine's tables of jobs as they are in a database, in the order in which they are filled."""
    schema = None if connection.dialect.name == "sqlite" else _POSTGRES_SCHEMA
    known, made = set(inspect(connection).get_table_names(schema=schema)), MetaData()
    return [Table(name, made, autoload_with=connection, schema=schema) for name in TABLES if name in known]


def unfinished(connection: Connection) -> list[Job]:
    """Return the jobs that wait or are under way, and those that were given up, the oldest first."""
    if not (known := tables(connection)):
        return []
    status = known[0].c
    columns = (status.workflow_uuid, status.name, status.status, status.application_version, status.created_at)
    query = select(*columns, status.recovery_attempts).where(status.status.in_((*UNFINISHED, GIVEN_UP)))
    return [
        Job(
            id=str(row[0]),
            name=str(row[1] or ""),
            status=str(row[2]),
            version=str(row[3] or ""),
            created_seconds=(row[4] or 0) / 1000,
            attempts=int(row[5] or 0),
        )
        for row in connection.execute(query.order_by(status.created_at))
    ]


def taker(connection: Connection, job_id: str) -> str:
    """Return the id of the process that carries a job out now, ``""`` where none does."""
    if not (known := tables(connection)):
        return ""
    status = known[0].c
    query = select(status.executor_id).where(status.workflow_uuid == job_id, status.status == "PENDING")
    return str(connection.execute(query).scalar() or "")


def digests(connection: Connection) -> set[str]:
    """Return what unfinished jobs name that looks like an artifact: results of steps that will not run again."""
    found: set[str] = set()
    for _, _, content in _values(connection):
        found.update(digest.decode() for digest in _DIGEST.findall(content))
    return found


def forget_finished(connection: Connection) -> None:
    """Delete the rows of finished jobs: once-only stands on the ledger's keys, not on them."""
    known = tables(connection)
    if not known:
        return
    ids = select(known[0].c.workflow_uuid).where(known[0].c.status.in_(UNFINISHED))
    for table in reversed(known):
        connection.execute(table.delete().where(table.c.workflow_uuid.not_in(ids)))


def let_go(connection: Connection) -> None:
    """Let jobs that a process had taken wait again: that process is of another place, or long gone."""
    for status in tables(connection)[:1]:
        taken = status.c.status == "PENDING"
        connection.execute(
            status.update().where(taken).values(status="ENQUEUED", owner_xid=None, started_at_epoch_ms=None)
        )


def refuse_code(connection: Connection) -> None:
    """Refuse values of jobs that are anything but plain data and our errors: the engine would run what stands in them.

    Raises:
        JobUnreadable: One asks for something else, or cannot be read.
    """
    for job, column, content in _values(connection):
        try:
            _PlainReader(io.BytesIO(content)).load()
        except Exception as error:  # a damaged pickle may raise anything
            raise JobUnreadable(job=job, column=column, problem=str(error) or type(error).__name__) from error


class _PlainReader(pickle.Unpickler):
    """Reads values as the engine's library writes them, and looks up no names but those of errors."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an error by its name.

        Raises:
            UnpicklingError: Something else is asked for.
        """
        if module == "builtins" and isinstance(found := getattr(builtins, name, None), type):
            if issubclass(found, Exception):
                return found
        elif module == errors.__name__ and name == errors._rebuild.__name__:
            return errors._rebuild
        elif found := next((one for one in _our_errors() if (one.__module__, one.__name__) == (module, name)), None):
            return found
        message = f"it asks for {module}.{name}"
        raise pickle.UnpicklingError(message)


def _our_errors(of: type[RatchetError] = RatchetError) -> Iterator[type[RatchetError]]:
    """Give our errors, in whichever module they are defined."""
    for kind in of.__subclasses__():
        yield kind
        yield from _our_errors(kind)


def _values(connection: Connection) -> Iterator[tuple[str, str, bytes]]:
    """Give what unfinished jobs were given and have recorded: job, column, bytes."""
    known = tables(connection)
    if not known:
        return
    waiting = select(known[0].c.workflow_uuid).where(known[0].c.status.in_(UNFINISHED))
    for table in known:
        names = [name for name in _VALUES if name in table.c]
        query = select(table.c.workflow_uuid, *(table.c[name] for name in names))
        for row in connection.execute(query.where(table.c.workflow_uuid.in_(waiting))):
            for name, value in zip(names, row[1:], strict=True):
                if value:
                    yield str(row[0]), name, _decoded(str(row[0]), name, str(value))


def _decoded(job: str, column: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except NotBase64 as error:
        raise JobUnreadable(job=job, column=column, problem="it is not written as it was") from error
