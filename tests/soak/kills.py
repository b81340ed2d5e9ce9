"""Random ``kill -9`` over server, children, zygote and endpoint, under a steady load, on both databases.

A round is a fresh workspace. It is killed 150 times, settles, stops and is checked, several times over.
Invariant: what is counted was checked.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ratchet import clock
from ratchet.config import STATE_FOLDER, load
from ratchet.store.database import Database, sqlite_url
from tests.soak import checks, cluster, project
from tests.soak.checks import Known
from tests.soak.cluster import Cluster
from tests.soak.load import Load
from tests.soak.tally import Tally

SETTLE_SECONDS = 400.0
GAP_SECONDS = (0.05, 0.6)
# Now and then there is time for everything to come up; without it, nothing would ever be under way.
BREATH_SECONDS = (2.0, 5.0)
BREATH_SHARE = 0.12
DATA_EVERY = 12

Plant = Callable[[Path], None]


@dataclass
class Piece:
    """What came of a stretch of kills that was checked."""

    kills: dict[str, int]
    counts: dict[str, int]
    faults: list[str] = field(default_factory=list)


class Round:
    """A workspace under load, with its processes.

    Args:
        folder: The project, made anew.
        database: A URL, ``""`` for SQLite.
        seed: Of the kills.
        rate: Events and requests a second, each.
        mark: What its processes carry, with the folder.
        variables: Further ones of their environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str = "",
        seed: int = 1,
        rate: float = 8.0,
        mark: str = "soak",
        variables: dict[str, str] | None = None,
    ) -> None:
        # What a soak that was killed itself left behind.
        cluster.end_marked(f"{mark}:{folder}")
        shutil.rmtree(folder, ignore_errors=True)
        project.write(folder, database=database)
        self.folder = folder
        self.chance = random.Random(seed)
        # Only on PostgreSQL are there other machines.
        self.cluster = Cluster(folder, name=f"{mark}:{folder}", workers=1 if database else 0, variables=variables or {})
        self.load = Load(self.cluster, token=issue_token(folder, self.cluster.name), rate=rate)
        self._data = 0
        self._counted: dict[str, int] = {}
        self._database = Database(database or sqlite_url(folder / STATE_FOLDER / "ratchet.db"))

    @contextmanager
    def running(self) -> Iterator["Round"]:
        """Start the server, wait until it has released a model, and begin to send."""
        try:
            self.cluster.start()
            self.load.start()
            self.load.faults += self._until(lambda: bool(self.load.answered), "the first answer")
            yield self
        finally:
            self.load.close()
            self.cluster.end()
            self._database.close()

    def kill(self, times: int) -> None:
        """Kill processes at random moments, and start the server again at once."""
        wanted = sum(self.cluster.kills.values()) + times
        while sum(self.cluster.kills.values()) < wanted:
            low, high = BREATH_SECONDS if self.chance.random() < BREATH_SHARE else GAP_SECONDS
            clock.sleep(self.chance.uniform(low, high))
            if not self.cluster.kill_one(self.chance):
                continue
            if sum(self.cluster.kills.values()) % DATA_EVERY == 0:
                self._data += 1
                project.add_data(self.folder, self._data)

    def settle_and_stop(self) -> list[str]:
        """Let everything come to its end, send all events again, stop, and return what went wrong on the way."""
        self.load.pause(patience_seconds=SETTLE_SECONDS)
        self.load.redeliver_all()
        found = self._until(lambda: not checks.pending(self._database), "all jobs")
        return [*found, *self.cluster.stop()]

    def check(self, *, plant: Plant | None = None) -> Piece:
        """Settle, stop, check, and start again."""
        kills = dict(self.cluster.kills)
        self.cluster.kills.clear()
        faults = self.settle_and_stop()
        if plant is not None:
            plant(self.folder)
        known = Known(self.load.events, frozenset(self.load.accepted), frozenset(self.load.answered))
        found, counts = checks.check(self.folder, known)
        faults += [
            *found,
            *self.load.faults,
            *self.cluster.faults,
            *(f"{n} times: {one}" for one, n in self.load.errors.items()),
        ]
        counts["redelivered"] = self.load.redelivered
        counts["starts"] = self.cluster.starts
        return Piece(kills, counts, faults)

    def grown(self, counts: dict[str, int]) -> dict[str, int]:
        """Return by how much counts have grown since they were asked for the last time."""
        before, self._counted = self._counted, counts
        return {name: count - before.get(name, 0) for name, count in counts.items()}

    def go_on(self) -> None:
        """Start again after a check."""
        self.cluster.start()
        self.load.go_on()

    def _until(self, condition: Callable[[], bool], what: str) -> list[str]:
        deadline = clock.monotonic() + SETTLE_SECONDS
        while not condition():
            if self.load.faults:
                return [f"broken off: {what}"]
            if clock.monotonic() > deadline:
                return [f"waited {SETTLE_SECONDS:g} s in vain for {what}"]
            clock.sleep(0.05)
        return []


def soak(
    state: Path, tally: Tally, *, url: str, kills: int, database: str, per_check: int = 150, plant: Plant | None = None
) -> list[str]:
    """Kill so many times in one round, and add each piece to the tally; returns what went wrong."""
    number = len(tally.pieces("kills"))
    round_ = Round(state / f"kills-{database}", database=url, seed=number)
    faults: list[str] = []
    with round_.running():
        left = kills
        while left > 0 and not faults:
            round_.kill(min(per_check, left))
            left -= per_check
            piece = round_.check(plant=plant)
            grown = round_.grown(piece.counts)
            faults += piece.faults
            if plant is None:
                tally.add("kills", counts={**grown, **_named(piece.kills)}, faults=piece.faults, database=database)
            sys.stdout.write(f"kills on {database}: {json.dumps(piece.kills)} {json.dumps(grown)}\n")
            sys.stdout.write("".join(f"  FAULT {one}\n" for one in piece.faults))
            sys.stdout.flush()
            if left > 0 and not faults:
                round_.go_on()
    if faults and plant is None:
        keep(state, f"kills-{database}", number)
    return faults


def keep(state: Path, name: str, number: int) -> None:
    """Keep a workspace in which something is wrong, to look at."""
    kept = state / f"fault-{number}-{name}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(state / name, kept, symlinks=True)


def _named(kills: dict[str, int]) -> dict[str, int]:
    return {"kills": sum(kills.values()), **{f"kills of {kind}": count for kind, count in kills.items()}}


def issue_token(folder: Path, mark: str) -> str:
    """Issue the token of the senders."""
    command = [sys.executable, "-m", "ratchet", "token", "issue", "soak", "--kind", "system", "--system", "soak"]
    done = subprocess.run(
        [*command, "--workspace", str(folder)],
        env=cluster.environment(mark),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load(folder).rule, "the project has its rules"
    return done.stdout.strip()
