"""Backups are taken of one moment, whole or not at all, and change nothing."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.backups import archives
from ratchet.backups.refusals import BackupFailed, BackupIncomplete
from ratchet.backups.restoring import restore
from ratchet.backups.taking import last, take
from ratchet.loop import predictions
from ratchet.records import Event
from ratchet.store import copies
from ratchet.workspace import open_workspace
from tests import projects
from tests.loops import Stage
from tests.unit.backups.conftest import left_beside, predicted
from tests.waiting import PATIENCE_SECONDS

ALL = {*(f"sealed{n}.0" for n in range(4)), *(f"open{n}.0" for n in range(3)), "spooled0.0", "spooled1.0"}
# A process that kills itself when it has come to the N-th report: nothing is cleaned up after it.
KILLED = """
import os, signal, sys
from pathlib import Path
from ratchet.backups.taking import take
from ratchet.workspace import open_workspace
left = int(sys.argv[3])
def report(what, share):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
with open_workspace(sys.argv[1]) as workspace:
    take(workspace.resources, Path(sys.argv[2]), report=report)
"""


def state_of(folder: Path) -> dict[str, str]:
    """Return all files of a workspace with their sha256, but for what SQLite and the locks keep."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("ratchet.db") and path.name != "backup.json"
    }


def test_it_holds_all_and_changes_nothing(shop: Stage, tmp_path: Path) -> None:
    """Files, ledger and log are as they were; the archive says what it has, and the workspace when it was taken."""
    before, seq = state_of(shop.resources.project), shop.ledger.last_seq()
    taken = take(shop.resources, tmp_path / "shop.tar.zst")
    assert (state_of(shop.resources.project), shop.ledger.last_seq()) == (before, seq)
    assert (taken.entries, taken.pending_jobs, taken.missing) == (seq, 1, ())
    assert taken.left_out == ("data/2026-01.parquet",)
    assert last(shop.resources.folder) == taken
    assert taken.size_bytes == (tmp_path / "shop.tar.zst").stat().st_size
    assert left_beside(tmp_path / "shop.tar.zst") == ["shop.tar.zst"]


def test_only_what_is_named_is_in_it(shop: Stage, tmp_path: Path) -> None:
    """An artifact that nothing names stays out, and so do keys; both keys come in where they are asked for."""
    orphan = shop.resources.artifacts.write(b"of a run that was killed")
    take(shop.resources, tmp_path / "a.tar")
    (shop.resources.folder / "keys" / "pseudonym.key").write_bytes(b"k" * 32)
    take(shop.resources, tmp_path / "b.tar", with_keys=True)
    with tarfile.open(tmp_path / "a.tar") as without, tarfile.open(tmp_path / "b.tar") as with_keys:
        assert f"artifacts/{orphan}" not in without.getnames()
        assert not [name for name in without.getnames() if "keys" in name]
        keys = {name for name in with_keys.getnames() if "keys" in name}
    assert keys >= {"state/keys/ledger.pem", "state/keys/pseudonym.key"}


def test_nothing_is_written_over(shop: Stage, tmp_path: Path) -> None:
    """A file of the name stays as it is, also one that appears while the backup is taken."""
    target = tmp_path / "shop.tar"
    target.write_text("mine")
    with pytest.raises(BackupFailed, match="exists already"):
        take(shop.resources, target)
    target.unlink()

    def report(what: str, _share: float) -> None:
        if what == "writing artifacts":
            target.write_text("yours")

    with pytest.raises(BackupFailed, match="exists"):
        take(shop.resources, target, report=report)
    assert target.read_text() == "yours"
    assert left_beside(target) == ["shop.tar"]


@pytest.mark.parametrize("reports", [0, 5])
def test_killed_on_the_way_it_leaves_nothing_under_its_name(shop: Stage, tmp_path: Path, reports: int) -> None:
    """What is left is hidden and called partial, the workspace is whole, and the next backup is taken."""
    target = tmp_path / "shop.tar"
    command = [sys.executable, "-c", KILLED, str(shop.resources.project), str(target), str(reports)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [name.startswith(".shop.tar.partial-") for name in left_beside(target)] == [True]
    assert last(shop.resources.folder) is None
    take(shop.resources, target)
    assert restore(target, tmp_path / "back").entries == shop.ledger.last_seq()


def test_interrupted_it_cleans_up(shop: Stage, tmp_path: Path) -> None:
    """After Ctrl-C nothing is left."""

    def report(_what: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(shop.resources, tmp_path / "shop.tar", report=report)
    assert left_beside(tmp_path / "shop.tar") == []


@pytest.mark.parametrize("share", [0.2, 0.95], ids=["database", "archive"])
def test_a_full_disk_is_said(shop: Stage, tmp_path: Path, share: float) -> None:
    """While the database is copied, and while the archive is written: one sentence, and nothing is left."""
    folder = tmp_path / "full"
    folder.mkdir()
    size = take(shop.resources, tmp_path / "whole.tar").size_bytes
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), before[1]))
    try:
        with pytest.raises(BackupFailed, match=r"No backup was written to .*shop\.tar: .*Make room"):
            take(shop.resources, folder / "shop.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(folder.iterdir()) == []


def test_a_damaged_artifact_is_named_and_may_be_left_out(shop: Stage, tmp_path: Path) -> None:
    """A backup that is not whole is only written where somebody asks for it, and says what it lacks."""
    with shop.database.read() as connection:
        from ratchet.loop import registry

        version = registry.model_version(connection, "churn@v1")
    projects.damage(shop.resources.artifacts.path(version.artifact))
    with pytest.raises(BackupIncomplete, match=f"artifacts/{version.artifact}"):
        take(shop.resources, tmp_path / "shop.tar")
    shop.resources.artifacts.path(version.profile).unlink()
    with pytest.raises(BackupIncomplete, match=f"artifacts/{version.profile}"):
        take(shop.resources, tmp_path / "shop.tar")
    assert left_beside(tmp_path / "shop.tar") == []
    taken = take(shop.resources, tmp_path / "shop.tar", leave_out_damaged=True)
    assert set(taken.missing) == {f"artifacts/{version.artifact}", f"artifacts/{version.profile}"}
    assert restore(tmp_path / "shop.tar", tmp_path / "back").missing == taken.missing


def test_a_damaged_segment_is_named(shop: Stage, tmp_path: Path) -> None:
    """A sealed day has its hash in the ledger, so a changed one is not saved as if it were whole."""
    sealed = next((shop.resources.folder / "predictions" / "churn").glob("*.parquet"))
    projects.damage(sealed)
    with pytest.raises(BackupIncomplete, match=rf"state/predictions/churn/{sealed.name}"):
        take(shop.resources, tmp_path / "shop.tar")


def test_the_log_is_saved_as_it_was_at_the_moment_of_the_database(
    shop: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is collected, sealed or taken away after that moment is in the backup as it was before, and once."""
    copied = copies.Pinned.write

    def collected_meanwhile(pinned: copies.Pinned, *arguments: object) -> None:
        # In a process of its own the lock of the log is not ours to pass; here it is held by the backup.
        for path in (shop.resources.serving / "spool").glob("*.wal"):
            path.unlink()
        for path in (shop.resources.folder / "predictions").glob("churn/open/*/*.parquet"):
            path.unlink()
        shop.ledger.record(Event(type="custom.emitted", subject="too late"))
        copied(pinned, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(copies.Pinned, "write", collected_meanwhile)
    seq = shop.ledger.last_seq()
    assert take(shop.resources, tmp_path / "shop.tar").entries == seq
    restore(tmp_path / "shop.tar", tmp_path / "back")
    assert predicted(tmp_path / "back") == ALL


def test_the_log_is_collected_while_the_database_is_copied(shop: Stage, tmp_path: Path) -> None:
    """Outcomes that come in and the heartbeat wait no longer than until the open files are noted."""
    collected: list[int] = []

    def report(what: str, _share: float) -> None:
        if what == "copying the database" and not collected:
            collector = threading.Thread(
                target=lambda: collected.append(predictions.collect(shop.resources)), daemon=True
            )
            collector.start()
            collector.join(PATIENCE_SECONDS)

    take(shop.resources, tmp_path / "shop.tar", report=report)
    assert collected == [2]
    restore(tmp_path / "shop.tar", tmp_path / "back")
    assert predicted(tmp_path / "back") == ALL


def test_frames_that_come_later_stay_out(shop: Stage, tmp_path: Path) -> None:
    """The log's open file is saved up to where it was, so no answer refers to traffic that the ledger lacks."""
    spooled = max((shop.resources.serving / "spool").glob("*.wal"))
    whole = spooled.read_bytes()

    def report(what: str, _share: float) -> None:
        if what == "copying the database":
            with spooled.open("ab") as file:
                file.write(whole)

    take(shop.resources, tmp_path / "shop.tar", report=report)
    with tarfile.open(tmp_path / "shop.tar") as tar:
        saved = tar.extractfile(f"state/serving/spool/{spooled.name}")
        assert saved is not None
        assert saved.read() == whole


def test_it_is_one_moment_while_others_write(shop: Stage, tmp_path: Path) -> None:
    """Entries and rows that belong together are both in it or both not, and nobody waits for the backup."""
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            with shop.database.write() as transaction:
                event = shop.ledger.append(transaction, Event(type="custom.emitted", subject="load"))[0]
                from ratchet.loop import registry

                registry.put_state(transaction, "newest", event.seq)
            written.append(event.seq)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    entries = []
    try:
        for number in range(3):
            taken = take(shop.resources, tmp_path / f"{number}.tar.zst")
            entries.append(taken.entries)
            assert len(written) > 0
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert entries[0] < entries[1] < entries[2] <= written[-1]
    made = restore(tmp_path / "1.tar.zst", tmp_path / "back")
    assert made.entries == entries[1]
    from ratchet.loop import registry

    with open_workspace(tmp_path / "back") as workspace, workspace.database.read() as connection:
        assert registry.state(connection, "newest") == entries[1]


def test_the_simulated_clock_is_saved(shop: Stage, tmp_path: Path) -> None:
    """A replayed workspace goes on in its own time."""
    (shop.resources.folder / "clock").write_bytes((1_770_000_000_000_000).to_bytes(8, "little"))
    take(shop.resources, tmp_path / "shop.tar")
    restore(tmp_path / "shop.tar", tmp_path / "back")
    with open_workspace(tmp_path / "back"):
        assert clock.now().isoformat() == "2026-02-02T02:40:00+00:00"
    assert not clock.is_simulated()


def test_another_disk_is_no_obstacle(shop: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log's files cannot be linked, they are copied."""
    link = os.link

    def refuse(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        if str(source).endswith((".wal", ".parquet")):
            raise OSError(18, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    take(shop.resources, tmp_path / "shop.tar")
    restore(tmp_path / "shop.tar", tmp_path / "back")
    assert predicted(tmp_path / "back") == ALL


def test_what_is_known_of_the_last_one_may_be_lost(tmp_path: Path) -> None:
    """Without the note, or with a torn one, no backup is known."""
    assert last(tmp_path) is None
    (tmp_path / "backup.json").write_text("{")
    assert last(tmp_path) is None


def test_names_in_the_archive_are_those_of_the_places(shop: Stage, tmp_path: Path) -> None:
    """Each entry stands below a root that a restore knows."""
    take(shop.resources, tmp_path / "shop.tar", with_data=True)
    with tarfile.open(tmp_path / "shop.tar") as tar:
        names = tar.getnames()
    assert names[0] == archives.HEAD
    assert names[-1] == archives.CONTENTS
    assert "project/data/2026-01.parquet" in names
    assert {name.partition("/")[0] for name in names[1:-1]} == {archives.DATABASE, "project", "state", "artifacts"}
