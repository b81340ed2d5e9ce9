"""What tamper evidence costs: appends, beside those without a tree and a bare INSERT, and how fast a ledger is read.

Invariant: both sides of a ratio run in turn in the same process, five times each, and medians are compared.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.records import Event
from ratchet.store import entries, migrations, proofs, verification
from ratchet.store import ledger as ledger_module
from ratchet.store.checkpoints import Checkpoints
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger

ROUNDS = 5
BATCH = 100
APPENDED = 20_000
SINGLY = 1_000
READ = 500_000
CORES = os.cpu_count() or 1
LIMITS = {
    "ratio_to_bare_insert": ("at most", 1.4),
    "ratio_batch": ("at most", 1.4),
    "append_per_second": ("at least", 20_000),
    "verify_per_second": ("at least", 300_000),
}


class _NoTree:
    """Stands in for the tree, so that the same append can be measured without it."""

    def __init__(self, tree: Any) -> None:
        self.last_seq = tree.last_seq

    def extend(self, *_arguments: Any, **_options: Any) -> None:
        """Do nothing."""


@contextmanager
def _without_tree() -> Iterator[None]:
    kept = ledger_module.tree, ledger_module.hash_leaf
    ledger_module.tree = _NoTree(ledger_module.tree)  # type: ignore[assignment]  # all that an append asks of it
    ledger_module.hash_leaf = lambda _entry: b""
    try:
        yield
    finally:
        ledger_module.tree, ledger_module.hash_leaf = kept


def _events(count: int, first: int) -> list[Event]:
    window = {"start": "2013-01-01T00:00:00Z", "end": "2013-01-08T00:00:00Z"}
    return [
        Event(
            type="custom.emitted",
            subject="flight-delay@v7",
            id=f"e{number:025d}",
            pipeline="flight-delay",
            data={"name": "rows", "rows": number, "digest": "a" * 64, "window": window},
        )
        for number in range(first, first + count)
    ]


@contextmanager
def _ledger() -> Iterator[tuple[Database, Ledger, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "ledger.db"))
        migrations.migrate(database)
        yield database, Ledger(database, lambda _transaction, _events: None), Path(folder)
        database.close()


def _append_per_second(total: int, batch: int) -> float:
    with _ledger() as (_, ledger, _folder):
        batches = [_events(batch, first) for first in range(0, total, batch)]
        began = time.perf_counter()
        for some in batches:
            ledger.record(*some)
        return total / (time.perf_counter() - began)


def _rows() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return what appending writes into the tables of entries and of payloads."""
    with _ledger() as (database, ledger, _folder):
        for first in range(0, APPENDED, 1000):
            ledger.record(*_events(1000, first))
        with database.read() as connection:
            kept = [
                connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY seq") for table in ("ledger", "payload")
            ]
            entries_of, payloads = ([tuple(row) for row in rows] for rows in kept)
    return entries_of, payloads


def _bare_per_second(rows: list[tuple[Any, ...]], payloads: list[tuple[Any, ...]]) -> float:
    """Insert finished rows into the same tables, by the batch: nothing is serialised, looked up or hashed."""
    statements = [
        f"INSERT INTO {table} VALUES ({', '.join('?' * len(some[0]))})"
        for table, some in (("ledger", rows), ("payload", payloads))
    ]
    with _ledger() as (database, _, _folder):
        began = time.perf_counter()
        for first in range(0, len(rows), BATCH):
            with database.write() as transaction:
                for statement, some in zip(statements, (rows, payloads), strict=True):
                    transaction.exec_driver_sql(statement, some[first : first + BATCH])
        return len(rows) / (time.perf_counter() - began)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _appends() -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in ("bare", "plain", "tree", "plain_singly", "tree_singly")}
    finished = _rows()
    for _ in range(ROUNDS):
        rates["bare"].append(_bare_per_second(*finished))
        with _without_tree():
            rates["plain"].append(_append_per_second(APPENDED, BATCH))
            rates["plain_singly"].append(_append_per_second(SINGLY, 1))
        rates["tree"].append(_append_per_second(APPENDED, BATCH))
        rates["tree_singly"].append(_append_per_second(SINGLY, 1))
    median = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "bare_insert_per_second": median["bare"],
        "ratio_to_bare_insert": median["bare"] / median["tree"],
        "plain_per_second": median["plain"],
        "append_per_second": median["tree"],
        "ratio_batch": median["plain"] / median["tree"],
        "plain_singly_per_second": median["plain_singly"],
        "append_singly_per_second": median["tree_singly"],
        "ratio_singly": median["plain_singly"] / median["tree_singly"],
    }


def _reading() -> dict[str, float]:
    with _ledger() as (database, ledger, folder):
        for first in range(0, READ, 1000):
            ledger.record(*_events(1000, first))
        checkpoints = Checkpoints(
            database=database, ledger=ledger, project="bench", folder=folder, key=folder / "ledger.pem", anchors=[]
        )
        seal = _seconds(checkpoints.seal)
        chunks = entries.chunks_of_database(database)
        event = ledger.find(f"e{READ // 3:025d}")
        assert event is not None

        def verify() -> None:
            key = checkpoints.public_key()
            done = verification.verify(chunks, origin=checkpoints.origin, key=key, database=database, workers=CORES)
            assert done.is_sound, done.findings[:1]

        reading = statistics.median(_seconds(verify) for _ in range(ROUNDS))
        proving = statistics.median(_seconds(lambda: proofs.prove_entry(checkpoints, event)) for _ in range(ROUNDS))
        exported = folder / "ledger.jsonl"
        with exported.open("wb") as file:
            exporting = _seconds(lambda: file.writelines(entries.export(database, checkpoints.origin)))
        places = entries.chunks_of_export(exported)
        from_file = statistics.median(
            _seconds(lambda: verification.verify(places, origin=checkpoints.origin, workers=CORES))
            for _ in range(ROUNDS)
        )
    return {
        "entries": READ,
        "verify_per_second": READ / reading,
        "verify_export_per_second": READ / from_file,
        "export_per_second": READ / exporting,
        "seal_ms": seal * 1000,
        "prove_ms": proving * 1000,
    }


def run() -> dict[str, Any]:
    """Measure, print a table and return the figures with their limits."""
    found = {**_appends(), **_reading()}
    for name, value in found.items():
        kind, limit = LIMITS.get(name, ("", None))
        met = "" if limit is None else ("met" if _is_met(name, value) else "MISSED")
        shown = f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
        sys.stdout.write(f"{name:28}{shown:>12}   {f'{kind} {limit:,}' if limit else '':18}{met}\n")
        sys.stdout.flush()
    limits = {name: list(limit) for name, limit in LIMITS.items()}
    return {"figures": found, "limits": limits, "is_within_limits": all(_is_met(name, found[name]) for name in LIMITS)}


def _is_met(name: str, value: float) -> bool:
    kind, limit = LIMITS[name]
    return value <= limit if kind == "at most" else value >= limit


if __name__ == "__main__":
    run()
