"""A workspace that was restored is the one that was saved, and goes on; anything doubtful is refused."""

import base64
import io
import os
import pickle
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from ratchet import config
from ratchet.backups import archives
from ratchet.backups.refusals import ArchiveInvalid, ArchiveTooNew, RestoreFailed, TargetTaken
from ratchet.backups.restoring import Restored, restore, with_database
from ratchet.backups.taking import LAST_FILE, take
from ratchet.engine import jobs
from ratchet.engine.executors import Zygotes
from ratchet.errors import DatabaseAway, JobUnreadable
from ratchet.loop import registry
from ratchet.records import Event
from ratchet.store import migrations, schema
from ratchet.store.database import Database, sqlite_url
from ratchet.workspace import open_workspace
from tests import projects
from tests.loops import Stage
from tests.unit.backups.conftest import left_beside, predicted
from tests.unit.backups.test_taking import ALL

KILLED = """
import os, signal, sys
from pathlib import Path
from ratchet.backups.restoring import restore
left = int(sys.argv[3])
def report(what, share):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
restore(Path(sys.argv[1]), Path(sys.argv[2]), report=report)
"""


@pytest.fixture(scope="session")
def archive(made_shop: Path, tmp_path_factory: pytest.TempPathFactory, zygotes: Zygotes) -> Path:
    """A backup of the shop, made once."""
    path = tmp_path_factory.mktemp("archives") / "shop.tar"
    stage = Stage(made_shop, zygotes)
    take(stage.resources, path, with_keys=True)
    stage.close()
    (made_shop / ".ratchet" / LAST_FILE).unlink()
    return path


def rows(database: Database) -> list[tuple[object, ...]]:
    """Return the ledger as it lies in the database, byte for byte, with payloads and salts."""
    query = select(schema.ledger, schema.payload.c.body, schema.payload.c.salt).join(
        schema.payload, schema.payload.c.seq == schema.ledger.c.seq
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(schema.ledger.c.seq))]


def changed(archive: Path, target: Path, change: Callable[[Path], None]) -> Path:
    """Write an archive anew with a changed database, its list made to fit: what an attacker would do."""
    with tarfile.open(archive) as tar:
        members = {one.name: (tar.extractfile(one) or io.BytesIO()).read() for one in tar.getmembers()}
    database = target.with_suffix(".sqlite")
    database.write_bytes(members[archives.DATABASE])
    change(database)
    members[archives.DATABASE] = database.read_bytes()
    database.unlink()
    with archives.writing(target, compressed=False) as writer:
        for name, content in members.items():
            if name != archives.CONTENTS:
                writer.add(name, content)
        writer.finish()
    return target


def execute(*statements: tuple[str, tuple[object, ...]]) -> Callable[[Path], None]:
    """Return what carries out statements on a SQLite file, triggers or not."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for name in ("ledger_no_update", "payload_no_update", "ledger_no_delete"):
                connection.execute(f"DROP TRIGGER {name}")
            for statement, values in statements:
                connection.execute(statement, values)

    return change


# ---- what comes back


def test_it_is_the_workspace_that_was_saved(archive: Path, made_shop: Path, tmp_path: Path) -> None:
    """The same bytes in the ledger, the same root, checkpoints that fit, artifacts, predictions, settings and keys."""
    made = restore(archive, tmp_path / "back")
    assert isinstance(made, Restored)
    assert (made.database, made.checkpoints, made.pending_jobs, made.has_keys) == ("sqlite", 1, 1, True)
    was, now = (Database(sqlite_url(one / ".ratchet" / "ratchet.db")) for one in (made_shop, tmp_path / "back"))
    assert rows(now) == rows(was)
    was.close()
    now.close()
    for name in ("ratchet.toml", "pipeline.py", ".ratchet/keys/ledger.pem", ".ratchet/ledger.checkpoints"):
        assert (tmp_path / "back" / name).read_bytes() == (made_shop / name).read_bytes()
    assert (tmp_path / "back" / ".ratchet/keys/ledger.pem").stat().st_mode & 0o777 == 0o600
    assert predicted(tmp_path / "back") == ALL
    with open_workspace(tmp_path / "back") as workspace:
        with workspace.database.read() as connection:
            version = registry.model_version(connection, "churn@v1")
        assert workspace.resources.artifacts.read(version.artifact)
        # It is signed with the same key: nothing that was signed before stands against it.
        sealed = workspace.seal()
        assert sealed.size >= made.entries
        assert workspace.checkpoints.at(sealed.size) is not None
    assert left_beside(tmp_path / "back") == ["back"]


def test_what_was_under_way_goes_on_once(shop: Stage, tmp_path: Path) -> None:
    """A job that waited and one that somebody had begun are carried out after the restore, each once."""
    with shop.database.write() as transaction:
        status = jobs.tables(transaction)[0]
        transaction.execute(status.update().values(status="PENDING", executor_id="long gone", recovery_attempts=1))
    take(shop.resources, tmp_path / "shop.tar")
    assert restore(tmp_path / "shop.tar", tmp_path / "back").pending_jobs == 1
    done = []
    with open_workspace(tmp_path / "back") as workspace:
        assert workspace.runs.pending() == ["act:waiting"]
        workspace.runs.register("act", lambda _context, spec: done.append(spec["job"]))
        workspace.runs.launch()
        workspace.settle()
    assert done == ["act:waiting"]


def test_rows_of_finished_jobs_stay_behind(shop: Stage, tmp_path: Path) -> None:
    """Once-only stands on the ledger's keys; what nobody needs is nothing that could be tampered with."""
    with shop.database.write() as transaction:
        status = jobs.tables(transaction)[0]
        transaction.execute(status.update().values(status="SUCCESS"))
    take(shop.resources, tmp_path / "shop.tar")
    restore(tmp_path / "shop.tar", tmp_path / "back")
    with open_workspace(tmp_path / "back") as workspace, workspace.database.read() as connection:
        assert [connection.execute(select(table)).all() for table in jobs.tables(connection)] == [[], [], [], []]


def test_an_empty_folder_will_do(archive: Path, tmp_path: Path) -> None:
    """A folder that is there and empty is filled; so is one in folders that are not there."""
    (tmp_path / "back").mkdir()
    assert restore(archive, tmp_path / "back").folder == str(tmp_path / "back")
    assert restore(archive, tmp_path / "far" / "away").folder == str(tmp_path / "far" / "away")


# ---- what is refused


def test_nothing_is_restored_over_anything(archive: Path, tmp_path: Path) -> None:
    """A folder with a file in it, and a file, stay as they are."""
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").write_text("mine")
    with pytest.raises(TargetTaken, match="is not empty"):
        restore(archive, tmp_path / "back")
    with pytest.raises(TargetTaken):
        restore(archive, tmp_path / "back" / "mine")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["mine"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_cut_off_archive_leaves_nothing(archive: Path, tmp_path: Path, share: float) -> None:
    """However much of it was unpacked already."""
    content = archive.read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArchiveInvalid, match="cut off"):
        restore(tmp_path / "cut.tar", tmp_path / "back")
    assert left_beside(tmp_path / "back") == ["cut.tar"]


def test_a_ledger_that_was_changed_is_refused_though_the_list_fits(archive: Path, tmp_path: Path) -> None:
    """Whoever changes an entry can write the list anew, but not the ledger's tree and its signature."""
    forged = execute(("UPDATE payload SET body = ? WHERE seq = 2", (b'{"forged":1}',)))
    path = changed(archive, tmp_path / "forged.tar", forged)
    with pytest.raises(ArchiveInvalid, match=r"database\.sqlite: its ledger is not as it was signed: entry 2"):
        restore(path, tmp_path / "back")
    assert left_beside(tmp_path / "back") == ["forged.tar"]
    made = restore(path, tmp_path / "back", despite_findings=True)
    assert [finding.startswith("entry 2:") for finding in made.findings] == [True]


def test_a_ledger_with_a_part_cut_off_is_refused(archive: Path, tmp_path: Path) -> None:
    """Entries at the end that no checkpoint covers are missed as well: the head says how many there were."""
    cut = execute(
        ("DELETE FROM payload WHERE seq = (SELECT max(seq) FROM ledger)", ()),
        ("DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)", ()),
    )
    with pytest.raises(ArchiveInvalid, match="which is not what was saved"):
        restore(changed(archive, tmp_path / "cut.tar", cut), tmp_path / "back", despite_findings=True)


def test_a_damaged_database_is_refused(archive: Path, tmp_path: Path) -> None:
    """Pages that were destroyed before the list was made are found by SQLite itself."""

    def destroy(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:8192] + os.urandom(8192) + content[16384:])

    with pytest.raises(ArchiveInvalid, match=r"database\.sqlite"):
        restore(changed(archive, tmp_path / "bad.tar", destroy), tmp_path / "back")
    assert left_beside(tmp_path / "back") == ["bad.tar"]


class Bomb:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        """Return a call."""
        return os.system, ("touch /tmp/ratchet-test-bomb",)


def test_an_archive_brings_no_code(archive: Path, tmp_path: Path) -> None:
    """A job whose arguments would run a command as soon as it goes on is refused, and nothing is run."""
    content = base64.b64encode(pickle.dumps({"args": (Bomb(),), "kwargs": {}})).decode()
    path = changed(archive, tmp_path / "bomb.tar", execute(("UPDATE workflow_input SET inputs = ?", (content,))))
    with pytest.raises(JobUnreadable, match=r"act:waiting has a value \(inputs\) .* it asks for posix\.system"):
        restore(path, tmp_path / "back")
    assert left_beside(tmp_path / "back") == ["bomb.tar"]
    assert not Path("/tmp/ratchet-test-bomb").exists()  # noqa: S108, where the bomb would write


def test_a_newer_schema_is_refused(archive: Path, tmp_path: Path) -> None:
    """An archive of a later version is left alone before anything is unpacked."""
    with tarfile.open(archive) as tar:
        head = (tar.extractfile(archives.HEAD) or io.BytesIO()).read()
    newer = head.replace(f'"schema": {migrations.LATEST}'.encode(), f'"schema": {migrations.LATEST + 1}'.encode())
    assert newer != head
    with archives.writing(tmp_path / "new.tar", compressed=False) as writer:
        writer.add(archives.HEAD, newer)
        writer.finish()
    with pytest.raises(ArchiveTooNew, match=f"schema version {migrations.LATEST + 1}"):
        restore(tmp_path / "new.tar", tmp_path / "back")


# ---- what breaks off


@pytest.mark.parametrize("reports", [2, 8])
def test_killed_on_the_way_it_leaves_no_workspace(archive: Path, tmp_path: Path, reports: int) -> None:
    """What is left is hidden and says what it is; the same restore is done again."""
    command = [sys.executable, "-c", KILLED, str(archive), str(tmp_path / "back"), str(reports)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [name.startswith(".back.restoring-") for name in left_beside(tmp_path / "back")] == [True]
    assert restore(archive, tmp_path / "back").checkpoints == 1


def test_interrupted_it_cleans_up(archive: Path, tmp_path: Path) -> None:
    """After Ctrl-C nothing is left, whether while it is unpacked or while the ledger is read again."""
    for when in ("reading the archive", "verifying the ledger"):

        def report(what: str, _share: float, when: str = when) -> None:
            if what == when:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            restore(archive, tmp_path / "back", report=report)
        assert left_beside(tmp_path / "back") == []


def test_a_full_disk_is_said(archive: Path, tmp_path: Path) -> None:
    """One sentence, and nothing is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 10, before[1]))
    try:
        with pytest.raises(RestoreFailed, match=r"Nothing was restored to .*back: .*Make room"):
            restore(archive, tmp_path / "back")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_beside(tmp_path / "back") == []


# ---- another database


def test_a_server_that_is_away_is_said(archive: Path, tmp_path: Path) -> None:
    """Nothing is restored where the ledger cannot go."""
    with pytest.raises(DatabaseAway, match=r"127\.0\.0\.1"):
        restore(archive, tmp_path / "back", database="postgresql://nobody@127.0.0.1:1/none")
    assert left_beside(tmp_path / "back") == []


@pytest.mark.parametrize(
    ("text", "url", "expected"),
    [
        (
            '[project]\nname = "s" # c\n',
            "postgresql://h/d",
            '[project]\ndatabase = "postgresql://h/d"\nname = "s" # c\n',
        ),
        ('[project]\nname = "s"\ndatabase = "old"\n', "", '[project]\nname = "s"\ndatabase = ""\n'),
        ('# x\r\n[project]\r\nname = "s"\r\n', "u", '# x\r\n[project]\r\ndatabase = "u"\r\nname = "s"\r\n'),
    ],
)
def test_the_settings_name_the_new_database(text: str, url: str, expected: str, tmp_path: Path) -> None:
    """The line is put in or changed, and all others stay as they are."""
    assert with_database(text, url) == expected
    (tmp_path / "ratchet.toml").write_text(expected)
    assert config.load(tmp_path).project.database == url


def test_to_a_file_in_the_folder(archive: Path, tmp_path: Path) -> None:
    """With the word sqlite the ledger stays in the folder, whatever the settings said."""
    made = restore(archive, tmp_path / "back", database="sqlite")
    assert made.database == "sqlite"
    with open_workspace(tmp_path / "back") as workspace:
        assert workspace.config.project.database == ""
        workspace.ledger.record(Event(type="custom.emitted", subject="goes on"))
        assert workspace.ledger.last_seq() == made.entries + 1
    assert (tmp_path / "back" / "ratchet.toml").read_text() != projects.SETTINGS


def test_artifacts_go_where_the_settings_say(made_shop: Path, tmp_path: Path, zygotes: Zygotes) -> None:
    """A store that machines share gets what it lacks, and the folder keeps none."""
    shutil.copytree(made_shop, tmp_path / "shop")
    store = tmp_path / "store"
    store.mkdir()
    settings = projects.SETTINGS.replace("[project]\n", f'[project]\nartifacts = "{store}"\n')
    stage = Stage(tmp_path / "shop", zygotes, settings=settings)
    written = set(stage.resources.artifacts.all())
    take(stage.resources, tmp_path / "shop.tar")
    stage.close()
    restore(tmp_path / "shop.tar", tmp_path / "back")
    assert not (tmp_path / "back" / ".ratchet" / "artifacts").exists()
    with open_workspace(tmp_path / "back") as workspace:
        assert set(workspace.resources.artifacts.all()) == written
        assert workspace.resources.artifacts.folder == store
