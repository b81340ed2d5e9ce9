"""Takes a backup of a workspace, whether or not it runs: one moment of the database, and all files that belong to it.

Invariants: the file appears under its name whole or not at all; nothing in the workspace is changed or held up, but
that the prediction log is not collected while its open files are noted. What the log has is what it had just before
the moment of the database, as if all processes had been killed then: a state from which every workspace goes on.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

import ratchet
from ratchet import clock
from ratchet.backups import contents
from ratchet.backups.archives import ARTIFACTS, DATABASE, FORMAT, HEAD, PROJECT, STATE, Head, Writer, writing
from ratchet.backups.refusals import BackupFailed, BackupIncomplete
from ratchet.engine import jobs
from ratchet.engine.runs import DurableRuns
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, CopyFailed
from ratchet.loop import holdings, predictions
from ratchet.loop.resources import Resources
from ratchet.loop.serving import claim
from ratchet.loop.serving.log import SPOOL_FOLDER
from ratchet.records import Record
from ratchet.store import copies, migrations, tree
from ratchet.store.artifacts import hash_file, sync_path, write_durably
from ratchet.store.checkpoints import BESIDE
from ratchet.store.database import Database, sqlite_url

LAST_FILE = "backup.json"
KEYS = "keys"
_CLOCK = "clock"

Report = Callable[[str, float], None]


class Taken(Record, frozen=True):
    """A backup that was written.

    Attributes:
        path: The file.
        size_bytes: Of the file.
        taken_at: When (UTC, real time, ISO).
        entries: Of the ledger.
        root: Of the ledger's tree, 64 hexadecimal digits.
        artifacts: How many are in it.
        files: How many others.
        pending_jobs: Jobs that will go on after a restore.
        has_keys: Whether private keys are in it.
        missing: What belongs to the workspace and was missing or damaged.
        left_out: Files of the project that are not in it.
    """

    path: str
    size_bytes: int
    taken_at: str
    entries: int
    root: str
    artifacts: int
    files: int
    pending_jobs: int
    has_keys: bool
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


def take(
    resources: Resources,
    target: Path,
    *,
    with_keys: bool = False,
    with_data: bool = False,
    leave_out_damaged: bool = False,
    report: Report = lambda _what, _share: None,
) -> Taken:
    """Write a backup of a workspace to a new file.

    Args:
        target: Ends with ``.tar`` or ``.tar.zst``.
        with_keys: Put the private keys into it: whoever has the file can then sign as this workspace.
        with_data: Put the data files of the project into it; versions of datasets are in it in any case.
        leave_out_damaged: Write it even where files that belong to the workspace are missing or damaged.
        report: Called with what is done, and the share of it that is done.

    Raises:
        BackupFailed: The file exists, or cannot be written.
        BackupIncomplete: Something that belongs to the workspace is missing or damaged.
    """
    if target.exists():
        raise BackupFailed(path=str(target), problem="it exists already", remedy="Name a file that does not.")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.partial-", dir=target.parent) as folder:
            gathered = _Gathered(resources, Path(folder), report, leave_out_damaged=leave_out_damaged)
            gathered.freeze()
            gathered.look()
            written = gathered.write(with_keys=with_keys, with_data=with_data, compressed=target.name.endswith(".zst"))
            # A link, and no renaming: whoever made a file of this name meanwhile keeps it.
            os.link(Path(folder) / "archive", target)
            sync_path(target.parent)
    except (OSError, CopyFailed) as error:
        problem = (error.strerror or str(error)) if isinstance(error, OSError) else error.problem
        remedy = "Make room there, or choose another place; what was begun is removed."
        raise BackupFailed(path=str(target), problem=problem, remedy=remedy) from error
    taken = msgspec.structs.replace(written, path=str(target), size_bytes=target.stat().st_size)
    write_durably(resources.folder / LAST_FILE, msgspec.json.encode(taken))
    return taken


def last(folder: Path) -> Taken | None:
    """Return what is known of the newest backup of a workspace, or ``None``.

    Args:
        folder: The state folder.
    """
    try:
        return msgspec.json.decode((folder / LAST_FILE).read_bytes(), type=Taken)
    except (OSError, msgspec.MsgspecError):
        return None


class _Gathered:
    """What goes into an archive.

    Args:
        resources: The workspace's.
        folder: An empty one, beside the archive to come.
        report: As in ``take``; so is the next.
    """

    def __init__(self, resources: Resources, folder: Path, report: Report, *, leave_out_damaged: bool) -> None:
        self._resources = resources
        self._folder = folder
        self._report = report
        self._leave_out_damaged = leave_out_damaged
        self._database = folder / DATABASE
        self._kept: list[tuple[str, Path, int]] = []
        self._files: list[str] = []
        self._artifacts: list[str] = []
        self._missing: list[str] = []
        self._checkpoints = b""

    # ---- one moment

    def freeze(self) -> None:
        """Copy the database as it stands, and note the open files of the prediction log as they were just before."""
        # Read first: it may not say more than the database, or the ledger would count as cut.
        beside = self._resources.folder / BESIDE
        self._checkpoints = beside.read_bytes() if beside.exists() else b""
        with ExitStack() as stack:
            with predictions.turn(self._resources):
                self._keep_log()
                moment = stack.enter_context(copies.pinned(self._resources.database))
            # From here on the log may be collected again: the database is held as it was.
            self._copy(moment)

    def _keep_log(self) -> None:
        """Link the log's open files, or copy them: they are taken away once they were collected or sealed."""
        folder = self._resources.folder
        spool = self._resources.serving / SPOOL_FOLDER
        found = [*spool.glob("*.wal"), *(folder / "predictions").glob("*/open/*/*.parquet")]
        for path in sorted(found):
            name = path.relative_to(folder).as_posix()
            kept = self._folder / "log" / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            size = path.stat().st_size
            try:
                os.link(path, kept)
            except OSError:
                shutil.copyfile(path, kept)
            self._kept.append((name, kept, size))

    def _copy(self, moment: copies.Pinned) -> None:
        report = partial(self._report, "copying the database")
        if not moment.is_rows:
            moment.write(self._database, report)
            return
        assert moment.connection is not None, "rows are read by a connection"
        copy = Database(sqlite_url(self._database))
        try:
            with copies.telling(copy):
                make_tables(copy)
                with copy.write() as transaction:
                    copies.copy_rows(moment.connection, transaction, tables_of=jobs.tables, report=report)
        finally:
            copy.close()
        copies.settle(self._database)

    # ---- what belongs to it

    def look(self) -> None:
        """Find out which files the copied database names, and whether they are there.

        Raises:
            BackupIncomplete: One is not, or is not what it was.
        """
        with opened(self._database) as copy, copy.read() as connection:
            artifacts = self._resources.artifacts
            known = holdings.holdings(connection, artifacts)
            named = known.named | jobs.digests(connection)
        present = set(artifacts.all())
        self._artifacts = sorted(named & present)
        for digest in sorted(known.needed - present):
            self._miss(f"{ARTIFACTS}/{digest}")
        for name, sha256 in known.files.items():
            path = self._resources.folder / name
            if path.is_file() and sha256 in ("", hash_file(path)):
                self._files.append(name)
            else:
                self._miss(f"{STATE}/{name}")

    def _miss(self, name: str) -> None:
        if not self._leave_out_damaged:
            raise BackupIncomplete(what=name)
        self._missing.append(name)

    # ---- writing

    def write(self, *, with_keys: bool, with_data: bool, compressed: bool) -> Taken:
        """Write the archive into the folder."""
        resources = self._resources
        files, left_out = contents.project_files(resources.project, resources.config, with_data=with_data)
        left = tuple(path.relative_to(resources.project).as_posix() for path in left_out)
        keys = sorted(path for path in (resources.folder / KEYS).glob("*") if path.is_file()) if with_keys else []
        head, pending = self._head(has_keys=bool(keys), left_out=left)
        with writing(self._folder / "archive", compressed=compressed) as archive:
            archive.add(HEAD, msgspec.json.format(msgspec.json.encode(head)))
            self._add_file(archive, DATABASE, self._database)
            self._report("writing files", 0.0)
            for path in files:
                self._add_file(archive, f"{PROJECT}/{path.relative_to(resources.project).as_posix()}", path)
            for path in keys:
                self._add_file(archive, f"{STATE}/{KEYS}/{path.name}", path)
            self._add_state(archive)
            self._add_artifacts(archive)
            archive.finish(missing=self._missing)
        return Taken(
            path="",
            size_bytes=0,
            taken_at=head.taken_at,
            entries=head.entries,
            root=head.root,
            artifacts=archive.count(ARTIFACTS),
            files=archive.count(PROJECT) + archive.count(STATE),
            pending_jobs=pending,
            has_keys=head.has_keys,
            missing=tuple(self._missing),
            left_out=left,
        )

    def _head(self, *, has_keys: bool, left_out: tuple[str, ...]) -> tuple[Head, int]:
        with opened(self._database) as copy, copy.read() as connection:
            state = tree.load(connection)
            pending = [job for job in jobs.unfinished(connection) if job.status in jobs.UNFINISHED]
            head = Head(
                format=FORMAT,
                ratchet=ratchet.__version__,
                schema=migrations.version_of(connection),
                project=self._resources.config.project.name,
                database=self._resources.database.engine.dialect.name,
                entries=tree.last_seq(connection),
                tree_size=state.size if state else 0,
                root=state.root.hex() if state and state.is_whole else "",
                taken_at=datetime.fromtimestamp(clock.real_seconds(), UTC).isoformat(),
                has_keys=has_keys,
                left_out=left_out,
            )
        return head, len(pending)

    def _add_state(self, archive: Writer) -> None:
        folder = self._resources.folder
        if self._checkpoints:
            archive.add(f"{STATE}/{BESIDE}", self._checkpoints)
        if (folder / _CLOCK).exists():
            archive.add(f"{STATE}/{_CLOCK}", (folder / _CLOCK).read_bytes())
        holder = claim.last_holder(self._resources.serving)
        if holder is not None:
            # Callers know its port, which is tried again.
            archive.add(f"{STATE}/serving/{claim.FORMER_FILE}", msgspec.json.encode(holder))
        for name, path, size in self._kept:
            with path.open("rb") as file:
                # What the disk took only half of is taken back by its writer.
                archive.add_stream(f"{STATE}/{name}", file, min(size, path.stat().st_size))
        for name in self._files:
            self._add_file(archive, f"{STATE}/{name}", folder / name)

    def _add_artifacts(self, archive: Writer) -> None:
        for number, digest in enumerate(self._artifacts):
            self._report("writing artifacts", number / len(self._artifacts))
            try:
                content = self._resources.artifacts.read(digest)
            except (ArtifactCorrupt, ArtifactMissing):
                self._miss(f"{ARTIFACTS}/{digest}")
            else:
                archive.add(f"{ARTIFACTS}/{digest}", content)

    def _add_file(self, archive: Writer, name: str, path: Path) -> None:
        with path.open("rb") as file:
            size = path.stat().st_size
            archive.add_stream(name, file, size, report=partial(self._report, f"writing {name}"))


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """Open a copy, and leave it as one file.

    Raises:
        CopyFailed: The disk is full.
    """
    database = Database(sqlite_url(path))
    try:
        with copies.telling(database):
            yield database
    finally:
        database.close()
        copies.settle(path)


def make_tables(database: Database) -> None:
    """Make our tables and the engine's."""
    migrations.migrate(database, keeps_copy=False)
    runs = DurableRuns(database)
    runs.prepare()
    runs.close()
