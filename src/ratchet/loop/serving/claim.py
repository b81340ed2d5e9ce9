"""Who serves a folder: the lock of the one endpoint process, and what it says about itself.

Invariant: at most one living process holds a serving folder, and a process counts as living only while it holds the
lock, so that a process number which the system gave to somebody else never looks like an endpoint.
"""

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ratchet import clock
from ratchet.errors import ServingFolderHeld
from ratchet.store.artifacts import write_durably

LOCK_FILE = "endpoint.lock"
HOLDER_FILE = "endpoint.json"
_MODULE = "ratchet.loop.serving"
FORMER_FILE = "endpoint.former.json"
_POLL_SECONDS = 0.01
# `holder` takes the lock for an instant to see whether it is free; a starting endpoint must outlast such a look.
_PATIENCE_SECONDS = 0.5


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint process says about itself.

    Attributes:
        pid: Its process number.
        host: The address it listens on.
        port: The port it listens on.
        writer: A name that no other process ever had; its spool files start with it.
    """

    pid: int
    host: str
    port: int
    writer: str


class Claim:
    """The right to serve a folder, held until the process ends or ``release`` is called.

    Args:
        folder: The serving folder; made where missing.

    Raises:
        ServingFolderHeld: Another endpoint process serves the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = clock.new_id()
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not self._lock_patiently():
            os.close(self._descriptor)
            other = last_holder(folder)
            raise ServingFolderHeld(folder=str(folder), pid=other.pid if other else 0)
        # What the process before said of itself would else be taken for our word until we give it.
        with suppress(FileNotFoundError):
            (folder / HOLDER_FILE).replace(folder / FORMER_FILE)

    def describe(self, *, host: str, port: int) -> Holder:
        """Publish where this process listens; do it before a spool file is opened, or that file looks abandoned."""
        me = Holder(pid=os.getpid(), host=host, port=port, writer=self.writer)
        write_durably(self.folder / HOLDER_FILE, msgspec.json.encode(me))
        return me

    def release(self) -> None:
        """Let another process serve the folder."""
        os.close(self._descriptor)

    def _lock_patiently(self) -> bool:
        deadline = clock.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(self._descriptor, kind=fcntl.LOCK_EX):
            if clock.monotonic() > deadline:
                return False
            clock.sleep(_POLL_SECONDS)
        return True


def command_line(folder: Path, *, artifacts: str, port: int = 0, die_together: bool = False) -> list[str]:
    """Return how a process is started that claims a folder and serves it.

    Args:
        folder: The serving folder.
        artifacts: The address of the store where models lie.
        port: Where it listens; 0 for any free port, the same after a restart.
        die_together: It ends with the process that starts it.
    """
    command = [sys.executable, "-m", _MODULE, "--folder", str(folder)]
    command += ["--artifacts", artifacts, "--port", str(port)]
    return [*command, "--die-with-parent"] if die_together else command


def holder(folder: Path) -> Holder | None:
    """Return the process that serves a folder now, or None where there is none or it has not introduced itself."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, kind=fcntl.LOCK_SH):
            return None
        return _read(folder / HOLDER_FILE)
    finally:
        os.close(descriptor)


def holder_pid(folder: Path, *, is_ours_to_end: bool = True) -> int:
    """Return the process id of the one that serves a folder now: 0 for none, -1 for one that is not to be ended.

    In another container, which shares the folder, its number means nothing here, or another process.

    Args:
        folder: The serving folder.
        is_ours_to_end: Whether whoever asks goes on with it until its own end, and takes it along.
    """
    found = holder(folder)
    if found is None or not is_ours_to_end:
        return 0 if found is None else -1
    try:
        command = Path(f"/proc/{found.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return -1
    return found.pid if _MODULE.encode() in command and os.fsencode(folder) in command else -1


def last_holder(folder: Path) -> Holder | None:
    """Return the last process that served a folder, living or not; its port is the one to try again."""
    return _read(folder / HOLDER_FILE) or _read(folder / FORMER_FILE)


def _read(path: Path) -> Holder | None:
    with suppress(FileNotFoundError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    return None


def _try_lock(descriptor: int, *, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
