"""A backup goes from one kind of database to the other and back, and the ledger stays the same, byte for byte."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from ratchet.backups.refusals import RestoreFailed, TargetTaken
from ratchet.backups.restoring import restore
from ratchet.backups.taking import take
from ratchet.engine import jobs
from ratchet.records import Event
from ratchet.store.database import Database
from ratchet.workspace import open_workspace
from tests import projects
from tests.servers import PostgresServer
from tests.unit.backups.test_restoring import rows

pytestmark = pytest.mark.postgres


def saved(folder: Path, target: Path) -> list[tuple[object, ...]]:
    """Write a backup of a workspace and return its ledger."""
    with open_workspace(folder) as workspace:
        assert take(workspace.resources, target).entries == workspace.ledger.last_seq()
        return rows(workspace.database)


def fill(folder: Path) -> None:
    """Append events, sign them, and let a job wait that nobody carries out yet."""
    with open_workspace(folder) as workspace:
        for number in range(70):
            workspace.ledger.record(Event(type="custom.emitted", subject=f"s{number}", data={"é": [number, None]}))
        workspace.seal()
        with workspace.database.write() as transaction:
            spec = {"source": "ratchet", "id": "none", "calls": [], "job": "act:waiting"}
            workspace.runs.enqueue(transaction, "act", "act:waiting", spec)


def carried_out(folder: Path) -> list[str]:
    """Carry out what waits in a workspace; return the ids of the jobs."""
    done: list[str] = []
    with open_workspace(folder) as workspace:
        workspace.runs.register("act", lambda _context, spec: done.append(spec["job"]))
        workspace.runs.launch()
        workspace.settle()
        verified = workspace.seal()
        assert verified.size == workspace.ledger.last_seq() - 1
    return done


def keys(source: Path, target: Path) -> None:
    """Bring the keys over, as whoever restores does."""
    (target / ".ratchet" / "keys").mkdir()
    for path in (source / ".ratchet" / "keys").iterdir():
        (target / ".ratchet" / "keys" / path.name).write_bytes(path.read_bytes())


def test_there_and_back(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """From a file to a server, to another server, and to a file again; at the end the job is carried out, once."""
    shop = projects.write_project(tmp_path / "shop")
    fill(shop)
    ledger = saved(shop, tmp_path / "1.tar.zst")
    with postgres_server.database() as first, postgres_server.database() as second:
        made = restore(tmp_path / "1.tar.zst", tmp_path / "first", database=first)
        assert (made.database, made.checkpoints, made.pending_jobs) == ("postgresql", 1, 1)
        assert saved(tmp_path / "first", tmp_path / "2.tar") == ledger
        assert not (tmp_path / "first" / ".ratchet" / "ratchet.db").exists()
        with pytest.raises(TargetTaken, match="holds a workspace already"):
            restore(tmp_path / "2.tar", tmp_path / "other")
        restore(tmp_path / "2.tar", tmp_path / "second", database=second)
        assert saved(tmp_path / "second", tmp_path / "3.tar") == ledger
        restore(tmp_path / "3.tar", tmp_path / "third", database="sqlite")
        assert saved(tmp_path / "third", tmp_path / "4.tar") == ledger
        for folder in ("second", "third"):
            keys(shop, tmp_path / folder)
            assert carried_out(tmp_path / folder) == ["act:waiting"]


def test_a_moment_on_a_server_stays_while_others_write(tmp_path: Path, postgres_url: str) -> None:
    """What is committed while the rows are copied is not in the backup, and does not wait for it."""
    text_of = projects.SETTINGS.replace("[project]\n", f'[project]\ndatabase = "{postgres_url}"\n')
    shop = projects.write_project(tmp_path / "shop", settings=text_of)
    fill(shop)
    with open_workspace(shop) as workspace:
        before = workspace.ledger.last_seq()

        def report(what: str, share: float) -> None:
            if what == "copying the database" and share < 1:
                # In a thread of its own, as another process would.
                late = threading.Thread(
                    target=workspace.ledger.record, args=[Event(type="custom.emitted", subject="l")]
                )
                late.start()
                late.join()

        assert take(workspace.resources, tmp_path / "1.tar", report=report).entries == before
        assert workspace.ledger.last_seq() > before
    assert restore(tmp_path / "1.tar", tmp_path / "back", database="sqlite").entries == before


def test_a_restore_that_breaks_off_leaves_a_database_that_can_be_used_again(tmp_path: Path, postgres_url: str) -> None:
    """Rows are copied in one transaction: after it was broken off there are tables, and none has a row."""
    shop = projects.write_project(tmp_path / "shop")
    fill(shop)
    ledger = saved(shop, tmp_path / "1.tar")

    def report(what: str, _share: float) -> None:
        if what == "filling the database":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "1.tar", tmp_path / "back", database=postgres_url, report=report)
    assert not (tmp_path / "back").exists()
    restore(tmp_path / "1.tar", tmp_path / "back", database=postgres_url)
    assert saved(tmp_path / "back", tmp_path / "2.tar") == ledger


def test_a_database_without_rights_is_said(tmp_path: Path, postgres_url: str) -> None:
    """One sentence with what the server says, and no folder."""
    shop = projects.write_project(tmp_path / "shop")
    fill(shop)
    saved(shop, tmp_path / "1.tar")
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    with pytest.raises(RestoreFailed, match="permission denied"):
        restore(tmp_path / "1.tar", tmp_path / "back", database=postgres_url.replace("ratchet@", "reader@"))
    assert not (tmp_path / "back").exists()
    with database.engine.begin() as connection:
        assert jobs.tables(connection) == []
        connection.execute(text("DROP ROLE reader"))
    database.close()
