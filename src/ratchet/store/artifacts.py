"""Content-addressed files: what is registered never changes, and what changed is never loaded.

Invariant: a file is whole and on the disk before any row names it, its bytes are checked at every load, and what was
written again a moment ago is as young as what was written for the first time.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ratchet import clock, faults
from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.records import Record

_CHUNK = 1 << 20
_GOING = ".going-"
_REMOVAL_SECONDS = 60.0
_WORKSPACES = ".workspaces"
_POSTED = ".posted"


class Stored(Record, frozen=True):
    """An artifact as a store lists it.

    Attributes:
        size_bytes: How much room it takes.
        written_seconds: When it was last written, real seconds since 1970; written again is written anew.
    """

    sha256: str
    size_bytes: int
    written_seconds: float


class Artifacts:
    """A folder of files named by the sha256 of their bytes, which machines may share.

    Args:
        folder: Where they lie; made where missing.
        address: What another process opens the same store by; the folder by default.
    """

    def __init__(self, folder: Path, *, address: str = "") -> None:
        self.folder = folder
        self.address = address or str(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where an artifact lies on this machine, whether or not it is there."""
        return self.folder / sha256[:2] / sha256

    def write(self, content: bytes) -> str:
        """Store bytes and return their sha256, as 64 hexadecimal digits."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._renew(sha256):
            write_durably(self._place(sha256), content)
        return sha256

    def write_file(self, source: Path) -> str:
        """Store a copy of a file and return its sha256; one gigabyte needs one megabyte of memory."""
        temporary = self._temporary()
        try:
            sha256 = _copy_hashed(source, temporary)
            if not self._renew(sha256):
                target = self._place(sha256)
                temporary.replace(target)
                sync_path(target.parent)
            return sha256
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def read(self, sha256: str) -> bytes:
        """Return an artifact's bytes after checking them.

        Raises:
            ArtifactMissing: There is no such file.
            ArtifactCorrupt: Its bytes are not those that were stored.
        """
        path = self.path(sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ArtifactMissing(sha256=sha256, path=str(path)) from error
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ArtifactCorrupt(sha256=sha256, found=found, path=str(path))
        return content

    def checked_path(self, sha256: str) -> Path:
        """Return an artifact's path after checking its bytes, for readers that want a file.

        Raises:
            ArtifactMissing: There is no such file.
            ArtifactCorrupt: Its bytes are not those that were stored.
        """
        path = self.path(sha256)
        try:
            found = hash_file(path)
        except FileNotFoundError as error:
            raise ArtifactMissing(sha256=sha256, path=str(path)) from error
        if found != sha256:
            raise ArtifactCorrupt(sha256=sha256, found=found, path=str(path))
        return path

    def exists(self, sha256: str) -> bool:
        """Tell whether an artifact is there; its bytes are checked when it is loaded."""
        return self.path(sha256).is_file()

    def all(self) -> Iterator[str]:
        """List the artifacts by sha256, sorted."""
        for shelf in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            # A name that begins with a dot is what a killed write left behind.
            yield from sorted(entry.name for entry in shelf.iterdir() if not entry.name.startswith("."))

    def listed(self) -> Iterator[Stored]:
        """List the artifacts with their sizes and ages."""
        for sha256 in self.all():
            with suppress(FileNotFoundError):
                found = self.path(sha256).stat()
                yield Stored(sha256=sha256, size_bytes=found.st_size, written_seconds=found.st_mtime)

    def delete(self, sha256: str, *, written_before: float) -> bool:
        """Remove an artifact, unless somebody has written it since.

        Args:
            sha256: Which one.
            written_before: Only where it was last written before this moment, real seconds since 1970.

        Returns:
            Whether it was there and has gone.
        """
        path = self.path(sha256)
        aside = path.with_name(f".{sha256}{_GOING}{os.getpid()}-{clock.new_id()}")
        try:
            if path.stat().st_mtime >= written_before:
                return False
            path.rename(aside)
        except FileNotFoundError:
            return False
        # Whoever wrote it again before it was set aside believes it is there; whoever does so later writes it anew.
        if aside.stat().st_mtime >= written_before:
            _put_back(aside, path)
            return False
        aside.unlink()
        return True

    def collect(self, named: set[str], *, older_than_seconds: float) -> list[str]:
        """Remove old artifacts that are not among the named and return their sha256."""
        limit = clock.real_seconds() - older_than_seconds
        old = [one.sha256 for one in self.listed() if one.sha256 not in named and one.written_seconds < limit]
        removed = [sha256 for sha256 in old if self.delete(sha256, written_before=limit)]
        self.tidy(older_than_seconds=older_than_seconds)
        return removed

    def tidy(self, *, older_than_seconds: float) -> None:
        """Clear away what broken-off writes and removals left behind."""
        now = clock.real_seconds()
        for leftover in (*self.folder.glob(".incoming-*"), *self.folder.glob("[0-9a-f][0-9a-f]/.*")):
            sha256, is_going, _ = leftover.name[1:].partition(_GOING)
            with suppress(FileNotFoundError):
                found = leftover.stat()
                # Setting it aside changed the second of these times and not the first.
                if is_going and found.st_ctime < now - _REMOVAL_SECONDS:
                    _put_back(leftover, self.path(sha256))
                elif not is_going and found.st_mtime < now - older_than_seconds:
                    leftover.unlink()

    # ---- the workspaces that keep artifacts here

    def enter(self, workspace: str, *, seq: int = 0) -> None:
        """Leave word that a workspace keeps artifacts here, so that no other one removes them.

        Args:
            workspace: Its name.
            seq: How long its ledger was; a copy of it that is older knows less of what is needed.
        """
        folder = self.folder / _WORKSPACES
        folder.mkdir(exist_ok=True)
        write_durably(folder / workspace, b"%d" % seq)

    def seq_of(self, workspace: str) -> int:
        """Return how long a workspace's ledger was when it left word last, 0 where it never did."""
        path = self.folder / _WORKSPACES / workspace
        return int(path.read_bytes() or 0) if path.is_file() else 0

    @staticmethod
    def is_entered(folder: Path) -> bool:
        """Tell whether some workspace has left word in a folder; in that below a mount that is missing, none has."""
        return (folder / _WORKSPACES).is_dir()

    def workspaces(self) -> list[str]:
        """Return the workspaces that keep artifacts here, sorted."""
        folder = self.folder / _WORKSPACES
        return sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []

    # ---- words left under a name by those who have no other way to one another

    def post(self, name: str, content: bytes) -> None:
        """Leave word under a name of letters, digits and dashes; what was left under it before is replaced."""
        folder = self.folder / _POSTED
        folder.mkdir(exist_ok=True)
        write_durably(folder / name, content)

    def posted(self, name: str) -> bytes | None:
        """Return the word that was left under a name, ``None`` where there is none."""
        try:
            return (self.folder / _POSTED / name).read_bytes()
        except FileNotFoundError:
            return None

    def unpost(self, name: str) -> None:
        """Take away the word that was left under a name, if there is one."""
        with suppress(FileNotFoundError):
            (self.folder / _POSTED / name).unlink()

    # ---- inside

    def _temporary(self) -> Path:
        return self.folder / f".incoming-{os.getpid()}-{clock.new_id()}"

    def _place(self, sha256: str) -> Path:
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        return target

    def _renew(self, sha256: str) -> bool:
        """Make an artifact young again where it is there and whole: its writer counts on it from now on.

        Hashed again, because a corrupt file of the right name would otherwise never be healed.
        """
        path = self.path(sha256)
        try:
            is_whole = hash_file(path) == sha256
            if is_whole:
                os.utime(path)
        except (FileNotFoundError, PermissionError):
            return False
        return is_whole


def _put_back(aside: Path, path: Path) -> None:
    # Linked and not renamed: what was written meanwhile stays.
    with suppress(FileExistsError):
        path.hardlink_to(aside)
    aside.unlink()


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(target: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there as a whole or not at all.

    A file that is there keeps its permissions, and a link to one stays a link.
    """
    mode = None
    with suppress(FileNotFoundError):
        found = target.lstat()
        if stat.S_ISLNK(found.st_mode):
            target = target.resolve()
            found = target.stat()
        mode = stat.S_IMODE(found.st_mode)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{clock.new_id()}")
    try:
        with temporary.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        faults.point("artifact.before_rename")
        temporary.replace(target)
        faults.point("artifact.after_rename")
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_path(target.parent)


def sync_path(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable: a renamed file may else be gone after a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_hashed(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as incoming, target.open("wb") as outgoing:
        while chunk := incoming.read(_CHUNK):
            digest.update(chunk)
            outgoing.write(chunk)
        outgoing.flush()
        os.fsync(outgoing.fileno())
    return digest.hexdigest()
