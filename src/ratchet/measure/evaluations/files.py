"""The evaluations that lie in a project's folders, those that are broken with what is wrong.

Invariant: a broken evaluation hides no other; what is said of one is what its folder says.
"""

from collections.abc import Iterable
from pathlib import Path

from ratchet.errors import RatchetError
from ratchet.measure.evaluations import evaluation, recording
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.project_files import Broken, FileState
from ratchet.records import Event, Record

ROOT = "-"


class EvaluationFolder(Record, frozen=True):
    """A folder with an evaluation.

    Attributes:
        name: The folder, relative to the project; ``-`` for the project itself.
        comparison: Its candidates side by side; ``None`` where one of its files means nothing.
        broken: What is wrong then.
        not_recorded: How many changes of its files are not in the ledger yet.
        events: Ids of the events about it: the last of its definition, of each answer and of its conclusion.
    """

    name: str
    comparison: Comparison | None = None
    broken: Broken | None = None
    not_recorded: int = 0
    events: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Return the folder as commands take it, seen from the project."""
        return "." if self.name == ROOT else self.name


def read_evaluations(project: Path, files: Iterable[FileState], events: Iterable[Event]) -> list[EvaluationFolder]:
    """Return the evaluations of a project, by folder.

    Args:
        project: Its folder.
        files: The files that lie in it.
        events: What is on record; events about other things are passed over.
    """
    names = [one.name for one in files if one.name.rpartition("/")[2] == evaluation.FILE]
    known = list(events)
    return [_read(project, name.rpartition("/")[0], known) for name in names]


def _read(project: Path, folder: str, events: list[Event]) -> EvaluationFolder:
    name = folder or ROOT
    try:
        found = evaluation.read(project / folder)
        comparison = compare(found)
    except (RatchetError, OSError) as error:
        # Files are named as they lie in the project, as everywhere else on a page.
        problem = str(error).replace(f"{project}/", "")
        file = f"{folder}/{evaluation.FILE}".removeprefix("/")
        return EvaluationFolder(name=name, broken=Broken(name=file, problem=problem))
    told = recording.recorded(events, found.id)
    return EvaluationFolder(
        name=name,
        comparison=comparison,
        not_recorded=len(recording.pending(found, told)),
        events=tuple(event.id for event in told.latest.values()),
    )
