"""What a run printed, on the pages of its own events.

Invariant: a page shows the end of a log, no more of it than can be looked through, and says what else there is.
"""

from typing import TYPE_CHECKING

from ratchet.errors import UnknownName
from ratchet.loop import registry, run_logs
from ratchet.records import NATIVE_SOURCE, Event, Record

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

LINES = 200
_TYPES = ("run.queued", "run.started", "run.finished")


class Printed(Record, frozen=True):
    """What a page shows of a log.

    Attributes:
        text: Its last lines.
        notes: What to know beside them, in sentences.
    """

    text: str
    notes: tuple[str, ...]


def printed(workspace: "Workspace", event: Event) -> Printed | None:
    """Return what the run printed that an event is about, ``None`` where it is about none that was carried out here."""
    if event.type not in _TYPES or event.source != NATIVE_SOURCE:
        return None
    try:
        run = registry.run(workspace.database, event.subject)
    except UnknownName:
        return None
    shown = run_logs.read(workspace.resources, run)
    lines = shown.text.splitlines(keepends=True)
    notes = [shown.note] if shown.note else []
    if len(lines) > LINES:
        notes.append(f"The last {LINES} of {len(lines):,} lines; all that there are: ratchet runs log {run.id[:8]}")
    if not lines and not notes:
        notes.append("It printed nothing.")
    return Printed(text="".join(lines[-LINES:]), notes=tuple(notes))
