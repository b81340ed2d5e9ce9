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
from typing import Any

from sqlalchemy import Connection

from bench import report
from bench.rig import servers
from bench.rig.environments import ROOT, environment
from bench.rig.process_trees import Cost, cpu_seconds
from bench.rig.results import Section
from ratchet import clock
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


def fill(project: Path) -> tuple[list[dict[str, Any]], int]:
    """Append all events; return the rates of the first and of the last ones, and how many there are."""
    state = project / ".ratchet"
    state.mkdir(parents=True)
    (project / "ratchet.toml").write_text(SETTINGS)
    database = Database(sqlite_url(state / "ratchet.db"))
    migrations.migrate(database)
    ledger = Ledger(database, _ignore)
    events = report.events(EVENTS)
    seconds: list[float] = []
    count = 0
    while batch := list(islice(events, BATCH)):
        began = time.perf_counter()
        ledger.record(*batch)
        seconds.append(time.perf_counter() - began)
        count += len(batch)
    database.close()
    window = max(1, WINDOW // BATCH)
    rows = [
        {"what": f"appends, {name} {window * BATCH:,} events", "events_per_second": round(window * BATCH / sum(some))}
        for name, some in (("the first", seconds[:window]), ("the last", seconds[-window:]))
    ]
    size = sum(path.stat().st_size for path in state.glob("ratchet.db*"))
    rows.append(
        {"what": f"on the disk, {count:,} events", "mb": round(size / 1e6), "bytes_an_event": round(size / count)}
    )
    clock.simulate(state / CLOCK_FILE, start=report.START + timedelta(days=7 * report.WEEKS + 1))
    clock.stop_simulating()
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
    """Return how long the first page takes, the first time and again, from a server that was just started."""
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
        walls = []
        for address in (login, server.address + "/", server.address + "/"):
            began = time.perf_counter()
            with browser.open(address, timeout=600) as reply:
                assert len(reply.read()) > 1000, "a page comes back"
            walls.append(time.perf_counter() - began)
    finally:
        server.stop()
    names = ("overview page, first", "overview page, again")
    return [{"what": name, "wall_s": round(wall, 3)} for name, wall in zip(names, (walls[0], walls[-1]), strict=True)]


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
