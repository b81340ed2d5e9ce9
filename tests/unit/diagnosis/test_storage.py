"""The database, the ledger's end and the clock: each fault is planted."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.diagnosis.examining import examine
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from tests import projects
from tests.unit.diagnosis.conftest import Examined


def execute(shop: Path, *statements: str) -> None:
    """Change the database as no one of ours would."""
    with closing(sqlite3.connect(shop / ".ratchet" / "ratchet.db")) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def test_a_sound_one_is_well_and_left_alone(shop: Path, examined: Examined) -> None:
    """No file changes, none is made, none goes."""
    before = {path: path.stat().st_mtime_ns for path in shop.rglob("*")}
    found = examined()
    assert {path: path.stat().st_mtime_ns for path in shop.rglob("*")} == before
    assert {one.status for (area, _), one in found.items() if area in ("database", "ledger", "clock")} == {"ok"}
    assert found["ledger", "numbers"].said.startswith("73 entries") or "entries" in found["ledger", "numbers"].said


@pytest.mark.parametrize(
    ("statement", "check", "said"),
    [
        ("DELETE FROM ledger WHERE seq = 3", "numbers", "some are missing"),
        ("UPDATE payload SET body = '{\"x\":1}' WHERE seq = 70", "proof", "entry 70"),
        (
            "UPDATE ledger SET envelope = CAST(replace(envelope, 's5', 's6') AS BLOB) WHERE subject = 's5'",
            "proof",
            "entry",
        ),
    ],
    ids=["gap", "payload", "envelope"],
)
def test_an_entry_that_was_changed_is_found(
    shop: Path, examined: Examined, statement: str, check: str, said: str
) -> None:
    """A missing number, another payload, another envelope."""
    execute(shop, statement)
    found = examined()["ledger", check]
    assert (found.status, said in found.said) == ("problem", True)


def test_an_end_that_was_cut_off_is_found(shop: Path, examined: Examined) -> None:
    """By the checkpoint that lies beside the database, also where the tree was cut as well."""
    execute(shop, "DELETE FROM ledger WHERE seq > 60", "DELETE FROM payload WHERE seq > 60")
    found = examined()["ledger", "proof"]
    assert found.status == "problem"
    assert "tree" in found.said or "checkpoint" in found.said


def test_a_file_with_destroyed_pages_is_a_problem(shop: Path, examined: Examined) -> None:
    """The other checks go on as far as they can."""
    path = shop / ".ratchet" / "ratchet.db"
    content = bytearray(path.read_bytes())
    content[40_960:57_344] = bytes(16_384)
    path.write_bytes(content)
    found = examined()
    assert found["database", "pages"].status == "problem"
    assert found["permissions", "folder"].status == "ok"


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_that_is_no_database_is_a_problem(shop: Path, examined: Examined, content: bytes) -> None:
    """Said once; jobs and backups are looked at all the same."""
    (shop / ".ratchet" / "ratchet.db").write_bytes(content)
    found = examined()
    assert (found["database", "reached"].status, "no SQLite file" in found["database", "reached"].said) == (
        "problem",
        True,
    )
    assert ("backup", "newest") in found
    assert ("ledger", "numbers") not in found


def test_a_file_without_a_log_is_a_problem(shop: Path, examined: Examined) -> None:
    """Somebody switched the write-ahead log off: readers and writers would wait for one another."""
    execute(shop)
    with closing(sqlite3.connect(shop / ".ratchet" / "ratchet.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    assert "write-ahead log" in examined()["database", "reached"].said


@pytest.mark.parametrize(
    ("version", "status"), [(migrations.LATEST - 1, "warning"), (migrations.LATEST + 1, "problem")]
)
def test_another_schema_is_told(shop: Path, examined: Examined, version: int, status: str) -> None:
    """An older one is brought up to date by the next command; a newer one needs a newer Ratchet."""
    execute(shop, "DELETE FROM schema_version", f"INSERT INTO schema_version VALUES ({version})")
    assert examined()["database", "schema"].status == status


def test_a_project_without_a_database_is_well(tmp_path: Path) -> None:
    """The first command makes it; the doctor does not."""
    projects.write_project(tmp_path / "shop")
    found = list(examine(tmp_path / "shop"))
    assert {one.status for one in found if one.area in ("database", "jobs", "prediction log")} == {"ok"}
    assert not (tmp_path / "shop" / ".ratchet").exists()


def record_at(shop: Path, *moments: timedelta) -> None:
    """Append events whose moments are so far from now."""
    database = Database(sqlite_url(shop / ".ratchet" / "ratchet.db"))
    ledger, now = Ledger(database, lambda _transaction, _events: None), clock.now()
    for number, moment in enumerate(moments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda moment=moment: now + moment)
            ledger.record(Event(type="custom.emitted", subject=f"at{number}"))
    database.close()


def test_an_entry_of_the_future_is_a_problem(shop: Path, examined: Examined) -> None:
    """The machine's clock was set back since."""
    record_at(shop, timedelta(hours=2))
    assert examined()["clock", "time"].status == "problem"


def test_a_clock_that_went_back_is_warned_of(shop: Path, examined: Examined) -> None:
    """Among the newest entries."""
    record_at(shop, timedelta(seconds=0), timedelta(minutes=-10))
    assert examined()["clock", "time"].status == "warning"


def test_a_simulated_clock_is_said(shop: Path, examined: Examined) -> None:
    """Entries of a replayed year are neither late nor early."""
    record_at(shop, timedelta(hours=2))
    (shop / ".ratchet" / "clock").write_bytes((1_770_000_000_000_000).to_bytes(8, "little"))
    found = examined()["clock", "time"]
    assert (found.status, "2026-02-02" in found.said) == ("ok", True)


@pytest.fixture
def on_server(shop: Path) -> Callable[[str], Path]:
    """Let the project's ledger be on a server."""

    def change(url: str) -> Path:
        text = projects.SETTINGS.replace("[project]\n", f'[project]\ndatabase = "{url}"\n')
        (shop / "ratchet.toml").write_text(text)
        return shop

    return change


def test_a_server_that_is_away_is_a_problem(on_server: Callable[[str], Path], examined: Examined) -> None:
    """Said once, with the server's name; the rest is looked at."""
    on_server("postgresql://nobody@127.0.0.1:1/none")
    found = examined()
    assert found["database", "reached"].status == "problem"
    assert "127.0.0.1" in found["database", "reached"].said
    assert found["files", "settings"].status == "ok"


@pytest.mark.postgres
def test_a_server_is_looked_at(
    on_server: Callable[[str], Path], examined: Examined, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version and settings (the tests' server keeps nothing safe), its clock, the ledger in it."""
    on_server(postgres_url)
    assert examined()["database", "schema"].said == "it has no tables of ours"
    database = Database(postgres_url)
    migrations.migrate(database)
    Ledger(database, lambda _transaction, _events: None).record(Event(type="custom.emitted", subject="s"))
    database.close()
    found = examined()
    assert found["database", "version"].said.startswith("PostgreSQL ")
    assert (found["database", "settings"].status, "fsync = off" in found["database", "settings"].said) == (
        "problem",
        True,
    )
    assert (found["ledger", "numbers"].said, found["clock", "server"].status) == ("1 entries, none missing", "ok")
    real = clock.real_seconds
    monkeypatch.setattr(clock, "real_seconds", lambda: real() + 60)
    assert examined()["clock", "server"].status == "problem"
