"""What a waiting job lacks."""

import re
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event

from ratchet.engine import workers
from ratchet.engine.capacity import Capacity, Demand
from ratchet.engine.queues import queue_of_steps
from ratchet.engine.runs import INTERPRETER, DurableRuns
from ratchet.engine.stranded import Line, Stranded, Teller, lines, why_nobody
from ratchet.engine.workers import Worker
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url

NOW = "interpreter-2"
WORKER = workers.this_process("worker", capacity=Capacity(runs=1, cpu=2, memory_gb=8), interpreter=NOW, worker_id="w1")
SERVER = msgspec.structs.replace(WORKER, id="s1", kind="server", capacity=Capacity(runs=0, cpu=0))
SERVER_NOW = msgspec.structs.replace(SERVER, interpreter=INTERPRETER)
GPU = queue_of_steps(Demand(cpu=1, gpu=1))


@pytest.mark.parametrize(
    ("queue", "version", "alive", "reason"),
    [
        ("reactions", NOW, [SERVER], ""),
        ("reactions", NOW, [WORKER], "no server runs"),
        ("runs", NOW, [SERVER, WORKER], ""),
        ("runs", NOW, [SERVER], "no process carries out runs"),
        ("runs", NOW, [], "no process carries out runs"),
        (queue_of_steps(Demand(cpu=2)), NOW, [WORKER], ""),
        (GPU, NOW, [WORKER], r"no process has cpu=1 gpu=1 \(w1 gives cpu=2 memory_gb=8\)"),
        (GPU, NOW, [SERVER], r"no process has cpu=1 gpu=1 \(s1 gives nothing\)"),
        (GPU, NOW, [], r"no process has cpu=1 gpu=1 \(none runs\)"),
        ("runs", "interpreter-1", [WORKER], "needs interpreter-1 of the engine, and what runs is interpreter-2"),
        ("runs", "", [WORKER], "needs an unknown version"),
    ],
)
def test_the_reason_names_what_is_missing(queue: str, version: str, alive: list[Worker], reason: str) -> None:
    """A job that somebody would take has no reason; any other says what to start."""
    found = why_nobody(queue, version, alive)
    assert bool(found) == bool(reason)
    assert re.search(reason, found), found


def test_a_worker_of_the_right_version_is_enough() -> None:
    """Old and new workers may run side by side while a fleet is brought up to date."""
    old = msgspec.structs.replace(WORKER, id="w0", interpreter="interpreter-1")
    assert why_nobody("runs", "interpreter-1", [WORKER, old]) == ""


def waiting(count: int, *, kind: str = "run", since: float = 0.0) -> Line:
    """Return so many jobs that wait for the same."""
    return Line(kind=kind, count=count, since_seconds=since, reason="nobody")


def test_only_what_has_waited_for_a_while_is_said() -> None:
    """A process that is just starting is not missed."""
    found = [waiting(1, since=10.0), waiting(2, kind="step", since=98.0)]
    assert Teller().news(found, now_seconds=100.0) == ["1 run waits: nobody"]


def test_a_number_is_said_when_it_changes() -> None:
    """Once, and one that keeps changing every ten seconds; what was over and comes again is said again."""
    teller = Teller()
    said = {
        second: teller.news([waiting(count)] if count else [], now_seconds=100.0 + second)
        for second, count in ((0, 1), (1, 1), (2, 500), (3, 900), (10, 1200), (30, 1200), (31, 0), (32, 1200))
    }
    assert {second: sentences for second, sentences in said.items() if sentences} == {
        0: ["1 run waits: nobody"],
        10: ["1,200 runs wait: nobody"],
        32: ["1,200 runs wait: nobody"],
    }


def test_jobs_are_counted_by_what_they_lack(tmp_path: Path) -> None:
    """By kind and reason; those that somebody would take are not among them, and no job is read by itself."""
    database = Database(sqlite_url(tmp_path / "ratchet.db"))
    migrations.migrate(database)
    runs = DurableRuns(database)
    runs.prepare()
    with database.write() as transaction:
        for number in range(3):
            runs.enqueue(transaction, "run", f"run:{number}", {})
        runs.enqueue(transaction, "act", "act:1", {})
        runs.enqueue(transaction, "step", "step:1", {}, demand=Demand(cpu=1, gpu=1))
    elsewhere = [Stranded(job_id=f"step:{number}", since_seconds=number, reason="no room") for number in (7.0, 5.0)]
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    seen = workers.Seen(worker=SERVER_NOW, silent_seconds=0.0, is_alive=True)
    with database.read() as connection:
        found = lines(connection, "workflow_status", [seen], others=elsewhere)
    assert len([one for one in asked if "workflow_status" in one]) == 1
    assert [(one.kind, one.count) for one in sorted(found, key=lambda one: (one.kind, one.count))] == [
        ("run", 3),
        ("step", 1),
        ("step", 2),
    ]
    assert {one.reason: one.since_seconds for one in found}["no room"] == 5.0
    assert all(one.since_seconds > 1e9 for one in found if one.reason != "no room")
    runs.close()
    database.close()
