"""The soak: ``python -m tests.soak`` kills, cuts off and starves a workspace for hours, and checks it again and again.

Invariant: its state lies in one folder; a soak that was broken off goes on there, and what it has counted stays.
"""

import argparse
import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import PostgresMissing, PostgresServer
from tests.soak import claims, clocks, disk, kills, plants, redelivery, reliability, restarts, takeover
from tests.soak.tally import Tally

# How many of each there are to be in the end, and how many are done in one go.
GOALS = {
    "kills": 10_000,
    "restarts": 200,
    "disk": 6,
    "clocks": 48,
    "redelivery": 4_000,
    "claims": 400_000,
    "takeover": 50,
}
COUNTED = {
    "kills": "kills",
    "restarts": "restarts",
    "disk": "stories",
    "clocks": "jumps",
    "redelivery": "events",
    "claims": "slots",
    "takeover": "blows",
}
_KILLS, _RESTARTS, _JUMPS, _EVENTS, _MINUTES, _BLOWS = 600, 20, 12, 300, 500, 10
_CONFIGURATIONS = [("sqlite", 2), ("postgres", 2), ("sqlite", 5), ("postgres", 5)]
Part = Callable[[Path, Tally, plants.Plant | None], list[str]]


@contextmanager
def _database(name: str, count: int = 1) -> Iterator[list[str]]:
    """Give URLs of empty databases: ``""`` for SQLite, which every project makes for itself."""
    if name == "sqlite":
        yield [""] * count
        return
    with PostgresServer() as server:
        if count == 1:
            with server.database() as url:
                yield [url]
        else:
            with server.database() as url, server.database() as other:
                yield [url, other]


def _rarer(tally: Tally, part: str) -> str:
    """Return the database on which less was done so far."""
    counts = {name: tally.total(part, database=name)[COUNTED[part]] for name in ("sqlite", "postgres")}
    return min(counts, key=lambda name: counts[name])


def do_kills(state: Path, tally: Tally, plant: plants.Plant | None) -> list[str]:
    """Kill for one round, on SQLite and PostgreSQL in turn; a fault is planted on SQLite."""
    name = "sqlite" if plant else _rarer(tally, "kills")
    with _database(name) as (url,):
        return kills.soak(state, tally, url=url, kills=10 if plant else _KILLS, database=name, plant=plant)


def do_restarts(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Let the server of PostgreSQL crash for one round."""
    return restarts.soak(state, tally, times=_RESTARTS)


def do_disk(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Let each write of a story fail in one way."""
    stories = [(story, way) for story in disk.STORIES for way in disk.WAYS]
    story, way = stories[tally.total("disk")["stories"] % len(stories)]
    return disk.soak(state, tally, way=way, story=story)


def do_clocks(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Let the clocks jump for one round."""
    name = _rarer(tally, "clocks")
    with _database(name) as (url,):
        return clocks.soak(state, tally, url=url, times=_JUMPS, database=name)


def do_redelivery(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Deliver events often and in any order."""
    name = _rarer(tally, "redelivery")
    with _database(name, 2) as (url, other):
        return redelivery.soak(state, tally, urls=(url, other), count=_EVENTS, database=name)


def do_claims(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Let two or five schedulers claim slots."""
    by_configuration = {
        (name, processes): tally.total("claims", database=name, processes=processes)["slots"]
        for name, processes in _CONFIGURATIONS
    }
    name, processes = min(by_configuration, key=lambda one: by_configuration[one])
    with _database(name) as (url,):
        return claims.soak(state, tally, url=url, processes=processes, minutes=_MINUTES, database=name)


def do_takeover(state: Path, tally: Tally, _plant: plants.Plant | None) -> list[str]:
    """Strike workers in the middle of a step."""
    with _database("postgres") as (url,):
        return takeover.soak(state, tally, url=url, times=_BLOWS)


PARTS: dict[str, Part] = {
    "kills": do_kills,
    "restarts": do_restarts,
    "disk": do_disk,
    "clocks": do_clocks,
    "redelivery": do_redelivery,
    "claims": do_claims,
    "takeover": do_takeover,
}


def main() -> int:
    """Do the parts that are wanted, a piece of each in turn, until their goals are reached or something is wrong."""
    options = _options()
    if options.report:
        reliability.write(Tally(options.state))
        return 0
    state = options.state.resolve()
    tally = Tally(state)
    planted = plants.PLANTS[options.plant] if options.plant else None
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"A soak works in {state} already. Name another folder with --state.\n")
            return 1
        names = ["kills"] if planted else options.part or list(PARTS)
        goals = {name: options.goal or GOALS[name] for name in names}
        while left := [name for name in names if planted or tally.total(name)[COUNTED[name]] < goals[name]]:
            for name in left:
                faults = _do(name, state, tally, planted)
                if faults:
                    sys.stderr.write("".join(f"{name}: {one}\n" for one in faults))
                    return 1
            if planted:
                sys.stderr.write(f"The checker did not find what was planted: {options.plant}\n")
                return 2
    return 0


def _do(name: str, state: Path, tally: Tally, planted: plants.Plant | None) -> list[str]:
    try:
        return PARTS[name](state, tally, planted)
    except PostgresMissing as error:
        return [str(error)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("soak-state"), help="the folder that keeps what was counted")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), default=[], help="only this part")
    parser.add_argument("--goal", type=int, help="how many, for the parts that are named")
    parser.add_argument("--plant", choices=sorted(plants.PLANTS), help="plant this fault: the checker has to find it")
    parser.add_argument("--report", action="store_true", help="write the figures into docs/reliability.md, and end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
