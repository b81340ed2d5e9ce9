"""A project's Python files as one artifact: what a run imports, and what names its code version.

Invariant: a run imports the files as they were when it was started, whatever is edited meanwhile; the same files give
the same digest.
"""

import io
import os
import sys
import zipfile
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

from ratchet import clock
from ratchet.store.artifacts import Artifacts
from ratchet.store.formats import project_code

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
# What tools leave behind or install.
MADE_BY_TOOLS = frozenset({"__pycache__", "node_modules", "venv", "env", "site-packages"})
_SKIPPED = MADE_BY_TOOLS | {"tests", "build", "dist"}


def take(project: Path, artifacts: Artifacts) -> str:
    """Store a project's Python files and return the snapshot's sha256."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(python_files(project)):
            archive.writestr(zipfile.ZipInfo(path.relative_to(project).as_posix(), _FIXED_DATE), path.read_bytes())
    return artifacts.write(buffer.getvalue())


def python_files(project: Path) -> Iterator[Path]:
    """List a project's own Python files, leaving out hidden folders, environments and tests."""
    return (path for path in own_files(project, skipped=_SKIPPED) if path.suffix == ".py")


def own_files(project: Path, *, skipped: Set[str] = MADE_BY_TOOLS) -> Iterator[Path]:
    """List what stands in a project's folder, but for hidden folders, environments and folders of these names."""
    for folder, names, files in os.walk(project):
        inner = Path(folder)
        names[:] = [
            name
            for name in sorted(names)
            if not name.startswith(".") and name not in skipped and not (inner / name / "pyvenv.cfg").exists()
        ]
        yield from (inner / file for file in sorted(files))


def modules(snapshot: bytes) -> list[str]:
    """Return the names of a snapshot's top-level modules."""
    with zipfile.ZipFile(io.BytesIO(snapshot)) as archive:
        return sorted(Path(name).stem for name in archive.namelist() if "/" not in name)


def enter(sha256: str, artifacts: Artifacts, folder: Path) -> Path:
    """Unpack a snapshot once and let this process import from it.

    Returns:
        The folder with the files.

    Raises:
        ArtifactMissing, ArtifactCorrupt: The snapshot cannot be trusted.
    """
    target = folder / sha256
    if not target.is_dir():
        temporary = folder / f".{sha256}.{os.getpid()}-{clock.new_id()}"
        temporary.mkdir(parents=True)
        with zipfile.ZipFile(io.BytesIO(artifacts.read(sha256))) as archive:
            archive.extractall(temporary)
        # Another child may have been faster; its folder holds the same files.
        with suppress(OSError):
            temporary.rename(target)
    sys.path.insert(0, str(target))
    project_code.enter(target, sha256, lambda: artifacts.read(sha256))
    sys.dont_write_bytecode = True
    return target
