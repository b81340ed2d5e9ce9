"""Whose a database is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from ratchet.errors import DatabaseForeign, DatabaseTaken
from ratchet.store import migrations, ownership
from ratchet.store.database import Database


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """Give an empty database on a server."""
    with closing(Database(postgres_url)) as database:
        yield database


def tables(database: Database) -> list[str]:
    """Return the names of a database's tables."""
    with database.read() as connection:
        return inspect(connection).get_table_names()


@pytest.mark.postgres
def test_a_second_project_is_refused(database: Database, tmp_path: Path) -> None:
    """It is told whose the database is, and what to do; the first one goes on."""
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    with pytest.raises(DatabaseTaken, match=r"\(shop\).*\(fraud\).*createdb"):
        ownership.claim(database, project="fraud", folder=tmp_path / "fraud")
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    assert not (tmp_path / "fraud").exists()


@pytest.mark.postgres
def test_a_second_project_upgrades_nothing(database: Database, tmp_path: Path) -> None:
    """Whoever is refused has not brought somebody else's database to another schema."""
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    with database.write() as transaction:
        transaction.execute(text("DELETE FROM schema_version WHERE version > 3"))
    with pytest.raises(DatabaseTaken):
        ownership.claim(database, project="fraud", folder=tmp_path / "fraud")
    with database.read() as connection:
        assert migrations.version_of(connection) == 3


@pytest.mark.postgres
def test_a_project_may_be_renamed_where_its_state_is(database: Database, tmp_path: Path) -> None:
    """The state knows the database; from then on the new name counts."""
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    ownership.claim(database, project="store", folder=tmp_path / "shop")
    with pytest.raises(DatabaseTaken, match=r"\(store\)"):
        ownership.claim(database, project="shop", folder=tmp_path / "other")


@pytest.mark.postgres
def test_the_same_project_on_another_machine_is_let_in(database: Database, tmp_path: Path) -> None:
    """A name is enough there; which of two servers carries out jobs is settled elsewhere."""
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    ownership.claim(database, project="shop", folder=tmp_path / "copy")


@pytest.mark.postgres
def test_a_new_project_wants_a_database_of_its_own(database: Database, tmp_path: Path) -> None:
    """Even where the name is the same: two beginners may have chosen it."""
    ownership.refuse_taken(database, project="shop")
    ownership.claim(database, project="shop", folder=tmp_path / "shop")
    with pytest.raises(DatabaseTaken):
        ownership.refuse_taken(database, project="shop")


@pytest.mark.postgres
def test_tables_of_another_program_are_left_alone(database: Database, tmp_path: Path) -> None:
    """A table that is called like one of ours is not taken for it."""
    with database.write() as transaction:
        transaction.execute(text("CREATE TABLE ledger (amount integer)"))
    for attempt in (
        lambda: ownership.claim(database, project="shop", folder=tmp_path),
        lambda: ownership.refuse_taken(database, project="shop"),
    ):
        with pytest.raises(DatabaseForeign, match=r"\(ledger\).*createdb"):
            attempt()
    assert tables(database) == ["ledger"]


@pytest.mark.postgres
def test_broken_off_in_between_it_is_taken_at_the_next_start(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the state is written first: its database can always be opened again."""
    with monkeypatch.context() as patch:
        patch.setattr(ownership, "_put", lambda *_: (_ for _ in ()).throw(InterruptedError()))
        with pytest.raises(InterruptedError):
            ownership.claim(database, project="shop", folder=tmp_path)
    own_id = (tmp_path / ownership.FILE_NAME).read_text()
    ownership.claim(database, project="shop", folder=tmp_path)
    ownership.claim(database, project="store", folder=tmp_path)
    assert (tmp_path / ownership.FILE_NAME).read_text() == own_id


def test_a_file_needs_no_owner(sqlite_url: str, tmp_path: Path) -> None:
    """It lies in the folder of its project, and gets its tables."""
    with closing(Database(sqlite_url)) as database:
        ownership.claim(database, project="shop", folder=tmp_path / "shop")
        ownership.claim(database, project="fraud", folder=tmp_path / "shop")
        assert "ledger" in tables(database)
    assert not (tmp_path / "shop").exists()
