"""Snapshots of small projects, for tests of what becomes of objects of their classes.

Invariant: a snapshot that was entered is left again with its modules, so that the next test meets none of them.
"""

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ratchet.store.formats import project_code


def archive(files: Mapping[str, str]) -> bytes:
    """Return the archive of a snapshot with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, text in files.items():
            made.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


@contextmanager
def entered(folder: Path, files: Mapping[str, str], *, module: str) -> Iterator[ModuleType]:
    """Import a module from a snapshot's folder, as a run does, and forget all of it afterwards."""
    content = archive(files)
    sha256 = hashlib.sha256(content).hexdigest()
    target = folder / sha256
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        packed.extractall(target)
    before = set(sys.modules)
    sys.path.insert(0, str(target))
    project_code.enter(target, sha256, lambda: content)
    try:
        yield __import__(module)
    finally:
        sys.path.remove(str(target))
        project_code._entered.pop()
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(target)):
                del sys.modules[name]
