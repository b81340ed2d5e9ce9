"""The lines in which jobs wait, and the threads of a process that take from them.

Invariant: a process takes from a line only what it has room for at that moment, so that a job that another process
could carry out never waits here.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from ratchet.engine.capacity import Demand
from ratchet.engine.claiming import Claimant
from ratchet.engine.repeating import END_SECONDS
from ratchet.records import Record

_STEPS = "steps/"
_PART = re.compile(r"([a-z_]+)=([0-9.e+-]+)")


class Queue(Record, frozen=True):
    """A line in which jobs wait.

    Attributes:
        name: How it is called in the database.
        concurrency: How many of its jobs run at once in one process, unless the process says otherwise.
        gathered: How many places are waited for a moment before a further look at a line that was longer than the room:
            a look takes a third of the time of a quick job.
    """

    name: str
    concurrency: int
    gathered: int = 1


class Limit(Record, frozen=True, forbid_unknown_fields=True):
    """What all processes together may take from a line.

    Attributes:
        at_once: Jobs that run at one time; 0 for any number.
        starts: Jobs that begin within ``seconds``; 0 for any number.
        seconds: The length of the window, in seconds.
    """

    at_once: int = 0
    starts: int = 0
    seconds: float = 3600.0


GATHERING_SECONDS = 0.05
REACTIONS = Queue(name="reactions", concurrency=8, gathered=4)
RUNS = Queue(name="runs", concurrency=1)


def queue_of_steps(demand: Demand) -> str:
    """Return the name of the line of the steps with one demand."""
    return _STEPS + demand.text.replace(" ", ",")


def demand_of(queue: str) -> Demand | None:
    """Return what the steps in a line need, ``None`` where it is another kind of line."""
    if not queue.startswith(_STEPS):
        return None
    values = {"cpu": 0.0, **{name: float(number) for name, number in _PART.findall(queue)}}
    return msgspec.convert({**values, "gpu": int(values.get("gpu", 0))}, Demand)


class Slots:
    """The places of one line in this process.

    Args:
        number: How many jobs have one at a time.
    """

    def __init__(self, number: int) -> None:
        self._places = threading.Semaphore(number)
        self._lock = threading.Lock()
        self._free = number

    def free(self) -> int:
        """Return how many jobs could begin now."""
        return self._free

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for a place and keep it."""
        with self._places:
            self._count(-1)
            try:
                yield
            finally:
                self._count(1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._free += change


class QueueThread:
    """A thread that takes jobs from one line: now and then, and at once when it is told that one waits.

    DBOS's own thread does the taking, held by an event of ours in place of the one that only ends it: 4 ms from the
    commit to the job instead of a polling interval, without asking the database more often. It is given a queue that
    knows how much room there is.

    Args:
        name: Of the line.
        claimant: Takes the jobs.
        room: Says how many more jobs this process could begin now.
        limit: What all processes together may take.
        poll_seconds: How often it looks of itself.
        gathered: How many free places are worth a look at once.
    """

    def __init__(
        self,
        name: str,
        *,
        claimant: Claimant,
        room: Callable[[], int],
        limit: Limit,
        poll_seconds: float,
        gathered: int = 1,
    ) -> None:
        from dbos._dbos import _get_dbos_instance
        from dbos._queue import queue_worker_thread

        self._bell = _Bell()
        self._room = room
        self._gathered = gathered
        self._may_wait = True
        dbos = _Looking(_get_dbos_instance(), claimant, self._note)
        queue = _roomy_queue(name, room=room, limit=limit, poll_seconds=poll_seconds)
        self._thread = threading.Thread(
            target=queue_worker_thread, args=(self._bell, dbos, queue), name=f"queue-{name}", daemon=True
        )
        self._thread.start()

    def look_now(self) -> None:
        """Tell that a job waits."""
        self._bell.ring()

    def place_is_free(self) -> None:
        """Tell that a job has ended: another one may wait for its place, unless the last look emptied the line."""
        if self._may_wait and (room := self._room()) > 0:
            self._bell.ring(is_urgent=room >= self._gathered)

    def _note(self, room: int, taken: int) -> None:
        self._may_wait = taken >= room

    def close(self) -> None:
        """Take no further job."""
        self._bell.set()
        self._thread.join(END_SECONDS)  # one that waits for a database that is away is left behind


def _roomy_queue(name: str, *, room: Callable[[], int], limit: Limit, poll_seconds: float) -> Any:
    """Return a queue as DBOS knows it, whose limit for this process is the room that there is."""
    from dbos import Queue as DurableQueue

    class RoomyQueue(DurableQueue):
        def __init__(self) -> None:
            # Not its parent's, which wants a row in the database, read again at each look, where ours has no room.
            self.name = name
            self.database_backed_queue = False
            self.application_name = None
            self._client_system_database = None
            self._concurrency = limit.at_once or None
            self._limiter = {"limit": limit.starts, "period": limit.seconds} if limit.starts else None
            self._partition_concurrency = None
            self._partition_worker_concurrency = None
            self._partition_limiter = None
            self._polling_interval_sec = poll_seconds
            self.room_at_last = 0
            self.has_shared_limit = limit != Limit(seconds=limit.seconds)

        @property
        def _worker_concurrency(self) -> int:  # type: ignore[override]
            self.room_at_last = max(0, room())
            return self.room_at_last

    return RoomyQueue()


class _Looking:
    """DBOS as a queue's thread sees it: taking jobs our way, without its count of them, and telling what a look found.

    Its count takes a job in from when its thread begins until its outcome is recorded, later than there is room again.

    Args:
        real: The instance.
        claimant: Takes the jobs.
        note: Called after each look with the room that there was and the number of jobs that were taken.
    """

    def __init__(self, real: Any, claimant: Claimant, note: Callable[[int, int], None]) -> None:
        self._real = real
        self._claimant = claimant
        self._note = note
        self._taken: list[dict[str, Any]] = []
        self._active_workflows_set = _Replaced(real._active_workflows_set, count_for_queue=lambda _queue: 0)
        self._sys_db = _Replaced(
            real._sys_db,
            start_queued_workflows=self._take,
            get_workflow_statuses=self._statuses_of,
            **({"update_workflow_outcome": partial(claimant.end, real._sys_db)} if claimant.ends_jobs else {}),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def _take(
        self, queue: Any, executor: str, version: str, *arguments: Any, owner_xid: str, **options: Any
    ) -> tuple[list[str], Any]:
        if queue.has_shared_limit:
            # What all processes together may take is counted by DBOS, in a transaction that sees all of them. Jobs
            # without a version would be the latest one's; ours all have one, so nobody need ask which is the latest.
            options |= {"is_latest_version": True, "owner_xid": owner_xid}
            self._taken = []
            ids, reason = self._real._sys_db.start_queued_workflows(queue, executor, version, *arguments, **options)
        else:
            room, reason = queue._worker_concurrency, None
            self._taken = self._claimant.take(queue.name, room, executor=executor, version=version, owner=owner_xid)
            ids = [str(one["workflow_uuid"]) for one in self._taken]
        self._note(queue.room_at_last, len(ids))
        return ids, reason

    def _statuses_of(self, job_ids: list[str]) -> list[dict[str, Any]]:
        """Return what was read of jobs when they were taken, or is read of them now."""
        return self._taken or self._real._sys_db.get_workflow_statuses(job_ids)


class _Replaced:
    """An object of which some functions are others."""

    def __init__(self, real: Any, **functions: Any) -> None:
        self._real = real
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Bell(threading.Event):
    """The event that ends a queue's thread, whose waiting can be cut short without ending it."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()
        self._is_urgent = threading.Event()

    def ring(self, *, is_urgent: bool = True) -> None:
        """Let the current or the next waiting return: at once, or in a moment, for what else may come until then."""
        self._rung.set()
        if is_urgent:
            self._is_urgent.set()

    def set(self) -> None:
        super().set()
        self.ring()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or rung, or the time is over; returns whether it is set."""
        if self._rung.wait(timeout):
            self._is_urgent.wait(GATHERING_SECONDS)
        self._rung.clear()
        self._is_urgent.clear()
        return self.is_set()
