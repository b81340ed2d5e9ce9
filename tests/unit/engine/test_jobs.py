"""Jobs as rows: what waits, what nobody would ever take, and what may be carried over to another place."""

import base64
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from ratchet.engine import jobs
from ratchet.engine.runs import DurableRuns
from ratchet.errors import JobUnreadable, StepFailed
from ratchet.loop.refusals import RayUnusable
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the engine's tables."""
    database = Database(sqlite_url(tmp_path_factory.mktemp("jobs") / "ratchet.db"))
    migrations.migrate(database)
    runs = DurableRuns(database)
    runs.prepare()
    runs.close()
    yield database
    database.close()


@pytest.fixture
def database(prepared: Database) -> Iterator[Database]:
    """The same, without jobs, and a job that waits."""
    runs = DurableRuns(prepared)
    with prepared.write() as transaction:
        for table in reversed(jobs.tables(transaction)):
            transaction.execute(table.delete())
        runs.enqueue(transaction, "act", "act:1", {"digest": "a" * 64})
    runs.close()
    return prepared


def set_status(database: Database, **values: Any) -> None:
    """Change the rows of all jobs."""
    with database.write() as transaction:
        transaction.execute(jobs.tables(transaction)[0].update().values(**values))


def record_step(database: Database, column: str, value: Any) -> None:
    """Record a step of the job, as the engine does."""
    content = base64.b64encode(pickle.dumps(value)).decode()
    with database.write() as transaction:
        steps = jobs.tables(transaction)[3]
        row = {"workflow_uuid": "act:1", "function_id": 1, "function_name": "step", column: content}
        transaction.execute(insert(steps), row)


def test_a_database_without_an_engine_has_no_jobs(tmp_path: Path) -> None:
    """Nothing was prepared yet: nothing waits, and nothing is to be done."""
    database = Database(sqlite_url(tmp_path / "ratchet.db"))
    with database.write() as transaction:
        assert jobs.tables(transaction) == []
        assert jobs.unfinished(transaction) == []
        assert jobs.digests(transaction) == set()
        jobs.forget_finished(transaction)
        jobs.let_go(transaction)
        jobs.refuse_code(transaction)
    database.close()


def test_what_is_not_finished_is_listed(database: Database) -> None:
    """A job that waits, is under way or was given up is listed with its age; a finished one is not."""
    with database.read() as connection:
        (found,) = jobs.unfinished(connection)
    assert (found.id, found.name, found.status, found.is_orphan) == ("act:1", "act", "ENQUEUED", False)
    assert found.created_seconds > 1_700_000_000
    for status, count in (("PENDING", 1), (jobs.GIVEN_UP, 1), ("SUCCESS", 0), ("CANCELLED", 0)):
        set_status(database, status=status)
        with database.read() as connection:
            assert len(jobs.unfinished(connection)) == count


@pytest.mark.parametrize("values", [{"name": "of_old"}, {"application_version": "interpreter-0"}])
def test_a_job_that_nobody_would_take_is_told_apart(database: Database, values: dict[str, str]) -> None:
    """One of a name or a version that no process knows would wait for ever."""
    set_status(database, **values)
    with database.read() as connection:
        assert [one.is_orphan for one in jobs.unfinished(connection)] == [True]


def test_who_carries_a_job_out_is_known(database: Database, tmp_path: Path) -> None:
    """While somebody does: not while it waits, nor once it is over; nor of a job that there is not."""
    found = []
    for status in ("ENQUEUED", "PENDING", "SUCCESS"):
        set_status(database, status=status, executor_id="worker-1")
        with database.read() as connection:
            found.append(jobs.taker(connection, "act:1"))
            assert jobs.taker(connection, "act:2") == ""
    assert found == ["", "worker-1", ""]
    empty = Database(sqlite_url(tmp_path / "ratchet.db"))
    with empty.read() as connection:
        assert jobs.taker(connection, "act:1") == ""
    empty.close()


def test_artifacts_of_jobs_are_found(database: Database) -> None:
    """What a job was given and what its steps gave names artifacts that must not be left behind."""
    record_step(database, "output", {"sha256": "b" * 64})
    with database.read() as connection:
        assert jobs.digests(connection) == {"a" * 64, "b" * 64}
    set_status(database, status="SUCCESS")
    with database.read() as connection:
        assert jobs.digests(connection) == set()


def test_finished_jobs_are_forgotten_with_their_steps(database: Database) -> None:
    """Those that are not finished stay, with all they have recorded."""
    record_step(database, "output", 1)
    with database.write() as transaction:
        jobs.forget_finished(transaction)
        assert [len(transaction.execute(select(one)).all()) for one in jobs.tables(transaction)] == [1, 1, 0, 1]
    set_status(database, status="ERROR")
    with database.write() as transaction:
        jobs.forget_finished(transaction)
        assert [len(transaction.execute(select(one)).all()) for one in jobs.tables(transaction)] == [0, 0, 0, 0]


def test_taken_jobs_wait_again(database: Database) -> None:
    """Whoever had taken one is of another place."""
    set_status(database, status="PENDING", executor_id="elsewhere", owner_xid="1", started_at_epoch_ms=1)
    with database.write() as transaction:
        jobs.let_go(transaction)
        row = transaction.execute(select(jobs.tables(transaction)[0])).one()
    assert (row.status, row.owner_xid, row.started_at_epoch_ms) == ("ENQUEUED", None, None)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "é", (1, 2)]},
        StepFailed(step="train", error_type="ValueError", message="x"),
        RayUnusable(step="train", problem="x", remedy="y"),
        ValueError("x"),
    ],
    ids=["data", "our error", "one of the loop", "an error"],
)
def test_plain_data_and_errors_may_be_carried_over(database: Database, value: Any) -> None:
    """What the engine writes itself."""
    record_step(database, "output", value)
    with database.read() as connection:
        jobs.refuse_code(connection)


class Call:
    """What calls something where it is unpickled."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        """Return the call."""
        return self.call


@pytest.mark.parametrize(
    "value",
    [Call(eval, "1"), Call(print, "x"), Call(pickle.loads, b""), Database],
    ids=["eval", "print", "loads", "us"],
)
def test_anything_else_is_refused(database: Database, value: Any) -> None:
    """No call, no class of ours, nothing of Python but its errors; the message names job and column."""
    record_step(database, "error", value)
    with database.read() as connection, pytest.raises(JobUnreadable, match=r"Job act:1 .*\(error\)"):
        jobs.refuse_code(connection)


@pytest.mark.parametrize("content", ["not base64!", base64.b64encode(b"\x80\x04}").decode(), ""])
def test_what_cannot_be_read_is_refused(database: Database, content: str) -> None:
    """A value that is cut off or written in another way; none at all is no value."""
    with database.write() as transaction:
        transaction.execute(jobs.tables(transaction)[1].update().values(inputs=content))
        if content:
            with pytest.raises(JobUnreadable):
                jobs.refuse_code(transaction)
        else:
            jobs.refuse_code(transaction)
