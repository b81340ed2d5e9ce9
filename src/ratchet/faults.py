"""Named places at which a test may kill the process, to prove that nothing is lost there and nothing done twice.

Invariant: without the variable ``RATCHET_FAULT`` a point does nothing; with it, one process dies once.
"""

import os
import signal
from pathlib import Path

VARIABLE = "RATCHET_FAULT"

POINTS = (
    "write.before_commit",
    "write.after_commit",
    "artifact.before_rename",
    "artifact.after_rename",
    "step.computed",
    "step.before_record",
    "action.before_record",
    "routes.written",
    "routes.acknowledged",
    "frames.before_offset",
    "segment.before_row",
    "segment.before_removal",
    "outcomes.before_row",
    "reply.before_sending",
    "clock.advanced",
)


def point(name: str) -> None:
    """Die here, if this is the place and the time that a test asked for.

    The variable holds ``NAME:N:FILE``: the N-th passage in one process kills it, and the file is taken away first, so
    that only one process dies.
    """
    if VARIABLE not in os.environ:
        return
    wanted, count, token = os.environ[VARIABLE].split(":", 2)
    if wanted != name:
        return
    _passages[name] = _passages.get(name, 0) + 1
    if _passages[name] < int(count):
        return
    try:
        Path(token).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


_passages: dict[str, int] = {}
