"""What pages and interface show of evaluations: platforms side by side, by those who will live with them.

Invariant: there is no overall score; what nobody answered or stated is shown as such; a broken evaluation shows what is
wrong with it, and takes nothing else away.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from ratchet.errors import UnknownName
from ratchet.measure.evaluations import drawing, export, wording
from ratchet.measure.evaluations.answers import Answer as Given
from ratchet.measure.evaluations.comparison import Comparison
from ratchet.measure.evaluations.files import EvaluationFolder, read_evaluations
from ratchet.measure.evaluations.page import dots
from ratchet.measure.evaluations.recording import TYPE
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.project_files import FileState, list_files
from ratchet.records import Record
from ratchet.web.file_pages import FilePages

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

_KNOWN_SHOWN = 20
_SEEN_ELSEWHERE = ("https://", "http://")


class Line(Record, frozen=True):
    """One evaluation in the list.

    Attributes:
        name: Names its page.
        title: Its question.
        state: How far it is, or what was chosen.
        period: The days on which answers are taken.
        candidates: Each with what came of it in a word, or ``""``.
        answered: How many answers there are, of how many.
        missing: Who has not answered everything.
        problem: What is wrong with its files; ``""`` where nothing is.
    """

    name: str
    title: str = ""
    state: str = ""
    period: str = ""
    candidates: tuple[tuple[str, str], ...] = ()
    answered: str = ""
    missing: tuple[str, ...] = ()
    problem: str = ""


class View(Record, frozen=True):
    """Everything on the page of one evaluation.

    Attributes:
        folder: Where it lies, and what came of reading it.
        headline: The table of numbers.
        picture: The candidates side by side, as SVG; empty without candidates.
        given: Answers by group and item.
    """

    folder: EvaluationFolder
    headline: tuple[tuple[str, tuple[Markup, ...]], ...] = ()
    picture: Markup = Markup()
    given: dict[tuple[str, str], tuple[Given, ...]] = {}  # noqa: RUF012, msgspec copies an empty default


def read(workspace: "Workspace", files: tuple[FileState, ...] | None = None) -> list[EvaluationFolder]:
    """Return the evaluations of a project.

    Args:
        workspace: Whose.
        files: The files of the project, where they are known.
    """
    project = workspace.project
    events = workspace.ledger.read(types=[TYPE])
    return read_evaluations(project, list_files(project) if files is None else files, events)


def unknown(name: str, found: Sequence[EvaluationFolder]) -> UnknownName:
    """Return what to say of a name that no evaluation has."""
    known = ", ".join(one.name for one in found[:_KNOWN_SHOWN]) or "none yet"
    return UnknownName(kind="evaluation", name=name, known=known)


def to_values(one: EvaluationFolder) -> dict[str, Any]:
    """Return an evaluation as plain values: all of its comparison, or what is wrong with its files."""
    about = {"name": one.name, "problem": one.broken.problem if one.broken else ""}
    if one.comparison is None:
        return about
    return {
        **about,
        "not_recorded": one.not_recorded,
        "state": wording.state(one.comparison),
        **export.to_values(one.comparison),
    }


def in_short(one: EvaluationFolder) -> dict[str, Any]:
    """Return an evaluation as a line of the list, for programs."""
    made = line(one)
    candidates = [{"name": name, "verdict": verdict} for name, verdict in made.candidates]
    return {**{name: getattr(made, name) for name in Line.__struct_fields__}, "candidates": candidates}


def line(one: EvaluationFolder) -> Line:
    """Return an evaluation as a line of the list."""
    found = one.comparison
    if found is None:
        return Line(name=one.name, problem=one.broken.problem if one.broken else "")
    made = found.evaluation.conclusion
    return Line(
        name=one.name,
        title=found.evaluation.title,
        state=wording.state(found),
        period=str(found.evaluation.period),
        candidates=tuple(
            (
                each.candidate.name,
                "chosen"
                if made is not None and made.choice == each.candidate.name
                else "ruled out"
                if each.is_disqualified
                else "",
            )
            for each in found.candidates
        ),
        answered=f"{found.answered} of {found.expected}",
        missing=tuple(each.respondent for each in found.missing),
    )


def view(one: EvaluationFolder) -> View:
    """Return all that the page of an evaluation shows."""
    found = one.comparison
    if found is None:
        return View(folder=one)
    rows = wording.headline(found)
    evaluation = found.evaluation
    given = {
        (asked.group, item.id): tuple(
            answer for answer in evaluation.given if (answer.group, answer.item) == (asked.group, item.id)
        )
        for asked in evaluation.questionnaires
        for item in asked.items
    }
    return View(
        folder=one,
        headline=tuple((label, tuple(dots(value) for value in values)) for label, values in rows),
        picture=_picture(found),
        given=given,
    )


def _picture(found: Comparison) -> Markup:
    return Markup(drawing.to_svg(found)) if found.candidates else Markup()  # noqa: S704, drawn by us, text escaped


def is_address(link: str) -> bool:
    """Tell whether evidence can be opened from here: a file beside the evaluation is no address of these pages."""
    return link.lower().startswith(_SEEN_ELSEWHERE)


class EvaluationPages(FilePages):
    """The pages about evaluations."""

    address = "evaluations"

    def read(self, files: tuple[FileState, ...]) -> list[EvaluationFolder]:
        """Return the evaluations of the project."""
        return read(self._workspace, files)

    def view(self, name: str, found: Sequence[EvaluationFolder]) -> View | None:
        """Return one evaluation: candidates in numbers, who disagrees, who is missing, and all answers."""
        one = next((each for each in found if each.name == name), None)
        return view(one) if one else None

    def unknown(self, name: str, found: Sequence[EvaluationFolder]) -> UnknownName:
        """Return what to say of a name that none has."""
        return unknown(name, found)

    def draw_all(self, request: Request, found: Sequence[EvaluationFolder] | None, **values: Any) -> Response:
        """List all evaluations."""
        lines = None if found is None else [line(one) for one in found]
        return self._draw(request, "evaluations.html", lines=lines, **values)

    def draw_one(self, request: Request, view: View | None, **values: Any) -> Response:
        """Show one evaluation."""
        comparison = view.folder.comparison if view else None
        return self._draw(
            request,
            "evaluation.html",
            view=view,
            comparison=comparison,
            state=wording.state(comparison) if comparison else "",
            remarks=wording.remarks(comparison) if comparison else [],
            degrees=[(look.name, look.letter, look.sentence) for look in DEGREES.values()],
            sentiments=list(Sentiment),
            dots=dots,
            is_address=is_address,
            **values,
        )
