"""The process that runs user code: it asks its parent at every step, and dies with it.

Invariant: nothing of the user's code runs in the parent; what a step returns is stored here and only its reference
travels.
"""

import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet import clock, faults
from ratchet.engine import wire
from ratchet.errors import StepFailed

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
NAME = "ratchet-child"


class Child:
    """This process's side of the conversation with the parent.

    Args:
        connection: The socket to the parent.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._index = 0
        self._is_untaken = False

    def step(
        self, request: dict[str, Any], compute: Callable[[], Any], note: Callable[[], dict[str, Any]] | None = None
    ) -> Any:
        """Ask for a step: compute it, or take what was recorded when it ran before.

        Args:
            request: Names the step: JSON values that are the same at every replay.
            compute: Does the work and returns a reference.
            note: Called after work that succeeded: JSON values that the parent gets beside the result.

        Raises:
            StepFailed: The step raised, now or when it was recorded.
        """
        asked = {"op": "step", "index": self._index, **request}
        self._index += 1
        answer = self._ask(asked)
        if answer["do"] == "run":
            answer = self._compute(request["name"], compute, note)
        if "error" in answer:
            raise StepFailed(**answer["error"])
        return answer["value"]

    def call(self, action: str, parameters: dict[str, Any]) -> Any:
        """Ask the parent to do something, and return what it gave.

        Raises:
            StepFailed: It could not be done.
        """
        asked = {"op": "call", "index": self._index, "action": action, "parameters": parameters}
        self._index += 1
        answer = self._ask(asked)
        if "error" in answer:
            raise StepFailed(**answer["error"])
        return answer["value"]

    def settle(self) -> None:
        """Return once the parent has recorded what was computed last."""
        if self._is_untaken:
            wire.receive(self._connection)
            self._is_untaken = False

    def _ask(self, frame: wire.Frame) -> wire.Frame:
        wire.send(self._connection, frame)
        self.settle()
        return wire.receive(self._connection)

    def _compute(self, name: str, compute: Callable[[], Any], note: Callable[[], dict[str, Any]] | None) -> wire.Frame:
        meter = _Meter()
        try:
            outcome: wire.Frame = {"value": compute()}
        except Exception as error:  # noqa: BLE001, the border to user code: whatever it raises is recorded
            outcome = {"error": describe(name, error)}
        # What was printed belongs to this step: it must be in the log before the step counts as done.
        sys.stdout.flush()
        faults.point("step.computed")
        done = {"op": "done", "cost": meter.read(), **outcome}
        if note is not None and "value" in outcome:
            done["note"] = note()
        wire.send(self._connection, done)
        # The body goes on while the parent records this. No further step runs, and nothing ends, before that is done.
        self._is_untaken = True
        return outcome


class _Meter:
    """Counts what a step uses: processor seconds, wall seconds, peak memory."""

    def __init__(self) -> None:
        # Writing 5 resets the peak, so that a step is not charged for the one before.
        Path("/proc/self/clear_refs").write_text("5")
        self._cpu = self._cpu_seconds()
        self._wall = clock.monotonic()

    def read(self) -> dict[str, float]:
        return {
            "cpu_seconds": round(self._cpu_seconds() - self._cpu, 4),
            "wall_seconds": round(clock.monotonic() - self._wall, 4),
            "peak_memory_mb": round(status_mb(os.getpid(), "VmHWM"), 1),
        }

    @staticmethod
    def _cpu_seconds() -> float:
        own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def status_mb(pid: int, field: str) -> float:
    """Return a memory figure of a process in megabytes, 0 where it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0.0


def describe(step: str, error: BaseException) -> dict[str, str]:
    """Return an error as the fields of ``StepFailed``."""
    if isinstance(error, StepFailed):
        return {name: str(value) for name, value in error.to_fields().items()}
    return {
        "step": step,
        "error_type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the one that made it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def call_itself(name: str) -> None:
    """Give this process a name of at most 15 letters, as ``top`` and ``ps -o comm`` show it."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def main(connection: socket.socket) -> None:
    """Carry out one entry function that the parent names, and tell how it ended."""
    call_itself(NAME)
    wire.send(connection, {"op": "hello", "pid": os.getpid()})
    task = wire.receive(connection)
    _redirect_output(task["log"])
    name = task["name"]
    child = Child(connection)
    try:
        module, _, function = task["entry"].partition(":")
        entry = getattr(importlib.import_module(module), function)
        ending: wire.Frame = {"op": "finished", "value": entry(child, task["spec"])}
    except wire.PeerGone:
        os._exit(1)
    except BaseException as error:  # noqa: BLE001, the border to user code, which may even call sys.exit
        ending = {"op": "raised", "error": describe(name, error)}
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    child.settle()
    wire.send(connection, ending)


def _redirect_output(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
