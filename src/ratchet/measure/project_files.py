"""TOML files that lie in a project, as candidates for process maps and evaluations.

Invariant: what is looked through is bounded, links to other folders are not followed, and names are relative to the
project; a file that cannot be looked at is passed over.
"""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ratchet.records import Record

DEEPEST = 5
ENTRIES_AT_MOST = 20_000
FOLDER_AT_MOST = 2_000
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
        project: Its folder. Folders that are hidden, or hold what others wrote, are passed over, and of one with very
            many files, as data are kept, only the first are looked at.
    """
    found: list[FileState] = []
    for number, (name, entry) in enumerate(_entries(project)):
        if number >= ENTRIES_AT_MOST or len(found) >= FILES_AT_MOST:
            break
        if name.lower().endswith(_SUFFIXES) and (state := _state(name, entry)) is not None:
            found.append(state)
    return tuple(sorted(found, key=lambda one: one.name))


def _state(name: str, entry: os.DirEntry[str]) -> FileState | None:
    """Return a file as it is; ``None`` for what is gone, and for pipes and devices, whose end may never come."""
    try:
        status = entry.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileState(name=name, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)


def _entries(project: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Give everything that lies in a project, what lies near before what lies deeper."""
    level = [(project, "")]
    for _ in range(DEEPEST + 1):
        deeper: list[tuple[Path, str]] = []
        for folder, prefix in level:
            for entry in _within(folder):
                if not entry.is_dir(follow_symlinks=False):
                    yield f"{prefix}{entry.name}", entry
                elif not entry.name.startswith(".") and entry.name not in _NOT_THEIRS:
                    deeper.append((Path(entry.path), f"{prefix}{entry.name}/"))
        level = deeper


def _within(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            # Names that are no text in UTF-8 could not be shown.
            found = [one for one in islice(entries, FOLDER_AT_MOST) if one.name.isprintable()]
    except OSError:
        return []
    return sorted(found, key=lambda one: one.name)
