"""Each workspace that an earlier version left is opened by this one: nothing of it changes, and work goes on in it.

The archives in ``tests/assets/old_workspaces`` were made by those versions themselves, one a schema: a project with
three runs, a model that serves, a rule. Of version 3 there are two, before and after it got a column more.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ratchet import faults
from ratchet.cli import main
from ratchet.engine.executors import Zygotes
from ratchet.loop import registry
from ratchet.measuring import Measuring
from ratchet.preload import MODULES
from ratchet.records import Event
from ratchet.store import copies, entries, migrations, verification
from ratchet.store.database import Database, sqlite_url
from ratchet.workspace import Workspace
from tests.waiting import PATIENCE_SECONDS

OLD = Path(__file__).parents[1] / "assets" / "old_workspaces"
NAMES = sorted(path.name.removeprefix("schema-").removesuffix(".tar.gz") for path in OLD.glob("schema-*.tar.gz"))
ROWS = "SELECT l.*, p.body, p.salt FROM ledger l LEFT JOIN payload p ON p.seq = l.seq ORDER BY l.seq"
KEPT = ("run", "model_version", "dataset_version", "release", "credential", "rule", "pseudonym")
# A run takes seconds, so those in the middle are only opened, signed and measured.
RUN_AGAIN = ("1", "3a", NAMES[-1])
# Starts the upgrade alone, without all that a workspace loads.
MIGRATE = """
import sys
from ratchet.store import migrations
from ratchet.store.database import Database
migrations.migrate(Database(sys.argv[1]))
"""


class Shared(Zygotes):
    """A zygote that outlives the workspace that uses it."""

    def close(self) -> None:
        """Stay."""

    def end(self) -> None:
        """End it."""
        super().close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """One zygote for all workspaces of this file."""
    zygotes = Shared(MODULES)
    yield zygotes
    zygotes.end()


def unpacked(name: str, target: Path) -> Path:
    """Unpack the workspace of a schema and return its folder."""
    with tarfile.open(OLD / f"schema-{name}.tar.gz") as tar:
        tar.extractall(target, filter="data")
    return target / "shop"


def file_of(folder: Path) -> Path:
    """Return the database of a workspace."""
    return folder / ".ratchet" / "ratchet.db"


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return ledger and registry as they lie in a file, byte for byte, read without any of our code."""
    with closing(sqlite3.connect(file)) as connection:
        found = {"ledger": connection.execute(ROWS).fetchall()}
        for table in KEPT:
            found[table] = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    return found


def version(file: Path) -> int:
    """Return the schema version that a file says it has."""
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT max(version) FROM schema_version").fetchone()[0])


def run_again(workspace: Workspace) -> None:
    """Carry out a run as a person's command asks for it."""
    workspace.start(serve=False)
    command = workspace.command("start_run", {"pipeline": "returns"}, subject="returns", pipeline="returns")
    outcome = workspace.outcome(command, timeout_seconds=PATIENCE_SECONDS)
    assert not outcome["error"]
    workspace.settle(timeout_seconds=PATIENCE_SECONDS)
    versions = registry.model_versions(workspace.database)
    assert [one.number for one in versions] == [1, 2, 3, 4]


def test_there_is_one_of_each_schema() -> None:
    """A new step comes with a workspace of the version before; it is small enough to be kept for ever."""
    assert {name[0] for name in NAMES} >= {str(number) for number in range(1, migrations.LATEST)}
    assert max((OLD / f"schema-{name}.tar.gz").stat().st_size for name in NAMES) < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_as_it_was_and_goes_on(name: str, tmp_path: Path, shared: Shared) -> None:
    """The ledger stays byte for byte, verifies, is signed and measured; a copy is kept; runs are carried out."""
    folder = unpacked(name, tmp_path)
    was = rows(file_of(folder))
    assert len(was["ledger"]) > 60
    with Workspace(folder, poll_seconds=0.02) as workspace:
        assert version(file_of(folder)) == migrations.LATEST
        assert rows(file_of(folder)) == was
        workspace.zygotes = workspace.resources.zygotes = shared
        sealed = workspace.seal()
        chunks = entries.chunks_of_database(workspace.database)
        found = verification.verify(chunks, origin=sealed.origin, database=workspace.database)
        assert found.findings == ()
        assert found.entries == workspace.ledger.last_seq()
        standings = Measuring(workspace).standings(workspace.policy("standard"))
        assert [one.pipeline for one in standings] == ["returns"]
        if name in RUN_AGAIN:
            run_again(workspace)
    assert rows(file_of(folder))["ledger"][: len(was["ledger"])] == was["ledger"]
    copy = migrations.copy_of(file_of(folder), int(name[0]))
    assert copy.exists() is (int(name[0]) < migrations.LATEST)
    if copy.exists():
        assert (version(copy), rows(copy), copies.damage(copy)) == (int(name[0]), was, "")


@pytest.mark.parametrize("point", ["write.before_commit", "write.after_commit"])
@pytest.mark.parametrize("step", [1, 3])
def test_an_upgrade_that_was_killed_goes_on(tmp_path: Path, point: str, step: int) -> None:
    """Each step is a transaction: it is there or not, and the next opening takes those that are left."""
    folder = unpacked("1", tmp_path)
    was, token = rows(file_of(folder)), tmp_path / "token"
    token.touch()
    environment = os.environ | {faults.VARIABLE: f"{point}:{step}:{token}"}
    command = [sys.executable, "-c", MIGRATE, sqlite_url(file_of(folder))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert version(file_of(folder)) == (step if point == "write.before_commit" else step + 1)
    assert rows(file_of(folder)) == was
    database = Database(sqlite_url(file_of(folder)))
    migrations.migrate(database)
    database.close()
    assert version(file_of(folder)) == migrations.LATEST
    assert rows(file_of(folder)) == was
    assert rows(migrations.copy_of(file_of(folder), 1)) == was


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path) -> None:
    """A folder in the copy's place stands for a disk that does not take it."""
    folder = unpacked("3", tmp_path)
    migrations.copy_of(file_of(folder), 3).mkdir()
    before = rows(file_of(folder))
    database = Database(sqlite_url(file_of(folder)))
    with pytest.raises(IsADirectoryError):
        migrations.migrate(database)
    database.close()
    assert (version(file_of(folder)), rows(file_of(folder))) == (3, before)
    assert not list(file_of(folder).parent.glob(".ratchet.db.*"))


def test_a_later_one_is_refused_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command says what to install, and leaves every byte of the workspace alone."""
    folder = unpacked(NAMES[-1], tmp_path)
    with closing(sqlite3.connect(file_of(folder))) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (?)", (migrations.LATEST + 1,))
    before = file_of(folder).read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["status", "--workspace", str(folder)])
    assert ended.value.code == 1
    assert "pip install --upgrade mlratchet" in capsys.readouterr().err
    assert file_of(folder).read_bytes() == before


def test_an_old_one_is_saved_and_restored(tmp_path: Path) -> None:
    """A backup of it, taken after it was brought up to date, is the same ledger; restoring makes no further copies."""
    from ratchet.backups.restoring import restore
    from ratchet.backups.taking import take

    folder = unpacked("1", tmp_path)
    was = rows(file_of(folder))["ledger"]
    with Workspace(folder) as workspace:
        workspace.ledger.record(Event(type="custom.emitted", subject="x"))
        take(workspace.resources, tmp_path / "old.tar")
    restore(tmp_path / "old.tar", tmp_path / "back")
    assert rows(file_of(tmp_path / "back"))["ledger"][: len(was)] == was
    assert not list((tmp_path / "back" / ".ratchet").glob("ratchet.db.schema-*"))
