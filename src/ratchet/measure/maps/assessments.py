"""How a piece of work is done and how it shall be: its maps, what the ledger shows of them, and the way between.

Invariant: what people declare and what the ledger shows stand beside one another; a file that is broken is named, and
what can be said without it is said.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from ratchet.errors import RatchetError
from ratchet.measure.history import History
from ratchet.measure.maps import plans
from ratchet.measure.maps.differences import Difference, compare
from ratchet.measure.maps.files import MapFile, MapFiles
from ratchet.measure.maps.measured import Disagreement, Measured, disagreements, measure_degrees, on_either
from ratchet.measure.maps.plans import Plan, StepFile
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.maps.recording import RecordedMap
from ratchet.measure.project_files import Broken
from ratchet.records import Record


class SeenMap(Record, frozen=True):
    """A map with where it is.

    Attributes:
        process_map: The map.
        file: Its file, relative to the project; ``""`` where it is on record only.
        event_id: The event that put this very content on record; ``""`` where none did.
    """

    process_map: ProcessMap
    file: str = ""
    event_id: str = ""


class Assessment(Record, frozen=True):
    """All maps of one piece of work.

    Attributes:
        name: Its id, with the folder before it where several folders have one of that id.
        current: How it is done today; ``None`` where no map says so.
        target: How it shall be done; ``None`` where no map says so.
        others: Further maps: candidates, and other versions.
        measured: What the ledger says of the processes of the current map, or else of the target, by id.
        disagreements: Where people and ledger see a process of that map otherwise.
        difference: What changes; ``None`` where one of both maps is missing.
        plan: The way; ``None`` where one of both maps is missing.
        steps_file: The file whose steps are in the plan; ``""`` for none.
        broken: Files beside these that cannot be read.
    """

    name: str
    current: SeenMap | None
    target: SeenMap | None
    others: tuple[SeenMap, ...] = ()
    measured: dict[str, Measured] = {}  # noqa: RUF012, msgspec copies an empty default
    disagreements: tuple[Disagreement, ...] = ()
    difference: Difference | None = None
    plan: Plan | None = None
    steps_file: str = ""
    broken: tuple[Broken, ...] = ()

    @property
    def shown(self) -> ProcessMap:
        """Return the map that speaks for the work: the current one, or else the target, or else any."""
        seen = self.current or self.target or self.others[0]
        return seen.process_map

    @property
    def map_files(self) -> tuple[SeenMap, ...]:
        """Return all maps: current, target, the others."""
        return tuple(one for one in (self.current, self.target, *self.others) if one is not None)


def assess(
    project: Path, found: MapFiles, *, history: History, recorded: Sequence[RecordedMap], today: date
) -> list[Assessment]:
    """Return the assessments of a project, by name.

    Args:
        project: Its folder.
        found: The maps and steps that lie in it.
        history: What happened.
        recorded: The maps on record, in their order.
        today: What is before it and not done is overdue.
    """
    made = []
    for name, (files, folders) in _grouped(found.maps, recorded).items():
        maps = _seen(files, recorded, map_id=name.rpartition("/")[2])
        broken = [one for one in found.broken if one.folder in folders]
        steps = [one for one in found.steps if one.rpartition("/")[0] in folders]
        made.append(_assess_one(project, name, maps, steps, broken, history=history, recorded=recorded, today=today))
    return sorted(made, key=lambda one: one.name)


def _grouped(maps: Iterable[MapFile], recorded: Iterable[RecordedMap]) -> dict[str, tuple[list[MapFile], set[str]]]:
    """Return the files of each piece of work with the folders that they lie in, by its name."""
    by_id: dict[str, list[MapFile]] = defaultdict(list)
    for one in maps:
        by_id[one.process_map.id].append(one)
    groups: dict[str, tuple[list[MapFile], set[str]]] = {}
    for map_id, files in by_id.items():
        homes: dict[str, set[str]] = defaultdict(set)
        for one in files:
            homes[one.process_map.kind].add(one.folder)
        is_one = all(len(found) == 1 for found in homes.values())
        for one in files:
            name = map_id if is_one or not one.folder else f"{one.folder}/{map_id}"
            group = groups.setdefault(name, ([], set()))
            group[0].append(one)
            group[1].add(one.folder)
    for known in recorded:
        if known.process_map.id not in by_id:
            groups.setdefault(known.process_map.id, ([], set()))
    return groups


def _seen(files: Iterable[MapFile], recorded: Sequence[RecordedMap], *, map_id: str) -> list[SeenMap]:
    """Return the maps in files, and of each kind that is in no file the ones on record; the latest version last."""
    events = {one.digest: one.event_id for one in recorded}
    found = [
        SeenMap(process_map=one.process_map, file=one.name, event_id=events.get(one.process_map.digest, ""))
        for one in sorted(files, key=lambda one: (_version(one.process_map), one.name))
    ]
    kinds = {one.process_map.kind for one in found}
    told = [one for one in recorded if one.process_map.id == map_id and one.process_map.kind not in kinds]
    return [*(SeenMap(process_map=one.process_map, event_id=one.event_id) for one in told), *found]


def _version(process_map: ProcessMap) -> list[tuple[int, str]]:
    """Return a version in its order: numbers in it count as such, so that 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", process_map.version)]


def _assess_one(
    project: Path,
    name: str,
    maps: list[SeenMap],
    steps: list[str],
    broken: list[Broken],
    *,
    history: History,
    recorded: Sequence[RecordedMap],
    today: date,
) -> Assessment:
    current, target = (_last(maps, kind) for kind in ("current", "target"))
    others = tuple(one for one in maps if one not in (current, target))
    one = Assessment(name=name, current=current, target=target, others=others)
    measured = measure_degrees(history, one.shown)
    differing = tuple(disagreements(one.shown, measured))
    one = replace(one, measured=measured, disagreements=differing, broken=tuple(broken))
    if current is None or target is None:
        return one
    before, after = current.process_map, target.process_map
    steps_file, written, problems = _steps(project, steps, after)
    plan = plans.make_plan(
        before,
        after,
        written=written,
        measured=on_either(measured, measure_degrees(history, after)),
        recorded=recorded,
        today=today,
    )
    difference = compare(before, after)
    return replace(one, difference=difference, plan=plan, steps_file=steps_file, broken=(*broken, *problems))


def _last(maps: Iterable[SeenMap], kind: str) -> SeenMap | None:
    return next((one for one in reversed(list(maps)) if one.process_map.kind == kind), None)


def _steps(project: Path, files: Iterable[str], target: ProcessMap) -> tuple[str, StepFile | None, list[Broken]]:
    """Return the first file whose steps lead to a target; where none does, what is wrong with each."""
    broken = []
    for name in files:
        try:
            content = (project / name).read_bytes()
            return name, plans.parse_steps(content, where=name, target=target), []
        except (RatchetError, OSError) as error:
            broken.append(Broken(name=name, problem=str(error)))
    return "", None, broken
