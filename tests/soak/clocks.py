"""Clocks that jump a day forward and back under load, for the processes of a workspace only.

Invariant: only the time of day jumps; the clock that measures durations goes on as it is.
"""

import struct
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
_SHIFT = struct.Struct("<q")
_DAY_SECONDS = 86_400


def shift(file: Path, days: int) -> None:
    """Let the clocks of all processes that read a file say another day, from one moment to the next."""
    # Written in place: the processes have it mapped.
    with file.open("r+b" if file.exists() else "wb") as opened:
        opened.write(_SHIFT.pack(days * _DAY_SECONDS))


def variables(folder: Path, file: Path) -> dict[str, str] | None:
    """Return the environment of processes whose clocks a file shifts, or ``None`` where there is no compiler."""
    library = native.build("shifted_clock", folder)
    return None if library is None else {"LD_PRELOAD": str(library), "SHIFTED_CLOCK_FILE": str(file)}


def soak(state: Path, tally: Tally, *, url: str, times: int, database: str) -> list[str]:
    """Let clocks jump so many times; returns what went wrong."""
    file = state / "clock-shift"
    shift(file, 0)
    environment = variables(state, file)
    if environment is None:
        return [native.MISSING.format(what="no clock was set")]
    seed = len(tally.pieces("clocks"))
    round_ = Round(state / "clocks", database=url, seed=seed, mark="clocks", variables=environment)
    # The real clock is meant, not that of a replayed year.
    (round_.folder / STATE_FOLDER / "clock").unlink()
    with round_.running():
        for number in range(times):
            clock.sleep(BETWEEN_SECONDS)
            shift(file, DAYS[number % len(DAYS)])
        clock.sleep(BETWEEN_SECONDS)
        piece = round_.check()
    tally.add("clocks", counts={**piece.counts, "jumps": times}, faults=piece.faults, database=database)
    sys.stdout.write(f"clocks: {times} jumps {piece.counts} {piece.faults}\n")
    if piece.faults:
        keep(state, "clocks", seed)
    return piece.faults
