"""The report over a year of many pipelines: the first one, one of a later process, and when it is asked for again.

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
LIMIT_SECONDS = 2.0 if EVENTS <= 1_000_000 else 10.0
# Working all figures out from nothing takes longer than anything that is timed.
CHECKED = int(os.environ.get("BENCH_CHECKED", "100000"))
WEEKS = 52
EVENTS_A_WEEK = 28
Made = TypeVar("Made")


def events() -> Iterator[Event]:
    """Give the weeks of all pipelines, in the order of time."""
    count = max(1, EVENTS // (WEEKS * EVENTS_A_WEEK))
    writers = [Writer(f"pipeline-{number:04d}", seq=0, by_hand=number % 5) for number in range(count)]
    seq = 0
    for week in range(-1, WEEKS):
        for writer in writers:
            writer.seq = seq
            writer.now = START + timedelta(days=7 * week)
            yield from writer.week(week) if week >= 0 else islice(writer.events(), 1 + len(STAGES))
            seq = writer.seq


def write(folder: Path) -> int:
    """Write a project with its ledger; return the number of events."""
    state = folder / ".ratchet"
    state.mkdir(parents=True)
    (folder / "ratchet.toml").write_text('[project]\nname = "many"\n[baseline]\ndays_to_deployment = 31.0\n')
    database = Database(sqlite_url(state / "ratchet.db"))
    migrations.migrate(database)
    written = write_rows(database, events())
    database.close()
    clock.simulate(state / CLOCK_FILE, start=START + timedelta(days=7 * WEEKS + 1))
    return written


class Stopwatch:
    """Seconds by the clock and of the processor, by name."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}

    def time(self, name: str, work: Callable[[], Made], *, repeats: int = 1) -> Made:
        """Do something some times over and note the median; return what came of the last."""
        walls, processors, made = [], [], []
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
            watch.time("asked again", lambda: reporting.read_report(workspace), repeats=3)
            page = watch.time("draw the page", lambda: report.draw(found))
            assert len(page) > len(found.pipelines)
            write_rows(workspace.database, new_week(workspace.history().last_seq))
            found = watch.time("after a week's work", lambda: reporting.read_report(workspace))
        asked = workspace.kpi("models_in_production")
        assert found.numbers["kpi/models_in_production"].value == asked.value, "the page says something else"
        if not is_first and EVENTS <= CHECKED:
            assert reporting.differences(workspace, found) == [], "the events say something else"
    clock.stop_simulating()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"seconds": watch.found, "peak_gib": peak, "pipelines": len(found.pipelines) + found.pipelines_left}


def new_week(seq: int) -> list[Event]:
    """Return a further week of one pipeline."""
    writer = Writer("pipeline-0000", seq=seq, by_hand=0)
    list(writer.events())
    writer.seq, writer.now = seq, START + timedelta(days=7 * WEEKS)
    return list(writer.week(WEEKS))


def in_a_process(folder: Path, *, is_first: bool) -> dict[str, Any]:
    """Return what a process of its own measures, so that nothing of it is warm, and its memory is its own."""
    asked = "first" if is_first else "later"
    done = subprocess.run(
        [sys.executable, "-m", "bench.report", asked, str(folder)], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run() -> dict[str, Any]:
    """Measure; the limit is for a report of a process that has read the ledger, as `ratchet up` has."""
    with TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        project = Path(folder) / "many"
        began = time.perf_counter()
        written = write(project)
        clock.stop_simulating()
        made = time.perf_counter() - began
        first, later = (in_a_process(project, is_first=is_first) for is_first in (True, False))
    sys.stdout.write(f"{written:,} events, {later['pipelines']} pipelines (made in {made:.0f} s)\n")
    for title, process in (("the first process, nothing kept", first), ("a later process", later)):
        sys.stdout.write(f"  {title}, at most {process['peak_gib']:.2f} GiB\n")
        for name, (wall, processor) in process["seconds"].items():
            limit = f"   limit {LIMIT_SECONDS:g} s, {wall / LIMIT_SECONDS:.2f} x" if name == "asked again" else ""
            sys.stdout.write(f"    {name:<22} {wall:8.2f} s   {processor:8.2f} s of the processor{limit}\n")
    wall = later["seconds"]["asked again"][0]
    return {"first": first, "later": later, "seconds": wall, "is_within_limits": wall <= LIMIT_SECONDS}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(one_process(Path(sys.argv[2]), is_first=sys.argv[1] == 'first'))}\n")
