"""Content-addressed files: what is registered never changes, and what changed is never loaded.

Invariant: a file is whole and on the disk before any row names it, and its bytes are checked at every load.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ratchet import clock, faults
from ratchet.errors import ArtifactCorrupt, ArtifactMissing

_CHUNK = 1 << 20


class Artifacts:
    """A folder of files named by the sha256 of their bytes.

    Args:
        folder: Where they lie; made where missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where an artifact lies, whether or not it is there."""
        return self.folder / sha256[:2] / sha256

    def write(self, content: bytes) -> str:
        """Store bytes and return their sha256, as 64 hexadecimal digits."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._is_whole(sha256):
            target = self.path(sha256)
            target.parent.mkdir(exist_ok=True)
            write_durably(target, content)
        return sha256

    def write_file(self, source: Path) -> str:
        """Store a copy of a file and return its sha256; one gigabyte needs one megabyte of memory."""
        temporary = self.folder / f".incoming-{os.getpid()}-{clock.new_id()}"
        try:
            sha256 = _copy_hashed(source, temporary)
            if self._is_whole(sha256):
                return sha256
            target = self.path(sha256)
            target.parent.mkdir(exist_ok=True)
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

    def all(self) -> Iterator[str]:
        """List the artifacts by sha256, sorted."""
        for shelf in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            # A name that begins with a dot is what a killed write left behind.
            yield from sorted(entry.name for entry in shelf.iterdir() if not entry.name.startswith("."))

    def collect(self, named: set[str], *, older_than_seconds: float) -> list[str]:
        """Remove old files that nothing names and return their sha256; call it under the workspace's lock."""
        removed = []
        limit = clock.real_seconds() - older_than_seconds
        for sha256 in list(self.all()):
            path = self.path(sha256)
            if sha256 not in named and path.stat().st_mtime < limit:
                path.unlink()
                removed.append(sha256)
        for leftover in (*self.folder.glob(".incoming-*"), *self.folder.glob("??/.*")):
            if leftover.stat().st_mtime < limit:
                leftover.unlink()
        return removed

    def _is_whole(self, sha256: str) -> bool:
        # Hashed again on a hit: a corrupt file of the right name would otherwise never be healed.
        try:
            return hash_file(self.path(sha256)) == sha256
        except FileNotFoundError:
            return False


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(target: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there as a whole or not at all.

    A file that is there keeps its permissions, and a link to one stays a link.
    """
    if target.is_symlink():
        target = target.resolve()
    temporary = target.parent / f".{target.name}.{os.getpid()}-{clock.new_id()}"
    try:
        with temporary.open("wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
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
