"""``ratchet runs log``: what a run printed, wherever it was carried out.

Invariant: what cannot be shown from here is said, with where it lies.
"""

from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import FAILED, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.loop.run_logs import Shown
    from ratchet.records import Run
    from ratchet.workspace import Workspace


@click.command(
    "log",
    epilog=examples(
        "ratchet runs log 7KQ2M4XA",
        "ratchet runs log returns@v3 | tail",
        "ratchet runs log 7KQ2M4XA --json | jq -r .worker.host",
    ),
)
@click.argument("name", metavar="RUN")
@with_session
def log_command(session: Session, *, name: str) -> int:
    """Print what a run has printed, also where another machine carried it out.

    When a run ends, the last megabyte of its log goes to the store of artifacts, and is kept as long as its code.
    Before that the log lies with the worker that carries the run out, and this command says which one that is. What was
    cut, and what is under way elsewhere, is said on stderr. The exit code is 1 where something was printed and cannot
    be had.
    """
    from ratchet.cli import console
    from ratchet.cli.runs import find
    from ratchet.loop import run_logs

    with session.workspace() as workspace:
        run = find(workspace, name)
        shown = run_logs.read(workspace.resources, run)
    if session.as_json:
        console.print_json(_values(run, shown))
        return FAILED if shown.is_lost else 0
    if note := shown.note or ("" if shown.text else f"Run {console.short(run.id)} printed nothing."):
        console.note(note)
    click.echo(shown.text, nl=False)
    return FAILED if shown.is_lost else 0


def where(workspace: "Workspace", run: "Run") -> str:
    """Return how a person finds what a run printed: the file, where this machine wrote it, or the command."""
    from ratchet.cli.console import short
    from ratchet.loop import run_logs

    path = run_logs.path_of(workspace.resources, run.id)
    return str(path) if path.exists() else f"ratchet runs log {short(run.id)}"


def who(workspace: "Workspace", run: "Run") -> str:
    """Return on which machine and by which process a run is carried out now, ``""`` where none does."""
    from ratchet.loop import run_logs

    worker = run_logs.carrier(workspace.resources, run.id) if run.finished_at is None else None
    return run_logs.describe(worker) if worker is not None else ""


def _values(run: "Run", shown: "Shown") -> dict[str, Any]:
    worker = shown.worker
    return {
        "run": run.id,
        "status": run.status,
        "text": shown.text,
        "cut_bytes": shown.cut_bytes,
        "place": shown.place,
        "worker": None if worker is None else {"id": worker.id, "host": worker.host, "pid": worker.pid},
        "is_lost": shown.is_lost,
        "note": shown.note,
    }
