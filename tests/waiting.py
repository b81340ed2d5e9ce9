"""Waiting for what other processes do: no test asserts how long anything takes.

Invariant: whatever is waited for in vain is named after two minutes, which no machine needs.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from ratchet import clock

PATIENCE_SECONDS = 120.0


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds; give up after two minutes, which no machine needs."""
    deadline = clock.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert clock.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain for {what or condition}"
        clock.sleep(0.01)


def next_line(stream: IO[str] | None, what: str, *, containing: str = "") -> str:
    """Return the next line of a process's output that holds some text; warnings may stand before it."""
    assert stream is not None, "the output is a pipe"
    seen: list[str] = []

    def read() -> None:
        for line in iter(stream.readline, ""):
            seen.append(line)
            if containing in line:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(PATIENCE_SECONDS)
    assert not reader.is_alive(), f"waited {PATIENCE_SECONDS:g} s in vain for {what}; so far came {seen}"
    assert seen, f"the output ended before {what} came"
    assert containing in seen[-1], f"the output ended before {what} came: {seen}"
    return seen[-1]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for yet does not."""
    with suppress(OSError):
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] not in "ZX"
    return False
