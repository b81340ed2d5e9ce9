"""Waiting for what other processes do: no test asserts how long anything takes."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ratchet import clock

PATIENCE_SECONDS = 60.0


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds; give up after a minute, which no machine needs."""
    deadline = clock.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert clock.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain for {what or condition}"
        clock.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for yet does not."""
    with suppress(OSError):
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] not in "ZX"
    return False
