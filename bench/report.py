"""The report over a year of many pipelines: how long it takes from a cold start, and once the ledger has been read.

Invariant: what is timed is checked: the figures of the page are those of each KPI by itself, and they verify.
"""

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
WEEKS = 52
EVENTS_A_WEEK = 28


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


def run() -> dict[str, Any]:
    """Measure; the limit is for a page of a process that has read the ledger, as `ratchet up` has."""
    with TemporaryDirectory() as folder:
        written = write(Path(folder))
        with Workspace(Path(folder)) as workspace:
            began = time.perf_counter()
            workspace.ask()
            read = time.perf_counter() - began
            began = time.perf_counter()
            found = reporting.read_report(workspace)
            collected = time.perf_counter() - began
            began = time.perf_counter()
            page = report.draw(found)
            drawn = time.perf_counter() - began
            asked = workspace.kpi("models_in_production")
            assert found.numbers["kpi/models_in_production"].value == asked.value, "the page says something else"
        clock.stop_simulating()
    total = collected + drawn
    sys.stdout.write(
        f"{written:,} events, {len(found.pipelines) + found.pipelines_left} pipelines\n"
        f"  read the ledger       {read:8.2f} s\n"
        f"  collect the figures   {collected:8.2f} s\n"
        f"  draw the page         {drawn:8.2f} s   {len(page):,} characters\n"
        f"  once read             {total:8.2f} s   limit {LIMIT_SECONDS:g} s\n"
    )
    return {"seconds": total, "read_seconds": read, "is_within_limits": total <= LIMIT_SECONDS}
