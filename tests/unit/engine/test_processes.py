"""Who may run a workspace, and the processes that are watched with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.engine import processes
from ratchet.engine.processes import Supervisor, Watched, WorkspaceLock, is_locked
from ratchet.errors import WorkspaceInUse
from tests.waiting import is_alive, next_line, until

HOLD = """
import sys
from pathlib import Path
from ratchet import clock
from ratchet.engine.processes import WorkspaceLock
lock = WorkspaceLock(Path(sys.argv[1]))
print("held", flush=True)
clock.sleep(600)
"""
SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Say where the lock file is."""
    return tmp_path / ".ratchet" / "lock"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """Give a supervisor, stopped at the end."""
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


def program(source: str, tmp_path: Path, *, name: str = "p") -> Watched:
    """Return a process that should run a piece of Python."""
    return Watched(name=name, command=[sys.executable, "-c", source], log=tmp_path / "logs" / f"{name}.log")


def test_second_executor_is_refused(lock: Path) -> None:
    """While one holds a workspace, another one is refused and told who holds it; then it may."""
    first = WorkspaceLock(lock)
    with pytest.raises(WorkspaceInUse) as caught:
        WorkspaceLock(lock)
    assert (caught.value.pid, caught.value.path) == (os.getpid(), str(lock.parent))
    first.release()
    first.release()
    WorkspaceLock(lock).release()


def test_killed_holder_leaves_no_lock(lock: Path) -> None:
    """A holder that is killed holds nothing any more, and its pid was in the message."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    next_line(holder.stdout, "the lock to be held", containing="held")
    assert is_locked(lock)
    with pytest.raises(WorkspaceInUse, match=f"kill {holder.pid}"):
        WorkspaceLock(lock)
    holder.kill()
    holder.communicate()
    assert not is_locked(lock)


def test_lock_is_not_inherited(lock: Path) -> None:
    """A process started by the holder does not keep the lock when the holder lets go."""
    held = WorkspaceLock(lock)
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], close_fds=False, stdout=subprocess.PIPE, text=True)
    next_line(child.stdout, "the child to be ready", containing="ready")
    held.release()
    assert not is_locked(lock)
    child.kill()
    child.communicate()


def test_asking_does_not_take(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking whether somebody runs a workspace never keeps anybody from running it."""
    refused: list[WorkspaceInUse] = []
    really = os.ftruncate

    def start_just_now(descriptor: int, length: int) -> None:
        monkeypatch.setattr(os, "ftruncate", really)
        try:
            WorkspaceLock(lock).release()
        except WorkspaceInUse as error:
            refused.append(error)
        really(descriptor, length)

    monkeypatch.setattr(os, "ftruncate", start_just_now)
    is_locked(lock)
    assert refused == []


def test_processes_run_and_end_with_the_supervisor(supervisor: Supervisor, tmp_path: Path) -> None:
    """Watched processes run, write to their logs, and are gone when the supervisor has stopped."""
    for name in ("one", "two"):
        supervisor.watch(program(f"print('{name}', flush=True); {SLEEP}", tmp_path, name=name))
    until(lambda: len(supervisor.pids()) == 2, "both processes")
    pids = supervisor.pids()
    until(lambda: (tmp_path / "logs" / "two.log").read_text() == "two\n", "the log")
    supervisor.stop()
    assert not any(map(is_alive, pids.values()))
    assert supervisor.pids() == {}


def test_dead_process_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    """A process that dies is started again, with a pause that grows."""
    watched = program(SLEEP, tmp_path)
    supervisor.watch(watched)
    until(supervisor.pids, "the first start")
    first = supervisor.pids()["p"]
    os.kill(first, signal.SIGKILL)
    until(lambda: watched.starts == 2, "the second start")
    assert supervisor.pids()["p"] != first
    assert watched.pause == 2 * processes._FIRST_PAUSE_SECONDS


def test_a_process_that_ran_soundly_is_started_again_soon(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause grows for what dies of its start; what had run for a while is killed as if for the first time."""
    monkeypatch.setattr(processes, "_SOUND_SECONDS", 0.0)
    watched = program("", tmp_path)
    supervisor.watch(watched)
    until(lambda: watched.starts == 4, "the fourth start")
    assert watched.pause == 2 * processes._FIRST_PAUSE_SECONDS


@pytest.mark.parametrize("what", [SLEEP, STUBBORN])
def test_a_process_that_was_left_behind_is_gone_on_with(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """While one runs that an executor left behind, none is started; it is ended with ours, politely or not."""
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.5)
    earlier = Supervisor()
    found = program(what, tmp_path)
    earlier.watch(found)
    until(earlier.pids, "the earlier start")
    process = found.process
    assert process is not None
    looked: list[int] = []

    def left_behind() -> int:
        looked.append(process.pid if process.poll() is None else 0)
        return looked[-1]

    watched = program(SLEEP, tmp_path)
    watched.left_behind = left_behind
    supervisor.watch(watched)
    until(lambda: len(looked) > 1, "two looks")
    assert watched.starts == 0
    found.not_before = float("inf")
    supervisor.stop()
    assert process.wait(10) in (-signal.SIGTERM, -signal.SIGKILL)
    earlier.stop()


def test_when_the_one_left_behind_ends_ours_is_started(supervisor: Supervisor, tmp_path: Path) -> None:
    """Whoever ends it gets a fresh one in its place."""
    (tmp_path / "there").touch()
    watched = program(SLEEP, tmp_path)
    watched.left_behind = lambda: os.getpid() if (tmp_path / "there").exists() else 0
    supervisor.watch(watched)
    clock.sleep(3 * processes._LOOK_SECONDS)
    assert watched.starts == 0
    (tmp_path / "there").unlink()
    until(supervisor.pids, "the start")


def test_stubborn_process_is_killed(supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores the polite request is killed."""
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.2)
    supervisor.watch(program(STUBBORN, tmp_path))
    until(lambda: (tmp_path / "logs" / "p.log").exists() and (tmp_path / "logs" / "p.log").read_text(), "the log")
    pid = supervisor.pids()["p"]
    supervisor.stop()
    assert not is_alive(pid)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_command_that_cannot_start_does_not_end_the_watch(supervisor: Supervisor, tmp_path: Path) -> None:
    """A program that is missing does not keep the others from being watched and stopped."""
    running = program(SLEEP, tmp_path)
    supervisor.watch(running)
    until(supervisor.pids, "the start")
    pid = supervisor.pids()["p"]
    asked: list[int] = []

    def left_behind() -> int:
        asked.append(1)
        return 0

    supervisor.watch(Watched(name="x", command=["/no/such/program"], log=tmp_path / "x.log", left_behind=left_behind))
    until(lambda: asked, "the attempt")
    supervisor.stop()
    try:
        assert not is_alive(pid)
    finally:
        assert running.process is not None
        running.process.kill()
        running.process.wait()
