"""What runs print: when one ends, the end of its log goes to the store of artifacts, where all machines can read it.

Invariant: what was cut is said, with the place where all of it lies; a log that cannot be kept fails no run.
"""

import logging
import socket
from contextlib import suppress
from pathlib import Path

from ratchet.engine import jobs, workers
from ratchet.engine.executors import log_file
from ratchet.engine.workers import Worker
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ArtifactsUnreachable
from ratchet.loop.resources import Resources
from ratchet.records import Record, Run, RunLog

KEPT_BYTES = 1 << 20
_UNDER_WAY = ("queued", "running")
_log = logging.getLogger(__name__)


class Shown(Record, frozen=True):
    """What can be read of a run's log from here.

    Attributes:
        text: The end of it, or as much of it as there is yet.
        cut_bytes: How much was printed before that.
        place: Where all of it lies: ``HOST:PATH``; ``""`` where nobody here knows.
        worker: Who carries the run out now.
        note: What to know beside it, in a sentence or two.
        is_lost: Whether something was printed, and cannot be had.
    """

    text: str = ""
    cut_bytes: int = 0
    place: str = ""
    worker: Worker | None = None
    note: str = ""
    is_lost: bool = False


# ---- where they lie on the machine that carries a run out


def path_of(resources: Resources, run_id: str) -> Path:
    """Return where this machine writes what a run prints."""
    return Path(log_file(resources.logs / "runs", run_id))


def path_of_step(resources: Resources, run_id: str, index: int) -> Path:
    """Return where this machine writes what a step prints that it carries out for a run elsewhere."""
    return Path(log_file(resources.logs / "runs", f"{run_id}.step{index + 1}"))


def append(resources: Resources, run_id: str, text: str) -> None:
    """Add to what a run has printed on this machine."""
    with path_of(resources, run_id).open("a", encoding="utf-8") as log:
        log.write(text)


def begin(resources: Resources, run_id: str, *, steps_before: int) -> None:
    """Say at the head of a log what is not in it: steps that were carried out on another machine, which has died.

    Args:
        steps_before: How many were recorded before this attempt.
    """
    if steps_before and not path_of(resources, run_id).exists():
        append(resources, run_id, f"[{steps_before} steps were carried out elsewhere; what they printed is there]\n")


# ---- keeping


def keep(resources: Resources, path: Path) -> RunLog | None:
    """Store the end of a log that is complete, and say what it is; ``None`` where nothing was printed."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    if not size:
        return None
    try:
        content = _end(path)
        sha256 = resources.artifacts.write(content)
    except (OSError, ArtifactsUnreachable) as error:
        _log.warning("the log %s could not be kept: %s", path, error)
        content, sha256 = b"", ""
    return RunLog(sha256=sha256, size_bytes=size, cut_bytes=size - len(content), place=f"{socket.gethostname()}:{path}")


def keep_step(resources: Resources, run_id: str, index: int) -> RunLog | None:
    """Store the end of what a step printed here; what the store has as a whole need not stay on this machine."""
    path = path_of_step(resources, run_id, index)
    kept = keep(resources, path)
    if kept is None or not kept.cut_bytes:
        path.unlink(missing_ok=True)
    return kept


def take_over(resources: Resources, run_id: str, printed: RunLog, *, step: str) -> None:
    """Add what a step printed elsewhere to the log of its run.

    Args:
        printed: As that machine has stored it.
        step: Its name.
    """
    text = _fetched(resources, printed)
    if text is None:
        append(resources, run_id, f"[what {step} printed is at {printed.place}, and could not be fetched]\n")
        return
    before = f"[{_cut(printed.cut_bytes, printed.place)}]\n" if printed.cut_bytes else ""
    append(resources, run_id, before + text + ("" if text.endswith("\n") else "\n"))


def _end(path: Path) -> bytes:
    """Return the last lines of a file, or the end of its only one."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - KEPT_BYTES))
        content = file.read(KEPT_BYTES)
    if size <= KEPT_BYTES:
        return content
    _, _, whole_lines = content.partition(b"\n")
    return whole_lines or content


# ---- reading


def read(resources: Resources, run: Run) -> Shown:
    """Return what can be read of a run's log from here."""
    if run.status in _UNDER_WAY:
        return _under_way(resources, run)
    local = path_of(resources, run.id)
    if run.log is None:
        # Nothing was printed; or a process of an earlier version, or one that died, kept nothing.
        return _of_file(local)
    text = _fetched(resources, run.log)
    if text is not None:
        return Shown(
            text=text,
            cut_bytes=run.log.cut_bytes,
            place=run.log.place,
            note=_cut(run.log.cut_bytes, run.log.place) if run.log.cut_bytes else "",
        )
    if run.log.place == f"{socket.gethostname()}:{local}" and local.exists():
        return _of_file(local)
    reason = "is no longer in the store of artifacts" if run.log.sha256 else "could not be put into the store"
    return Shown(
        cut_bytes=run.log.size_bytes,
        place=run.log.place,
        note=f"What it printed {reason}; it was written to {run.log.place}.",
        is_lost=True,
    )


def carrier(resources: Resources, run_id: str) -> Worker | None:
    """Return the process that carries a run out now, ``None`` where none does."""
    with resources.database.read() as connection:
        taker = jobs.taker(connection, f"run:{run_id}")
        found = workers.seen(connection) if taker else []
    return next((one.worker for one in found if one.worker.id == taker and one.is_alive), None)


def describe(worker: Worker) -> str:
    """Return who a worker is, for people."""
    return f"{worker.host} ({worker.kind} {worker.id}, pid {worker.pid})"


def _under_way(resources: Resources, run: Run) -> Shown:
    worker = carrier(resources, run.id)
    if worker is None:
        return Shown(note="It waits: no process carries it out now.")
    shown = _of_file(path_of(resources, run.id)) if workers.is_here(worker) else Shown()
    where = f"It is under way on {describe(worker)}."
    if not shown.text:
        where += " What it prints is written there, and comes into the store of artifacts when it ends."
    return Shown(text=shown.text, cut_bytes=shown.cut_bytes, place=shown.place, worker=worker, note=where)


def _of_file(path: Path) -> Shown:
    content = b""
    size = 0
    with suppress(FileNotFoundError):
        content, size = _end(path), path.stat().st_size
    cut = max(0, size - len(content))
    place = f"{socket.gethostname()}:{path}" if size else ""
    return Shown(text=_decoded(content), cut_bytes=cut, place=place, note=_cut(cut, place) if cut else "")


def _fetched(resources: Resources, printed: RunLog) -> str | None:
    if not printed.sha256:
        return None
    try:
        return _decoded(resources.artifacts.read(printed.sha256))
    except (ArtifactMissing, ArtifactCorrupt, ArtifactsUnreachable):
        return None


def _decoded(content: bytes) -> str:
    return content.decode(errors="replace")


def _cut(count: int, place: str) -> str:
    return f"{count:,} bytes before this are not kept; all of it was written to {place}"
