"""``ratchet import``: what happened in other systems, brought into the ledger and measured like all else.

Invariant: bad input refuses the whole file before anything is written; a dry run writes nothing at all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import Group
from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.importers.overview import Overview, Row
    from ratchet.importers.readings import Reading, Witness
    from ratchet.workspace import Workspace

_DRY = click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be imported, and write nothing.")
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")


@click.group(
    "import",
    cls=Group,
    epilog=examples(
        "ratchet import github runs.json deployments.json --dry-run",
        "ratchet import mlflow http://127.0.0.1:5000",
        "ratchet import airflow dag-runs.json task-instances.json",
    ),
)
def import_command() -> None:
    """Bring in what happened in other systems.

    Each record becomes events with the evidence `imported`. Importing again changes nothing, and brings in what has
    changed since. Sections [import.SYSTEM.NAME] of ratchet.toml say which pipeline and stages a name stands for.
    """


@import_command.command(
    "github",
    epilog=examples(
        "gh api --paginate repos/OWNER/REPO/actions/runs > runs.json",
        "ratchet import github runs.json --dry-run",
        "ratchet import github runs.json deployments.json statuses.json approvals-4711.json",
    ),
)
@_FILES
@_DRY
@with_session
def github_command(session: Session, *, files: tuple[Path, ...], is_dry: bool) -> None:
    """Import exported GitHub runs and deployments.

    A file holds pages of the REST API: workflow runs, jobs, deployments, their statuses, reviews of environments.
    """
    from ratchet.importers import github

    _import_files(session, files, github, is_dry=is_dry)


@import_command.command(
    "airflow",
    epilog=examples(
        "ratchet import airflow dag-runs.json --dry-run",
        "ratchet import airflow dag-runs.json task-instances.json",
    ),
)
@_FILES
@_DRY
@with_session
def airflow_command(session: Session, *, files: tuple[Path, ...], is_dry: bool) -> None:
    """Import exported Airflow runs and tasks.

    A file holds pages of the REST API of Airflow 2 or 3: DAG runs and task instances.
    """
    from ratchet.importers import airflow

    _import_files(session, files, airflow, is_dry=is_dry)


@import_command.command(
    "mlflow",
    epilog=examples(
        "ratchet import mlflow http://127.0.0.1:5000 --dry-run",
        "MLFLOW_TRACKING_TOKEN=... ratchet import mlflow https://mlflow.example.org",
    ),
)
@click.argument("address", metavar="URI")
@_DRY
@with_session
def mlflow_command(session: Session, *, address: str, is_dry: bool) -> None:
    """Import from an MLflow tracking server.

    Runs, registered versions and aliases are asked for page by page. A server behind a sign-in gets
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    from ratchet.importers import mlflow
    from ratchet.importers.overview import overview
    from ratchet.importers.pulls import Puller, broken_starts, last_position

    server = mlflow.Server(address)
    with session.workspace() as workspace:
        pages = mlflow.pull(
            server,
            sections=workspace.config.imports.get("mlflow", {}),
            witness=_witness(workspace, is_dry=is_dry),
            last_alias=lambda source, subject: _last_alias(workspace, source, subject),
            position="" if is_dry else last_position(workspace.database, server.source),
        )
        readings: list[Reading] = []
        with _bar("Importing") as report:
            # How much there is, the server does not say: the bar counts what has come.
            puller = Puller(workspace.database, actor=workspace.local_actor(), is_dry=is_dry)
            for page in pages:
                puller.take(page.readings, position=page.position)
                readings += page.readings
                report(len(readings), 0)
            puller.close(server.source)
        found = overview(readings, puller.tallies, broken=broken_starts(workspace.database, readings), is_dry=is_dry)
    _show(session, found)


def _last_alias(workspace: "Workspace", source: str, subject: str) -> tuple[str, str]:
    """Return which version an alias had when it was last imported, and the id of that event."""
    for event in workspace.ledger.read(types=["custom.emitted"], subject=subject, newest_first=True):
        if event.source == source:
            return str(event.data.get("version", "")), event.id
    return "", ""


def _import_files(session: Session, files: tuple[Path, ...], system: Any, *, is_dry: bool) -> None:
    from ratchet.importers.overview import overview
    from ratchet.importers.pulls import Puller, broken_starts

    with session.workspace() as workspace:
        sections = workspace.config.imports.get(system.SYSTEM, {})
        readings, claims = system.read_files(list(files), sections=sections, witness=_witness(workspace, is_dry=is_dry))
        with _bar("Importing") as report:
            puller = Puller(workspace.database, actor=workspace.local_actor(), is_dry=is_dry, report=report)
            puller.take(readings, claimed=claims)
        found = overview(readings, puller.tallies, broken=broken_starts(workspace.database, readings), is_dry=is_dry)
    _show(session, found)


def _witness(workspace: "Workspace", *, is_dry: bool) -> "Witness":
    """Return who tells us: the source's record; names become pseudonyms, which a dry run only makes up."""
    from functools import cache

    from ratchet.importers.readings import Witness
    from ratchet.loop import credentials
    from ratchet.records import derive_id

    pseudonym = cache(lambda name: derive_id(name) if is_dry else credentials.pseudonym(workspace.resources, name))
    return Witness(evidence="imported", pseudonym=pseudonym)


@contextmanager
def _bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how far it is; nothing where stderr is no terminal."""
    from ratchet.cli.console import stderr

    if not stderr().is_terminal:
        yield lambda _done, _all: None
        return
    from rich.progress import Progress

    with Progress(console=stderr(), transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, every: progress.update(task, completed=done, total=every or None)


# ---- showing


def _show(session: Session, found: "Overview") -> None:
    from ratchet.cli import console

    if session.as_json:
        console.print_json(found)
        return
    for source in found.sources:
        console.say(_source_line(source, is_dry=found.is_dry))
    if found.rows:
        console.say("")
        made = console.table("NAME", "PIPELINE", "STAGES", "RECORDS", "SET OFF BY", "ENDED", right=("RECORDS",))
        for row in found.rows:
            made.add_row(*_cells(row))
        console.say(made)
    for note in found.notes:
        console.say("")
        console.say(note)
    if found.is_dry:
        console.say("")
        console.say("Nothing was written. Leave out --dry-run to import this.")


def _source_line(source: dict[str, Any], *, is_dry: bool) -> str:
    if source["claimed"] is None:
        share = f"{source['imported']} records (the source does not say how many it has)"
    else:
        share = f"{source['imported']} of {source['claimed']} records ({source['completeness']:.0%})"
    verb = "would be new" if is_dry else "new"
    return f"{source['source']}: {share}, {source['new_events']} events {verb}, {source['known_events']} known already"


def _cells(row: "Row") -> list[str]:
    triggers = ", ".join(f"{count} {name}" for name, count in row.triggers.items())
    outcomes = ", ".join(f"{count} {name}" for name, count in row.outcomes.items()) or "-"
    stages = "contradicting" if row.is_contradicting else ", ".join(row.stages) or "not mapped"
    return [row.name, row.pipeline, stages, str(row.records), triggers, outcomes]
