"""Sees what a step opens while it runs: files, connections, other programs.

Invariant: only what Python itself opens is seen; what a library opens in C is known by the library's name instead, in
``step_code``.
"""

import functools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.loop.step_code import is_library

_OPENED = {
    "sqlite3.connect": "it opens the database {0}",
    "socket.connect": "it connects to {1}",
    "socket.getaddrinfo": "it connects to {0}",
    "socket.gethostbyname": "it connects to {0}",
    "subprocess.Popen": "it starts the program {0}",
    "os.system": "it starts the program {0}",
    "os.posix_spawn": "it starts the program {0}",
    "os.exec": "it starts the program {0}",
    "os.scandir": "it lists the folder {0}",
    "os.listdir": "it lists the folder {0}",
}
# What the system keeps for its own libraries: the kernel's view of the machine, time zones, fonts, certificates.
_SYSTEM = (
    "/proc/",
    "/sys/",
    "/dev/",
    "/usr/",
    "/lib/",
    "/lib64/",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
)


@functools.cache
def _real(folder: Path) -> str:
    return os.path.realpath(folder)


class Reads:
    """What was opened from one moment on.

    Args:
        own: Folders that may be opened: what lies there is named by its content.
    """

    def __init__(self, own: Iterable[Path]) -> None:
        self._own = tuple(map(_real, own))
        self._made: set[str] = set()
        self.first = ""

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        """Take one of the interpreter's audit events."""
        if event in ("tempfile.mkdtemp", "tempfile.mkstemp"):
            self._made.add(str(args[0]))
        elif self.first:
            return
        elif event == "open":
            self._see_file(args[0])
        elif event in ("os.scandir", "os.listdir"):
            if not self._is_harmless(args[0]) and not _is_on_the_path(args[0]):
                self.first = _OPENED[event].format(args[0])
        elif event in _OPENED:
            self.first = _OPENED[event].format(*args)

    def _see_file(self, path: Any) -> None:
        if not self._is_harmless(path):
            self.first = f"it opens the file {os.fspath(path)!s}"

    def _is_harmless(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a descriptor: what it stands for was opened before
        text = os.path.realpath(os.fsdecode(path))
        folders = (*self._own, *map(os.path.realpath, self._made))
        return (
            text.startswith(_SYSTEM)
            or any(text == one or text.startswith(one + os.sep) for one in folders)
            or is_library(text)
            # An import asks for archives that may lie there.
            or (text.endswith(".zip") and _is_on_the_path(text))
        )


def _is_on_the_path(folder: Any) -> bool:
    """Tell whether an import may have asked: it lists the folders that modules are looked for in."""
    return os.path.realpath(folder or ".") in {os.path.realpath(one or ".") for one in sys.path}


_watching: list[Reads] = []
_is_hooked = False


@contextmanager
def watched(own: Iterable[Path]) -> Iterator[Reads]:
    """See what is opened while the context lasts, by this process and not by those that it starts."""
    global _is_hooked  # noqa: PLW0603, an audit hook is the process's and can never be taken away
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True
    tempfile.gettempdir()  # it tries a file in the folder when it is first asked
    reads = Reads(own)
    _watching.append(reads)
    try:
        yield reads
    finally:
        _watching.remove(reads)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching and (event == "open" or event in _OPENED or event.startswith("tempfile.")):
        for reads in tuple(_watching):
            reads.see(event, args)
