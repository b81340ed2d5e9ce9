"""Which files of a project go into a backup beside its state: what a person wrote, and data where it is asked for.

Invariant: nothing outside of the project's folder, nothing hidden, nothing that can be made anew.
"""

from collections.abc import Iterator
from pathlib import Path

from ratchet.backups.archives import SUFFIXES
from ratchet.config import FILE_NAME, Config
from ratchet.loop import snapshots

FILE_LIMIT_BYTES = 16 << 20


def project_files(project: Path, config: Config, *, with_data: bool) -> tuple[list[Path], list[Path]]:
    """Return the files of a project that are saved, ``ratchet.toml`` first, and those that are left out.

    Args:
        with_data: Take the files of datasets as well, however large they are.
    """
    data = {path for section in config.dataset.values() for path in _matching(project, section.source)}
    taken = [project / FILE_NAME]
    left_out: list[Path] = []
    for path in _files(project):
        if path in data:
            (taken if with_data else left_out).append(path)
        elif path.name.endswith(SUFFIXES) or path.stat().st_size > FILE_LIMIT_BYTES:
            left_out.append(path)
        elif path != taken[0]:
            taken.append(path)
    return taken, left_out


def _matching(project: Path, source: str) -> Iterator[Path]:
    if Path(source).is_absolute() or ".." in Path(source).parts:
        return
    yield from project.glob(source)


def _files(project: Path) -> Iterator[Path]:
    """List the regular files of a project, but for hidden ones, environments and what Python leaves behind."""
    for path in snapshots.own_files(project):
        if not path.name.startswith(".") and path.is_file() and not path.is_symlink():
            yield path
