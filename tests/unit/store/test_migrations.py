"""How a database comes to the schema of this version."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, make_url, select, text

from ratchet.errors import WorkspaceTooNew
from ratchet.records import Event
from ratchet.store import migrations, schema, tree
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.merkle import hash_leaf, root_of

# Databases as earlier versions left them, one a schema.
OLD = Path(__file__).parents[2] / "assets" / "old_workspaces"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give an empty database of each kind."""
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    yield database
    database.close()


def tables(database: Database) -> set[str]:
    """Return the names of a database's tables."""
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def version(database: Database) -> int:
    """Return the version of a database's schema."""
    with database.read() as connection:
        return migrations.version_of(connection)


def test_new_database_gets_everything(database: Database) -> None:
    """An empty database has version 0, and afterwards all tables and the latest version."""
    assert version(database) == 0
    migrations.migrate(database)
    assert version(database) == migrations.LATEST == len(migrations.STEPS)
    assert tables(database) == {*schema.metadata.tables, "schema_version"}


def test_migrating_again_changes_nothing(database: Database) -> None:
    """A database of this version is left as it is."""
    migrations.migrate(database)
    with database.write() as connection:
        connection.execute(schema.state.insert(), {"name": "a", "value": "1"})
    migrations.migrate(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM state")).scalar() == 1


def test_database_of_schema_1_is_read_and_gets_its_tree(sqlite_url: str) -> None:
    """A ledger that an earlier version wrote is as it was, takes events at once, and comes into the tree."""
    with sqlite3.connect(make_url(sqlite_url).database or "") as connection:
        connection.executescript((OLD / "schema_1.sql").read_text())
    connection.close()
    database = Database(sqlite_url)
    migrations.migrate(database)
    ledger = Ledger(database, lambda _transaction, _events: None)
    before = list(ledger.read())
    assert [event.type for event in before[:2]] == ["command.issued", "run.queued"]
    assert before[4].data == {"b": 1.5, "a": "é"}
    ledger.record(Event(type="custom.emitted", subject="s"))
    with database.read() as connection:
        state = tree.load(connection)
    assert state is not None
    assert state.size == 0
    tree.catch_up(database)
    with database.read() as connection:
        state, envelopes = tree.load(connection), connection.execute(select(schema.ledger.c.envelope)).scalars().all()
    assert state is not None
    assert (state.size, state.root) == (6, root_of(hash_leaf(envelope) for envelope in envelopes))
    database.close()


def test_newer_database_is_refused_and_left_alone(database: Database) -> None:
    """A database that a later version wrote is not touched, and the message says what to install."""
    newer = migrations.LATEST + 1
    with database.write() as connection:
        connection.execute(text("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO schema_version VALUES (:newer)"), {"newer": newer})
    with pytest.raises(WorkspaceTooNew, match=f"schema version {newer}, and this Ratchet reads up to {newer - 1}"):
        migrations.migrate(database)
    assert tables(database) == {"schema_version"}


def test_step_that_fails_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that breaks off leaves the database at the version where it was."""

    def fail(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (a INTEGER)"))
        message = "no room"
        raise RuntimeError(message)

    migrations.migrate(database)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, fail))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)
    with pytest.raises(RuntimeError, match="no room"):
        migrations.migrate(database)
    assert version(database) == migrations.LATEST - 1
    assert "half" not in tables(database)


def test_two_that_open_at_once_migrate_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several open a new workspace at once, each step is done once, and nobody fails."""
    done: list[int] = []

    def note(_connection: Connection) -> None:
        done.append(1)

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, note))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)
    threads = [threading.Thread(target=migrations.migrate, args=(database,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1]
    assert version(database) == migrations.LATEST
