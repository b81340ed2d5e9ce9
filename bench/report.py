"""The report over a year of many pipelines: the first one, one of a later process, and when it is asked for again.

``python -m bench report`` takes a million events, or ``BENCH_EVENTS``; ``python -m bench.report 1000000 10000000``
takes the sizes that are named.

Invariant: what is timed is checked: the figures of the page are those of each KPI by itself, and they verify.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from bench.levels import STAGES, START, Writer
from ratchet import clock, reporting
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.web import report
from ratchet.workspace import CLOCK_FILE, Workspace
from tests.rows import write_rows

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
# Up to how many events a report that is asked for again may take how many seconds.
LIMITS_SECONDS = {1_000_000: 2.0, 10_000_000: 10.0}
# Working all figures out from nothing takes longer than anything that is timed.
CHECKED = int(os.environ.get("BENCH_CHECKED", "100000"))
REPEATS = 3
AFTER_WORK = "after a week's work"
WEEKS = 52
EVENTS_A_WEEK = 28
Made = TypeVar("Made")


def events(size: int) -> Iterator[Event]:
    """Give the weeks of so many pipelines as make about so many events, in the order of time."""
    count = max(1, size // (WEEKS * EVENTS_A_WEEK))
    writers = [Writer(f"pipeline-{number:04d}", seq=0, by_hand=number % 5) for number in range(count)]
    seq = 0
    for week in range(-1, WEEKS):
        for writer in writers:
            writer.seq = seq
            writer.now = START + timedelta(days=7 * week)
            yield from writer.week(week) if week >= 0 else islice(writer.events(), 1 + len(STAGES))
            seq = writer.seq


def write(folder: Path, size: int = EVENTS) -> int:
    """Write a project with its ledger of about so many events; return their number."""
    state = folder / ".ratchet"
    state.mkdir(parents=True)
    (folder / "ratchet.toml").write_text('[project]\nname = "many"\n[baseline]\ndays_to_deployment = 31.0\n')
    database = Database(sqlite_url(state / "ratchet.db"))
    migrations.migrate(database)
    written = write_rows(database, events(size))
    database.close()
    clock.simulate(state / CLOCK_FILE, start=START + timedelta(days=7 * WEEKS + 1))
    return written


class Stopwatch:
    """Seconds by the clock and of the processor, by name."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}
        self._seconds: dict[str, tuple[list[float], list[float]]] = {}

    def time(self, name: str, work: Callable[[], Made], *, repeats: int = 1, is_one_of_several: bool = False) -> Made:
        """Do something some times over and note the median; return what came of the last.

        Args:
            name: What to call it.
            work: What to do.
            repeats: How often.
            is_one_of_several: Whether it is done under this name again, so that the median is of all of them.
        """
        made: list[Made] = []
        walls, processors = self._seconds.setdefault(name, ([], []))
        if not is_one_of_several:
            walls.clear()
            processors.clear()
        for _ in range(repeats):
            wall, processor = time.perf_counter(), time.process_time()
            made = [work()]
            walls.append(time.perf_counter() - wall)
            processors.append(time.process_time() - processor)
        self.found[name] = (median(walls), median(processors))
        return made[0]


def one_process(folder: Path, *, is_first: bool) -> dict[str, Any]:
    """Ask as one process does: with what the ledger says, then again, then after something happened."""
    watch = Stopwatch()
    with Workspace(folder) as workspace:
        watch.time("read the ledger", workspace.ask)
        found = watch.time("first report", lambda: reporting.read_report(workspace))
        if not is_first:
            watch.time("asked again", lambda: reporting.read_report(workspace), repeats=REPEATS)
            page = watch.time("draw the page", lambda: report.draw(found))
            assert len(page) > len(found.pipelines)
            for number in range(REPEATS):
                write_rows(workspace.database, new_week(workspace.history().last_seq, number))
                found = watch.time(AFTER_WORK, lambda: reporting.read_report(workspace), is_one_of_several=True)
        asked = workspace.kpi("models_in_production")
        assert found.numbers["kpi/models_in_production"].value == asked.value, "the page says something else"
        if not is_first and found.seq <= CHECKED:
            assert reporting.differences(workspace, found) == [], "the events say something else"
    clock.stop_simulating()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"seconds": watch.found, "peak_gib": peak, "pipelines": len(found.pipelines) + found.pipelines_left}


def new_week(seq: int, number: int = 0) -> list[Event]:
    """Return a further week of one pipeline; the second one comes an hour after the first."""
    writer = Writer("pipeline-0000", seq=seq, by_hand=0)
    list(writer.events())
    writer.seq, writer.now = seq, START + timedelta(days=7 * WEEKS, hours=number)
    return list(writer.week(WEEKS + number))


def in_a_process(folder: Path, *, is_first: bool) -> dict[str, Any]:
    """Return what a process of its own measures, so that nothing of it is warm, and its memory is its own."""
    asked = "first" if is_first else "later"
    done = subprocess.run(
        [sys.executable, "-m", "bench.report", asked, str(folder)], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def limit_seconds(size: int) -> float:
    """Return how long a report may take that is asked for again, in a process that has read the ledger."""
    return next((limit for most, limit in LIMITS_SECONDS.items() if size <= most), max(LIMITS_SECONDS.values()))


def run(size: int = EVENTS) -> dict[str, Any]:
    """Measure; the limit is for a report of a process that has read the ledger, as `ratchet up` has."""
    limit = limit_seconds(size)
    with TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        project = Path(folder) / "many"
        began = time.perf_counter()
        written = write(project, size)
        clock.stop_simulating()
        made = time.perf_counter() - began
        first, later = (in_a_process(project, is_first=is_first) for is_first in (True, False))
    sys.stdout.write(f"{written:,} events, {later['pipelines']} pipelines (made in {made:.0f} s)\n")
    for title, process in (("the first process, nothing kept", first), ("a later process", later)):
        sys.stdout.write(f"  {title}, at most {process['peak_gib']:.2f} GiB\n")
        for name, (wall, processor) in process["seconds"].items():
            against = f"   limit {limit:g} s, {wall / limit:.2f} x" if name == AFTER_WORK else ""
            sys.stdout.write(f"    {name:<22} {wall:8.2f} s   {processor:8.2f} s of the processor{against}\n")
    wall = later["seconds"][AFTER_WORK][0]
    return {"first": first, "later": later, "seconds": wall, "is_within_limits": wall <= limit}


def main(arguments: list[str]) -> int:
    """Measure ledgers of the sizes that are named; return whether a limit was broken."""
    found = [run(int(size)) for size in arguments or [str(EVENTS)]]
    return int(not all(one["is_within_limits"] for one in found))


if __name__ == "__main__":
    if sys.argv[1:2] in (["first"], ["later"]):
        sys.stdout.write(f"{json.dumps(one_process(Path(sys.argv[2]), is_first=sys.argv[1] == 'first'))}\n")
    else:
        sys.exit(main(sys.argv[1:]))
