"""What a project declares: its pipelines and its rules in Python, read off a snapshot by a child process.

Invariant: the user's code is imported in children only; what it declares is kept by snapshot, so that nothing is
imported twice for the same files.
"""

from typing import Any

import msgspec

from ratchet.config import FILE_NAME, Config
from ratchet.engine.executors import Session, Task, log_file
from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.loop import registry, snapshots
from ratchet.loop.pipelines import PipelineDeclaration, Project
from ratchet.loop.resources import Resources
from ratchet.records import Event
from ratchet.store.database import Database
from ratchet.store.formats.refusals import LibraryMissing
from ratchet.toml_tables import Way, line_of

_SETTINGS = "settings"


def current(resources: Resources) -> tuple[str, Project]:
    """Return the snapshot of the project's files as they are now, and what it declares.

    Raises:
        StepFailed: One of the files cannot be imported.
        LibraryMissing: One of them imports a library that an extra brings, and that is not installed.
    """
    snapshot = snapshots.take(resources.project, resources.artifacts)
    with resources.database.read() as connection:
        kept = registry.state(connection, f"project/{snapshot}")
    if kept is None:
        kept = _describe(resources, snapshot)
        with resources.database.write() as transaction:
            registry.put_state(transaction, f"project/{snapshot}", kept)
    return snapshot, msgspec.convert(kept, Project)


def checked(resources: Resources) -> Project:
    """Return what the project's files declare now, where each section of the settings is about something declared.

    Raises:
        ConfigInvalid: A section is about a pipeline that there is not.
        StepFailed: A file cannot be imported.
    """
    _, project = current(resources)
    settings = resources.config
    names = [one.name for one in project.pipelines]
    ways: list[tuple[str, Way]] = [(name, ("monitor", name)) for name in settings.monitor]
    ways += [(name, ("sample", name)) for name in settings.sample]
    ways += [(one.pipeline, ("fitness", number, "pipeline")) for number, one in enumerate(settings.fitness)]
    for name, way in ways:
        if name not in names:
            path = resources.project / FILE_NAME
            raise ConfigInvalid(
                where=f"{path}:{line_of(path.read_text(encoding='utf-8'), way)}",
                problem=f"the project's files declare no pipeline '{name}'.",
                remedy=f"Name one of: {', '.join(names) or 'none yet; declare one with @rt.pipeline'}.",
            )
    return project


def declare(resources: Resources, project: Project) -> None:
    """Record pipelines that are new or have changed; inside an origin with a key, which names the command behind it."""
    with resources.database.write() as transaction:
        known: dict[str, Any] = registry.state(transaction, "pipelines", {})
        # As it will be read again: a tuple that was kept comes back as a list, and would look like a change.
        found = {one.name: msgspec.json.decode(msgspec.json.encode(one)) for one in project.pipelines}
        for name, values in found.items():
            if known.get(name) != values:
                resources.ledger.append(transaction, _declared(name, values))
        if found != known:
            registry.put_state(transaction, "pipelines", found)


def pipeline(resources: Resources, name: str) -> PipelineDeclaration:
    """Return what the project says about a pipeline.

    Raises:
        UnknownName: It has no such pipeline.
    """
    _, project = current(resources)
    return pipeline_of(project, name)


def pipeline_of(project: Project, name: str) -> PipelineDeclaration:
    """Return what a project says about one of its pipelines.

    Raises:
        UnknownName: It has no such pipeline.
    """
    for one in project.pipelines:
        if one.name == name:
            return one
    raise UnknownName(kind="pipeline", name=name, known=", ".join(one.name for one in project.pipelines) or "none")


def put_settings_in_force(resources: Resources) -> None:
    """Keep the settings as they are now where all processes that carry out jobs find them."""
    # Whoever reads them has the database already; its address may hold a password.
    shown = msgspec.structs.replace(
        resources.config, project=msgspec.structs.replace(resources.config.project, database="")
    )
    values = msgspec.json.decode(msgspec.json.encode(shown))
    with resources.database.read() as connection:
        if registry.state(connection, _SETTINGS) == values:
            return
    with resources.database.write() as transaction:
        registry.put_state(transaction, _SETTINGS, values)


def settings_in_force(database: Database) -> Config | None:
    """Return the settings that the server has taken in, ``None`` where there has been none."""
    with database.read() as connection:
        values = registry.state(connection, _SETTINGS)
    return None if values is None else msgspec.convert(values, Config)


def child_spec(resources: Resources, snapshot: str) -> dict[str, Any]:
    """Return what every child needs to import a snapshot."""
    return {
        "snapshot": snapshot,
        "artifacts": resources.artifacts.address,
        "snapshots": str(resources.folder / "snapshots"),
    }


def _describe(resources: Resources, snapshot: str) -> Any:
    task = Task(
        name="project files",
        entry="ratchet.loop.pipelines:describe",
        spec=child_spec(resources, snapshot),
        log=log_file(resources.logs, "project"),
    )
    session = Session(resources.zygotes, task, limits=resources.limits, is_cancelled=lambda: False)
    described: dict[str, Any] = session.converse(lambda _request, execute: execute())
    if "missing" in described:
        raise LibraryMissing(**described["missing"])
    return described


def _declared(name: str, values: dict[str, Any]) -> Event:
    return Event(
        type="pipeline.declared",
        subject=name,
        pipeline=name,
        team=values["owner"],
        data={
            "pipeline": name,
            "model": values["model"],
            "owner": values["owner"],
            "datasets": sorted(values["datasets"].values()),
            "na": values["not_applicable"],
        },
    )
