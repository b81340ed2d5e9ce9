"""What waits is counted by kind, with the oldest; what has waited too long is a warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from ratchet import clock
from ratchet.config import LimitSection
from ratchet.engine.backlog import Backlog, Waiting
from ratchet.engine.runs import DurableRuns
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url

LIMITS = LimitSection(reaction_wait_seconds=60, run_wait_seconds=3600)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[DurableRuns]:
    """An engine that carries out nothing."""
    database = Database(sqlite_url(tmp_path / "ratchet.db"))
    migrations.migrate(database)
    runs = DurableRuns(database)
    runs.prepare()
    yield runs
    runs.close()
    database.close()


def enqueue(runs: DurableRuns, job_id: str, *, minutes: float = 0.0, status: str = "ENQUEUED") -> None:
    """Let a job wait that was enqueued so long ago."""
    with runs._database.write() as transaction:
        runs.enqueue(transaction, job_id.partition(":")[0], job_id, {})
    at = int((clock.real_seconds() - 60 * minutes) * 1000)
    change = text("UPDATE workflow_status SET created_at = :at, status = :status WHERE workflow_uuid = :id")
    with runs._database.write() as transaction:
        transaction.execute(change, {"at": at, "status": status, "id": job_id})


def backlog(runs: DurableRuns, *, is_running: bool = True) -> Backlog:
    """Return what waits."""
    return runs.backlog(LIMITS, is_running=is_running)


def test_nothing_waits_at_first(runs: DurableRuns) -> None:
    """Nor does what is done."""
    assert backlog(runs) == Backlog()
    enqueue(runs, "act:done", status="SUCCESS")
    enqueue(runs, "act:failed", status="ERROR")
    assert backlog(runs) == Backlog()


def test_each_kind_has_its_number_and_its_oldest(runs: DurableRuns) -> None:
    """In the order in which an event passes; what is under way waits no more."""
    for number in range(3):
        enqueue(runs, f"act:{number}", minutes=0.1 * number)
    enqueue(runs, "dispatch:a", minutes=0.5)
    enqueue(runs, "run:x", minutes=20.0)
    enqueue(runs, "run:y", minutes=30.0, status="PENDING")
    found = backlog(runs)
    assert [(one.kind, one.waiting, one.under_way, one.oldest) for one in found.kinds] == [
        ("dispatch", 1, 0, "dispatch:a"),
        ("act", 3, 0, "act:2"),
        ("run", 1, 1, "run:x"),
    ]
    assert found.oldest == "run:x"
    assert found.oldest_seconds == pytest.approx(20 * 60, abs=110)
    assert found.warnings == ()
    assert found.kinds[2].sentence.endswith("; 1 run under way")


def test_what_waits_too_long_is_a_warning(runs: DurableRuns) -> None:
    """With its number, the oldest, the limit and what to do; runs may wait for longer than reactions."""
    enqueue(runs, "dispatch:a", minutes=14.6)
    enqueue(runs, "dispatch:b", minutes=1.0)
    enqueue(runs, "run:x", minutes=14.6)
    (told,) = backlog(runs).warnings
    assert told.startswith("2 dispatches wait, dispatch:a for 1")
    assert told.endswith("min; more than 60 s is long. See .ratchet/logs/up.log.")
    (told,) = backlog(runs, is_running=False).warnings
    assert told.endswith("Nothing runs; start it: ratchet up")
    enqueue(runs, "run:z", minutes=61.0 + 60)
    assert [one.split(",")[0] for one in backlog(runs).warnings] == ["2 dispatches wait", "2 runs wait"]


@pytest.mark.parametrize(
    ("waiting", "sentence"),
    [
        (Waiting(kind="act", waiting=1, oldest_seconds=3), "1 act waits, the oldest for 3 s"),
        (Waiting(kind="act", waiting=12345, oldest_seconds=7300), "12,345 acts wait, the oldest for 2 h"),
        (Waiting(kind="dispatch", under_way=2), "2 dispatches under way"),
        (Waiting(kind="step", waiting=1, oldest_seconds=999_999), "1 step waits, the oldest for 12 d"),
    ],
)
def test_it_is_said_in_words(waiting: Waiting, sentence: str) -> None:
    """One or several, with spans that a person can read."""
    assert waiting.sentence == sentence
