"""Where an evaluation lies, and the ledger of the project around it.

Invariant: what is in the folder and not in the ledger is recorded as one command with all that it causes; recording the
same twice appends nothing twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.cli.session import Session

if TYPE_CHECKING:
    from ratchet.measure.evaluations.evaluation import Evaluation
    from ratchet.measure.evaluations.recording import Recorded
    from ratchet.workspace import Workspace

DEFAULT_FOLDER = "evaluation"


def path_of(place: str) -> Path:
    """Return the folder that is named; else this one if it is one, else ``evaluation`` in it."""
    from ratchet.measure.evaluations import evaluation

    if place:
        return Path(place)
    return Path() if Path(evaluation.FILE).is_file() else Path(DEFAULT_FOLDER)


@contextmanager
def project_around(session: Session, place: Path) -> "Iterator[Workspace | None]":
    """Open the project that is named, or the one in which the folder lies; ``None`` where there is none."""
    from ratchet import config
    from ratchet.errors import WorkspaceNotFound

    if not session.folder:
        try:
            config.find(place)
        except WorkspaceNotFound:
            yield None
            return
        session.folder = str(place)
    with session.workspace() as workspace:
        yield workspace


def known_of(workspace: "Workspace | None", found: "Evaluation") -> "Recorded":
    """Return what the ledger says about an evaluation; nothing where there is none."""
    from ratchet.measure.evaluations import recording

    events = [] if workspace is None else workspace.ledger.read(types=[recording.TYPE])
    return recording.recorded(events, found.id)


def record(workspace: "Workspace | None", found: "Evaluation") -> int | None:
    """Append what the ledger does not know yet, caused by one command; return how much, ``None`` without a ledger."""
    from ratchet.measure.evaluations import recording
    from ratchet.records import digest_of

    if workspace is None:
        return None
    events = recording.pending(found, known_of(workspace, found))
    if events:
        key = digest_of([[event.subject, event.data["digest"]] for event in events])
        asked = {"evaluation": found.id, "changes": len(events)}
        with workspace.by_command("record_assessment", asked, subject=found.id, key=f"assessment/{found.id}/{key}"):
            workspace.ledger.record(*events)
    return len(events)


def note_recorded(recorded: int | None) -> None:
    """Say on stderr that nothing was recorded, where there is no ledger."""
    from ratchet.cli import console

    if recorded is None:
        console.note("This folder lies in no project: nothing is recorded in a ledger.")
