"""Durable jobs behind one door: DBOS, and nothing of it shows outside this file.

Invariant: a job that was enqueued in a committed transaction is carried out, each of its steps at least once and its
recorded steps never again; exactly once comes from the ledger's unique keys. The contract is kept so small that other
machinery could take its place.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, text

from ratchet import clock
from ratchet.config import LimitSection
from ratchet.engine import ray_errands, workers
from ratchet.engine.attempts import Attempt, Statements
from ratchet.engine.backlog import Backlog, backlog
from ratchet.engine.capacity import Budget, Capacity, Demand, capacity_of_this_machine
from ratchet.engine.claiming import Claimant
from ratchet.engine.queues import REACTIONS, RUNS, Limit, Queue, QueueThread, Slots, demand_of, queue_of_steps
from ratchet.engine.repeating import Repeated
from ratchet.engine.resumption import Resumption
from ratchet.engine.stranded import Line, Stranded, lines, stranded
from ratchet.engine.workers import Heart, Seen, Worker
from ratchet.errors import ServerElsewhere
from ratchet.store import notifications
from ratchet.store.database import Database, refuse_inside_write
from ratchet.store.notifications import Listener

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "ratchet"
INTERPRETER = "interpreter-1"  # raise it when recorded steps of running jobs could no longer be replayed
EXECUTOR = "local"  # of a workspace in a file, which one process at a time carries out
MAX_RECOVERIES = 1000

Spec = dict[str, Any]
JobFunction = Callable[[Spec], Any]


# All kinds of jobs. A job under a name or version that no process knows would wait for ever, so there are no others.
JOBS: dict[str, Queue] = {"dispatch": REACTIONS, "act": REACTIONS, "run": RUNS}
STEP_JOB = "step"  # waits in a line of its demand
STEPS_LOOK_SECONDS = 1.0
_TOLD_FACTOR = 5


class JobContext(Protocol):
    """What a job may ask of the engine while it runs."""

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Carry out a part once, or return what it gave the first time."""

    def recorded_steps(self) -> list[str]:
        """Return the names of the steps that attempts of this job have recorded, in order."""

    def catch_up(self) -> list[tuple[str, Any]]:
        """Pass over what earlier attempts have recorded and this one did not come to; names and results, in order."""

    def is_cancelled(self) -> bool:
        """Tell whether somebody cancelled this job."""


class Runs(Protocol):
    """The contract of durable execution: start, enqueue in a transaction, step, recover, cancel."""

    def register(self, name: str, function: Callable[[JobContext, Spec], Any]) -> None:
        """Say what carries out the jobs of one name; before ``launch``."""

    def enqueue(
        self, transaction: Connection, name: str, job_id: str, spec: Spec, *, demand: Demand | None = None
    ) -> None:
        """Let a job happen if and only if the transaction commits; a known id changes nothing."""

    def launch(self) -> None:
        """Start to carry out jobs, those that a crash broke off first."""

    def close(self) -> None:
        """Stop carrying out jobs; what is under way goes on after the next launch."""

    def cancel(self, job_id: str) -> None:
        """Stop a job."""

    def pending(self) -> list[str]:
        """Return the ids of jobs that are not finished."""

    def outcome(self, job_id: str) -> tuple[str, Any]:
        """Return a job's status and its result or error; ``("UNKNOWN", None)`` where there is no such job."""

    @property
    def budget(self) -> Budget:
        """Return what this process has left for steps with demands."""

    def prune(self, *, older_than_seconds: float) -> int:
        """Forget finished jobs and return how many."""


class DurableRuns:
    """Durable jobs on DBOS, in the workspace's own database.

    Args:
        database: Shared with the ledger, so that append and enqueue are one transaction.
        poll_seconds: How often an idle queue looks for work.
    """

    def __init__(self, database: Database, *, poll_seconds: float = 0.1) -> None:
        self._database = database
        self.poll_seconds = poll_seconds
        self._functions: dict[str, Callable[[JobContext, Spec], Any]] = {}
        self._made_client: DBOSClient | None = None
        self._queue_threads: dict[str, QueueThread] = {}
        self._beginning = threading.Lock()
        self._limits: dict[str, Limit] = {}
        self._slots: dict[str, Slots] = {}
        self._heart: Heart | None = None
        self._listener: Listener | None = None
        self._resumption: Resumption | None = None
        self.worker: Worker | None = None
        self._budget = Budget(Capacity())
        self._status_table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
        self._statements = Statements(is_sqlite=database.is_sqlite)
        self._claimant = Claimant(database, APPLICATION)
        if not database.is_sqlite:
            # Loading the engine takes a second or more on a busy machine, and the server breaks idle writers off.
            database.before_first_write(self._client)

    def prepare(self) -> None:
        """Make the engine's tables and queues, so that others may enqueue before anything was launched."""
        refuse_inside_write("Preparing the engine")
        from dbos import DBOS

        _quiet()
        DBOS.migrate(self._database.engine.url.render_as_string(hide_password=False))
        for queue in (REACTIONS, RUNS):
            self._client().register_queue(
                queue.name, worker_concurrency=queue.concurrency, polling_interval_sec=self.poll_seconds
            )

    def register(self, name: str, function: Callable[[JobContext, Spec], Any]) -> None:
        """Say what carries out the jobs of one name; before ``launch``."""
        assert name in {*JOBS, STEP_JOB}, f"{name} is no kind of job"
        self._functions[name] = function

    def enqueue(
        self, transaction: Connection, name: str, job_id: str, spec: Spec, *, demand: Demand | None = None
    ) -> None:
        """Let a job happen if and only if the transaction commits; a known id changes nothing.

        Args:
            demand: What a job ``step`` needs; it waits for a process that has it.
        """
        from dbos import EnqueueOptions

        queue = JOBS[name].name if demand is None else queue_of_steps(demand)
        options = EnqueueOptions(
            queue_name=queue,
            workflow_name=name,
            workflow_id=job_id,
            application_name=APPLICATION,
            app_version=INTERPRETER,
        )
        self._client().enqueue_in_transaction(transaction, options, spec)
        if not self._database.is_sqlite:
            notifications.tell(transaction, queue)
        elif queue in self._queue_threads or demand is not None:
            self._database.after_commit(partial(self._look, queue))

    def launch(
        self,
        worker: Worker | None = None,
        *,
        queues: tuple[Queue, ...] = (REACTIONS, RUNS),
        limits: dict[str, Limit] | None = None,
    ) -> None:
        """Start to carry out jobs, those that a crash broke off first.

        Args:
            worker: This process, as the others are to see it.
            queues: The lines from which it takes, beside those of steps that fit it.
            limits: What all processes together may take from a line, by its name.
        """
        refuse_inside_write("Launching the engine")
        from dbos import DBOS, DBOSConfig

        _quiet()
        self.worker = worker or self.as_server()
        self._enter(self.worker)
        self._budget = Budget(self.worker.capacity)
        self._limits = limits or {}
        DBOS.destroy(destroy_registry=True)
        config = DBOSConfig(
            name=APPLICATION,
            system_database_engine=self._database.jobs_engine,
            application_version=INTERPRETER,
            executor_id=self.worker.id,
            log_level="ERROR",
        )
        DBOS(config=config)
        # DBOS counts a job that it took as running only once its thread does: a second look may take one too many.
        places = {**{queue.name: queue.concurrency for queue in queues}, RUNS.name: self.worker.capacity.runs}
        self._slots = {name: Slots(number) for name, number in places.items()}
        if not self._database.is_sqlite:
            self._resumption = Resumption(taken=self._taken, active=self._active, give_back=self._give_back_own)
        for name, function in self._functions.items():
            DBOS.workflow(name=name, max_recovery_attempts=MAX_RECOVERIES)(self._workflow(name, function))
        # Its own threads look at a queue now and then; ours do so too, and at once when this process has enqueued.
        DBOS.listen_queues([])
        DBOS.launch()
        if not self._database.is_sqlite:
            self._heart = Heart(self._database, self.worker, claimants=self._claimants, give_back=self.give_back)
        for queue in queues:
            self._take_from(queue.name, self._slots[queue.name].free)
        if not self._database.is_sqlite:
            self._listener = Listener(self._database, self._look)
        if self._resumption is not None:
            self._resumption.start()
        self._steps_sweep = Repeated(self._take_steps, name="steps", seconds=STEPS_LOOK_SECONDS)

    def close(self) -> None:
        """Stop carrying out jobs; what is under way goes on after the next launch."""
        if self._queue_threads:
            from dbos import DBOS

            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._steps_sweep.stop()
            for thread in self._queue_threads.values():
                thread.close()
            self._queue_threads = {}
            if self._heart is not None:
                self._heart.stop()
                self._heart = None
            if self._resumption is not None:
                self._resumption.stop()
                self._resumption = None
            DBOS.destroy(destroy_registry=True)
        if self._made_client is not None:
            self._made_client.destroy()
            self._made_client = None

    # ---- this process among the others

    @property
    def budget(self) -> Budget:
        """Return what this process has left for steps with demands."""
        return self._budget

    def as_server(self, *, runs: int = 1) -> Worker:
        """Describe this process as the workspace's server.

        Args:
            runs: How many runs it carries out at once; with 0 it leaves steps to others as well.
        """
        capacity = capacity_of_this_machine(runs=runs) if runs else Capacity(runs=0, cpu=0.0)
        name = EXECUTOR if self._database.is_sqlite else ""
        return workers.this_process("server", capacity=capacity, interpreter=INTERPRETER, worker_id=name)

    def _enter(self, worker: Worker) -> None:
        """Take this process's place among the others; where it is the server's, there is one."""
        deadline = clock.monotonic() + workers.LEASE_SECONDS
        while True:
            with self._database.write() as transaction:
                other = self._other_server(transaction) if worker.kind == "server" else None
                if other is None:
                    workers.enter(transaction, worker)
                    return
            if other.silent_seconds < 2 * workers.BEAT_SECONDS or clock.monotonic() > deadline:
                raise ServerElsewhere(host=other.worker.host, pid=other.worker.pid, silent_seconds=other.silent_seconds)
            # It seems to have died a moment ago: it is waited for, no longer than until that is certain.
            clock.sleep(workers.BEAT_SECONDS / 5)

    def _other_server(self, connection: Connection) -> Seen | None:
        if self._database.is_sqlite:
            return None  # one process at a time, by its lock
        return next((one for one in workers.seen(connection) if one.is_alive and one.worker.kind == "server"), None)

    def has_server(self) -> bool:
        """Tell whether some process on a shared database carries out reactions."""
        if self._database.is_sqlite:
            return False  # asked by its lock
        with self._database.read() as connection:
            return self._other_server(connection) is not None

    def _claimants(self) -> set[str]:
        """Return the ids of the workers that have taken jobs and not finished them."""
        query = f"SELECT DISTINCT executor_id FROM {self._status_table} WHERE status = 'PENDING'"  # noqa: S608, a constant
        with self._database.read() as connection:
            return {str(row[0]) for row in connection.execute(text(query)) if row[0]}

    def give_back(self, worker_id: str) -> int:
        """Let the jobs that a dead process has taken be taken by others, and return how many there were.

        Each gets a new owner then; what the old one still records for it is refused.
        """
        from dbos._dbos import _get_dbos_instance
        from dbos._recovery import recover_pending_workflows

        return len(recover_pending_workflows(_get_dbos_instance(), [worker_id]))

    def _taken(self) -> set[tuple[str, str]]:
        query = (
            f"SELECT workflow_uuid, owner_xid FROM {self._status_table} "  # noqa: S608, the name is one of two constants
            "WHERE status = 'PENDING' AND executor_id = :own"
        )
        assert self.worker is not None, "only after a launch"
        with self._database.read() as connection:
            return {(str(row[0]), str(row[1])) for row in connection.execute(text(query), {"own": self.worker.id})}

    def _active(self) -> set[str]:
        from dbos._dbos import _get_dbos_instance

        return set(_get_dbos_instance()._active_workflows_set.activeList())

    def _give_back_own(self, job_id: str) -> None:
        from dbos._dbos import _get_dbos_instance
        from dbos._utils import INTERNAL_QUEUE_NAME

        assert self.worker is not None, "only after a launch"
        dbos = _get_dbos_instance()
        with self._database.telling():
            dbos._sys_db.reenqueue_for_recovery(job_id, [self.worker.id], INTERNAL_QUEUE_NAME)
        for thread in self._queue_threads.values():
            thread.look_now()

    def workers(self) -> list[Seen]:
        """Return the processes that carry out jobs, those alive first."""
        with self._database.read() as connection:
            return workers.seen(connection)

    def stranded(self) -> list[Stranded]:
        """Return the waiting jobs that no process which lives, or no cluster, carries out just now, with the reason."""
        with self._database.read() as connection:
            found = stranded(connection, self._status_table, workers.seen(connection))
            return [*found, *ray_errands.waiting(connection)]

    def lines_stranded(self) -> list[Line]:
        """Return how many jobs wait in vain, by reason; it costs little more with many than with one."""
        with self._database.read() as connection:
            seen = workers.seen(connection)
            return lines(connection, self._status_table, seen, others=ray_errands.waiting(connection))

    def _look(self, queue: str) -> None:
        """Look at once at a line in which somebody has put a job; at all of them where it is not known which."""
        for name, thread in list(self._queue_threads.items()):
            if queue in ("", name):
                thread.look_now()
        if demand_of(queue) is not None and queue not in self._queue_threads:
            self._take_steps()

    def _take_from(self, queue: str, room: Callable[[], int]) -> None:
        limit = self._limits.get(queue, Limit())
        # Who is told of each job by all others need not look often.
        poll_seconds = self.poll_seconds * (1 if self._database.is_sqlite else _TOLD_FACTOR)
        gathered = REACTIONS.gathered if queue == REACTIONS.name else 1
        self._queue_threads[queue] = QueueThread(
            queue, claimant=self._claimant, room=room, limit=limit, poll_seconds=poll_seconds, gathered=gathered
        )

    def _take_steps(self) -> None:
        """Take from the lines of steps that have appeared and that this process could carry out."""
        query = (
            f"SELECT DISTINCT queue_name FROM {self._status_table} "  # noqa: S608, the name is one of two constants
            "WHERE status IN ('ENQUEUED', 'PENDING') AND queue_name LIKE 'steps/%'"
        )
        with self._database.read() as connection:
            names = [str(row[0]) for row in connection.execute(text(query))]
        # Both the sweep and a word come here.
        with self._beginning:
            for name in names:
                demand = demand_of(name)
                if demand is not None and name not in self._queue_threads and self.budget.capacity.can_ever(demand):
                    self._take_from(name, partial(self.budget.room, demand))

    def cancel(self, job_id: str) -> None:
        """Stop a job; whoever carries it out sees ``is_cancelled``."""
        refuse_inside_write("Cancelling a job")
        with self._database.telling():
            self._client().cancel_workflow(job_id)

    def pending(self) -> list[str]:
        """Return the ids of jobs that are not finished."""
        query = (
            f"SELECT workflow_uuid FROM {self._status_table} "  # noqa: S608, the name is one of two constants
            "WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        )
        with self._database.read() as connection:
            return [str(row[0]) for row in connection.execute(text(query))]

    def backlog(self, limits: LimitSection, *, is_running: bool) -> Backlog:
        """Return what waits, how long the oldest has, and what of that is worth a warning."""
        with self._database.read() as connection:
            now = clock.real_seconds()
            return backlog(connection, self._status_table, limits=limits, now_seconds=now, is_running=is_running)

    def outcome(self, job_id: str) -> tuple[str, Any]:
        """Return a job's status and its result or error; ``("UNKNOWN", None)`` where there is no such job."""
        with self._database.telling():
            status = self._client().list_workflows(workflow_ids=[job_id])
        if not status:
            return "UNKNOWN", None
        found = status[0]
        return str(found.status), found.error if found.error is not None else found.output

    def prune(self, *, older_than_seconds: float) -> int:
        """Forget finished jobs and return how many.

        Once-only stands on the ledger's keys, not on these rows: a forgotten job that is enqueued again does nothing
        twice.
        """
        refuse_inside_write("Pruning")
        from datetime import UTC, datetime

        limit = datetime.fromtimestamp(clock.real_seconds() - older_than_seconds, UTC).isoformat()
        removed = 0
        while True:
            finished = self._client().list_workflows(
                status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
                completed_before=limit,
                limit=500,
                load_input=False,
                load_output=False,
            )
            if not finished:
                return removed
            self._client().delete_workflows([row.workflow_id for row in finished])
            removed += len(finished)

    def _client(self) -> "DBOSClient":
        if self._made_client is None:
            from dbos import DBOSClient

            self._made_client = DBOSClient(
                system_database_engine=self._database.engine,
                application_name=APPLICATION,
                lazy=True,
                # Whoever asks is told that the server is away; it would be waited for without end.
                retry_connection_errors=False,
            )
        return self._made_client

    def _workflow(self, name: str, function: Callable[[JobContext, Spec], Any]) -> JobFunction:
        slots = self._slots[JOBS[name].name] if name in JOBS else None

        def carry_out(spec: Spec) -> Any:
            context = Attempt(self._database, self._statements)
            watching = self._resumption.watching(context.job_id) if self._resumption else nullcontext()
            try:
                with (
                    slots.hold() if slots else nullcontext(),
                    self._database.fenced(context.refuse_superseded),
                    watching,
                ):
                    return function(context, spec)
            finally:
                for thread in list(self._queue_threads.values()):
                    thread.place_is_free()

        return carry_out


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of DBOS is worth a person's attention: that a job was cancelled is known to who did it."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not kind.__name__.endswith("CancelledError")


def _quiet() -> None:
    for name in ("dbos", "dbos.stats"):
        logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger(name).addFilter(_is_news)
    if not (engine := logging.getLogger("dbos")).handlers:
        # Where there is a handler, DBOS adds none of its own: its lines go where ours go, into the log of the process.
        engine.addHandler(logging.NullHandler())
    with contextlib.suppress(ImportError):
        import dbos._logger  # noqa: F401, sets its own level at import: ours comes after
