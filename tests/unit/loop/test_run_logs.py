"""What runs print: kept within bounds, and read from wherever it is."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet.engine import jobs, workers
from ratchet.engine.capacity import Capacity
from ratchet.engine.executors import Zygotes
from ratchet.engine.runs import DurableRuns
from ratchet.engine.workers import Worker
from ratchet.errors import ArtifactsUnreachable
from ratchet.loop import run_logs
from ratchet.records import Run, RunLog
from tests.loops import Stage

RUN = Run(
    id="A" * 26,
    pipeline="churn",
    status="success",
    parameters={},
    snapshot="",
    lock="",
    inputs={},
    input_digests={},
    seed=0,
    hardware={},
    queued_at=datetime(2026, 3, 2, tzinfo=UTC),
    queued_event="",
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A workspace's parts."""
    made = Stage(tmp_path / "project", Zygotes())
    yield made
    made.close()


def log_of(stage: Stage, text: str) -> Path:
    """Let the run have printed something here."""
    run_logs.append(stage.resources, RUN.id, text)
    return run_logs.path_of(stage.resources, RUN.id)


def ended(log: RunLog | None, **changes: Any) -> Run:
    """Return the run with what was kept of its log."""
    return msgspec.structs.replace(RUN, log=log, **changes)


def test_what_was_printed_is_read_from_the_store(stage: Stage) -> None:
    """The file of the machine that wrote it is not needed."""
    path = log_of(stage, "one\nzwei é\n")
    kept = run_logs.keep(stage.resources, path)
    path.unlink()
    shown = run_logs.read(stage.resources, ended(kept))
    assert (shown.text, shown.cut_bytes, shown.note, shown.is_lost) == ("one\nzwei é\n", 0, "", False)


def test_a_run_that_printed_nothing_writes_nothing(stage: Stage) -> None:
    """Neither where there is no file nor where there is an empty one."""
    path = run_logs.path_of(stage.resources, RUN.id)
    assert run_logs.keep(stage.resources, path) is None
    path.touch()
    assert run_logs.keep(stage.resources, path) is None
    assert list(stage.resources.artifacts.all()) == []
    assert run_logs.read(stage.resources, RUN) == run_logs.Shown()


def test_of_a_long_log_the_last_lines_are_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many bytes, whole lines; how much was cut is said, and where all of it lies."""
    monkeypatch.setattr(run_logs, "KEPT_BYTES", 25)
    path = log_of(stage, "".join(f"line {number}\n" for number in range(9)))
    kept = run_logs.keep(stage.resources, path)
    assert kept is not None
    assert (kept.size_bytes, kept.cut_bytes, kept.place) == (63, 42, f"{socket.gethostname()}:{path}")
    shown = run_logs.read(stage.resources, ended(kept))
    assert shown.text == "line 6\nline 7\nline 8\n"
    assert shown.note == f"42 bytes before this are not kept; all of it was written to {kept.place}"


def test_a_line_without_an_end_is_cut_where_it_must_be(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar is one line: its end is kept, and a character that is cut in two hurts nobody."""
    monkeypatch.setattr(run_logs, "KEPT_BYTES", 5)
    kept = run_logs.keep(stage.resources, log_of(stage, "éééé"))
    assert run_logs.read(stage.resources, ended(kept)).text == "\ufffdéé"


def test_a_store_that_is_away_fails_no_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed stays where it is, and the record says where; from another machine it cannot be had."""

    def away(_content: bytes) -> str:
        raise ArtifactsUnreachable(address="s3://models", problem="it is away", remedy="")

    path = log_of(stage, "one\n")
    with monkeypatch.context() as patch:
        patch.setattr(stage.resources.artifacts, "write", away)
        kept = run_logs.keep(stage.resources, path)
    assert kept == RunLog(sha256="", size_bytes=4, cut_bytes=4, place=f"{socket.gethostname()}:{path}")
    assert run_logs.read(stage.resources, ended(kept)).text == "one\n"
    path.unlink()
    shown = run_logs.read(stage.resources, ended(kept))
    assert shown.is_lost
    assert shown.note == f"What it printed could not be put into the store; it was written to {kept.place}."


def test_what_was_collected_is_said(stage: Stage) -> None:
    """A log that is no longer kept names the place where it was written."""
    path = log_of(stage, "one\n")
    kept = run_logs.keep(stage.resources, path)
    assert kept is not None
    stage.resources.artifacts.path(kept.sha256).unlink()
    assert run_logs.read(stage.resources, ended(kept)).text == "one\n"
    elsewhere = msgspec.structs.replace(kept, place="far:/logs/A.log")
    shown = run_logs.read(stage.resources, ended(elsewhere))
    assert (shown.text, shown.is_lost) == ("", True)
    assert "no longer in the store of artifacts; it was written to far:/logs/A.log" in shown.note


def test_steps_elsewhere_come_into_the_log_of_their_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they end; a part that was cut says so and keeps its file, a part that is lost says so."""
    log_of(stage, "before\n")
    path = run_logs.path_of_step(stage.resources, RUN.id, 2)
    path.write_text("in the step")
    kept = run_logs.keep_step(stage.resources, RUN.id, 2)
    assert kept is not None
    assert (path.name, path.exists()) == (f"{RUN.id}.step3.log", False)
    run_logs.take_over(stage.resources, RUN.id, kept, step="train")
    monkeypatch.setattr(run_logs, "KEPT_BYTES", 4)
    path.write_text("12345\n678\n")
    cut = run_logs.keep_step(stage.resources, RUN.id, 2)
    assert cut is not None
    assert path.exists()
    run_logs.take_over(stage.resources, RUN.id, cut, step="train")
    lost = msgspec.structs.replace(cut, sha256="0" * 64)
    run_logs.take_over(stage.resources, RUN.id, lost, step="train")
    assert run_logs.path_of(stage.resources, RUN.id).read_text().splitlines() == [
        "before",
        "in the step",
        f"[6 bytes before this are not kept; all of it was written to {cut.place}]",
        "678",
        f"[what train printed is at {cut.place}, and could not be fetched]",
    ]
    assert run_logs.keep_step(stage.resources, RUN.id, 7) is None


def test_a_log_that_begins_in_the_middle_says_so(stage: Stage) -> None:
    """Where another machine had carried out steps; not where this one had, nor where none was."""
    run_logs.begin(stage.resources, RUN.id, steps_before=0)
    assert not run_logs.path_of(stage.resources, RUN.id).exists()
    for _ in range(2):
        run_logs.begin(stage.resources, RUN.id, steps_before=3)
    text = run_logs.path_of(stage.resources, RUN.id).read_text()
    assert text == "[3 steps were carried out elsewhere; what they printed is there]\n"


def take(stage: Stage, worker: Worker) -> None:
    """Let a worker carry the run out."""
    runs = DurableRuns(stage.database)
    runs.prepare()
    with stage.database.write() as transaction:
        runs.enqueue(transaction, "run", f"run:{RUN.id}", {"run_id": RUN.id})
        status = jobs.tables(transaction)[0]
        transaction.execute(status.update().values(status="PENDING", executor_id=worker.id))
        workers.enter(transaction, worker)
    runs.close()


def test_while_it_is_under_way_its_worker_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine what there is so far is shown; of another one only which it is."""
    log_of(stage, "so far\n")
    running = ended(None, status="running")
    assert run_logs.read(stage.resources, running).note == "It waits: no process carries it out now."
    here = workers.this_process("worker", capacity=Capacity(runs=1, cpu=1.0), interpreter="interpreter-1")
    take(stage, here)
    shown = run_logs.read(stage.resources, running)
    assert (shown.text, shown.worker) == ("so far\n", here)
    assert shown.note == f"It is under way on {here.host} (worker {here.id}, pid {here.pid})."
    monkeypatch.setattr(workers, "is_here", lambda _worker: False)
    elsewhere = run_logs.read(stage.resources, running)
    assert (elsewhere.text, elsewhere.worker) == ("", here)
    assert "What it prints is written there, and comes into the store of artifacts when it ends." in elsewhere.note


def test_a_worker_that_died_is_not_named(stage: Stage) -> None:
    """Nobody carries the run out until another one takes it."""
    gone = workers.this_process("worker", capacity=Capacity(runs=1, cpu=1.0), interpreter="interpreter-1")
    take(stage, msgspec.structs.replace(gone, started_ticks=gone.started_ticks - 1))
    assert run_logs.carrier(stage.resources, RUN.id) is None
