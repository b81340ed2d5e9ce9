"""Processes, jobs, the prediction log and the backup: each fault is planted."""

import http.server
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.backups.taking import LAST_FILE, take
from ratchet.engine.processes import WorkspaceLock
from ratchet.engine.runs import DurableRuns
from ratchet.loop.serving.claim import Claim
from ratchet.store.database import Database, sqlite_url
from ratchet.workspace import open_workspace
from tests.loops import Stage
from tests.unit.diagnosis.conftest import Examined


@contextmanager
def held(shop: Path) -> Iterator[None]:
    """Run the workspace, as far as its lock goes."""
    lock = WorkspaceLock(shop / ".ratchet" / "executor.lock")
    yield
    lock.release()


def enqueue(shop: Path, *, age_seconds: float, job: str = "act", **columns: str) -> None:
    """Let a job wait that was enqueued so long ago, with other values in some columns."""
    database = Database(sqlite_url(shop / ".ratchet" / "ratchet.db"))
    runs = DurableRuns(database)
    with database.write() as transaction:
        runs.enqueue(transaction, job, f"{job}:1", {})
    runs.close()
    database.close()
    values = {"created_at": int((clock.real_seconds() - age_seconds) * 1000), **columns}
    with closing(sqlite3.connect(shop / ".ratchet" / "ratchet.db")) as connection, connection:
        for column, value in values.items():
            connection.execute(f"UPDATE workflow_status SET {column} = ?", (value,))


def test_whether_somebody_runs_it(shop: Path, examined: Examined) -> None:
    """Nobody is a warning; a process that holds the lock is named, and asking keeps nobody from starting."""
    assert examined()["processes", "executor"].status == "warning"
    with held(shop):
        found = examined()["processes", "executor"]
        assert (found.status, str(os.getpid()) in found.said) == ("ok", True)
    with held(shop):
        pass


@pytest.mark.parametrize(
    ("age", "is_running", "status"), [(5, True, "ok"), (3600, True, "problem"), (3600, False, "warning")]
)
def test_reactions_that_are_late(shop: Path, examined: Examined, age: float, is_running: bool, status: str) -> None:
    """Young ones are under way; old ones are stuck where somebody runs the workspace, and wait where nobody does."""
    enqueue(shop, age_seconds=age)
    if is_running:
        with held(shop):
            assert examined()["jobs", "waiting"].status == status
    else:
        found = examined()["jobs", "waiting"]
        assert (found.status, "act:1" in found.said) == (status, True)


def test_a_long_run_is_not_late(shop: Path, examined: Examined) -> None:
    """A run may take as long as its limits say, times its attempts."""
    enqueue(shop, age_seconds=7200, job="run", status="PENDING")
    with held(shop):
        assert examined()["jobs", "waiting"].status == "ok"
    enqueue(shop, age_seconds=4 * 3600, job="run", status="PENDING")
    with held(shop):
        assert examined()["jobs", "waiting"].status == "problem"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"application_version": "interpreter-0"}, "kind or version"),
        ({"name": "of_old"}, "kind or version"),
        ({"status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}, "given up"),
    ],
)
def test_jobs_that_nobody_will_finish(shop: Path, examined: Examined, columns: dict[str, str], said: str) -> None:
    """Of another version, of a kind that is no more, and those that were given up."""
    enqueue(shop, age_seconds=1, **columns)
    found = examined()["jobs", "waiting"]
    assert (found.status, said in found.said) == ("problem", True)


def test_a_run_without_a_job_is_a_problem(shop: Path, examined: Examined) -> None:
    """It says for ever that it is under way."""
    with closing(sqlite3.connect(shop / ".ratchet" / "ratchet.db")) as connection, connection:
        changed = "UPDATE run SET status = 'running', record = replace(record, '\"success\"', '\"running\"')"
        connection.execute(changed)
    found = examined()["jobs", "runs"]
    assert (found.status, "without a job" in found.said) == ("problem", True)


def make_live(shop: Path) -> None:
    """Record that a version serves."""
    from ratchet.loop import registry

    stage = Stage(shop, None)  # type: ignore[arg-type]
    with stage.database.read() as connection:
        version = registry.model_version(connection, "churn@v1")
    stage.make_live(version)
    stage.close()


def test_an_endpoint_that_is_not_there(shop: Path, examined: Examined) -> None:
    """Well where nothing is to be served, a warning where nobody runs the workspace, else a problem."""
    assert examined()["processes", "endpoint"].status == "ok"
    make_live(shop)
    assert examined()["processes", "endpoint"].status == "warning"
    with held(shop):
        found = examined()["processes", "endpoint"]
        assert (found.status, found.said) == ("problem", "no process serves churn")


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers everything with one status."""

    status = 200

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("status", "expected"), [(200, "ok"), (503, "problem"), (0, "problem")])
def test_an_endpoint_that_is_asked(
    shop: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch, status: int, expected: str
) -> None:
    """One that is ready, one that says it is not, and one that is not at its port."""
    monkeypatch.setattr(Answering, "status", status)
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        port = server.server_address[1] if status else 1
        threading.Thread(target=server.serve_forever, daemon=True).start()
        claim = Claim(shop / ".ratchet" / "serving")
        claim.describe(host="127.0.0.1", port=port)
        with held(shop):
            found = examined()["processes", "endpoint"]
        assert examined()["processes", "endpoint"].status == ("warning" if expected == "ok" else "problem")
        claim.release()
        server.shutdown()
    assert found.status == expected


def test_a_log_that_nobody_collects(shop: Path, examined: Examined) -> None:
    """Frames of a writer that is gone, older than a few minutes; young ones are well."""
    assert examined()["prediction log", "spool"].status == "ok"
    (path,) = (shop / ".ratchet" / "serving" / "spool").glob("*.wal")
    old = clock.real_seconds() - 3600
    os.utime(path, (old, old))
    assert examined()["prediction log", "spool"].status == "warning"
    with held(shop):
        assert examined()["prediction log", "spool"].status == "problem"


def test_days_that_nobody_seals(shop: Path, examined: Examined) -> None:
    """Days that are over by more than one; in replayed time, by that time."""
    day = (clock.now() - timedelta(days=5)).date().isoformat()
    (shop / ".ratchet" / "predictions" / "churn" / "open" / day).mkdir(parents=True)
    assert examined()["prediction log", "days"].status == "warning"
    with held(shop):
        assert examined()["prediction log", "days"].status == "problem"
    simulated = int((clock.now() - timedelta(days=5)).timestamp() * 1e6)
    (shop / ".ratchet" / "clock").write_bytes(simulated.to_bytes(8, "little"))
    assert examined()["prediction log", "days"].status == "ok"


def test_the_newest_backup(shop: Path, examined: Examined, tmp_path: Path) -> None:
    """None and an old one are warned of."""
    assert examined()["backup", "newest"].status == "warning"
    with open_workspace(shop) as workspace:
        take(workspace.resources, tmp_path / "shop.tar", leave_out_damaged=True)
    assert examined()["backup", "newest"].status == "ok"
    note = shop / ".ratchet" / LAST_FILE
    text = note.read_text()
    year = str(clock.now().year)
    note.write_text(text.replace(f'"taken_at":"{year}', f'"taken_at":"{int(year) - 1}'))
    assert note.read_text() != text
    assert examined()["backup", "newest"].status == "warning"
