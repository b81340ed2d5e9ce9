"""The processes around a workspace: who may run it, and those that are started, watched and stopped with it.

Invariant: one executor a workspace; a process that dies is started again, later each time; at the end nothing is left
running that was started here, or that was found running.
"""

import fcntl
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ratchet import clock
from ratchet.errors import WorkspaceInUse

_LOOK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_SOUND_SECONDS = 60.0  # a process that ran so long did not die of its start
_STOP_SECONDS = 8.0

# struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid. Locks of an open file description belong
# to whoever holds the descriptor, threads included, and can be asked for without being taken.
_FLOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class WorkspaceLock:
    """The right to carry out a workspace's jobs, held until ``release`` or the end of the process.

    Args:
        path: The lock file.

    Raises:
        WorkspaceInUse: Another process holds it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except (BlockingIOError, PermissionError) as error:
            holder = os.pread(self._descriptor, 32, 0).decode().strip()
            os.close(self._descriptor)
            raise WorkspaceInUse(path=str(path.parent), pid=int(holder or 0)) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process take over."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(path: Path) -> bool:
    """Tell whether some process runs the workspace; asking takes nothing, so that it keeps nobody from starting."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


@dataclass
class Watched:
    """A process that should run.

    Attributes:
        name: For its log file.
        command: How it is started.
        log: File that gets what it prints.
        left_behind: Gives the process id of one that an executor left running when it was killed: it is gone on with,
            and ended with ours. 0 for none, -1 for one that is not ours to end.
    """

    name: str
    command: Sequence[str]
    log: Path
    left_behind: Callable[[], int] = lambda: 0
    process: subprocess.Popen[bytes] | None = None
    pause: float = _FIRST_PAUSE_SECONDS
    not_before: float = 0.0
    started_at: float = 0.0
    starts: int = field(default=0)


class Supervisor:
    """Starts processes, starts them again when they die, and stops them."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, watched: Watched) -> None:
        """Keep a process running from now on."""
        self._watched.append(watched)
        if self._thread is None:
            # One thread for all: a process that is to die with its parent dies with the thread that started it.
            self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
            self._thread.start()

    def pids(self) -> dict[str, int]:
        """Return the process ids by name of those that run."""
        return {one.name: one.process.pid for one in self._watched if one.process and one.process.poll() is None}

    def stop(self) -> None:
        """Stop all processes: first politely, then not."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            for watched in self._watched:
                self._look(watched)
            self._stopping.wait(_LOOK_SECONDS)
        self._stop_all()

    def _look(self, watched: Watched) -> None:
        if watched.process is not None and watched.process.poll() is None:
            return
        now = clock.monotonic()
        if watched.process is not None:
            watched.process = None
            if now - watched.started_at > _SOUND_SECONDS:
                watched.pause = _FIRST_PAUSE_SECONDS
            watched.not_before = now + watched.pause
            watched.pause = min(watched.pause * 2, _LONGEST_PAUSE_SECONDS)
        if now < watched.not_before or watched.left_behind():
            return
        watched.log.parent.mkdir(parents=True, exist_ok=True)
        with watched.log.open("ab") as log:
            try:
                watched.process = subprocess.Popen(  # noqa: S603, our own command lines
                    list(watched.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                # The others must go on being watched; the next try comes later, as after a death.
                log.write(f"{watched.name} cannot be started: {error}\n".encode())
                watched.not_before = now + watched.pause
                watched.pause = min(watched.pause * 2, _LONGEST_PAUSE_SECONDS)
                return
        watched.started_at = now
        watched.starts += 1

    def _stop_all(self) -> None:
        running = [one.process for one in self._watched if one.process is not None and one.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = clock.monotonic() + _STOP_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - clock.monotonic()))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        for watched in self._watched:
            _end_left_behind(watched.left_behind)


def _end_left_behind(pid_now: Callable[[], int]) -> None:
    """End a process that is no child of ours: asked first, then killed."""
    pid = pid_now()
    if pid <= 0:
        return
    deadline = clock.monotonic() + _STOP_SECONDS
    # It may be gone by now, or be another account's.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
        while pid_now() == pid and clock.monotonic() < deadline:
            clock.sleep(_LOOK_SECONDS)
        if pid_now() == pid:
            os.kill(pid, signal.SIGKILL)
