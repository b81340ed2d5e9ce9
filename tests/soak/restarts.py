"""Sudden ends of the PostgreSQL server under load: it breaks off what it does, and comes back a moment later.

Invariant: what the server confirmed outlives its end, so whatever is missing afterwards was lost by us.
"""

import sys
from pathlib import Path

from ratchet import clock
from tests.servers import CRASH_SAFE, PostgresServer
from tests.soak.kills import Round, keep
from tests.soak.tally import Tally

UP_SECONDS = (0.5, 3.0)
DOWN_SECONDS = (0.0, 1.0)


def soak(state: Path, tally: Tally, *, times: int, per_check: int = 20) -> list[str]:
    """Crash the server so many times in one round, and check every now and then; returns what went wrong."""
    seed = len(tally.pieces("restarts"))
    faults: list[str] = []
    with PostgresServer(CRASH_SAFE) as server, server.database() as url:
        round_ = Round(state / "restarts", database=url, seed=seed, mark="restarts")
        with round_.running():
            while times > 0 and not faults:
                some = min(per_check, times)
                times -= some
                for _ in range(some):
                    clock.sleep(round_.chance.uniform(*UP_SECONDS))
                    server.crash()
                    clock.sleep(round_.chance.uniform(*DOWN_SECONDS))
                    server.start()
                piece = round_.check()
                faults += piece.faults
                tally.add("restarts", counts={**round_.grown(piece.counts), "restarts": some}, faults=piece.faults)
                sys.stdout.write(f"restarts: {some} {piece.counts} {piece.faults}\n")
                sys.stdout.flush()
                if times > 0 and not faults:
                    round_.go_on()
    if faults:
        keep(state, "restarts", seed)
    return faults
