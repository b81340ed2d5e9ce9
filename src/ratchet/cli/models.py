"""``ratchet models``, ``promote`` and ``rollback``: which versions there are, and which one serves.

Invariant: asking for what is so already changes nothing and succeeds.
"""

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.records import Event, ModelVersion, Release, Run
    from ratchet.workspace import Workspace


# ---- models


@click.command("models", epilog=examples("ratchet models", "ratchet models returns", "ratchet models returns@v2"))
@click.argument("name", required=False, default="")
@with_session
def models_command(session: Session, *, name: str) -> None:
    """List model versions, those of one model, or show one version."""
    from ratchet.cli import console
    from ratchet.errors import UnknownName
    from ratchet.loop import registry

    with session.workspace() as workspace:
        if "@v" in name:
            _show(session, workspace, name)
            return
        versions = registry.model_versions(workspace.database, model=name)
        if name and not versions:
            known = sorted({one.model for one in registry.model_versions(workspace.database)})
            raise UnknownName(kind="model", name=name, known=", ".join(known) or "none yet")
        found = [_Version(workspace, one) for one in versions]
        if session.as_json:
            console.print_json([one.as_json() for one in found])
        elif found:
            _list(workspace, found)
        else:
            console.say("No model versions yet. A run registers one: ratchet run PIPELINE")


class _Version:
    """A model version with the run that made it and what serves now."""

    def __init__(self, workspace: "Workspace", version: "ModelVersion") -> None:
        from ratchet.loop import registry

        self.version = version
        self.run: Run = registry.run(workspace.database, version.run_id)
        live = workspace.live(version.model)
        self.release: Release | None = live if live and live.model_version == version.name else None

    def as_json(self) -> dict[str, Any]:
        """Return all that is known of it."""
        return {
            "name": self.version.name,
            **msgspec.to_builtins(self.version),
            "gate": self.run.gate,
            "metrics": self.run.metrics,
            "is_live": self.release is not None,
            "live_since": self.release.shifted_at if self.release else None,
        }


def _list(workspace: "Workspace", found: list[_Version]) -> None:
    from ratchet.cli import console

    zone = ZoneInfo(workspace.config.project.time_zone)
    made = console.table(
        "VERSION", "GATE", "METRICS", "DATA UNTIL", "REGISTERED", "SERVES", whole=("GATE", "DATA UNTIL", "REGISTERED")
    )
    for one in found:
        made.add_row(
            one.version.name,
            console.state(one.run.gate or "-"),
            console.metrics(one.run.metrics),
            console.moment_text(one.version.data_until, zone)[:10],
            console.ago(one.version.registered_at),
            console.state("live" if one.release else ""),
        )
    console.say(made)


def _show(session: Session, workspace: "Workspace", name: str) -> None:
    from ratchet.cli import console
    from ratchet.loop import registry

    with workspace.database.read() as connection:
        version = registry.model_version(connection, name)
        releases = registry.releases(connection, endpoint=version.model)
    found = _Version(workspace, version)
    if session.as_json:
        console.print_json({**found.as_json(), "format": _format(workspace, found)})
        return
    zone = ZoneInfo(workspace.config.project.time_zone)
    served = [one for one in releases if one.model_version == name and one.shifted_at]
    console.say(
        console.facts(
            [
                ("version", version.name),
                ("gate", console.state(found.run.gate or "-")),
                ("metrics", console.metrics(found.run.metrics)),
                ("data until", console.moment_text(version.data_until, zone)),
                ("registered", console.moment_text(version.registered_at, zone)),
                ("run", version.run_id),
                ("artifact", f"sha256 {version.artifact}"),
                ("format", _format_text(workspace, found)),
                ("inputs", ", ".join(f"{one['name']} ({one['datatype']})" for one in version.inputs)),
                ("serves", console.state("live") if found.release else "no"),
                *[("since" if one.status == "live" else "served from", _since(one, zone)) for one in served],
            ]
        )
    )


# What a library is called where it is installed, if that is not what it is imported as.
_DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu")}


def _format(workspace: "Workspace", found: _Version) -> dict[str, Any]:
    """Return a version's format: its name, the extra, and the libraries with the versions that it was trained with."""
    from ratchet.errors import NoStorer
    from ratchet.loop.run_environments import locked_versions
    from ratchet.store import storers

    try:
        storer = storers.find(found.version.storer)
    except NoStorer:
        # One that the project registers itself is known in its runs only.
        return {"name": found.version.storer, "extra": "", "libraries": {}}
    locked = locked_versions(workspace.resources, found.run)
    libraries = {}
    for library in storer.libraries:
        names = _DISTRIBUTIONS.get(library, (library,))
        name = next((one for one in names if one in locked), names[0])
        libraries[name] = locked.get(name, "")
    return {"name": storer.name, "extra": storer.extra, "libraries": libraries}


def _format_text(workspace: "Workspace", found: _Version) -> str:
    told = _format(workspace, found)
    needed = ", ".join(f"{name} {version}".strip() for name, version in told["libraries"].items())
    extra = f" (pip install 'mlratchet[{told['extra']}]')" if told["extra"] else ""
    return f"{told['name']}, needs {needed}{extra}" if needed else str(told["name"])


def _since(release: "Release", zone: ZoneInfo) -> str:
    from ratchet.cli.console import moment_text

    return f"{moment_text(release.shifted_at, zone)}{' (rolled back to)' if release.is_rollback else ''}"


# ---- promote and rollback


@click.command(
    "promote", epilog=examples("ratchet promote returns@v2", "ratchet promote returns@v2 --bypass 'holiday season'")
)
@click.argument("version")
@click.option("--bypass", default="", metavar="REASON", help="Go past a gate that did not pass; the ledger keeps why.")
@with_session
def promote_command(session: Session, *, version: str, bypass: str) -> None:
    """Let a model version serve in production.

    It needs to have passed its gate, then goes through a smoke test in staging; the endpoint answers with the version
    before until it has taken over the new one.
    """
    from ratchet.cli.console import progress
    from ratchet.cli.execution import execute
    from ratchet.loop import registry

    with session.workspace() as workspace:
        with workspace.database.read() as connection:
            chosen = registry.model_version(connection, version)
        live = workspace.live(chosen.model)
        if live and live.model_version == chosen.name:
            _print_outcome(session, workspace, chosen.model, event=None)
            return
        parameters = {"version": version, **({"bypass": bypass} if bypass else {})}
        with progress(f"promoting {version}") as shown:
            done = execute(
                workspace,
                "promote",
                parameters,
                subject=version,
                pipeline=chosen.pipeline,
                progress=shown,
                serve=True,
            )
        _print_outcome(session, workspace, chosen.model, event=done)


@click.command("rollback", epilog=examples("ratchet rollback returns"))
@click.argument("endpoint")
@with_session
def rollback_command(session: Session, *, endpoint: str) -> None:
    """Let the version serve again that served before the present one."""
    from ratchet.cli.console import progress
    from ratchet.cli.execution import execute
    from ratchet.errors import NothingToRollBack, UnknownName

    with session.workspace() as workspace:
        pipelines = {str(one["model"]): name for name, one in workspace.pipelines().items()}
        if endpoint not in pipelines:
            raise UnknownName(kind="endpoint", name=endpoint, known=", ".join(pipelines) or "none yet")
        live = workspace.live(endpoint)
        if live is None or not live.previous:
            raise NothingToRollBack(endpoint=endpoint)
        with progress(f"rolling back {endpoint}") as shown:
            done = execute(
                workspace,
                "rollback",
                {"endpoint": endpoint},
                subject=endpoint,
                pipeline=pipelines[endpoint],
                progress=shown,
                serve=True,
            )
        _print_outcome(session, workspace, endpoint, event=done)


def _print_outcome(session: Session, workspace: "Workspace", endpoint: str, *, event: "Event | None") -> None:
    from ratchet.cli import console
    from ratchet.store.ledger import to_export

    live = workspace.live(endpoint)
    assert live is not None, "a deployment that was completed is live"
    serves = not workspace.is_executor and workspace.is_running
    address = f"{workspace.endpoint_address()}/v2/models/{endpoint}/infer" if serves else ""
    if session.as_json:
        values = {"release": live, "address": address, "event": to_export(event) if event else None}
        console.print_json(values)
        return
    if event is None:
        console.say(f"{live.model_version} is live on '{endpoint}' already; nothing was changed.")
    else:
        before = f" in place of {live.previous}" if live.previous else ""
        console.say(f"{live.model_version} is live on '{endpoint}'{before}.")
        if live.previous and not live.is_rollback:
            console.say(f"To go back: ratchet rollback {endpoint}")
    if address:
        console.say(f"It answers at {address}")
    else:
        console.say("No process runs this workspace, so it answers once you start it: ratchet up")
