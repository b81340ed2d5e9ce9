"""Settings, code, data, room on the disks, and who may read what.

Invariant: a file is looked at and never written; room is measured where it is needed.
"""

import ast
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ratchet.automation import rules
from ratchet.diagnosis.findings import Finding, Status, counted
from ratchet.diagnosis.place import Place
from ratchet.loop.pipelines import Project
from ratchet.loop.snapshots import python_files
from ratchet.store.formats import extras

FILES, DISK, PERMISSIONS = "files", "disk", "permissions"
FEW_BYTES, TOO_FEW_BYTES = 2 << 30, 200 << 20
FEW_INODES, TOO_FEW_INODES = 50_000, 2_000
_MEGABYTE = 1e6


class Files:
    """Checks of a project's files.

    Args:
        place: Where.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def check_settings(self) -> Iterator[Finding]:
        """Read ``ratchet.toml`` and its rules."""
        if self._place.error is not None:
            said = " ".join(str(self._place.error).split())
            remedy = "Put this line right. What was in force goes on until then."
            yield Finding(area=FILES, check="settings", status="problem", said=said, remedy=remedy)
            return
        settings = self._place.config
        assert settings is not None, "they were read, or there is an error"
        found = rules.read(settings, Project(), path=self._place.project / "ratchet.toml")
        said = (
            f"{counted(len(settings.dataset), 'dataset')} and {counted(len(found), 'rule')}; each line means something"
        )
        yield Finding(area=FILES, check="settings", status="ok", said=said)

    def check_code(self) -> Iterator[Finding]:
        """Parse the project's Python files; they are not run."""
        wrong, count = [], 0
        for path in python_files(self._place.project):
            count += 1
            try:
                ast.parse(path.read_bytes(), filename=str(path))
            except (SyntaxError, ValueError) as error:
                line = getattr(error, "lineno", None)
                where = f"{path.relative_to(self._place.project)}{f':{line}' if line else ''}"
                wrong.append(f"{where}: {getattr(error, 'msg', error)}")
        if wrong:
            said, remedy = "; ".join(wrong[:3]), "Put it right: while it is so, no run can start."
            yield Finding(area=FILES, check="code", status="problem", said=said, remedy=remedy)
        else:
            yield Finding(area=FILES, check="code", status="ok", said=f"{counted(count, 'Python file')} can be parsed")

    def check_imports(self) -> Iterator[Finding]:
        """Look for the libraries of extras that the project's Python files import; the files are not run."""
        found: dict[str, str] = {}
        for path in python_files(self._place.project):
            # One that cannot be parsed is named by the check of the code.
            with suppress(SyntaxError, ValueError):
                for library in _imported(ast.parse(path.read_bytes())) & extras.EXTRAS.keys():
                    found.setdefault(library, str(path.relative_to(self._place.project)))
        missing = {library: where for library, where in sorted(found.items()) if not extras.is_installed(library)}
        if missing:
            said = "; ".join(f"{where} imports {library}, which is not installed" for library, where in missing.items())
            names = ",".join(sorted({extras.EXTRAS[library] for library in missing}))
            remedy = f"Install it where Ratchet runs: pip install 'mlratchet[{names}]'"
            yield Finding(area=FILES, check="imports", status="problem", said=said, remedy=remedy)
        elif found:
            said = f"{', '.join(sorted(found))}, which the code imports, {'is' if len(found) == 1 else 'are'} installed"
            yield Finding(area=FILES, check="imports", status="ok", said=said)

    def check_datasets(self) -> Iterator[Finding]:
        """Look for the files of each dataset."""
        settings = self._place.config
        for name, section in (settings.dataset if settings else {}).items():
            count = sum(1 for path in self._place.project.glob(section.source) if path.is_file())
            if count:
                yield Finding(
                    area=FILES, check=name, status="ok", said=f"{counted(count, 'file')} for {section.source}"
                )
            else:
                said = f"no file matches {section.source}"
                remedy = (
                    f"Put one there, or change source below [dataset.{name}]. Versions that exist are not affected."
                )
                yield Finding(area=FILES, check=name, status="warning", said=said, remedy=remedy)

    # ---- room

    def check_room(self) -> Iterator[Finding]:
        """Look at the free room of each disk that is written to."""
        seen: dict[int, str] = {}
        places = {"state": self._place.state, "project": self._place.project, "temporary": Path(tempfile.gettempdir())}
        artifacts = self._place.state / "artifacts"
        if artifacts.is_dir():
            places["artifacts"] = artifacts
        for name, path in places.items():
            if not path.is_dir() or path.stat().st_dev in seen:
                continue
            seen[path.stat().st_dev] = name
            yield from _room(name, path, os.statvfs(path))

    def check_size(self) -> Iterator[Finding]:
        """Add up the parts of the state."""
        sizes = {}
        for name in ("artifacts", "predictions", "outcomes", "serving", "logs", "snapshots", "copies"):
            folder = self._place.state / name
            if folder.is_dir():
                sizes[name] = _size(folder)
        if self._place.state.is_dir():
            sizes["database"] = sum(path.stat().st_size for path in self._place.state.glob("ratchet.db*"))
        shown = ", ".join(f"{name} {size / _MEGABYTE:,.1f} MB" for name, size in sizes.items() if size)
        yield Finding(area=DISK, check="size", status="ok", said=shown or "nothing there yet")

    # ---- who may

    def check_folder(self) -> Iterator[Finding]:
        """Ask whether this account may write where it must."""
        state = self._place.state
        folder = state if state.exists() else self._place.project
        if not os.access(folder, os.W_OK | os.X_OK):
            said = f"this account may not write to {folder}"
            remedy = f"Use the account that owns it ({_owner(folder)}), or give it to this one: chown -R"
            yield Finding(area=PERMISSIONS, check="folder", status="problem", said=said, remedy=remedy)
            return
        others = [
            path for path in _inside(state) if path.stat().st_uid != os.geteuid() and not os.access(path, os.W_OK)
        ]
        if others:
            said = f"{counted(len(others), 'file')} of another account, first {others[0]}"
            remedy = f"Give them to the account that runs the workspace: chown -R {os.geteuid()} {state}"
            yield Finding(area=PERMISSIONS, check="folder", status="problem", said=said, remedy=remedy)
        else:
            yield Finding(area=PERMISSIONS, check="folder", status="ok", said=f"{folder} can be written")

    def check_keys(self) -> Iterator[Finding]:
        """Look at who else may read keys and tokens."""
        section = self._place.config.ledger if self._place.config else None
        paths = [path for path in (self._place.state / "keys").glob("*") if path.is_file() and path.suffix != ".pub"]
        if section and section.key:
            paths.append(self._place.project / Path(section.key).expanduser())
        open_ones = [path for path in paths if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
        for path in open_ones:
            said = f"other accounts may use {path} (mode {stat.S_IMODE(path.stat().st_mode):04o})"
            remedy = f"Keep them out: chmod 600 {path}"
            yield Finding(area=PERMISSIONS, check="keys", status="problem", said=said, remedy=remedy)
        if not open_ones:
            said = f"{counted(len(paths), 'file')}, for their owner alone" if paths else "no keys yet"
            yield Finding(area=PERMISSIONS, check="keys", status="ok", said=said)


def _imported(tree: ast.Module) -> set[str]:
    """Return the names of the libraries that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def _room(name: str, path: Path, found: os.statvfs_result) -> Iterator[Finding]:
    free = found.f_bavail * found.f_frsize
    share = found.f_bavail / found.f_blocks if found.f_blocks else 1.0
    said = f"{free / 1e9:,.1f} GB free ({share:.0%}) for {path}"
    remedy = "Make room: look at the sizes below, and at ratchet artifacts."
    if free < TOO_FEW_BYTES:
        yield Finding(area=DISK, check=name, status="problem", said=said, remedy=remedy)
    elif free < FEW_BYTES:
        yield Finding(area=DISK, check=name, status="warning", said=said, remedy=remedy)
    else:
        yield Finding(area=DISK, check=name, status="ok", said=said)
    # Some file systems count none.
    if found.f_files and found.f_favail < FEW_INODES:
        status: Status = "problem" if found.f_favail < TOO_FEW_INODES else "warning"
        said = f"{found.f_favail:,} more files can be made on the disk of {path}"
        remedy = "Each artifact is a file: remove files that nobody needs, or make a file system with more inodes."
        yield Finding(area=DISK, check=f"{name} inodes", status=status, said=said, remedy=remedy)


def _inside(folder: Path) -> Iterator[Path]:
    for pattern in ("*", "keys/*", "serving/*", "artifacts"):
        yield from folder.glob(pattern)


def _size(folder: Path) -> int:
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(inner) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)
