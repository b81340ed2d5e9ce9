"""A database is looked at without leaving a trace."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ratchet.records import Event
from ratchet.store import migrations, soundness
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from ratchet.store.soundness import DatabaseUnreadable, Numbers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger of three entries, closed."""
    path = tmp_path / "ratchet.db"
    database = Database(sqlite_url(path))
    migrations.migrate(database)
    events = [Event(type="custom.emitted", subject=f"s{number}") for number in range(3)]
    Ledger(database, lambda _transaction, _events: None).record(*events)
    database.close()
    return path


def test_looking_leaves_nothing_behind(file: Path) -> None:
    """No log, no lock file, no other byte; and nothing can be written by mistake."""
    before = file.read_bytes()
    with soundness.looking("", file) as database:
        with database.read() as connection:
            assert soundness.schema_version(connection) == migrations.LATEST
            known = soundness.numbers(connection)
        assert known == Numbers(count=3, first=1, last=3, payloads=3, tree_size=3)
        assert soundness.tail_problem(database, known) == ""
        assert len(soundness.newest_times(database)) == 3
        with pytest.raises(OperationalError, match="readonly"), database.engine.begin() as connection:
            connection.execute(text("DELETE FROM state"))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_a_running_process_wrote_is_seen(file: Path) -> None:
    """While somebody has it open, what is only in the log counts, too."""
    other = Database(sqlite_url(file))
    ledger = Ledger(other, lambda _transaction, _events: None)
    ledger.record(Event(type="custom.emitted", subject="new"))
    with soundness.looking("", file) as database, database.read() as connection:
        assert soundness.numbers(connection).count == 4
        ledger.record(Event(type="custom.emitted", subject="newer"))
    assert ledger.last_seq() == 5
    other.close()


@pytest.mark.parametrize("numbers", [(2, 1, 3), (2, 2, 3), (3, 0, 2)])
def test_gaps_show_in_the_numbers(numbers: tuple[int, int, int]) -> None:
    """Inside, at the beginning, and below the beginning."""
    count, first, last = numbers
    assert not Numbers(count=count, first=first, last=last, payloads=count, tree_size=0).is_dense
    assert Numbers(count=0, first=0, last=0, payloads=0, tree_size=0).is_dense


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """And none is made."""
    with pytest.raises(DatabaseUnreadable, match="No such file"), soundness.looking("", tmp_path / "none.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_large_files_are_checked_more_quickly(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a size indexes are left out: an index that lacks an entry is found in small files only."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        changed = (
            "UPDATE sqlite_master SET sql = replace(sql, 'type, seq', 'type, seq DESC') WHERE name = 'ledger_type_seq'"
        )
        connection.execute(changed)
    assert soundness.damage(file)
    monkeypatch.setattr(soundness, "WHOLE_CHECK_BYTES", 1)
    assert soundness.damage(file) == ""


def test_a_file_url_is_told_apart() -> None:
    """From that of a server."""
    assert soundness.is_file_url("sqlite:////x.db")
    assert not soundness.is_file_url("postgres://h/d")
