"""Copies of a database: of one moment, and from one kind to another."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ratchet.errors import CopyFailed
from ratchet.records import Event
from ratchet.store import copies, migrations, schema
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger


def opened(path: Path) -> Database:
    """Open a database with our tables."""
    database = Database(sqlite_url(path))
    migrations.migrate(database)
    return database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with seventy entries, so that its tree has a tile."""
    database = opened(tmp_path / "ratchet.db")
    Ledger(database, lambda _transaction, _events: None).record(
        *(Event(type="custom.emitted", subject=f"s{number}", data={"é": number}) for number in range(70))
    )
    yield database
    database.close()


def entry_count(path: Path) -> int:
    """Return how many entries a file holds."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM ledger").fetchone()[0])


def test_a_moment_stays_while_others_write(database: Database, tmp_path: Path) -> None:
    """What is committed after the block was entered is not in the copy, also when the log was checkpointed."""
    ledger = Ledger(database, lambda _transaction, _events: None)
    with copies.pinned(database) as moment:
        ledger.record(Event(type="custom.emitted", subject="late"))
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        moment.write(tmp_path / "copy.db")
        ledger.record(Event(type="custom.emitted", subject="later"))
    assert entry_count(tmp_path / "copy.db") == 70
    assert ledger.last_seq() == 72


def test_a_copy_is_one_file(database: Database, tmp_path: Path) -> None:
    """No log lies beside it, and its pages are sound."""
    shares: list[float] = []
    with copies.pinned(database) as moment:
        moment.write(tmp_path / "copy.db", shares.append)
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]
    assert copies.damage(tmp_path / "copy.db") == ""
    assert shares[-1] == 1.0


def test_a_place_without_room_is_said(database: Database, tmp_path: Path) -> None:
    """A folder that is not there stands for a disk that is full: one error of ours, with the path."""
    with pytest.raises(CopyFailed, match=r"nowhere/copy\.db"):
        copies.copy_file(database, tmp_path / "nowhere" / "copy.db")


def test_rows_come_over_with_their_bytes(database: Database, tmp_path: Path) -> None:
    """Ledger, tree and registry are equal afterwards; so is the state that a backup remembers."""
    target = opened(tmp_path / "other.db")
    with database.write() as transaction:
        transaction.execute(schema.state.insert(), {"name": "a", "value": "ü"})
    with database.read() as source, target.write() as transaction:
        copies.copy_rows(source, transaction, tables_of=lambda _connection: [])
    with database.read() as was, target.read() as now:
        assert copies.state_of(now) == copies.state_of(was)
        assert copies.state_of(now)[:2] == (70, 70)
        for table in schema.metadata.sorted_tables:
            assert now.execute(table.select()).all() == was.execute(table.select()).all()
    target.close()


def test_a_database_with_rows_is_taken(database: Database, tmp_path: Path) -> None:
    """Tables alone do not count: a restore that was broken off has made them."""
    empty, fresh = opened(tmp_path / "empty.db"), Database(sqlite_url(tmp_path / "fresh.db"))
    for one, expected in ((database, True), (empty, False), (fresh, False)):
        with one.read() as connection:
            assert copies.is_taken(connection) is expected
    empty.close()
    fresh.close()


def test_damage_is_found(database: Database, tmp_path: Path) -> None:
    """A file that is none, and one whose pages were destroyed."""
    copies.copy_file(database, tmp_path / "copy.db")
    content = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "copy.db").write_bytes(content[:8192] + bytes(16384) + content[24576:])
    assert copies.damage(tmp_path / "copy.db")
    (tmp_path / "none.db").write_text("no database, although it is long enough for the head of one" * 20)
    assert "not a database" in copies.damage(tmp_path / "none.db")


def test_rows_of_processes_and_kept_results_go(database: Database) -> None:
    """They are of the place where the backup was taken."""
    row = {"key": "a" * 64, "used_us": 1, "record": "{}"}
    with database.write() as transaction:
        transaction.execute(schema.step_result.insert(), row)
        copies.forget_what_is_of_a_place(transaction)
        assert transaction.execute(schema.step_result.select()).all() == []


def test_what_a_database_answers_is_told(database: Database) -> None:
    """In a sentence, with the database's name."""
    said = pytest.raises(CopyFailed, match="no such table: absent")
    with said, copies.telling(database), database.read() as connection:
        connection.execute(text("SELECT * FROM absent"))
