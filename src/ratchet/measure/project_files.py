"""TOML files that lie in a project, as candidates for process maps and evaluations.

Invariant: what is looked through is bounded, links to other folders are not followed, and names are relative to the
project; a file that cannot be looked at is passed over.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from ratchet.records import Record

DEEPEST = 5
ENTRIES_AT_MOST = 20_000
FILES_AT_MOST = 1_000
BYTES_AT_MOST = 4_000_000
_SUFFIXES = (".toml", ".csv")
_NOT_THEIRS = ("__pycache__", "node_modules", "site-packages", "venv")


class FileState(Record, frozen=True):
    """A file as it was found: where, how long, and when it was written.

    Attributes:
        name: Relative to the project, with ``/``.
        size_bytes: How long it is.
        modified_ns: When it was written, in nanoseconds.
    """

    name: str
    size_bytes: int
    modified_ns: int


class Broken(Record, frozen=True):
    """A file, or a folder, that means nothing as it is.

    Attributes:
        name: Relative to the project.
        problem: What is wrong, with file and line.
    """

    name: str
    problem: str

    @property
    def folder(self) -> str:
        """Return the folder that it lies in, relative to the project; ``""`` for the project itself."""
        return self.name.rpartition("/")[0]


def list_files(project: Path) -> tuple[FileState, ...]:
    """Return the TOML and CSV files of a project and its folders, in the order of their names.

    Args:
        project: Its folder. Folders that are hidden, or hold what others wrote, are passed over.
    """
    found = []
    for number, (name, entry) in enumerate(_entries(project, "", depth=0)):
        if number >= ENTRIES_AT_MOST or len(found) >= FILES_AT_MOST:
            break
        if name.lower().endswith(_SUFFIXES):
            try:
                status = entry.stat()
            except OSError:
                continue
            found.append(FileState(name=name, size_bytes=status.st_size, modified_ns=status.st_mtime_ns))
    return tuple(sorted(found, key=lambda one: one.name))


def _entries(folder: Path, prefix: str, *, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Give everything in a folder, what lies deeper last."""
    try:
        with os.scandir(folder) as entries:
            # Names that are no text in UTF-8 could not be shown.
            found: list[os.DirEntry[str]] = sorted((one for one in entries if one.name.isprintable()), key=_name)
    except OSError:
        return
    deeper = []
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in _NOT_THEIRS:
                deeper.append(entry)
        else:
            yield f"{prefix}{entry.name}", entry
    if depth < DEEPEST:
        for entry in deeper:
            yield from _entries(Path(entry.path), f"{prefix}{entry.name}/", depth=depth + 1)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
