"""Classes of a project's own code, found again in the snapshot that they came from, beside other snapshots of it.

A snapshot is an archive of Python files. In a run it lies in a folder from which the process imports. Anywhere else its
modules are imported from the archive under a name of its own, so that two versions of one file can be in use at once.

Invariant: a class is found in the very snapshot that its object was made with, whatever other code the process has; no
module of a snapshot takes the place of another one.
"""

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import types
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ratchet.store.formats.refusals import CodeMissing

_PREFIX = "_snapshot_"
_MAIN = "__main__"


class Origin(NamedTuple):
    """Where a class comes from: a snapshot by its sha256, a module in it and the class's name there."""

    snapshot: str
    module: str
    name: str


class _Entered(NamedTuple):
    """A snapshot that this process imports from a folder."""

    folder: Path
    sha256: str
    read: Callable[[], bytes]


_entered: list[_Entered] = []
# Snapshots that modules were imported from under a name of their own: by that name, sha256 and files.
_archives: dict[str, tuple[str, dict[str, bytes]]] = {}
_contents: dict[str, bytes] = {}


def enter(folder: Path, sha256: str, read: Callable[[], bytes]) -> None:
    """Remember that this process imports a snapshot from a folder.

    Args:
        folder: The snapshot's files.
        sha256: Names the snapshot.
        read: Returns the archive.
    """
    _entered.append(_Entered(folder.resolve(), sha256, read))


def is_own(kind: type) -> bool:
    """Tell whether a class comes from a snapshot."""
    return _place_of(kind.__module__) is not None


def origin_of(kind: type) -> Origin:
    """Return where a class comes from.

    Raises:
        CodeMissing: It is no class at the top of a file of a snapshot.
    """
    place = _place_of(kind.__module__)
    if place is None:
        raise CodeMissing(name=f"{kind.__module__}.{kind.__qualname__}", reason="it is not in a file of the project")
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not kind:
        reason = f"module '{place[1]}' has nothing of this name, or something else"
        raise CodeMissing(name=f"{place[1]}.{kind.__qualname__}", reason=reason)
    return Origin(place[0], place[1], kind.__qualname__)


def archive_of(sha256: str) -> bytes:
    """Return the archive of a snapshot that this process has imported from."""
    for one in _entered:
        if one.sha256 == sha256:
            return one.read()
    return _contents[sha256]


def find(origin: Origin, archive: bytes) -> type:
    """Return a class from its snapshot.

    Args:
        origin: Where it comes from.
        archive: The snapshot's bytes.

    Raises:
        CodeMissing: The snapshot does not have it.
    """
    if any(one.sha256 == origin.snapshot for one in _entered):
        module = origin.module
    else:
        module = f"{_open(origin.snapshot, archive)}.{origin.module}"
    try:
        found: Any = importlib.import_module(module)
        for part in origin.name.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError) as error:
        reason = str(error).replace(module, origin.module).rstrip(".")
        raise CodeMissing(name=f"{origin.module}.{origin.name}", reason=reason) from error
    if not isinstance(found, type):
        raise CodeMissing(name=f"{origin.module}.{origin.name}", reason=f"it is a {type(found).__name__} and no class")
    return found


def _place_of(module: str) -> tuple[str, str] | None:
    """Return the snapshot that a module of this process comes from and its name there, or None."""
    package, _, inner = module.partition(".")
    if package in _archives:
        return _archives[package][0], inner
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module == _MAIN:
        return None
    for one in _entered:
        if Path(file).resolve().is_relative_to(one.folder):
            return one.sha256, module
    return None


def _open(sha256: str, archive: bytes) -> str:
    """Make the modules of a snapshot importable, and return the package that they are in."""
    package = f"{_PREFIX}{sha256}"
    if package not in _archives:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            _archives[package] = (sha256, {name: files.read(name) for name in files.namelist()})
        _contents[sha256] = archive
        if not any(isinstance(one, _Finder) for one in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
    return package


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules of snapshots by names that begin with the snapshot's package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what is to be loaded for a name, or None where it is not one of a snapshot."""
        del path, target
        package, _, inner = fullname.partition(".")
        if package not in _archives:
            return None
        files = _archives[package][1]
        stem = inner.replace(".", "/")
        for name, is_package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            if inner and name in files:
                return importlib.machinery.ModuleSpec(
                    fullname, _Loader(package, name), origin=f"<snapshot>/{name}", is_package=is_package
                )
        if not inner or any(name.startswith(f"{stem}/") for name in files):
            return importlib.machinery.ModuleSpec(fullname, _Loader(package, ""), is_package=True)
        return None


class _Loader(importlib.abc.InspectLoader):
    """Runs one file of a snapshot; what it imports is looked for in the same snapshot first."""

    def __init__(self, package: str, name: str) -> None:
        self._package = package
        self._name = name

    def get_source(self, fullname: str) -> str:
        """Return the file's text, also for tracebacks."""
        del fullname
        files = _archives[self._package][1]
        return importlib.util.decode_source(files[self._name]) if self._name else ""

    def is_package(self, fullname: str) -> bool:
        """Tell whether the file is that of a package."""
        del fullname
        return not self._name or self._name.endswith("__init__.py")

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the file with an import statement of its own."""
        own = {**vars(builtins), "__import__": _Importer(self._package)}
        module.__dict__["__builtins__"] = own
        source = self.get_source(module.__name__)
        exec(compile(source, f"<snapshot>/{self._name}", "exec", dont_inherit=True), module.__dict__)  # noqa: S102, the project's own code, as every import runs it


class _Importer:
    """The import statement inside a snapshot."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __call__(
        self,
        name: str,
        globals: Any = None,  # noqa: A002, the names that Python gives
        locals: Any = None,  # noqa: A002, the names that Python gives
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        top = name.partition(".")[0]
        if level or not self._has(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        # With names to take the module itself is wanted, without them the one that the statement binds.
        found = builtins.__import__(f"{self._package}.{name}", globals, locals, tuple(fromlist or ("__name__",)), 0)
        return found if fromlist else sys.modules[f"{self._package}.{top}"]

    def _has(self, top: str) -> bool:
        files = _archives[self._package][1]
        return any(name == f"{top}.py" or name.startswith(f"{top}/") for name in files)
