"""What becomes of appends and of the first questions when the ledger is large: a million events, or more.

``python -m bench ledger_size`` takes a million events, or ``BENCH_EVENTS``; ten million take half an hour and 20 GB.

Invariant: all events are appended as the loop appends them, with their leaves of the tree, so the ledger verifies.
"""

import http.cookiejar
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection

from bench import report
from bench.rig import servers
from bench.rig.environments import ROOT, environment
from bench.rig.process_trees import Cost, cpu_seconds
from bench.rig.results import Section
from ratchet import clock, origin
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from ratchet.workspace import CLOCK_FILE

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
BATCH = 1000
# The rates at the beginning and at the end are those over so many events.
WINDOW = 50_000
SETTINGS = '[project]\nname = "large"\n'
PIPELINE = "pipeline-0000"
PAGE_SECONDS = 60.0
FIGURES_SECONDS = 3600.0


def fill(project: Path) -> tuple[list[dict[str, Any]], int]:
    """Append all events; return the rates of the first and of the last ones, and how many there are."""
    state = project / ".ratchet"
    state.mkdir(parents=True)
    (project / "ratchet.toml").write_text(SETTINGS)
    database = Database(sqlite_url(state / "ratchet.db"))
    migrations.migrate(database)
    ledger = Ledger(database, _ignore)
    clock.simulate(state / CLOCK_FILE, start=report.START - timedelta(days=8))
    asked = ledger.record(Event(type="command.issued", subject="large", data={"action": "declare"}))[0]
    seconds: list[float] = []
    count = 1
    # What says itself where it comes from keeps that; the rest follows from the person who asked for it.
    with origin.use(origin.following(asked)):
        events = report.events(EVENTS)
        while batch := list(islice(events, BATCH)):
            clock.advance(max(clock.now(), *(event.recordedtime for event in batch)))
            began = time.perf_counter()
            ledger.record(*batch)
            seconds.append(time.perf_counter() - began)
            count += len(batch)
    clock.advance(report.START + timedelta(days=7 * report.WEEKS + 1))
    clock.stop_simulating()
    database.close()
    window = min(len(seconds), WINDOW // BATCH)
    rows = [
        {"what": f"appends, {name} {window * BATCH:,} events", "events_per_second": round(window * BATCH / sum(some))}
        for name, some in (("the first", seconds[:window]), ("the last", seconds[-window:]))
    ]
    size = sum(path.stat().st_size for path in state.glob("ratchet.db*"))
    rows.append(
        {"what": f"on the disk, {count:,} events", "mb": round(size / 1e6), "bytes_an_event": round(size / count)}
    )
    return rows, count


def _ignore(_transaction: Connection, _events: Sequence[Any]) -> None:
    """React to nothing: no rule listens."""


def command(project: Path, *words: str) -> Callable[[], None]:
    """Return what runs a command in the project."""

    def run() -> None:
        variables = environment(PYTHONPATH=str(ROOT / "src"))
        line = [sys.executable, "-m", "ratchet", *words]
        subprocess.run(line, cwd=project, env=variables, check=True, capture_output=True)

    return run


def cost(work: Callable[[], None]) -> Cost:
    """Return what something costs that runs in processes of its own, to their end."""
    own = os.getpid()
    cpu, began = cpu_seconds(own), time.perf_counter()
    work()
    return Cost(wall_seconds=time.perf_counter() - began, cpu_seconds=cpu_seconds(own) - cpu)


def questions(project: Path) -> list[dict[str, Any]]:
    """Return what the first and the second asking of some commands cost."""
    rows = []
    asked = (("status",), ("level", PIPELINE))
    for words in asked:
        for turn in ("first", "again", "again"):
            spent = cost(command(project, *words))
            row = {"what": f"`ratchet {' '.join(words)}`, {turn}", "wall_s": round(spent.wall_seconds, 2)}
            row["processor_s"] = round(spent.cpu_seconds, 2)
            if rows and rows[-1]["what"] == row["what"]:
                rows.pop()
            rows.append(row)
    return rows


def overview(project: Path) -> list[dict[str, Any]]:
    """Return how long the first page takes, from a server that was just started: it says so while it still reads."""
    port = servers.free_port()
    server = servers.Server(
        [sys.executable, "-m", "ratchet", "up", "--json", "--port", str(port)],
        folder=project,
        health="/api/v1/health",
        variables={"PYTHONPATH": str(ROOT / "src")},
        port=port,
    )
    try:
        server.start()
        login = next(json.loads(line)["login"] for line in server.log.read_text().splitlines() if '"login"' in line)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        browser.open(login, timeout=PAGE_SECONDS).close()

        def load() -> tuple[float, bool]:
            began = time.perf_counter()
            with browser.open(server.address + "/", timeout=PAGE_SECONDS) as reply:
                page = reply.read().decode()
            return time.perf_counter() - began, PIPELINE in page

        began = time.perf_counter()
        first, has_figures = load()
        while not has_figures:
            assert time.perf_counter() - began < FIGURES_SECONDS, "the page gets its figures"
            time.sleep(0.2)
            _, has_figures = load()
        complete = time.perf_counter() - began
        again = median(load()[0] for _ in range(3))
    finally:
        server.stop()
    told = {
        "overview page, first answer after the start": first,
        "overview page, until it has its figures": complete,
        "overview page, again": again,
    }
    return [{"what": name, "wall_s": round(wall, 3)} for name, wall in told.items()]


def run() -> dict[str, Any]:
    """Measure and print."""
    with servers.scratch() as folder:
        rows, count = fill(folder / "large")
        rows += questions(folder / "large")
        rows += overview(folder / "large")
    section = Section(
        title=f"A ledger of {count:,} events",
        about=(
            f"A year of {count // (report.WEEKS * report.EVENTS_A_WEEK):,} pipelines on SQLite, appended by the "
            f"{BATCH:,}. The first question folds all events and keeps what came out; later ones read only what is new."
        ),
        rows=rows,
    )
    return section.publish()


if __name__ == "__main__":
    run()
