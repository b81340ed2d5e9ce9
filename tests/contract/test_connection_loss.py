"""What is promised where a connection to PostgreSQL is lost, or its server ends and comes back."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ratchet import clock
from ratchet.engine import resumption
from ratchet.engine.runs import DurableRuns, JobContext
from ratchet.errors import DatabaseAway, DatabaseInvalid, WriteUncertain
from ratchet.records import Event
from ratchet.store import database as databases
from ratchet.store import migrations
from ratchet.store.database import Database, filled_url
from ratchet.store.ledger import Ledger
from tests.contract.programs import react_with_nothing
from tests.servers import CRASH_SAFE, PostgresServer
from tests.severing import Line
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.postgres
OWN_PID = text("SELECT pg_backend_pid()")
END = text("SELECT pg_terminate_backend(:pid)")


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Give a server of our own, which may end at any time and loses nothing that it has confirmed."""
    assert postgres_server.folder.is_dir(), "where there is none, all of this is skipped"
    with PostgresServer(CRASH_SAFE) as server:
        yield server


@pytest.fixture
def line(server: PostgresServer) -> Iterator[Line]:
    """Give a line to the server that can be cut."""
    with Line(server.folder) as line:
        yield line


@pytest.fixture
def url(server: PostgresServer, line: Line) -> Iterator[str]:
    """Say where an empty database is, through the line."""
    with server.database() as url:
        yield line.url(url)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Give a database with its tables."""
    with closing(Database(url)) as database:
        migrations.migrate(database)
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Give a ledger to which nothing reacts."""
    return Ledger(database, react_with_nothing)


def event(name: str) -> Event:
    """Return an event with an id of its own."""
    return Event(type="custom.emitted", subject="s", source="elsewhere", id=name)


def ids(ledger: Ledger) -> list[str]:
    """Return the ids of all events, in order."""
    return [one.id for one in ledger.read()]


def end_others(database: Database, connection: Connection) -> None:
    """End a connection from another one, as an administrator would."""
    pid = connection.execute(OWN_PID).scalar_one()
    with database.read() as other:
        assert other.execute(END, {"pid": pid}).scalar_one()


# ---- reading and writing


def test_a_connection_that_ends_before_the_commit_writes_nothing(ledger: Ledger, database: Database) -> None:
    """Whoever wrote is told in a sentence, nothing of it is there, and the next write goes through."""
    with pytest.raises(DatabaseAway, match="taken back as a whole"), database.write() as transaction:  # noqa: PT012, the block is the transaction
        ledger.append(transaction, event("lost"))
        end_others(database, transaction)
    ledger.record(event("after"))
    assert ids(ledger) == ["after"]


def test_a_commit_that_never_arrives_writes_nothing(ledger: Ledger, line: Line) -> None:
    """Where the line breaks before the server hears of the commit, the write is looked for in vain and was not."""
    ledger.record(event("before"))
    line.cut_at("INSERT INTO ledger", "COMMIT", before=True)
    with pytest.raises(DatabaseAway):
        ledger.record(event("lost"))
    assert line.cut.is_set()
    assert ids(ledger) == ["before"]


def test_a_commit_whose_reply_is_lost_is_found(ledger: Ledger, database: Database, line: Line) -> None:
    """The write has happened, so nobody is told that it failed, and what was to be done afterwards is done."""
    done: list[str] = []
    ledger.record(event("before"))
    line.cut_at("INSERT INTO ledger", "COMMIT")
    with database.write() as transaction:
        database.after_commit(lambda: done.append("afterwards"))
        ledger.append(transaction, event("written"))
    assert line.cut.is_set()
    assert done == ["afterwards"]
    assert ids(ledger) == ["before", "written"]


def test_a_write_is_found_although_it_only_repeats_another(ledger: Ledger, database: Database, line: Line) -> None:
    """An event that was there before says nothing about the write whose reply was lost; a new one beside it does."""
    ledger.record(event("old"))
    line.cut_at("INSERT INTO ledger", "COMMIT", before=True)
    with pytest.raises(DatabaseAway):
        ledger.record(event("old"), event("new"))
    assert ids(ledger) == ["old"]


def test_it_is_looked_for_until_the_server_is_back(ledger: Ledger, line: Line, server: PostgresServer) -> None:
    """A server that crashes right after a commit, before it could reply, is waited for."""
    ledger.record(event("before"))
    line.cut_at("INSERT INTO ledger", "COMMIT")
    # The server is ours to start in this thread: it ends with the thread that started it.
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(ledger.record, event("written"))
        assert line.cut.wait(PATIENCE_SECONDS)
        server.crash()
        clock.sleep(0.3)
        server.start()
        written.result(PATIENCE_SECONDS)
    assert ids(ledger) == ["before", "written"]


def test_a_write_that_nobody_can_tell_of_is_said_to_be_uncertain(
    ledger: Ledger, line: Line, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server does not come back, neither success nor failure is claimed."""
    monkeypatch.setattr(databases, "UNCERTAIN_SECONDS", 0.0)
    ledger.record(event("before"))
    line.cut_at("INSERT INTO ledger", "COMMIT")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(ledger.record, event("uncertain"))
        assert line.cut.wait(PATIENCE_SECONDS)
        server.crash()
        # It may have been found in the moment before the server ended; then nothing is uncertain.
        error = written.exception(PATIENCE_SECONDS)
    server.start()
    assert error is None or isinstance(error, WriteUncertain)
    assert ids(ledger) == ["before", "uncertain"]


def test_connections_that_ended_while_nobody_used_them_are_made_again(
    ledger: Ledger, database: Database, server: PostgresServer, url: str
) -> None:
    """After all were ended, or the server was started again, nobody notices."""
    ledger.record(event("1"))
    name = url.rpartition("/")[2].partition("?")[0]
    name = database.engine.url.database or name
    assert server.terminate(name) > 0
    # The signal is on its way when this returns; whoever writes before it has come loses a connection that it uses.
    until(lambda: server.terminate(name) == 0, "the end of all connections")
    ledger.record(event("2"))
    server.crash()
    server.start()
    assert ids(ledger) == ["1", "2"]


def test_a_server_that_is_away_is_named_without_the_password(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says which database, why, and what to do; what is in the environment stays there."""
    monkeypatch.setenv("SECRET", "p@ss/w:rd")
    database = Database("postgresql://me:${SECRET}@127.0.0.1:1/flights")
    assert database.engine.url.password == "p@ss/w:rd"
    with pytest.raises(DatabaseAway) as caught, database.read():
        pass
    message = str(caught.value)
    assert "postgresql://me:***@127.0.0.1:1/flights is away: Connection refused. What" in message
    assert "pg_isready" in message
    assert "p@ss" not in message + repr(caught.value)


def test_what_is_loaded_for_the_first_write_is_loaded_before_it(ledger: Ledger, database: Database) -> None:
    """Nobody waits for it: another one can write meanwhile; and it is done once."""
    done: list[str] = []

    def load() -> None:
        with closing(Database(database.url)) as other:
            Ledger(other, react_with_nothing).record(event("meanwhile"))
        done.append("loaded")

    database.before_first_write(load)
    ledger.record(event("1"))
    ledger.record(event("2"))
    assert done == ["loaded"]
    assert ids(ledger) == ["meanwhile", "1", "2"]


# ---- URLs


def test_variables_stand_for_parts_or_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is taken as it is, whatever its characters; a variable alone is a whole URL."""
    monkeypatch.setenv("DB", "postgres://a:b%40@h/d")
    monkeypatch.setenv("HOST", "db.example.org")
    assert filled_url("${DB}").password == "b@"
    assert filled_url("${DB}").drivername == "postgresql+psycopg"
    assert filled_url("postgresql+psycopg://u@${HOST}/d").host == "db.example.org"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:${NOWHERE_SET}@h/d", "NOWHERE_SET.*export NOWHERE_SET"),
        ("postgresql//u:geheim@h/d", "means nothing.*postgresql://USER@HOST/NAME"),
        ("oracle9://u:geheim@h/d", "means nothing"),
    ],
)
def test_a_url_that_means_nothing_is_refused(url: str, problem: str) -> None:
    """The message says what to write, and does not repeat a password."""
    with pytest.raises(DatabaseInvalid, match=problem) as caught:
        Database(url)
    assert "geheim" not in str(caught.value)


# ---- jobs


@pytest.fixture
def runs(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[DurableRuns]:
    """Give an engine that is not launched yet, and looks after its jobs often."""
    monkeypatch.setattr(resumption, "LOOK_SECONDS", 0.5)
    runs = DurableRuns(database, poll_seconds=0.02)
    runs.prepare()
    yield runs
    runs.close()


def enqueue(runs: DurableRuns, database: Database, job: str, *, name: str = "act") -> None:
    """Enqueue a job in a transaction of its own."""
    with database.write() as transaction:
        runs.enqueue(transaction, name, job, {})


def result(runs: DurableRuns, job: str) -> Any:
    """Wait for a job that must end well, and return what it gave."""
    until(lambda: runs.outcome(job)[0] in ("SUCCESS", "ERROR"), f"job {job}")
    status, value = runs.outcome(job)
    assert status == "SUCCESS", value
    return value


def test_a_job_that_lost_its_connection_is_carried_out_again(
    runs: DurableRuns, database: Database, ledger: Ledger
) -> None:
    """It ends as if it had been killed: no ``except`` takes that for an answer, and no recorded step runs again."""
    done: list[str] = []

    def work(context: JobContext, _spec: dict[str, Any]) -> list[str]:
        def write() -> str:
            done.append("write")
            with database.write() as transaction:
                ledger.append(transaction, event("once"))
                if done.count("write") == 1:
                    end_others(database, transaction)
            return "written"

        try:
            return [context.step("note", lambda: done.append("note") or "noted"), context.step("write", write)]
        except Exception as error:  # noqa: BLE001, what jobs have at their border
            return [str(error)]

    runs.register("act", work)
    runs.launch()
    enqueue(runs, database, "job")
    assert result(runs, "job") == ["noted", "written"]
    assert done == ["note", "write", "write"]
    assert ids(ledger) == ["once"]


def test_a_job_that_was_taken_without_anybody_knowing_is_taken_again(
    runs: DurableRuns, database: Database, line: Line
) -> None:
    """The reply to the taking was lost: the database has the job as taken, and no thread carries it out."""
    runs.poll_seconds = 3600.0  # each look is one that a job has asked for
    runs.register("act", lambda *_: "done")
    runs.launch()
    enqueue(runs, database, "before")
    assert result(runs, "before") == "done"
    line.cut_at("WITH chosen AS")
    enqueue(runs, database, "job")
    assert result(runs, "job") == "done"
    assert line.cut.is_set()
    taken = "SELECT workflow_uuid, recovery_attempts FROM dbos.workflow_status ORDER BY workflow_uuid"
    with database.read() as connection:
        assert [tuple(row) for row in connection.execute(text(taken))] == [("before", 1), ("job", 2)]


def test_a_server_that_ends_while_a_step_runs(runs: DurableRuns, database: Database, server: PostgresServer) -> None:
    """The step ends when the server is back, is recorded then, and none runs twice."""
    done: list[str] = []
    begun, goes_on = threading.Event(), threading.Event()

    def work(context: JobContext, _spec: dict[str, Any]) -> list[str]:
        def long() -> str:
            done.append("long")
            begun.set()
            assert goes_on.wait(PATIENCE_SECONDS)
            return "computed"

        first = context.step("first", lambda: done.append("first") or "first")
        return [first, context.step("long", long), str(context.is_cancelled())]

    runs.register("run", work)
    runs.launch()
    enqueue(runs, database, "job", name="run")
    assert begun.wait(PATIENCE_SECONDS)
    server.crash()
    goes_on.set()
    server.start()
    assert result(runs, "job") == ["first", "computed", "False"]
    assert done == ["first", "long"]


def test_an_idle_engine_goes_on_after_the_server_was_started_again(
    runs: DurableRuns, database: Database, server: PostgresServer
) -> None:
    """Whoever waits for work at that moment finds what is enqueued later."""
    runs.register("act", lambda *_: "done")
    runs.launch()
    enqueue(runs, database, "before")
    assert result(runs, "before") == "done"
    server.crash()
    with pytest.raises(DatabaseAway):
        runs.outcome("before")
    server.start()
    enqueue(runs, database, "after")
    assert result(runs, "after") == "done"


def test_an_engine_can_be_closed_while_the_server_is_away(
    runs: DurableRuns, database: Database, server: PostgresServer
) -> None:
    """Ctrl-C does not wait for a server."""
    runs.register("act", lambda *_: "done")
    runs.launch()
    enqueue(runs, database, "job")
    result(runs, "job")
    server.crash()
    clock.sleep(0.2)
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(runs.close)
        try:
            closed.result(PATIENCE_SECONDS)
        finally:
            server.start()


def test_the_line_can_be_cut(ledger: Ledger, line: Line, tmp_path: Path) -> None:
    """A line that is never cut would show nothing."""
    ledger.record(event("1"))
    assert not line.cut.is_set()
    line.cut_at("COMMIT", before=True)
    with pytest.raises(DatabaseAway):
        ledger.record(event("2"))
    assert line.cut.is_set()
