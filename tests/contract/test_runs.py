"""What durable execution promises, on SQLite and on PostgreSQL."""

import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from ratchet import clock
from ratchet.engine import workers
from ratchet.engine.queues import Limit
from ratchet.engine.runs import DurableRuns, JobContext
from ratchet.errors import NestedWrite, NondeterministicPipeline, RunCancelled, StepFailed
from ratchet.loop import registry
from ratchet.store.database import BrokenOff
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.contract.hosts import Host, HostContract
from tests.waiting import PATIENCE_SECONDS, until


class _Unkept(Exception):
    """An error that nothing can keep."""


def _fail() -> None:
    raise StepFailed(step="s", error_type="ValueError", message="no")


class RunContract(HostContract):
    """The promises; a subclass says on which database."""

    def test_a_job_is_carried_out_once(self, host: Host) -> None:
        """What was enqueued before the launch and after it is carried out, each job once."""
        done: list[str] = []

        def note(_context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
            done.append(spec["name"])
            return {"was": spec["name"]}

        host.enqueue("before", {"name": "before"})
        host.launch(note)
        host.enqueue("after", {"name": "after"})
        assert host.wait("before") == ("SUCCESS", {"was": "before"})
        assert host.wait("after") == ("SUCCESS", {"was": "after"})
        assert sorted(done) == ["after", "before"]
        assert host.runs.pending() == []

    def test_nothing_happens_without_commit(self, host: Host) -> None:
        """A job of a transaction that failed never was."""
        host.launch(lambda *_: None)
        with pytest.raises(RuntimeError, match="later"), host.database.write() as transaction:  # noqa: PT012, the block is the transaction
            host.runs.enqueue(transaction, "act", "lost", {})
            message = "later"
            raise RuntimeError(message)
        assert host.runs.pending() == []
        assert host.runs.outcome("lost") == ("UNKNOWN", None)

    def test_known_id_changes_nothing(self, host: Host) -> None:
        """A job that is enqueued again, with whatever spec, is the first one, and runs once."""
        done: list[int] = []

        def note(_context: JobContext, spec: dict[str, Any]) -> int:
            done.append(spec["number"])
            return int(spec["number"])

        host.launch(note)
        host.enqueue("one", {"number": 1})
        host.wait("one")
        host.enqueue("one", {"number": 2})
        host.enqueue("other", {"number": 3})
        host.wait("other")
        assert (host.runs.outcome("one"), done) == (("SUCCESS", 1), [1, 3])

    def test_a_step_is_recorded(self, host: Host) -> None:
        """A job knows the steps that it recorded, in order, and gets their values."""

        def steps(context: JobContext, _spec: dict[str, Any]) -> Any:
            before = context.recorded_steps()
            values = [context.step("a", lambda: 1), context.step("b", lambda: {"x": None})]
            return [before, values, context.recorded_steps()]

        host.launch(steps)
        host.enqueue("job")
        assert host.wait("job") == ("SUCCESS", [[], [1, {"x": None}], ["a", "b"]])

    def test_a_failing_job_keeps_its_error(self, host: Host) -> None:
        """An error ends the job, is kept with all its fields, and leaves nothing pending."""

        def fail(context: JobContext, _spec: dict[str, Any]) -> Any:
            def step() -> None:
                raise StepFailed(step="s", error_type="ValueError", message="no {braces}")

            return context.step("fails", step)

        host.launch(fail)
        host.enqueue("job")
        status, error = host.wait("job")
        assert (status, error) == ("ERROR", StepFailed(step="s", error_type="ValueError", message="no {braces}"))
        assert host.runs.pending() == []

    def test_cancel_reaches_the_job(self, host: Host) -> None:
        """A cancelled job is told while it runs, and ends as cancelled; one that waits never starts."""
        begun = threading.Event()
        told = threading.Event()

        def watch(context: JobContext, spec: dict[str, Any]) -> None:
            assert spec["name"] == "running", "the other one never starts"
            begun.set()
            until(context.is_cancelled, "the cancellation")
            told.set()

        host.launch(watch, name="run")
        host.enqueue("running", {"name": "running"}, name="run")
        assert begun.wait(PATIENCE_SECONDS), "the job has not begun"
        host.enqueue("waiting", {"name": "waiting"}, name="run")
        host.runs.cancel("waiting")
        host.runs.cancel("running")
        assert told.wait(PATIENCE_SECONDS), "the job was not told"
        assert host.wait("running")[0] == host.wait("waiting")[0] == "CANCELLED"
        assert host.runs.pending() == []

    def test_who_is_cancelled_can_write_down_what_it_has_done(self, host: Host) -> None:
        """The step under way ends as cancelled, and so does the next one; a write is taken, and the job stays ended."""
        begun, written = threading.Event(), threading.Event()

        def work(context: JobContext, _spec: dict[str, Any]) -> None:
            def step() -> None:
                begun.set()
                until(context.is_cancelled, "the cancellation")

            for name in ("under way", "next"):
                with pytest.raises(RunCancelled, match=r"Run A was cancelled\."):
                    context.step(name, step)
            with host.database.write() as transaction:
                registry.put_state(transaction, "costs", 7)
            written.set()

        host.launch(work, name="run")
        host.enqueue("run:A", name="run")
        assert begun.wait(PATIENCE_SECONDS), "the job has not begun"
        host.runs.cancel("run:A")
        assert written.wait(PATIENCE_SECONDS), "nothing was written"
        with host.database.read() as connection:
            assert registry.state(connection, "costs") == 7
        assert host.wait("run:A")[0] == "CANCELLED"

    def test_what_this_process_enqueues_starts_at_once(self, host: Host) -> None:
        """A job does not wait for the next look at the queue, which is an hour away here."""
        host.runs.poll_seconds = 3600.0
        host.launch(lambda _context, spec: spec["number"])
        for number in range(3):
            host.enqueue(str(number), {"number": number})
            assert host.wait(str(number)) == ("SUCCESS", number)

    def test_who_waits_for_a_place_starts_when_one_is_free(self, host: Host) -> None:
        """More jobs than places are carried out one after the other, without a look in between."""
        host.runs.poll_seconds = 3600.0
        host.launch(lambda _context, spec: clock.sleep(0.01))
        with host.database.write() as transaction:
            for number in range(50):
                host.runs.enqueue(transaction, "act", str(number), {})
        until(lambda: not host.runs.pending(), "all jobs")

    def test_a_write_that_did_not_happen_starts_nothing(self, host: Host) -> None:
        """A job that was enqueued in a transaction that was rolled back is not carried out."""
        host.launch(lambda _context, spec: spec["number"])
        with contextlib.suppress(InterruptedError), host.database.write() as transaction:
            host.runs.enqueue(transaction, "act", "never", {"number": 1})
            raise InterruptedError
        host.enqueue("after", {"number": 2})
        assert host.wait("after") == ("SUCCESS", 2)
        assert host.runs.outcome("never") == ("UNKNOWN", None)

    def test_pending_names_what_waits_and_what_runs(self, host: Host) -> None:
        """A job is pending from the commit of its transaction until it is done."""
        goes_on = threading.Event()
        host.launch(lambda *_: goes_on.wait(PATIENCE_SECONDS), name="run")
        host.enqueue("first", name="run")
        host.enqueue("second", name="run")
        assert sorted(host.runs.pending()) == ["first", "second"]
        goes_on.set()
        host.wait("second")
        # The place is the second's before the outcome of the first is written.
        until(lambda: host.runs.pending() == [], "the outcome of both")

    def test_runs_go_one_by_one(self, host: Host) -> None:
        """A queue carries out no more jobs at once than it may."""
        under_way: list[str] = []
        most: list[int] = []

        def work(_context: JobContext, spec: dict[str, Any]) -> None:
            under_way.append(spec["name"])
            most.append(len(under_way))
            clock.sleep(0.05)
            under_way.remove(spec["name"])

        host.launch(work, name="run")
        for number in range(5):
            host.enqueue(str(number), {"name": str(number)}, name="run")
        for number in range(5):
            host.wait(str(number))
        assert most == [1] * 5

    def test_prune_forgets_finished_jobs_only(self, host: Host) -> None:
        """Old finished jobs are forgotten; what waits or runs stays, however old."""
        goes_on = threading.Event()
        host.launch(lambda _context, spec: goes_on.wait(PATIENCE_SECONDS) if spec["waits"] else None, name="run")
        host.enqueue("done", {"waits": False}, name="run")
        host.wait("done")
        host.enqueue("running", {"waits": True}, name="run")
        host.enqueue("waiting", {"waits": True}, name="run")
        assert host.runs.prune(older_than_seconds=3600) == 0
        assert host.runs.outcome("done")[0] == "SUCCESS"
        until(lambda: host.runs.prune(older_than_seconds=0) == 1, "the finished job to be old enough")
        assert host.runs.outcome("done") == ("UNKNOWN", None)
        assert sorted(host.runs.pending()) == ["running", "waiting"]
        goes_on.set()
        assert host.wait("waiting")[0] == "SUCCESS"

    def test_engine_calls_inside_a_write_are_refused(self, host: Host) -> None:
        """A call of the engine inside a write would wait for our own lock for ever: it is refused at once."""
        calls: list[Callable[[], object]] = [
            host.runs.prepare,
            host.runs.launch,
            lambda: host.runs.cancel("job"),
            lambda: host.runs.prune(older_than_seconds=0),
        ]
        for call in calls:
            with host.database.write(), pytest.raises(NestedWrite):
                call()

    def test_a_step_inside_a_write_is_refused(self, host: Host) -> None:
        """A job that opens a step inside a write fails, and the write is rolled back."""

        def nest(context: JobContext, _spec: dict[str, Any]) -> Any:
            with host.database.write():
                return context.step("inside", lambda: 1)

        host.launch(nest)
        host.enqueue("job")
        status, error = host.wait("job")
        assert (status, error) == ("ERROR", NestedWrite(what="A step"))

    def test_who_was_superseded_records_nothing(self, host: Host) -> None:
        """An attempt whose job another one has taken meanwhile ends with its step, which is not recorded."""
        table = "workflow_status" if host.database.is_sqlite else "dbos.workflow_status"

        def work(context: JobContext, _spec: dict[str, Any]) -> Any:
            def step() -> int:
                with host.database.aside() as connection:
                    connection.execute(text(f"UPDATE {table} SET owner_xid = 'another' WHERE workflow_uuid = 'job'"))
                return 1

            try:
                return context.step("a", step)
            finally:
                ended.set()

        ended = threading.Event()
        host.launch(work)
        host.enqueue("job")
        assert ended.wait(PATIENCE_SECONDS), "the step has not ended"
        steps = "operation_outputs" if host.database.is_sqlite else "dbos.operation_outputs"
        with host.database.read() as connection:
            assert connection.execute(text(f"SELECT count(*) FROM {steps}")).scalar() == 0
        assert host.runs.pending() == ["job"]
        host.runs.cancel("job")  # else its thread would wait for what the other attempt gives

    def test_two_records_at_one_place_are_refused(self, host: Host) -> None:
        """Where a row stands already that this attempt has not written, the job fails, and the row stays as it is."""
        steps = "operation_outputs" if host.database.is_sqlite else "dbos.operation_outputs"

        def work(context: JobContext, _spec: dict[str, Any]) -> Any:
            def step() -> int:
                with host.database.aside() as connection:
                    connection.execute(
                        text(
                            f"INSERT INTO {steps} (workflow_uuid, function_id, function_name, completed_at_epoch_ms, "
                            "retention_timestamp) VALUES ('job', 1, 'other', 1, 1)"
                        )
                    )
                return 1

            return context.step("a", step)

        host.launch(work)
        host.enqueue("job")
        status, error = host.wait("job")
        assert (status, type(error)) == ("ERROR", NondeterministicPipeline)
        with host.database.read() as connection:
            assert connection.execute(text(f"SELECT function_name FROM {steps}")).scalars().all() == ["other"]

    def test_a_step_that_could_not_be_recorded_leaves_its_place_empty(self, host: Host) -> None:
        """Where the job goes on all the same, another attempt does that step again and none of the others."""
        done: list[str] = []
        goes_on = threading.Event()

        def fail() -> None:
            done.append("fails")
            raise _Unkept(lambda: None)

        def work(context: JobContext, _spec: dict[str, Any]) -> Any:
            with contextlib.suppress(Exception):
                context.step("fails", fail)
            value = context.step("gives", lambda: done.append("gives") or len(done))
            if not goes_on.is_set():
                goes_on.set()
                raise BrokenOff
            return [value, context.recorded_steps()]

        host.launch(work)
        host.enqueue("job")
        assert goes_on.wait(PATIENCE_SECONDS), "the first attempt did not come so far"
        if host.database.is_sqlite:
            host.runs.close()
            host.runs.launch()
        assert host.wait("job") == ("SUCCESS", [2, ["gives"]])
        assert done == ["fails", "gives", "fails"]

    def test_unknown_name_is_refused(self, host: Host) -> None:
        """A job under a name that no process knows would wait for ever: it can be neither registered nor enqueued."""
        with pytest.raises(AssertionError, match="sweep"):
            host.runs.register("sweep", lambda *_: None)
        with pytest.raises(KeyError, match="sweep"), host.database.write() as transaction:
            host.runs.enqueue(transaction, "sweep", "job", {})
        assert host.runs.pending() == []

    def test_close_and_launch_again(self, host: Host) -> None:
        """What was enqueued while nobody carried out jobs is done after the next launch."""
        host.launch(lambda *_: 1)
        host.runs.close()
        host.enqueue("job")
        host.runs.launch()
        assert host.wait("job") == ("SUCCESS", 1)

    # ---- after kill -9

    def test_kill_minus_nine_loses_nothing(self, host: Host, url: str, tmp_path: Path) -> None:
        """A process killed in the second of two steps is taken over: the first one never runs again."""
        steps = tmp_path / "steps"
        host.enqueue("job", {"folder": str(tmp_path)}, name="run")
        with _carrying_out(url, tmp_path) as first:
            until(lambda: steps.exists() and "second\n" in steps.read_text(), "the second step")
            first.kill()
        assert host.runs.pending() == ["job"]
        (tmp_path / "go").touch()
        with _carrying_out(url, tmp_path) as second:
            assert host.wait("job") == ("SUCCESS", ["first", "second done"])
            second.kill()
        assert steps.read_text().split("\n") == ["first", "second", "second", "second done", ""]

    def test_another_sequence_after_a_restart_is_refused(self, host: Host, url: str, tmp_path: Path) -> None:
        """A job that asks for another step than the recorded one, after a restart, fails loudly."""
        host.enqueue("job", {"folder": str(tmp_path)}, name="run")
        with _carrying_out(url, tmp_path) as process:
            until(lambda: (tmp_path / "steps").exists() and "second" in (tmp_path / "steps").read_text(), "step two")
            process.kill()
        host.launch(lambda context, _spec: context.step("another", lambda: 1), name="run")
        status, error = host.wait("job")
        assert status == "ERROR"
        assert isinstance(error, NondeterministicPipeline)
        assert (error.pipeline, error.found) == ("job", "another")

    def test_what_was_recorded_can_be_passed_over(self, host: Host, url: str, tmp_path: Path) -> None:
        """An attempt that does not come as far as the one before it goes on behind what that one has recorded."""
        host.enqueue("job", {"folder": str(tmp_path)}, name="run")
        with _carrying_out(url, tmp_path) as process:
            until(lambda: (tmp_path / "steps").exists() and "second" in (tmp_path / "steps").read_text(), "step two")
            process.kill()

        def job(context: JobContext, _spec: dict[str, Any]) -> Any:
            passed = context.catch_up()
            return [*passed, context.step("end", lambda: 1), context.catch_up(), context.recorded_steps()]

        host.launch(job, name="run")
        assert host.wait("job") == ("SUCCESS", [("first", "first"), 1, [], ["first", "end"]])


def _carrying_out(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that carries out jobs until it is killed."""
    return subprocess.Popen([sys.executable, "-m", "tests.contract.programs", "carry-out", url, str(folder)])


class TestRunsOnSQLite(OnSQLite, RunContract):
    """The promises on SQLite."""

    def test_an_engine_starts_where_nobody_listens_to_errors(
        self, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who started the process may have closed what it prints to, before or after an engine ran in it."""
        monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [])
        with (tmp_path / "stderr").open("w") as closed:
            pass
        monkeypatch.setattr(sys, "stderr", closed)
        host.launch(lambda _context, spec: spec["number"])
        host.enqueue("job", {"number": 3})
        assert host.wait("job") == ("SUCCESS", 3)


class TestRunsOnPostgreSQL(OnPostgreSQL, RunContract):
    """The promises on PostgreSQL."""

    def test_an_attempt_that_was_superseded_cannot_write(self, host: Host) -> None:
        """A job that was given to another attempt while the first stood still is written about by the second only."""
        attempts: list[threading.Event] = [threading.Event(), threading.Event()]
        lock = threading.Lock()
        begun: list[int] = []
        written: list[int] = []
        refused: list[str] = []

        def job(_context: JobContext, _spec: dict[str, Any]) -> str:
            with lock:
                number = len(begun)
                begun.append(number)
            attempts[number].set()
            if number == 0:
                assert attempts[1].wait(PATIENCE_SECONDS)
            try:
                with host.database.write():
                    written.append(number)
            except BaseException as error:
                refused.append(type(error).__name__)
                raise
            return f"attempt {number}"

        host.launch(job)
        host.enqueue("one")
        until(attempts[0].is_set, "the first attempt")
        assert host.runs.worker is not None
        assert host.runs.give_back(host.runs.worker.id) == 1
        assert host.wait("one") == ("SUCCESS", "attempt 1")
        until(lambda: refused, "the first attempt's refusal")
        assert (written, len(begun)) == ([1], 2)

    def test_a_dead_workers_claim_holds_no_place_for_long(self, host: Host) -> None:
        """Where all machines together may carry out one run, that of a worker that is gone does not block the next."""
        other = msgspec.structs.replace(host.runs.as_server(), id="gone", kind="worker", machine="elsewhere", pid=1)
        with host.database.aside() as connection:
            workers.enter(connection, other)
        host.runs.register("run", lambda *_: "done")
        host.enqueue("first", name="run")
        host.enqueue("second", name="run")
        with host.database.aside() as connection:
            connection.exec_driver_sql(
                "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'gone', owner_xid = 'x', "
                "started_at_epoch_ms = 1 WHERE workflow_uuid = 'first'"
            )
        host.runs.launch(limits={"runs": Limit(at_once=1)})
        assert (host.wait("first"), host.wait("second")) == (("SUCCESS", "done"), ("SUCCESS", "done"))

    def test_no_more_begin_at_once_than_the_limit_of_all_machines(self, host: Host) -> None:
        """The limit counts what this process could carry out beside it."""
        at_once, most, lock = [0], [0], threading.Lock()

        def run(_context: JobContext, _spec: dict[str, Any]) -> None:
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            clock.sleep(0.05)
            with lock:
                at_once[0] -= 1

        host.runs.register("run", run)
        for number in range(6):
            host.enqueue(f"job {number}", name="run")
        host.runs.launch(host.runs.as_server(runs=4), limits={"runs": Limit(at_once=2)})
        until(lambda: not host.runs.pending(), "all jobs")
        assert 1 <= most[0] <= 2

    def test_what_another_process_enqueues_starts_at_once(self, host: Host) -> None:
        """A word that comes with the commit is heard by whoever carries out jobs."""
        host.runs.poll_seconds = 3600.0
        host.launch(lambda _context, spec: spec["number"])
        other = DurableRuns(host.database)
        for number in range(3):
            with host.database.write() as transaction:
                other.enqueue(transaction, "act", str(number), {"number": number})
            assert host.wait(str(number)) == ("SUCCESS", number)
        other.close()

    def test_who_could_not_hear_looks_when_it_can_again(self, host: Host) -> None:
        """A listener whose connection was cut takes what was enqueued meanwhile as soon as it hears again."""
        host.runs.poll_seconds = 3600.0
        host.launch(lambda *_: "done")
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN ratchet%%'"
        with host.database.write() as transaction:
            assert len(transaction.exec_driver_sql(cut).all()) == 1
        host.enqueue("meanwhile")
        assert host.wait("meanwhile") == ("SUCCESS", "done")
