"""The processes that carry out jobs: each gives signs of life, and the jobs of one that gives none go to the others.

Invariant: a worker's row goes only after its jobs were given back, so that whoever dies in between leaves the work to
the next; a worker that was only slow puts its row back, and what it still does for jobs that are others' by now is
refused (``runs`` keeps that).
"""

import logging
import os
import platform
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select, update

from ratchet import clock
from ratchet.engine.capacity import Capacity
from ratchet.engine.repeating import Repeated
from ratchet.errors import DatabaseAway
from ratchet.records import Record
from ratchet.store import schema
from ratchet.store.database import Database

_log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
LEASE_SECONDS = 4.0

Kind = Literal["server", "worker"]
_table = schema.worker


class Worker(Record, frozen=True):
    """A process that carries out jobs.

    Attributes:
        id: Names this process and no later one; jobs that it has taken carry it.
        kind: ``server`` carries out reactions and keeps the endpoint, ``worker`` runs and steps only.
        machine: Where process numbers mean the same: one boot of one system, one space of process numbers.
        host: The machine's name, for people.
        pid: Its process number there.
        started_ticks: When that process began, in the kernel's ticks, so that a number used again is told apart.
        interpreter: Which jobs it can carry out.
        python: The version of Python.
        capacity: What it gives to runs and steps.
        executors: What else can carry out a step through it, such as ``ray``.
    """

    id: str
    kind: Kind
    machine: str
    host: str
    pid: int
    started_ticks: int
    interpreter: str
    python: str
    capacity: Capacity
    executors: tuple[str, ...] = ()


class Seen(Record, frozen=True):
    """A worker as others see it.

    Attributes:
        worker: What it said about itself.
        silent_seconds: How long ago it gave its last sign of life.
        is_alive: Whether it counts.
    """

    worker: Worker
    silent_seconds: float
    is_alive: bool


def this_process(
    kind: Kind, *, capacity: Capacity, interpreter: str, executors: tuple[str, ...] = (), worker_id: str = ""
) -> Worker:
    """Describe the process that asks."""
    pid = os.getpid()
    host = socket.gethostname()
    return Worker(
        id=worker_id or f"{kind}-{host}-{pid}-{clock.new_id()[-8:]}",
        kind=kind,
        machine=_machine(),
        host=host,
        pid=pid,
        started_ticks=_started_ticks(pid),
        interpreter=interpreter,
        python=platform.python_version(),
        capacity=capacity,
        executors=executors,
    )


def enter(connection: Connection, worker: Worker) -> None:
    """Give a worker's first sign of life; what was said under the same id is forgotten."""
    connection.execute(delete(_table).where(_table.c.id == worker.id))
    values: dict[str, Any] = {
        "id": worker.id,
        "kind": worker.kind,
        "machine": worker.machine,
        "pid": worker.pid,
        "started_ticks": worker.started_ticks,
        "record": msgspec.json.encode(worker).decode(),
        "beat_at": _now(connection),
    }
    connection.execute(insert(_table).values(**values))


def beat(connection: Connection, worker: Worker) -> None:
    """Give a sign of life; who was taken for dead comes back."""
    changed = connection.execute(update(_table).where(_table.c.id == worker.id).values(beat_at=_now(connection)))
    if not changed.rowcount:
        enter(connection, worker)


def retire(connection: Connection, worker_id: str) -> None:
    """Say that a worker is gone: what it has taken may be given back at once."""
    connection.execute(update(_table).where(_table.c.id == worker_id).values(beat_at=0.0))


def seen(connection: Connection) -> list[Seen]:
    """Return all workers that are known, those alive first."""
    now = connection.execute(select(_now(connection))).scalar_one()
    rows = connection.execute(select(_table.c.record, _table.c.beat_at)).all()
    has_beats = connection.dialect.name != "sqlite"
    found = []
    for record, beat_at in rows:
        worker = msgspec.json.decode(record, type=Worker)
        silent = max(0.0, float(now) - float(beat_at))
        is_late = silent > LEASE_SECONDS if has_beats else worker.machine != _machine()
        found.append(Seen(worker=worker, silent_seconds=silent, is_alive=not is_late and not _has_ended(worker)))
    return sorted(found, key=lambda one: (not one.is_alive, one.worker.id))


def is_here(worker: Worker) -> bool:
    """Tell whether a worker runs on this machine, and sees its processes as we do."""
    return worker.machine == _machine()


def bury(connection: Connection, dead: Seen) -> None:
    """Forget a worker whose jobs were given back, unless it has given a sign of life meanwhile."""
    still = delete(_table).where(_table.c.id == dead.worker.id)
    if not _has_ended(dead.worker):
        still = still.where(_table.c.beat_at < _now(connection) - LEASE_SECONDS)
    connection.execute(still)


class Heart:
    """Gives this process's signs of life and looks after the others'.

    Args:
        database: Shared with the others.
        worker: This process.
        claimants: Says who has taken jobs that are not finished.
        give_back: Gives the jobs of a dead worker back, so that others take them; says how many there were.
    """

    def __init__(
        self,
        database: Database,
        worker: Worker,
        *,
        claimants: Callable[[], set[str]],
        give_back: Callable[[str], int],
    ) -> None:
        self._database = database
        self._worker = worker
        self._claimants = claimants
        self._give_back = give_back
        self.beat()
        self._beating = Repeated(self.beat, name="heart", seconds=BEAT_SECONDS)

    def beat(self) -> None:
        """Give a sign of life, and let go on what others have left behind."""
        with self._database.aside() as connection:
            beat(connection, self._worker)
        with self._database.read() as connection:
            known = seen(connection)
        alive = {one.worker.id for one in known if one.is_alive}
        for worker_id in sorted(self._claimants() - alive):
            _log.warning("%s gives no sign of life; jobs given back: %d", worker_id, self._give_back(worker_id))
        for one in known:
            if not one.is_alive:
                with self._database.aside() as connection:
                    bury(connection, one)

    def stop(self) -> None:
        """Give no further sign of life, and let the others know at once."""
        self._beating.stop()
        # A database that is away need not be waited for: they will miss the signs of life.
        with suppress(DatabaseAway), self._database.aside() as connection:
            retire(connection, self._worker.id)


def _now(connection: Connection) -> "ColumnElement[Any]":
    """Return the moment as all workers see it: the database server's clock, or this machine's where it is a file."""
    if connection.dialect.name == "sqlite":
        return literal(clock.real_seconds())
    return func.extract("epoch", func.clock_timestamp())


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _has_ended(worker: Worker) -> bool:
    """Tell whether it is known to be gone: only where its process number means something."""
    return worker.machine == _machine() and _started_ticks(worker.pid) != worker.started_ticks


def _started_ticks(pid: int) -> int:
    """Return when a process began, 0 where there is none or it only waits to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name may hold spaces and brackets; what follows its last bracket is the state, and 19 fields on the start.
    fields = status.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
