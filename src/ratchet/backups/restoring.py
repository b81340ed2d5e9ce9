"""Makes a workspace of a backup: in a folder beside the one that was asked for, which gets its name when it is whole.

Invariants: nothing is restored over anything; nothing of an archive is used before all of it was compared with its
list, and its ledger read again; no archive brings code that runs when jobs go on.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from ratchet import clock, config
from ratchet.backups import archives
from ratchet.backups.archives import ARTIFACTS, DATABASE, PROJECT, STATE, Head
from ratchet.backups.refusals import ArchiveInvalid, ArchiveTooNew, RestoreFailed, TargetTaken
from ratchet.backups.taking import KEYS, make_tables, opened
from ratchet.engine import jobs
from ratchet.errors import ConfigInvalid, CopyFailed
from ratchet.loop import stores
from ratchet.records import Record
from ratchet.store import copies, entries, migrations, verification
from ratchet.store.anchors import split_notes
from ratchet.store.artifacts import Artifacts, sync_path, write_durably
from ratchet.store.checkpoints import BESIDE, KEY_FILE, Checkpoints
from ratchet.store.database import Database, url_to_keep
from ratchet.store.ledger import Ledger
from ratchet.store.verification import Held, Verification
from ratchet.toml_tables import line_end, lines_of, toml_text

SQLITE = "sqlite"
DATABASE_FILE = "ratchet.db"
_CHUNK = 1 << 20
_OWNER_ONLY = 0o600

Report = Callable[[str, float], None]


class Restored(Record, frozen=True):
    """A workspace that was made of a backup.

    Attributes:
        folder: Where it is.
        database: ``sqlite`` or ``postgresql``.
        taken_at: When the backup was taken (UTC, real time, ISO).
        entries: Of the ledger.
        root: Of the ledger's tree, 64 hexadecimal digits.
        checkpoints: Signed states of the ledger that fit.
        artifacts: How many there are.
        pending_jobs: Jobs that go on at the next start.
        has_keys: Whether private keys were in the backup.
        missing: What was missing or damaged when it was taken.
        left_out: Files of the project that are not in it.
        findings: What is not right with the ledger, where that was accepted.
    """

    folder: str
    database: str
    taken_at: str
    entries: int
    root: str
    checkpoints: int
    artifacts: int
    pending_jobs: int
    has_keys: bool
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    findings: tuple[str, ...]


def restore(
    archive: Path,
    folder: Path,
    *,
    database: str = "",
    despite_findings: bool = False,
    report: Report = lambda _what, _share: None,
) -> Restored:
    """Make a workspace of a backup.

    Args:
        folder: Where; it does not exist yet, or is empty.
        database: Where the ledger goes: a URL, or ``sqlite`` for a file in the folder; by default where the saved
            ``ratchet.toml`` says.
        despite_findings: Restore a ledger also where reading it again finds entries that were changed.
        report: Called with what is done, and the share of it that is done.

    Raises:
        ArchiveInvalid: The file is no backup, or not what was written.
        ArchiveTooNew: A later version wrote it.
        JobUnreadable: A job in it asks for foreign code.
        TargetTaken: The folder or the database holds something.
        RestoreFailed: The disk is full, or the database does not answer.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TargetTaken(target=str(folder), found="is not empty", remedy="Name a folder that is not there yet.")
    head = archives.read_head(archive)
    if head.schema > migrations.LATEST:
        raise ArchiveTooNew(path=str(archive), what="schema version", found=head.schema, supported=migrations.LATEST)
    try:
        with _beside(folder) as place:
            made = _Restoration(archive, place, despite_findings=despite_findings, report=report)
            made.unpack()
            url = made.choose_database(database)
            done = made.check()
            made.hand_over()
            made.fill(url)
            os.sync()
            place.rename(folder)
            sync_path(folder.parent)
    except (OSError, CopyFailed) as error:
        problem = (error.strerror or str(error)) if isinstance(error, OSError) else error.problem
        remedy = "Make room there, or choose another place; what was begun is removed."
        raise RestoreFailed(target=str(folder), problem=problem, remedy=remedy) from error
    return made.restored(folder, done)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a folder beside the one to come, which is removed unless it was renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder.parent / f".{folder.name}.restoring-{clock.new_id()}"
    place.mkdir(mode=0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Restoration:
    """One archive on its way into a folder.

    Args:
        archive: The file.
        place: An empty folder.
        despite_findings: As in ``restore``; so is the next.
    """

    def __init__(self, archive: Path, place: Path, *, despite_findings: bool, report: Report) -> None:
        self._archive = archive
        self._place = place
        self._state = place / config.STATE_FOLDER
        self._copy = self._state / DATABASE_FILE
        self._despite_findings = despite_findings
        self._report = report
        self._artifacts = 0
        self._pending = 0
        self._is_sqlite = True
        self._head: Head | None = None
        self._missing: tuple[str, ...] = ()

    # ---- unpacking

    def unpack(self) -> None:
        """Write all entries to their places."""
        self._state.mkdir()
        store = Artifacts(self._state / ARTIFACTS)
        size = max(1, self._archive.stat().st_size)

        def take(name: str, stream: IO[bytes]) -> None:
            root, _, rest = name.partition("/")
            if root == ARTIFACTS:
                if store.write(_whole(stream)) != rest:
                    raise ArchiveInvalid(path=str(self._archive), entry=name, problem="its bytes have another sha256")
                self._artifacts += 1
            else:
                self._write(name, rest, stream)

        self._head, self._missing = archives.unpack(
            self._archive, take, lambda done: self._report("reading the archive", done / size)
        )

    def _write(self, name: str, rest: str, stream: IO[bytes]) -> None:
        roots = {PROJECT: self._place, STATE: self._state}
        root = name.partition("/")[0]
        if name != DATABASE and (root not in roots or not rest):
            raise ArchiveInvalid(path=str(self._archive), entry=name, problem="no backup has such an entry")
        if root == PROJECT and rest.partition("/")[0] == config.STATE_FOLDER:
            raise ArchiveInvalid(path=str(self._archive), entry=name, problem="no file of a project lies there")
        target = self._copy if name == DATABASE else roots[root] / rest
        target.parent.mkdir(parents=True, exist_ok=True)
        is_secret = rest.startswith(f"{KEYS}/") and not rest.endswith(".pub")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY if is_secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            while chunk := stream.read(_CHUNK):
                file.write(chunk)

    # ---- checking

    def check(self) -> Verification:
        """Read the ledger again, and take out of the engine's rows what belongs to another place.

        Raises:
            ArchiveInvalid: The database is damaged, or its ledger is not what was saved.
            JobUnreadable: A job asks for foreign code.
        """
        if problem := copies.damage(self._copy):
            raise ArchiveInvalid(path=str(self._archive), entry=DATABASE, problem=problem)
        with opened(self._copy) as copy:
            make_tables(copy)
            with copy.write() as transaction:
                jobs.refuse_code(transaction)
                jobs.forget_finished(transaction)
                jobs.let_go(transaction)
                copies.forget_what_is_of_a_place(transaction)
                self._pending = sum(job.status in jobs.UNFINISHED for job in jobs.unfinished(transaction))
            return self._read_again(copy)

    def _read_again(self, database: Database) -> Verification:
        assert self._head is not None, "it was unpacked"
        beside = self._state / BESIDE
        notes = split_notes(beside.read_text(), where=BESIDE) if beside.exists() else []
        chunks = entries.chunks_of_database(database)
        total = max(1, self._head.entries)
        done = verification.verify(
            chunks,
            origin=self._origin(database),
            held=[Held(where=BESIDE, note=note, is_own=True) for note in notes],
            database=database,
            workers=os.cpu_count() or 1,
            report=lambda count: self._report("verifying the ledger", count / total),
        )
        with database.read() as connection:
            found = copies.state_of(connection)
        if found != (self._head.entries, self._head.tree_size, self._head.root):
            problem = f"its ledger has {found[0]} entries and the root {found[2][:12]}, which is not what was saved"
            raise ArchiveInvalid(path=str(self._archive), entry=DATABASE, problem=problem)
        if done.findings and not self._despite_findings:
            first = done.findings[0]
            problem = f"its ledger is not as it was signed: entry {first.seq}: {first.what} (--despite-findings)"
            raise ArchiveInvalid(path=str(self._archive), entry=DATABASE, problem=problem)
        return done

    def _origin(self, database: Database) -> str:
        assert self._head is not None, "it was unpacked"
        ledger = Ledger(database, lambda _transaction, _events: None)
        key = self._state / KEYS / KEY_FILE
        return Checkpoints(
            database=database, ledger=ledger, project=self._head.project, folder=self._state, key=key, anchors=[]
        ).origin

    # ---- the database

    def choose_database(self, wanted: str) -> str:
        """Settle where the ledger goes, in ``ratchet.toml`` too; returns the URL, ``""`` for a file in the folder.

        Raises:
            TargetTaken: There is one already.
            RestoreFailed: The settings cannot be changed, or the server does not answer.
        """
        path = self._place / config.FILE_NAME
        if not path.exists():
            raise ArchiveInvalid(
                path=str(self._archive), entry=f"{PROJECT}/{config.FILE_NAME}", problem="it is missing"
            )
        if wanted:
            self._set_database(path, "" if wanted == SQLITE else url_to_keep(wanted))
        try:
            url = config.load(self._place).project.database
        except ConfigInvalid as error:
            remedy = "Unpack the archive with tar, and put it right there."
            raise RestoreFailed(target=str(self._place), problem=str(error), remedy=remedy) from error
        if url:
            refuse_taken(url)
        return url

    def _set_database(self, path: Path, url: str) -> None:
        text = path.read_bytes().decode()
        changed = with_database(text, url)
        write_durably(path, changed.encode())
        try:
            if config.load(self._place).project.database == url:
                return
        except ConfigInvalid:
            pass
        remedy = (
            "Change [project] database in the workspace's ratchet.toml, take another backup, and leave --database out."
        )
        raise RestoreFailed(target=str(self._place), problem="its ratchet.toml cannot be changed", remedy=remedy)

    def hand_over(self) -> None:
        """Bring the artifacts into the store that the settings name, where that is none in the folder."""
        settings = config.load(self._place)
        if not settings.project.artifacts:
            return
        local = Artifacts(self._state / ARTIFACTS)
        with opened(self._copy) as copy:
            store = stores.open_store(settings, project=self._place, state=self._state, database=copy)
        for number, digest in enumerate(local.all()):
            self._report("handing over artifacts", number / max(1, self._artifacts))
            store.write(local.read(digest))
        shutil.rmtree(local.folder)

    def fill(self, url: str) -> None:
        """Bring the ledger into the database where it shall be.

        Raises:
            TargetTaken: Somebody was faster.
            RestoreFailed: The server does not answer any more.
        """
        if not url:
            return
        assert self._head is not None, "it was unpacked"
        with connected(url) as target, opened(self._copy) as copy:
            self._is_sqlite = target.is_sqlite
            make_tables(target)
            with target.write() as transaction, copy.read() as source:
                if copies.is_taken(transaction):
                    raise _taken(target)
                report = partial(self._report, "filling the database")
                copies.copy_rows(source, transaction, tables_of=jobs.tables, report=report)
            self._read_again(target)
        self._copy.unlink()

    def restored(self, folder: Path, done: Verification) -> Restored:
        """Say what was made."""
        assert self._head is not None, "it was unpacked"
        return Restored(
            folder=str(folder),
            database="sqlite" if self._is_sqlite else "postgresql",
            taken_at=self._head.taken_at,
            entries=self._head.entries,
            root=self._head.root,
            checkpoints=done.checkpoints,
            artifacts=self._artifacts,
            pending_jobs=self._pending,
            has_keys=self._head.has_keys,
            missing=self._missing,
            left_out=self._head.left_out,
            findings=tuple(f"entry {one.seq}: {one.what}" for one in done.findings),
        )


def _whole(stream: IO[bytes]) -> bytes:
    return b"".join(iter(lambda: stream.read(_CHUNK), b""))


def refuse_taken(url: str) -> None:
    """Refuse a database that holds a workspace already, or that does not answer.

    Raises:
        TargetTaken: It holds one.
        RestoreFailed: It does not answer.
    """
    with connected(url) as database, database.read() as connection:
        if copies.is_taken(connection):
            raise _taken(database)


@contextmanager
def connected(url: str) -> Iterator[Database]:
    """Open a database whose server may not answer.

    Raises:
        RestoreFailed: It does not.
    """
    database = Database(url)
    try:
        with copies.telling(database):
            yield database
    except CopyFailed as error:
        remedy = "Is the server there, and may this account make tables in the database?"
        raise RestoreFailed(target=error.path, problem=error.problem, remedy=remedy) from error
    finally:
        database.close()


def _taken(database: Database) -> TargetTaken:
    return TargetTaken(
        target=f"The database {database.name}",
        found="holds a workspace already",
        remedy="Name an empty one with --database URL, or keep the ledger in the folder: --database sqlite",
    )


def with_database(text: str, url: str) -> str:
    """Return the text of a ``ratchet.toml`` that names another database."""
    end = line_end(text)
    lines, at = text.split(end), lines_of(text).at
    line = f"database = {toml_text(url)}"
    if ("project", "database") in at:
        lines[at["project", "database"] - 1] = line
    else:
        lines.insert(at.get(("project",), 0), line)
    return end.join(lines)
