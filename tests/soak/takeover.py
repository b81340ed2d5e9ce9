"""How long a run stands still when its worker is killed or hangs in a step, until it goes on elsewhere.

Invariant: the clock runs from the blow to the first line of the step on another worker.
"""

import os
import random
import shutil
import signal
import statistics
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ratchet import clock
from ratchet.engine.runs import DurableRuns
from ratchet.store.database import Database
from tests.soak import checks, project
from tests.soak.cluster import Cluster, end_marked, parent_of
from tests.soak.kills import issue_token
from tests.soak.load import event, post
from tests.soak.tally import Tally
from tests.waiting import until

LIMIT_SECONDS = 10.0
BLOWS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
_RUN = 1  # the number of an event of which a run comes
_CODE = '''

from pathlib import Path as _Path
import os as _os
import time as _time


@rt.step(cache=False)
def wait(folder: str) -> int:
    """Say who carries this out, and wait until somebody lets it go on."""
    place = _Path(folder)
    (place / f"begun.{_os.getpid()}").touch()
    while not (place / "go").exists():
        _time.sleep(0.01)
    return 1


@rt.pipeline(model="tiny", owner="growth")
def tiny() -> None:
    """Wait."""
    wait("FOLDER")
'''


class Site:
    """A workspace on PostgreSQL whose runs are carried out by workers only.

    Args:
        folder: The project, made anew.
        url: The database.
        workers: How many.
    """

    def __init__(self, folder: Path, *, url: str, workers: int = 2) -> None:
        end_marked(f"takeover:{folder}")
        shutil.rmtree(folder, ignore_errors=True)
        project.write(folder, database=url)
        self._signs = folder.parent / f"{folder.name}.signs"
        shutil.rmtree(self._signs, ignore_errors=True)
        self._signs.mkdir()
        code = folder / "pipeline.py"
        before = code.read_text().partition("@rt.step(cache=False)\ndef first")[0]
        code.write_text(before + _CODE.replace("FOLDER", str(self._signs)))
        self.cluster = Cluster(folder, name=f"takeover:{folder}", workers=workers, options=["--runs", "0"])
        self._token = issue_token(folder, self.cluster.name)
        self._database = Database(url)
        self._number = _RUN

    def __enter__(self) -> "Site":
        """Start everything."""
        self.cluster.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.cluster.end()
        self._database.close()

    def strike(self, blow: signal.Signals) -> float:
        """Let a run begin, strike its worker, and return after how many seconds the step began elsewhere."""
        self._ask_for_a_run()
        until(self._begun, "a step that begins")
        child = self._begun()[0]
        worker = parent_of(parent_of(child))
        assert worker in self.cluster.victims()["worker"], "a step runs in a child of a zygote of a worker"
        struck = clock.monotonic()
        self.cluster.strike(worker, blow)
        until(lambda: set(self._begun()) - {child}, "the step on another worker")
        seconds = clock.monotonic() - struck
        (self._signs / "go").touch()
        until(lambda: not checks.pending(self._database), "the end of the run")
        if blow == signal.SIGSTOP:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
        for sign in self._signs.iterdir():
            sign.unlink()
        return seconds

    def _begun(self) -> list[int]:
        return [int(path.suffix[1:]) for path in self._signs.glob("begun.*")]

    def _ready(self) -> int:
        alive = {one.worker.pid for one in DurableRuns(self._database).workers() if one.is_alive}
        return len(alive.intersection(self.cluster.victims()["worker"]))

    def _ask_for_a_run(self) -> None:
        until(lambda: not checks.pending(self._database), "an idle workspace")
        until(lambda: self._ready() > 1, "two workers that give signs of life")
        while project.kind_of(self._number) != "run":
            self._number += 1
        body = msgspec.json.encode(event(self._number))
        self._number += 1

        def is_taken() -> bool:
            address = ("127.0.0.1", self.cluster.port)
            media = "application/cloudevents+json"
            return post(address, "/api/v1/events", body, token=self._token, media=media)[0] in (200, 201)

        until(is_taken, "a server that takes an event")


def soak(state: Path, tally: Tally, *, url: str, times: int) -> list[str]:
    """Strike so many times, in turn by killing and by stopping, and add how long each run stood still."""
    chance = random.Random(len(tally.pieces("takeover")))
    faults: list[str] = []
    with Site(state / "takeover", url=url) as site:
        for number in range(times):
            name = list(BLOWS)[number % len(BLOWS)]
            clock.sleep(chance.uniform(0.0, 1.0))
            seconds = site.strike(BLOWS[name])
            found = too_long(seconds)
            tally.add("takeover", counts={"blows": 1, name: 1}, faults=found, seconds=round(seconds, 2), blow=name)
            sys.stdout.write(f"takeover: {name}, {seconds:.2f} s\n")
            sys.stdout.flush()
            faults += found
    return faults


def too_long(seconds: float) -> list[str]:
    """Say that a run stood still for longer than it should."""
    return [f"a run stood still for {seconds:.1f} s"] if seconds > LIMIT_SECONDS else []


def seconds_of(tally: Tally, blow: str) -> list[float]:
    """Return how long each run stood still."""
    return [float(one["seconds"]) for one in tally.pieces("takeover") if one["blow"] == blow]


def summary(seconds: list[float]) -> str:
    """Return the median and the longest, in words."""
    return f"median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s" if seconds else "not measured"
