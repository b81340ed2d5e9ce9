"""Clocks that jump a day forward and back under load, for the processes of a workspace only (libfaketime).

Invariant: only the time of day jumps; the clock that measures durations goes on as it is.
"""

import shutil
import sys
from pathlib import Path

from ratchet import clock
from ratchet.config import STATE_FOLDER
from tests.soak import native
from tests.soak.kills import Round, keep
from tests.soak.tally import Tally

# What the clocks of the processes say beside the real one, in days, in turn.
DAYS = (1, 0, -1, 0, 1, -1)
BETWEEN_SECONDS = 4.0
_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")
MISSING = "libfaketime is not installed, so no clock was set. As root: apt-get install faketime"


def library() -> Path | None:
    """Return the library that changes what a process reads from its clock, or ``None`` where there is none."""
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    return found[0] if found else None


def soak(state: Path, tally: Tally, *, url: str, times: int, database: str) -> list[str]:
    """Let clocks jump so many times; returns what went wrong."""
    faked = library()
    if faked is None:
        return [MISSING]
    sleeping = native.build("real_sleep", state)
    if sleeping is None:
        return [native.MISSING.format(what="no clock was set")]
    offset = state / "clock-offset"
    offset.write_text("+0\n")
    variables = {
        "LD_PRELOAD": f"{sleeping}:{faked}",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    seed = len(tally.pieces("clocks"))
    round_ = Round(state / "clocks", database=url, seed=seed, mark="clocks", variables=variables)
    # The real clock is meant, not that of a replayed year.
    (round_.folder / STATE_FOLDER / "clock").unlink()
    with round_.running():
        for number in range(times):
            clock.sleep(BETWEEN_SECONDS)
            fresh = state / "clock-offset.new"
            fresh.write_text(f"{DAYS[number % len(DAYS)]:+d}d\n")
            shutil.move(fresh, offset)
        clock.sleep(BETWEEN_SECONDS)
        piece = round_.check()
    tally.add("clocks", counts={**piece.counts, "jumps": times}, faults=piece.faults, database=database)
    sys.stdout.write(f"clocks: {times} jumps {piece.counts} {piece.faults}\n")
    if piece.faults:
        keep(state, "clocks", seed)
    return piece.faults
