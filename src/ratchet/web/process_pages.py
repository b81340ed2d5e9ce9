"""What pages and interface show of process maps: how the work is done, how it shall be, and the way between.

Invariant: what people declare and what the ledger shows stand beside one another; whatever a picture shows stands in
words, too; a broken file shows what is wrong with it, and takes nothing else away.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from ratchet import clock
from ratchet.errors import UnknownName
from ratchet.measure.maps.assessments import Assessment, SeenMap, assess
from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.difference_svg import mark
from ratchet.measure.maps.differences import NOT_ON_MAP
from ratchet.measure.maps.files import read_maps
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.process_maps import Node, ProcessMap
from ratchet.measure.maps.recording import from_events
from ratchet.measure.maps.svg import draw, picture_width, renamed
from ratchet.measure.project_files import Broken, FileState, list_files
from ratchet.records import Record
from ratchet.web.file_pages import FilePages

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

# The share of its size below which letters of a picture are too small to be read.
_SMALLEST_SCALE = 0.68
_WIDTH_STEP, _WIDEST = 200, 3000
_KNOWN_SHOWN = 20


class Processes(Record, frozen=True):
    """All that a project has of process maps.

    Attributes:
        assessments: Each piece of work with its maps.
        broken: Files that look like a map and are none.
    """

    assessments: tuple[Assessment, ...]
    broken: tuple[Broken, ...]

    def named(self, name: str) -> Assessment | None:
        """Return the assessment of a name; ``None`` where there is none."""
        return next((one for one in self.assessments if one.name == name), None)

    def unknown(self, name: str) -> UnknownName:
        """Return what to say of a name that none has."""
        known = ", ".join(one.name for one in self.assessments[:_KNOWN_SHOWN]) or "none yet"
        return UnknownName(kind="process map", name=name, known=known)


class Line(Record, frozen=True):
    """One piece of work in the list.

    Attributes:
        name: Names its page.
        title: What people call it.
        references: Its maps in short.
        processes: How many it has.
        automated: How many of them people say are automated.
        seen: How many the ledger can tell of.
        differing: Where people and ledger disagree.
        distance: How far it is from its target; ``""`` without one.
        progress: How far the plan is; ``""`` without one.
        broken: Files of it that cannot be read.
    """

    name: str
    title: str
    references: tuple[str, ...]
    processes: int
    automated: int
    seen: int
    differing: int
    distance: str
    progress: str
    broken: int


class Row(Record, frozen=True):
    """One process in words.

    Attributes:
        node: As the current map has it, or else the target.
        declared: Its degree as people declare it today.
        measured: What the ledger says; ``None`` where it is bound to nothing there.
        wanted: Its degree in the target; ``""`` without a target.
        change: What happens to it on the way, such as ``+2``.
    """

    node: Node
    declared: str
    measured: Measured | None
    wanted: str
    change: str


class Picture(Record, frozen=True):
    """A drawn map.

    Attributes:
        seen: The map.
        title: Says what it shows.
        drawing: SVG.
        at_least: Class of the width below which it moves sideways rather than shrink.
    """

    seen: SeenMap
    title: str
    drawing: Markup
    at_least: str


class View(Record, frozen=True):
    """Everything on the page of one piece of work."""

    assessment: Assessment
    pictures: tuple[Picture, ...]
    counts: tuple[tuple[str, str, str, int | None, int | None], ...]
    phases: tuple[tuple[str, tuple[Row, ...]], ...]


def read(workspace: "Workspace", files: tuple[FileState, ...] | None = None) -> Processes:
    """Return the process maps of a project, those on record as well, beside what the ledger shows.

    Args:
        workspace: Whose.
        files: The files of the project, where they are known.
    """
    project = workspace.project
    history = workspace.history()
    found = read_maps(project, list_files(project) if files is None else files)
    recorded = from_events(workspace.ledger.read(types=["assessment.recorded"]))
    today = clock.now().date()
    made = assess(project, found, history=history, recorded=recorded, today=today)
    return Processes(assessments=tuple(made), broken=found.broken)


def to_values(one: Assessment) -> dict[str, Any]:
    """Return an assessment as plain values, with the sums that its page shows."""
    plain: dict[str, Any] = msgspec.to_builtins(one)
    for name in ("current", "target"):
        seen: SeenMap | None = getattr(one, name)
        if seen is not None:
            plain[name] |= {"reference": seen.process_map.reference, "degrees": seen.process_map.count_by_degree()}
    return {"title": one.shown.title, "distance": one.difference.distance if one.difference else "", **plain}


def line(one: Assessment) -> Line:
    """Return an assessment as a line of the list."""
    shown, plan = one.shown, one.plan
    done = plan.count_by_status() if plan else {}
    told = [f"{count} {status}" for status, count in done.items() if count]
    overdue = sum(step.is_overdue for step in plan.steps) if plan else 0
    return Line(
        name=one.name,
        title=shown.title,
        references=tuple(seen.process_map.reference for seen in one.map_files),
        processes=len(shown.nodes),
        automated=shown.count_by_degree()["automated"],
        seen=sum(found.degree != "unmeasured" for found in one.measured.values()),
        differing=len(one.disagreements),
        distance=one.difference.distance if one.difference else "",
        progress=", ".join([*told, *([f"{overdue} overdue"] if overdue else [])]),
        broken=len(one.broken),
    )


def view(one: Assessment) -> View:
    """Return all that the page of an assessment shows."""
    shown = one.shown
    current, target = (seen.process_map if seen else None for seen in (one.current, one.target))
    pictures = [
        _picture(seen, title, number, one.measured if seen.process_map is shown else None)
        for number, (seen, title) in enumerate(_drawn(one))
    ]
    before, after = (each.count_by_degree() if each else None for each in (current, target))
    counts = tuple(
        (name, look.letter, look.sentence, before[name] if before else None, after[name] if after else None)
        for name, look in DEGREES.items()
    )
    return View(assessment=one, pictures=tuple(pictures), counts=counts, phases=tuple(_phases(one, current, target)))


def _drawn(one: Assessment) -> Iterator[tuple[SeenMap, str]]:
    titles = {
        "current": "How it is done today",
        "target": "How it shall be done",
        "candidate": "How it would be done on a platform",
    }
    for seen in one.map_files:
        is_other = seen in one.others
        title = titles[seen.process_map.kind]
        yield seen, f"{title}: version {seen.process_map.version}" if is_other else title


def _picture(seen: SeenMap, title: str, number: int, measured: dict[str, Measured] | None) -> Picture:
    drawing = draw(seen.process_map, measured, has_title=False)
    smallest = min(picture_width(drawing) * _SMALLEST_SCALE, _WIDEST)
    return Picture(
        seen=seen,
        title=title,
        drawing=Markup(renamed(drawing, f"map{number}-")),  # noqa: S704, drawn by us, with every text escaped
        at_least=f"at-least-{round(smallest / _WIDTH_STEP) * _WIDTH_STEP}",
    )


def _phases(
    one: Assessment, current: ProcessMap | None, target: ProcessMap | None
) -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Give the processes of both maps by phase, in the order of the map that is shown, then the other."""
    maps = [each for each in (current, target) if each is not None] or [one.shown]
    changes = {change.node: change for change in one.difference.changes} if one.difference else {}
    nodes: dict[str, Node] = {}
    for each in maps:
        for node in each.nodes:
            nodes.setdefault(node.id, node)
    for phase in dict.fromkeys(phase for each in maps for phase in each.phases):
        rows = [
            Row(
                node=node,
                declared=_degree_of(current, node.id) if current else "",
                measured=one.measured.get(node.id) if node.bound_to is not None else None,
                wanted=_degree_of(target, node.id) if target else "",
                change=mark(changes[node.id]) if node.id in changes else "",
            )
            for node in nodes.values()
            if node.phase == phase
        ]
        if rows:
            yield phase, tuple(rows)


def _degree_of(process_map: ProcessMap, name: str) -> str:
    node = process_map.node(name)
    return node.degree if node else NOT_ON_MAP


class ProcessPages(FilePages):
    """The pages about process maps."""

    address = "processes"

    def read(self, files: tuple[FileState, ...]) -> Processes:
        """Return the maps of the project."""
        return read(self._workspace, files)

    def view(self, name: str, found: Processes) -> View | None:
        """Return one piece of work: its maps, what the ledger shows, and the plan."""
        one = found.named(name)
        return view(one) if one else None

    def unknown(self, name: str, found: Processes) -> UnknownName:
        """Return what to say of a name that none has."""
        return found.unknown(name)

    def draw_all(self, request: Request, found: Processes | None, **values: Any) -> Response:
        """List all pieces of work that have a map."""
        lines = [line(one) for one in found.assessments] if found else []
        return self._draw(request, "processes.html", found=found, lines=lines, **values)

    def draw_one(self, request: Request, view: View | None, **values: Any) -> Response:
        """Show one piece of work."""
        letters = {degree: look.letter for degree, look in DEGREES.items()}
        return self._draw(request, "process.html", view=view, letters=letters, **values)
