"""``ratchet status``: one line for each pipeline, and what runs.

Invariant: it reads the database and starts nothing, so it works while the workspace runs and while it does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.measure.freshness import Freshness
    from ratchet.measuring import Measuring
    from ratchet.workspace import Workspace

_SHOWN_OTHERS = 20


@click.command("status", epilog=examples("ratchet status", "ratchet status --json | jq '.pipelines[].level'"))
@click.option("--policy", default="standard", show_default=True, help="By which level policy.")
@with_session
def status_command(session: Session, *, policy: str) -> None:
    """Show each pipeline: level, live version, ages, last run, alerts; and what runs."""
    from ratchet.cli.console import print_json

    with session.workspace() as workspace:
        found = _read(workspace, policy, is_whole=session.as_json)
        if session.as_json:
            print_json(found)
        else:
            _print(found)


def _read(workspace: "Workspace", policy: str, *, is_whole: bool) -> dict[str, Any]:
    from ratchet import clock
    from ratchet.loop.serving import claim
    from ratchet.measuring import Measuring

    measuring, declared = Measuring(workspace), workspace.pipelines()
    known = measuring.pipelines()
    # A ledger may know of a thousand pipelines of other systems; to read the ages of one takes some 20 ms.
    shown = known if is_whole else [*declared, *[name for name in known if name not in declared][:_SHOWN_OTHERS]]
    holder = claim.holder(workspace.resources.serving)
    return {
        "workspace": workspace.config.project.name,
        "folder": str(workspace.project),
        "now": clock.now(),
        "is_simulated": clock.is_simulated(),
        "is_running": workspace.is_running,
        "backlog": workspace.runs.backlog(workspace.config.limits, is_running=workspace.is_running),
        "pending_jobs": workspace.runs.pending(),
        "stranded_jobs": workspace.runs.stranded() if workspace.is_running else [],
        "endpoint_address": f"http://{holder.host}:{holder.port}" if holder else "",
        "policy": policy,
        "pipelines": _pipelines(workspace, measuring, policy, shown),
        "pipelines_count": len(known),
    }


def _pipelines(
    workspace: "Workspace", measuring: "Measuring", policy: str, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what is known of pipelines: of those of the project, and of those of which there are events only."""
    from ratchet import clock
    from ratchet.measure.freshness import freshness
    from ratchet.measure.steps import runs_here

    declared = workspace.pipelines()
    standings = {one.pipeline: one for one in measuring.standings(workspace.policy(policy))}
    found = []
    for name in names:
        standing, history = standings[name], measuring.history(name)
        ages = freshness(history, name)
        here = declared.get(name)
        found.append(
            {
                "pipeline": name,
                "runs_here": here is not None or runs_here(history.as_of(clock.now()), name),
                "level": standing.label,
                "level_name": standing.name,
                "is_insufficient": standing.is_insufficient,
                "data_age_days": ages.data_age_days,
                "train_age_days": ages.train_age_days,
                **(_here(workspace, name, str(here["model"])) if here else _elsewhere(workspace, name, ages)),
                "alerts": [{"id": one.id, "at": one.at, **one.data} for one in workspace.alerts(name)],
            }
        )
    return found


def _here(workspace: "Workspace", name: str, model: str) -> dict[str, Any]:
    """Return what the registry says of a pipeline of this project."""
    from ratchet.loop import registry

    live = workspace.live(model)
    last = next(iter(registry.runs(workspace.database, pipeline=name, limit=1)), None)
    return {
        "model": model,
        "live_version": live.model_version if live else "",
        "last_run": last.id if last else "",
        "last_run_status": last.status if last else "",
        "last_run_gate": last.gate if last else "",
        "last_run_at": last.queued_at if last else None,
    }


def _elsewhere(workspace: "Workspace", name: str, ages: "Freshness") -> dict[str, Any]:
    """Return what events say of a pipeline that runs in another system."""
    last = next(workspace.ledger.read(types=["run.finished"], pipeline=name, newest_first=True, limit=1), None)
    return {
        "model": "",
        "live_version": ", ".join(dict.fromkeys(one.version for one in ages.versions)),
        "last_run": str(last.data.get("run_id") or last.subject) if last else "",
        "last_run_status": str(last.data.get("outcome") or "") if last else "",
        "last_run_gate": "",
        "last_run_at": last.at if last else None,
    }


def _print(found: dict[str, Any]) -> None:
    from rich.text import Text

    from ratchet.cli import console

    runs = "yes" if found["is_running"] else "no; start it with: ratchet up"
    pairs: list[tuple[str, RenderableType]] = [
        ("workspace", f"{found['workspace']} in {found['folder']}"),
        ("running", runs),
    ]
    if found["endpoint_address"]:
        pairs.append(("endpoint", found["endpoint_address"]))
    pairs += [("to be done", one.sentence) for one in found["backlog"].kinds]
    pairs += [("warning", Text(one, style="yellow")) for one in found["backlog"].warnings]
    if found["pending_jobs"]:
        waiting = "" if found["is_running"] else ", carried out at the next start"
        pairs.append(("pending jobs", f"{len(found['pending_jobs'])}{waiting}"))
    pairs += [("waits in vain", f"{one.job_id}: {one.reason}") for one in found["stranded_jobs"]]
    if found["is_simulated"]:
        pairs.append(("clock", f"simulated, stands at {found['now']:%Y-%m-%d %H:%M} UTC"))
    console.say(console.facts(pairs))
    if not found["pipelines"]:
        console.say("\nNo pipelines yet: run one, and it is known. ratchet run PIPELINE")
        return
    console.say("")
    _print_pipelines(found["pipelines"])
    more = found["pipelines_count"] - len(found["pipelines"])
    if more:
        console.say(f"\nand {more} more: ratchet level shows the level of each")
    _print_alerts(found["pipelines"])


def _print_pipelines(pipelines: list[dict[str, Any]]) -> None:
    from ratchet.cli import console

    made = console.table("PIPELINE", "LEVEL", "LIVE", "DATA AGE", "TRAINED", "LAST RUN", right=("DATA AGE", "TRAINED"))
    for one in pipelines:
        outcome = one["last_run_gate"] or one["last_run_status"]
        last = f"{outcome}, {console.ago(one['last_run_at'])}" if outcome else "none yet"
        live = one["live_version"]
        made.add_row(
            _name(one),
            _level(one),
            live.removeprefix(one["pipeline"]).removeprefix("@") or "-",
            _days(one["data_age_days"]),
            _days(one["train_age_days"]),
            last,
        )
    console.say(made)


def _name(one: dict[str, Any]) -> "RenderableType":
    from rich.text import Text

    return Text.assemble(one["pipeline"], ("" if one["runs_here"] else "\nruns elsewhere", "dim"))


def _level(one: dict[str, Any]) -> "RenderableType":
    from rich.text import Text

    from ratchet.measure.counts import TOO_LITTLE

    return Text(TOO_LITTLE, style="dim") if one["is_insufficient"] else Text(one["level"])


def _days(age: float | None) -> str:
    from ratchet.cli.console import duration

    return "-" if age is None else duration(age * 86400)


def _print_alerts(pipelines: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from ratchet.cli import console

    alerts = [(one["pipeline"], alert) for one in pipelines for alert in one["alerts"]]
    if not alerts:
        return
    console.title("Alerts")
    for pipeline, alert in alerts:
        about = f" of '{alert['column']}'" if alert.get("column") else ""
        values = f"{console.number(alert['score'])}, at most {console.number(alert['threshold'])}"
        text = f"{pipeline}: {alert['kind']}{about} is {values}, since {console.ago(alert['at'])}"
        console.say(Text(text, style="red"))
        console.say(Text(f"  why: ratchet events {alert['id']}", style="dim"))
