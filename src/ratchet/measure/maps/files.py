"""The process maps and steps that lie in a project's folders, those that are broken with what is wrong.

Invariant: a broken file hides no other; a map that belongs to an evaluation of platforms is the evaluation's alone.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from ratchet.errors import RatchetError
from ratchet.measure.maps import process_maps
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.project_files import BYTES_AT_MOST, Broken, FileState
from ratchet.records import Record

_OF_EVALUATION = "evaluation.toml"
_HEAD = re.compile(rb"^[ \t]*\[[ \t]*map[ \t]*\]", re.MULTILINE)
_NODE = re.compile(rb"^[ \t]*\[\[[ \t]*node[ \t]*\]\]", re.MULTILINE)
_DEGREE = re.compile(rb"^[ \t]*degree[ \t]*=", re.MULTILINE)
_STEP = re.compile(rb"^[ \t]*\[\[[ \t]*step[ \t]*\]\]", re.MULTILINE)


class MapFile(Record, frozen=True):
    """A map in a file.

    Attributes:
        name: Of the file, relative to the project.
        process_map: What stands in it.
    """

    name: str
    process_map: ProcessMap

    @property
    def folder(self) -> str:
        """Return the folder that it lies in, relative to the project; ``""`` for the project itself."""
        return _folder(self.name)


class MapFiles(Record, frozen=True):
    """What of a project is about maps.

    Attributes:
        maps: Those that can be read.
        steps: Names of the files with steps from one map to another.
        broken: Files that look like a map and are none.
    """

    maps: tuple[MapFile, ...] = ()
    steps: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()


def read_maps(project: Path, files: Iterable[FileState]) -> MapFiles:
    """Return the maps of a project.

    Args:
        project: Its folder.
        files: The files that lie in it.
    """
    known = list(files)
    homes = {_folder(one.name) for one in known if one.name.rpartition("/")[2] == _OF_EVALUATION}
    maps: list[MapFile] = []
    steps: list[str] = []
    broken: list[Broken] = []
    for one in known:
        folder, _, last = _folder(one.name).rpartition("/")
        home = folder if last == "maps" else _folder(one.name)
        # An evaluation in the project's own folder shares `maps` with all others.
        is_theirs = last == "maps" and home != "" and home in homes
        if not one.name.lower().endswith(".toml") or one.size_bytes > BYTES_AT_MOST or is_theirs:
            continue
        content = _bytes_of(project / one.name)
        # Maps of an evaluation need no head; any other has lost it.
        is_headless = home not in homes and _NODE.search(content) and _DEGREE.search(content)
        if _HEAD.search(content) or is_headless:
            try:
                maps.append(MapFile(name=one.name, process_map=process_maps.parse(content, where=one.name)))
            except RatchetError as error:
                broken.append(Broken(name=one.name, problem=str(error)))
        elif _STEP.search(content):
            steps.append(one.name)
    return MapFiles(maps=tuple(maps), steps=tuple(steps), broken=tuple(broken))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _bytes_of(path: Path) -> bytes:
    """Return what stands in a file; nothing where it is gone, or may not be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
