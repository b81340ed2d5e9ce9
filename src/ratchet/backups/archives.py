"""The file of a backup: a tar archive, compressed or not, that lists itself at its end.

Invariant: what is read from an archive is what was written into it, each entry by its size and sha256; one that is cut
off or changed is refused with the name of the entry, and no entry leads out of the folder that it is unpacked to.

The first entry, ``ratchet-backup.json``, says what it is a backup of; the last one, ``contents.json``, lists all
others.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec

from ratchet.backups.refusals import ArchiveInvalid, ArchiveTooNew
from ratchet.records import Record

FORMAT = 1
HEAD, CONTENTS = "ratchet-backup.json", "contents.json"
DATABASE = "database.sqlite"
ARTIFACTS, PROJECT, STATE = "artifacts", "project", "state"
SUFFIXES = (".tar", ".tar.zst")
_ZSTANDARD = bytes.fromhex("28b52ffd")
_CHUNK = 1 << 20
_LIST_LIMIT_BYTES = 1 << 30
# The archive of people who may see the workspace; so its owner alone, like the state itself in most places.
_MODE = 0o600


class Head(Record, frozen=True):
    """What an archive says of itself.

    Attributes:
        format: Of the archive.
        ratchet: The version that wrote it.
        schema: Of the database in it.
        project: The project's name.
        database: ``sqlite`` or ``postgresql``: where the ledger was.
        entries: Of the ledger.
        tree_size: Entries that the ledger's own tree covers; fewer only where an old ledger was never signed since.
        root: Of the tree over them, 64 hexadecimal digits.
        taken_at: When (UTC, real time, ISO).
        has_keys: Whether private keys are in it.
        left_out: Files of the project that were left out.
    """

    format: int
    ratchet: str
    schema: int
    project: str
    database: str
    entries: int
    tree_size: int
    root: str
    taken_at: str
    has_keys: bool
    left_out: tuple[str, ...] = ()


class Entry(Record, frozen=True):
    """One entry of an archive."""

    name: str
    size: int
    sha256: str


class _Contents(Record, frozen=True):
    """The last entry: what all others are, and what belongs to the workspace and is not there."""

    entries: tuple[Entry, ...]
    missing: tuple[str, ...]


class Writer:
    """Writes entries into an archive and keeps account of them.

    Args:
        tar: Opened for writing.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.entries: list[Entry] = []

    def add(self, name: str, content: bytes) -> None:
        """Write bytes as one entry."""
        self.add_stream(name, io.BytesIO(content), len(content))

    def count(self, root: str) -> int:
        """Return how many entries there are below a root."""
        return sum(1 for entry in self.entries if entry.name.startswith(f"{root}/"))

    def add_stream(
        self, name: str, stream: IO[bytes], size: int, *, report: Callable[[float], None] = lambda _share: None
    ) -> None:
        """Write so many bytes of a stream as one entry.

        Raises:
            OSError: The stream is shorter, or the disk is full.
        """
        known = tarfile.TarInfo(name)
        known.size, known.mode = size, _MODE
        hashed = _Hashed(stream, size, report)
        self._tar.addfile(known, hashed)  # type: ignore[arg-type]  # it reads, and asks for nothing else
        self.entries.append(Entry(name=name, size=size, sha256=hashed.sha256))

    def finish(self, *, missing: Sequence[str] = ()) -> None:
        """Write the list of all entries; without it an archive is none.

        Args:
            missing: What belongs to the workspace and was missing or damaged.
        """
        self.add(CONTENTS, msgspec.json.encode(_Contents(entries=tuple(self.entries), missing=tuple(missing))))


class _Hashed:
    """A stream that is hashed while it is read, no further than to its announced end."""

    def __init__(self, stream: IO[bytes], size: int, report: Callable[[float], None] = lambda _share: None) -> None:
        self._stream = stream
        self._left = self._size = size
        self._report = report
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        content = self._stream.read(min(size, self._left))
        self._left -= len(content)
        self._digest.update(content)
        self._report(1 - self._left / self._size if self._size else 1.0)
        return content

    @property
    def sha256(self) -> str:
        """Return the hash of what was read, as 64 hexadecimal digits."""
        return self._digest.hexdigest()


@contextmanager
def writing(path: Path, *, compressed: bool) -> Iterator[Writer]:
    """Write an archive; it reaches the disk before the block is left.

    Raises:
        OSError: The disk is full.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        with ExitStack() as stack:
            stream: Any = stack.enter_context(_zstd().ZstdFile(file, "w")) if compressed else file
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT))
            yield Writer(tar)
        file.flush()
        os.fsync(file.fileno())


# ---- reading


def read_head(path: Path) -> Head:
    """Return what an archive says of itself.

    Raises:
        ArchiveInvalid: It is none.
        ArchiveTooNew: A later version wrote it.
    """
    with _reading(path) as tar, _named(path, HEAD):
        member = tar.next()
        if member is None or member.name != HEAD:
            raise ArchiveInvalid(path=str(path), entry=HEAD, problem="it is not there, so this is no backup")
        return _head(path, _content(tar, member))


def unpack(
    path: Path, take: Callable[[str, IO[bytes]], None], report: Callable[[int], None]
) -> tuple[Head, tuple[str, ...]]:
    """Read an archive from its first to its last byte and hand each entry on.

    What was handed on may be used only once this has returned: the list that it is compared with stands at the end.

    Args:
        take: Called with the name and the bytes of each entry but the first and the last.
        report: Called with the bytes of the file that were read so far.

    Returns:
        What it says of itself, and what belongs to the workspace and is not in it.

    Raises:
        ArchiveInvalid: It is none, it is cut off, or an entry is not what was written.
        ArchiveTooNew: A later version wrote it.
    """
    found: list[Entry] = []
    listed: _Contents | None = None
    head: Head | None = None
    with _reading(path, report) as tar:
        name = HEAD
        while True:
            with _named(path, f"after {name}" if found else name):
                member = tar.next()
            if member is None:
                break
            name = member.name
            with _named(path, name):
                _refuse_strange(path, member, is_known=any(name == one.name for one in found[-1:]))
                if name == CONTENTS:
                    listed = msgspec.json.decode(_content(tar, member), type=_Contents)
                    continue
                if head is None:
                    content = _content(tar, member)
                    head = _head(path, content)
                    found.append(Entry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
                    continue
                found.append(_handed_on(tar, member, take))
    if head is None:
        raise ArchiveInvalid(path=str(path), entry=HEAD, problem="it is not there, so this is no backup")
    if listed is None:
        raise ArchiveInvalid(
            path=str(path), entry=CONTENTS, problem=f"it is not there; the file is cut off after {name}"
        )
    _compare(path, found, listed.entries)
    return head, listed.missing


def _handed_on(tar: tarfile.TarFile, member: tarfile.TarInfo, take: Callable[[str, IO[bytes]], None]) -> Entry:
    stream = tar.extractfile(member)
    assert stream is not None, "it is a regular file"
    hashed = _Hashed(stream, member.size)
    take(member.name, hashed)  # type: ignore[arg-type]  # it reads, and nothing else is asked of it
    while hashed.read(_CHUNK):
        pass
    return Entry(name=member.name, size=member.size, sha256=hashed.sha256)


def _compare(path: Path, found: list[Entry], listed: Sequence[Entry]) -> None:
    there, wanted = {one.name: one for one in found}, {one.name: one for one in listed}
    if len(there) != len(found):
        raise ArchiveInvalid(path=str(path), entry=CONTENTS, problem="an entry stands in the archive twice")
    for name, entry in wanted.items():
        if name not in there:
            raise ArchiveInvalid(path=str(path), entry=name, problem="it is listed and not there")
        if there[name] != entry:
            problem = (
                f"its bytes are not those that were saved (sha256 {there[name].sha256[:12]}, not {entry.sha256[:12]})"
            )
            raise ArchiveInvalid(path=str(path), entry=name, problem=problem)
    for name in there:
        if name not in wanted:
            raise ArchiveInvalid(path=str(path), entry=name, problem="it was put in later: the list does not have it")


def _refuse_strange(path: Path, member: tarfile.TarInfo, *, is_known: bool) -> None:
    way = PurePosixPath(member.name)
    roots = (HEAD, CONTENTS, DATABASE, ARTIFACTS, PROJECT, STATE)
    if not member.isreg() or way.is_absolute() or ".." in way.parts or "\0" in member.name or is_known:
        raise ArchiveInvalid(path=str(path), entry=member.name, problem="no backup has such an entry")
    if way.parts[0] not in roots or way.as_posix() != member.name:
        raise ArchiveInvalid(path=str(path), entry=member.name, problem="no backup has such an entry")


def _head(path: Path, content: bytes) -> Head:
    found = msgspec.json.decode(content, type=dict[str, Any])
    if isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise ArchiveTooNew(path=str(path), what="format", found=found["format"], supported=FORMAT)
    return msgspec.convert(found, Head)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    if stream is None or member.size > _LIST_LIMIT_BYTES:
        message = "it is no file of ours"
        raise ValueError(message)
    return stream.read()


@contextmanager
def _named(path: Path, entry: str) -> Iterator[None]:
    """Say of whatever cannot be read in which entry it stands."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, _zstd().ZstdError) as error:
        # Of a row of bytes that ends too early, tar says so in one way, and the compression in another.
        problem = "the file is cut off here" if _is_cut(error) else f"it cannot be read ({error})"
        raise ArchiveInvalid(path=str(path), entry=entry, problem=problem) from error


def _is_cut(error: Exception) -> bool:
    return isinstance(error, EOFError) or "unexpected end" in str(error) or "end-of-stream" in str(error)


@contextmanager
def _reading(path: Path, report: Callable[[int], None] = lambda _bytes: None) -> Iterator[tarfile.TarFile]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            is_compressed = file.read(len(_ZSTANDARD)) == _ZSTANDARD
        except OSError as error:
            raise ArchiveInvalid(path=str(path), entry="the file", problem=f"{error.strerror}") from error
        file.seek(0)
        told: Any = _Told(file, report)
        stream: Any = stack.enter_context(_zstd().ZstdFile(told, "r")) if is_compressed else told
        with _named(path, HEAD):
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        yield tar


class _Told(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._report(self._file.tell())
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _zstd() -> Any:
    """Return what compresses: of Python itself from 3.14 on, of its backport before."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # new in Python 3.14
    except ImportError:
        from backports import zstd
    return zstd
