"""Durable jobs behind one door: DBOS, and nothing of it shows outside this file.

Invariant: a job that was enqueued in a committed transaction is carried out, each of its steps at least once and its
recorded steps never again; exactly once comes from the ledger's unique keys. The contract is kept so small that other
machinery could take its place.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, text

from ratchet import clock
from ratchet.errors import NondeterministicPipeline
from ratchet.records import Record
from ratchet.store.database import Database, refuse_inside_write

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "ratchet"
INTERPRETER = "interpreter-1"  # raise it when recorded steps of running jobs could no longer be replayed
EXECUTOR = "local"
MAX_RECOVERIES = 1000

Spec = dict[str, Any]
JobFunction = Callable[[Spec], Any]


class Queue(Record, frozen=True):
    """A line in which jobs wait.

    Attributes:
        name: How it is called in the database.
        concurrency: How many of its jobs run at once in one process.
    """

    name: str
    concurrency: int


REACTIONS = Queue(name="reactions", concurrency=8)
RUNS = Queue(name="runs", concurrency=1)

# All kinds of jobs. A job under a name or version that no process knows would wait for ever, so there are no others.
JOBS: dict[str, Queue] = {"dispatch": REACTIONS, "act": REACTIONS, "run": RUNS}


class JobContext(Protocol):
    """What a job may ask of the engine while it runs."""

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Carry out a part once, or return what it gave the first time."""

    def recorded_steps(self) -> list[str]:
        """Return the names of the steps that attempts of this job have recorded, in order."""

    def is_cancelled(self) -> bool:
        """Tell whether somebody cancelled this job."""


class Runs(Protocol):
    """The contract of durable execution: start, enqueue in a transaction, step, recover, cancel."""

    def register(self, name: str, function: Callable[[JobContext, Spec], Any]) -> None:
        """Say what carries out the jobs of one name; before ``launch``."""

    def enqueue(self, transaction: Connection, name: str, job_id: str, spec: Spec) -> None:
        """Let a job happen if and only if the transaction commits; a known id changes nothing."""

    def launch(self) -> None:
        """Start to carry out jobs, those that a crash broke off first."""

    def close(self) -> None:
        """Stop carrying out jobs; what is under way goes on after the next launch."""

    def cancel(self, job_id: str) -> None:
        """Stop a job."""

    def pending(self) -> list[str]:
        """Return the ids of jobs that are not finished."""

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
        self._status_table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
        self._steps_table = "operation_outputs" if database.is_sqlite else "dbos.operation_outputs"

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
        assert name in JOBS, f"{name} is not in JOBS"
        self._functions[name] = function

    def enqueue(self, transaction: Connection, name: str, job_id: str, spec: Spec) -> None:
        """Let a job happen if and only if the transaction commits; a known id changes nothing."""
        from dbos import EnqueueOptions

        options = EnqueueOptions(
            queue_name=JOBS[name].name,
            workflow_name=name,
            workflow_id=job_id,
            application_name=APPLICATION,
            app_version=INTERPRETER,
        )
        self._client().enqueue_in_transaction(transaction, options, spec)
        if thread := self._queue_threads.get(options["queue_name"]):
            self._database.after_commit(thread.look_now)

    def launch(self) -> None:
        """Start to carry out jobs, those that a crash broke off first."""
        refuse_inside_write("Launching the engine")
        from dbos import DBOS, DBOSConfig

        _quiet()
        DBOS.destroy(destroy_registry=True)
        config = DBOSConfig(
            name=APPLICATION,
            system_database_engine=self._database.engine,
            application_version=INTERPRETER,
            executor_id=EXECUTOR,
            log_level="ERROR",
        )
        DBOS(config=config)
        # DBOS counts a job that it took as running only once its thread does: a second look may take one too many.
        slots = {queue.name: threading.Semaphore(queue.concurrency) for queue in (REACTIONS, RUNS)}
        for name, function in self._functions.items():
            workflow = self._workflow(function, slots[JOBS[name].name])
            DBOS.workflow(name=name, max_recovery_attempts=MAX_RECOVERIES)(workflow)
        # Its own threads look at a queue now and then; ours do so too, and at once when this process has enqueued.
        DBOS.listen_queues([])
        DBOS.launch()
        for queue in (REACTIONS, RUNS):
            registered = DBOS.register_queue(
                queue.name,
                worker_concurrency=queue.concurrency,
                polling_interval_sec=self.poll_seconds,
                on_conflict="always_update",
            )
            self._queue_threads[queue.name] = QueueThread(registered)

    def close(self) -> None:
        """Stop carrying out jobs; what is under way goes on after the next launch."""
        if self._queue_threads:
            from dbos import DBOS

            for thread in self._queue_threads.values():
                thread.close()
            self._queue_threads = {}
            DBOS.destroy(destroy_registry=True)
        if self._made_client is not None:
            self._made_client.destroy()
            self._made_client = None

    def cancel(self, job_id: str) -> None:
        """Stop a job; whoever carries it out sees ``is_cancelled``."""
        refuse_inside_write("Cancelling a job")
        self._client().cancel_workflow(job_id)

    def pending(self) -> list[str]:
        """Return the ids of jobs that are not finished."""
        query = (
            f"SELECT workflow_uuid FROM {self._status_table} "  # noqa: S608, the name is one of two constants
            "WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        )
        with self._database.read() as connection:
            return [str(row[0]) for row in connection.execute(text(query))]

    def outcome(self, job_id: str) -> tuple[str, Any]:
        """Return a job's status and its result or error; ``("UNKNOWN", None)`` where there is no such job."""
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
                system_database_engine=self._database.engine, application_name=APPLICATION, lazy=True
            )
        return self._made_client

    def _workflow(self, function: Callable[[JobContext, Spec], Any], slots: threading.Semaphore) -> JobFunction:
        def carry_out(spec: Spec) -> Any:
            with slots:
                return function(_DurableContext(self._database, self._steps_table, self._status_table), spec)

        return carry_out


class QueueThread:
    """A thread that takes jobs from one queue: now and then, and at once when it is told that one waits.

    DBOS's own thread does the taking, held by an event of ours in place of the one that only ends it: 4 ms from the
    commit to the job instead of a polling interval, without asking the database more often.

    Args:
        queue: As DBOS knows it.
    """

    def __init__(self, queue: Any) -> None:
        from dbos._dbos import _get_dbos_instance
        from dbos._queue import queue_worker_thread

        self._bell = _Bell()
        arguments = (self._bell, _get_dbos_instance(), queue)
        self._thread = threading.Thread(
            target=queue_worker_thread, args=arguments, name=f"queue-{queue.name}", daemon=True
        )
        self._thread.start()

    def look_now(self) -> None:
        """Tell that a job waits."""
        self._bell.ring()

    def close(self) -> None:
        """Take no further job."""
        self._bell.set()
        self._thread.join()


class _Bell(threading.Event):
    """The event that ends a queue's thread, whose waiting can be cut short without ending it."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()

    def ring(self) -> None:
        """Let the current or the next waiting return at once."""
        self._rung.set()

    def set(self) -> None:
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or rung, or the time is over; returns whether it is set."""
        self._rung.wait(timeout)
        self._rung.clear()
        return self.is_set()


class _DurableContext:
    """The context of one job that DBOS carries out."""

    def __init__(self, database: Database, steps_table: str, status_table: str) -> None:
        from dbos import DBOS

        assert DBOS.workflow_id is not None, "a context is made inside a job"
        self._database = database
        self._job_id: str = DBOS.workflow_id
        self._steps_table = steps_table
        self._status_table = status_table

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Carry out a part once, or return what it gave the first time.

        Raises:
            NondeterministicPipeline: Another step was recorded at this place.
        """
        refuse_inside_write("A step")
        from dbos import DBOS
        from dbos._error import DBOSUnexpectedStepError

        try:
            return DBOS.run_step({"name": name}, function)
        except DBOSUnexpectedStepError as error:
            raise NondeterministicPipeline(pipeline=self._job_id, expected=str(error), found=name) from error

    def recorded_steps(self) -> list[str]:
        """Return the names of the steps that attempts of this job have recorded, in order."""
        # Plain SQL: DBOS's own listing would be recorded as a step of this job.
        query = (
            f"SELECT function_name FROM {self._steps_table} "  # noqa: S608, the name is one of two constants
            "WHERE workflow_uuid = :job ORDER BY function_id"
        )
        with self._database.read() as connection:
            return [str(row[0]) for row in connection.execute(text(query), {"job": self._job_id})]

    def is_cancelled(self) -> bool:
        """Tell whether somebody cancelled this job."""
        query = f"SELECT status FROM {self._status_table} WHERE workflow_uuid = :job"  # noqa: S608, a constant
        with self._database.read() as connection:
            return connection.execute(text(query), {"job": self._job_id}).scalar() == "CANCELLED"


def _quiet() -> None:
    for name in ("dbos", "dbos.stats"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with contextlib.suppress(ImportError):
        import dbos._logger  # noqa: F401, sets its own level at import: ours comes after
