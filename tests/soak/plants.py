"""Faults that are planted in a workspace that has stopped, to see that the checker finds each of them.

Invariant: each changes one thing, in the way in which a fault of the product would have left it behind.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from ratchet import config
from ratchet.loop.frames import connect, write_parquet
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database, sqlite_url
from tests.soak.cluster import environment

Plant = Callable[[Path], None]
_EVENTS = "SELECT seq, id FROM ledger WHERE type = :type ORDER BY seq"
_COPY = """INSERT INTO ledger (seq, source, id, type, subject, pipeline, cause, envelope)
SELECT (SELECT max(seq) + 1 FROM ledger), source, id || 'X', type, subject, pipeline, cause, envelope
FROM ledger WHERE seq = :seq"""
_COPY_BODY = """INSERT INTO payload (seq, body, salt)
SELECT (SELECT max(seq) FROM ledger), body, salt FROM payload WHERE seq = :seq"""


def plant(name: str, folder: Path) -> None:
    """Plant the fault of a name."""
    PLANTS[name](folder)


def _change(folder: Path, *statements: str, **values: Any) -> None:
    """Change a SQLite workspace behind the product's back."""
    with closing(Database(sqlite_url(folder / config.STATE_FOLDER / "ratchet.db"))) as database:
        with database.read() as connection:
            triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        with database.write() as transaction:
            for trigger in triggers:
                transaction.execute(text(f"DROP TRIGGER {trigger}"))
            for statement in statements:
                _execute(transaction, statement, values)


def _execute(transaction: Connection, statement: str, values: dict[str, Any]) -> None:
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    transaction.execute(text(statement), used)


def _seq(folder: Path, kind: str, place: int = -1) -> int:
    with (
        closing(Database(sqlite_url(folder / config.STATE_FOLDER / "ratchet.db"))) as database,
        database.read() as found,
    ):
        return int(found.execute(text(_EVENTS), {"type": kind}).all()[place].seq)


def _remove(kind: str, place: int = -1) -> Plant:
    """Lose an event, its number given to nobody."""

    def remove(folder: Path) -> None:
        seq = _seq(folder, kind, place)
        _change(folder, "DELETE FROM payload WHERE seq = :seq", "DELETE FROM ledger WHERE seq = :seq", seq=seq)

    return remove


def _repeat(kind: str) -> Plant:
    """Let something have happened twice, under another id."""

    def repeat(folder: Path) -> None:
        _change(folder, _COPY, _COPY_BODY, seq=_seq(folder, kind))

    return repeat


def _tamper(folder: Path) -> None:
    """Change what a recorded event says."""
    _change(folder, "UPDATE payload SET body = :body WHERE seq = :seq", seq=_seq(folder, "cost.recorded"), body=b"{}")


def _leave_a_job(folder: Path) -> None:
    """Give a job up half-way."""
    _change(
        folder,
        "UPDATE workflow_status SET status = 'PENDING' WHERE workflow_uuid = "
        "(SELECT min(workflow_uuid) FROM workflow_status)",
    )


def _leave_a_run(folder: Path) -> None:
    """Leave a run's row as it was while it ran."""
    _change(folder, "UPDATE run SET status = 'running' WHERE id = (SELECT min(id) FROM run)")


def _name_a_lost_artifact(folder: Path) -> None:
    """Lose a file that the registry names."""
    for path in (folder / config.STATE_FOLDER / "artifacts").glob("??/*"):
        path.unlink()


def _damage_an_artifact(folder: Path) -> None:
    """Change a byte of a stored file."""
    artifacts = Artifacts(folder / config.STATE_FOLDER / "artifacts")
    path = artifacts.path(next(iter(artifacts.all())))
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")


def _segments(folder: Path) -> list[Path]:
    return sorted((folder / config.STATE_FOLDER / "predictions" / "churn").glob("*.parquet"))


def _lose_a_prediction(folder: Path) -> None:
    """Leave a row out of a sealed segment."""
    path = _segments(folder)[0]
    write_parquet(path, _rows(path).iloc[1:])


def _double_a_prediction(folder: Path) -> None:
    """Let a row of a sealed segment lie in an open part as well."""
    path = _segments(folder)[0]
    target = path.parent / "open" / "2026-01-09" / "again.parquet"
    write_parquet(target, _rows(path).iloc[:1])


def _rows(path: Path) -> Any:
    with connect() as connection:
        return connection.from_parquet(str(path)).df()


def leave_a_process(name: str) -> "subprocess.Popen[bytes]":
    """Leave a process running that carries a cluster's mark."""
    command = [sys.executable, "-c", "import time; time.sleep(600)", "ratchet.left.behind"]
    return subprocess.Popen(command, env=environment(name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _orphan(folder: Path) -> None:
    """Leave a process of the workspace running."""
    process = leave_a_process(f"soak:{folder}")
    assert os.getpgid(process.pid), "it runs"


# By name: the fault, and the check that has to find it.
FOUND_BY: dict[str, tuple[Plant, str]] = {
    "event-lost": (_remove("custom.emitted"), "accepted"),
    "event-twice": (_repeat("custom.emitted"), "accepted"),
    "number-missing": (_remove("cost.recorded", 0), "dense"),
    "cause-missing": (_remove("run.queued", 0), "causes"),
    "entry-changed": (_tamper, "verified"),
    "act-lost": (_remove("rule.action.succeeded"), "acts"),
    "act-twice": (_repeat("rule.action.succeeded"), "acts"),
    "fired-twice": (_repeat("rule.fired"), "acts"),
    "job-given-up": (_leave_a_job, "jobs"),
    "tick-twice": (_repeat("clock.ticked"), "ticks"),
    "run-twice": (_repeat("run.queued"), "runs"),
    "run-finished-twice": (_repeat("run.finished"), "runs"),
    "run-unfinished": (_leave_a_run, "runs"),
    "deployment-lost": (_remove("deployment.completed"), "releases"),
    "traffic-elsewhere": (_remove("traffic.shifted"), "releases"),
    "artifact-lost": (_name_a_lost_artifact, "artifacts"),
    "artifact-damaged": (_damage_an_artifact, "artifacts"),
    "prediction-lost": (_lose_a_prediction, "predictions"),
    "prediction-twice": (_double_a_prediction, "predictions"),
}
PLANTS: dict[str, Plant] = {**{name: fault for name, (fault, _) in FOUND_BY.items()}, "process-left": _orphan}
