"""How fast the ledger takes events in: one at a time, by the hundred, and from eight processes at once.

Invariant: each append is a transaction that is on the disk when it is counted, on both databases.
"""

import multiprocessing
import sys
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection

from bench.rig import servers
from bench.rig.environments import Missing
from bench.rig.process_trees import cpu_seconds
from bench.rig.results import Goal, Section
from ratchet import clock
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger

ROUNDS = 5
WRITERS = 8
LIMIT_BATCH = 20_000.0
COUNTS = {"single": (1000, 1), "in batches of 100": (20_000, 100), "8 writers, single": (1600, 1)}
_WINDOW = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-08T00:00:00Z"}


def events(count: int) -> list[Event]:
    """Return new events of the usual size."""
    return [
        Event(
            type="custom.emitted",
            subject="flight-delay@v7",
            id=clock.new_id(),
            pipeline="flight-delay",
            data={"name": "rows", "rows": number, "digest": "a" * 64, "window": _WINDOW},
        )
        for number in range(count)
    ]


def append(url: str, count: int, batch: int, barrier: Barrier | None = None) -> float:
    """Append so many events, and return how long it took, in seconds."""
    database = Database(url)
    ledger = Ledger(database, _ignore)
    batches = [events(batch) for _ in range(count // batch)]
    ledger.last_seq()
    if barrier is not None:
        barrier.wait()
    began = time.perf_counter()
    for some in batches:
        ledger.record(*some)
    took = time.perf_counter() - began
    database.close()
    return took


def _ignore(_transaction: Connection, _events: Sequence[Event]) -> None:
    """React to nothing: no rule listens."""


def _together(url: str, count: int) -> float:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS + 1)
    writers = [context.Process(target=append, args=(url, count // WRITERS, 1, barrier)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    barrier.wait()
    began = time.perf_counter()
    for writer in writers:
        writer.join()
        if writer.exitcode:
            message = "a writer failed"
            raise Missing(message)
    return time.perf_counter() - began


def measure(name: str, url: str, pids: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return the rates of one database, each the median of some rounds."""
    database = Database(url)
    migrations.migrate(database)
    database.close()
    import os

    rows = []
    for way, (count, batch) in COUNTS.items():
        rates, cpus = [], []
        for _ in range(ROUNDS):
            cpu = cpu_seconds(os.getpid(), *pids)
            took = _together(url, count) if way.startswith(str(WRITERS)) else append(url, count, batch)
            rates.append(count / took)
            cpus.append((cpu_seconds(os.getpid(), *pids) - cpu) / count)
        rows.append(
            {
                "what": f"{name}, {way}",
                "events_per_second": round(median(rates)),
                "processor_us_per_event": round(1e6 * median(cpus)),
                "slowest": round(min(rates)),
                "fastest": round(max(rates)),
                "rounds": ROUNDS,
            }
        )
    return rows


def run() -> dict[str, Any]:
    """Measure and print."""
    skipped: dict[str, str] = {}
    with servers.scratch() as folder:
        rows = measure("SQLite", sqlite_url(Path(folder) / "ledger.db"))
    try:
        with servers.Postgres() as server, server.database() as url:
            rows += measure("PostgreSQL", url, (server.pid,))
    except Missing as error:
        skipped["PostgreSQL"] = str(error)
        sys.stdout.write(f"  SKIPPED PostgreSQL: {error}\n")
    goals = [
        Goal("at least", f"{row['what']}, events/s", float(row["events_per_second"]), LIMIT_BATCH)
        for row in rows
        if row["what"] == "SQLite, in batches of 100"
    ]
    section = Section(
        title="Appends to the ledger",
        about=(
            "Each event becomes an entry with its leaf of the Merkle tree, and each append is on the disk before the "
            "next one begins. The processor's time counts the database's processes; that of the eight writers also "
            "their start."
        ),
        rows=rows,
        goals=goals,
        skipped=skipped,
    )
    return section.publish()


if __name__ == "__main__":
    run()
