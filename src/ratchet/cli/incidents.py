"""``ratchet incidents``: what broke, which change it came from, and what people say; told by hand where no pager does.

Invariant: what was computed is printed beside what people say, and nothing that is told here changes it.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import ShowByDefault
from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ratchet.measure.incidents.attribution import Attribution
    from ratchet.measure.incidents.candidates import Ground
    from ratchet.records import Event
    from ratchet.workspace import Workspace

_STEPS = {
    "remedy": "what put it right",
    "canary": "what a canary showed",
    "candidates": "what changed near it",
    "conduct": "what people did",
    "people": "what people say",
}
_VERDICT_STYLES = {"proven": "red", "likely": "yellow", "ambiguous": "yellow", "not change-induced": "dim"}

_SHORT = {"not change-induced": "no change"}


@click.group(
    "incidents",
    cls=ShowByDefault,
    epilog=examples(
        "ratchet incidents",
        "ratchet incidents INC-07 --explain",
        "ratchet incidents report --service flight-delay --title 'all answers late'",
        "ratchet incidents resolve INC-07 --remedy 01J...",
        "ratchet incidents attribute INC-07 --cause none --reference review-4",
    ),
)
def incidents_command() -> None:
    """Show incidents and what they came from; report, resolve and attribute one.

    Without a command: ratchet incidents show.
    """


# ---- looking


@incidents_command.command(
    "show",
    epilog=examples(
        "ratchet incidents show INC-07 --explain",
        "ratchet incidents                 the same without `show`",
        "ratchet incidents --json | jq '.[].cause'",
    ),
)
@click.argument("name", required=False, default="", metavar="[INCIDENT]")
@click.option("--explain", is_flag=True, help="Print how each attribution came about, step by step.")
@with_session
def show_command(session: Session, *, name: str, explain: bool) -> None:
    """Show all incidents, or one of them with the events behind it."""
    from ratchet.cli import console
    from ratchet.measure.incidents.export import to_values

    with session.workspace() as workspace:
        found = _chosen(workspace, name)
        if session.as_json:
            console.print_json(to_values(found[0]) if name else [to_values(one) for one in found])
        elif name or explain:
            for one in found:
                _print_one(workspace, one, is_explained=explain)
        else:
            _print_list(found, _zone(workspace))


def _chosen(workspace: "Workspace", name: str) -> "list[Attribution]":
    """Return all incidents, or the one of a name.

    Raises:
        UnknownName: There is none.
    """
    from ratchet.measure.incidents.telling import incident_named
    from ratchet.measure.kpis.failures import attributed, ground_of

    question = workspace.ask()
    found = attributed(question)
    if not name:
        return found
    wanted = incident_named(ground_of(question), name).name
    return [one for one in found if one.incident.name == wanted]


def _print_list(found: "list[Attribution]", zone: "ZoneInfo") -> None:
    from rich.text import Text

    from ratchet.cli import console

    if not found:
        console.say("No incidents are known. Report one with: ratchet incidents report --service SERVICE")
        return
    whole, narrow = ("INCIDENT", "ONSET", "LASTED", "CAME FROM"), ("SERVICE", "PEOPLE")
    made = console.table("INCIDENT", "SERVICE", "ONSET", "LASTED", "CAME FROM", "PEOPLE", whole=whole, narrow=narrow)
    for one in reversed(found):
        incident = one.incident
        verdict = Text(_SHORT.get(one.verdict, one.verdict), style=_VERDICT_STYLES[one.verdict])
        lasted = incident.lasted
        onset = console.moment_text(incident.onset, zone) + ("*" if incident.is_ticket else "")
        made.add_row(incident.name, incident.service, onset, lasted, verdict, one.conduct.kind if one.conduct else "-")
    console.say(made)
    if any(one.incident.is_ticket for one in found):
        console.say("* the time of a ticket: no monitor saw it")
    disputed = [one.incident.name for one in found if one.is_disputed]
    if disputed:
        console.say(f"People name another cause for {', '.join(disputed)}.")
    console.say("\nOne in full: ratchet incidents NAME --explain")


def _print_one(workspace: "Workspace", one: "Attribution", *, is_explained: bool) -> None:
    from rich.text import Text

    from ratchet.cli import console

    incident, zone = one.incident, _zone(workspace)
    console.say(Text(f"{incident.name}: {incident.service}, {incident.lasted}", style="bold"))
    if incident.title:
        console.say(incident.title)
    pairs: list[tuple[str, Any]] = [
        ("onset", f"{console.moment_text(incident.onset, zone)}, seen by a {_seen_by(one)}"),
        ("detected", console.moment_text(incident.detected, zone)),
        ("mitigated", console.moment_text(incident.mitigated.at if incident.mitigated else None, zone)),
        ("in bounds", console.moment_text(incident.back, zone)),
        ("came from", Text(one.verdict, style=_VERDICT_STYLES[one.verdict])),
    ]
    pairs += [(f"  weight {weight:.2f}", _event(workspace, event, zone)) for event, weight in one.weights.items()]
    pairs.append(("people", f"{one.conduct.kind}: {one.conduct.sentence}" if one.conduct else "no person's act"))
    if one.said is not None:
        said = " ".join(filter(None, [one.said.verdict, one.said.kind, f"({one.said.reference})"]))
        pairs.append(("people say", f"{said}, not as computed" if one.is_disputed else said))
    console.say(console.facts(pairs))
    if is_explained:
        _print_reasons(workspace, one)
    else:
        console.say(Text(f"\nHow it came to this: ratchet incidents {incident.name} --explain", style="dim"))
    console.say("")


def _seen_by(one: "Attribution") -> str:
    return {"monitor": "monitor", "slo": "service level", "ticket": "person only (ticket)"}[one.incident.onset_from]


def _print_reasons(workspace: "Workspace", one: "Attribution") -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ratchet.cli import console

    console.say("")
    for reason in one.reasons:
        style = "bold" if reason.holds else "dim"
        console.say(Text.assemble((f"{_STEPS[reason.step]}: ", style), reason.sentence))
        for event in reason.events:
            console.say(Padding(_event(workspace, event, _zone(workspace)), (0, 0, 0, 2)))


def _event(workspace: "Workspace", event_id: str, zone: "ZoneInfo") -> str:
    from ratchet.cli import console

    event = workspace.ledger.find(event_id)
    if event is None:
        return event_id
    return f"{event_id}  {event.type} {console.short(event.subject)}, {console.moment_text(event.at, zone)}"


# ---- telling


@incidents_command.command(
    "report",
    epilog=examples(
        "ratchet incidents report --service flight-delay --title 'all answers late'",
        "ratchet incidents report INC-ops-12 --service flight-delay --since 2026-03-31T18:00",
    ),
)
@click.argument("name", required=False, default="", metavar="[INCIDENT]")
@click.option("--service", required=True, help="What is out of bounds: an endpoint, or another service.")
@click.option("--since", default="", metavar="TIME", help="Since when, as far as you know; now if not given.")
@click.option("--title", default="", help="What is wrong, in a few words.")
@click.option("--elsewhere", is_flag=True, help="Take a service that the ledger knows nothing of.")
@with_session
def report_command(session: Session, *, name: str, service: str, since: str, title: str, elsewhere: bool) -> None:
    """Report an incident by hand, where no monitor and no pager does.

    Its times are marked as a ticket's unless an alert or a service level was out of bounds then.
    """
    from ratchet.measure.incidents import telling

    with session.workspace() as workspace:
        ground = _ground(workspace)
        opened = _moment(since, "--since", workspace) if since else ground.snapshot.at
        event = telling.reported(ground, service, name=name, opened_at=opened, title=title, is_elsewhere=elsewhere)
        recorded = _record(workspace, "report_incident", [event])
        _print_told(
            session,
            recorded,
            f"Incident {event.subject} is reported. When it is over: ratchet incidents resolve {event.subject}",
        )


@incidents_command.command(
    "resolve",
    epilog=examples(
        "ratchet incidents resolve INC-07",
        "ratchet incidents resolve INC-07 --remedy 01J... --since 2026-03-31T20:15",
    ),
)
@click.argument("name", metavar="INCIDENT")
@click.option("--since", default="", metavar="TIME", help="Since when it is back in bounds; now if not given.")
@click.option("--remedy", default="", metavar="EVENT", help="The event that restored it, such as a rollback's.")
@with_session
def resolve_command(session: Session, *, name: str, since: str, remedy: str) -> None:
    """Say that an incident is over, and what put it right.

    A remedy that takes a change back proves that the change was the cause.
    """
    from ratchet.measure.incidents import telling

    with session.workspace() as workspace:
        ground = _ground(workspace)
        back = _moment(since, "--since", workspace) if since else ground.snapshot.at
        events = telling.resolved(ground, name, back_in_bounds=back, remedy=_event_id(workspace, remedy))
        recorded = _record(workspace, "resolve_incident", events)
        _print_told(session, recorded, f"Incident {name} is over. What it came from: ratchet incidents {name}")


@incidents_command.command(
    "attribute",
    epilog=examples(
        "ratchet incidents attribute INC-07 --cause 01J... --reference 'review of 3 April' --class slip",
        "ratchet incidents attribute INC-07 --cause none --reference TICKET-311",
    ),
)
@click.argument("name", metavar="INCIDENT")
@click.option("--cause", required=True, metavar="EVENT", help="The change that it came from, or 'none'.")
@click.option("--reference", required=True, metavar="TEXT", help="Where that is written down.")
@click.option("--class", "kind", default="", metavar="CLASS", help="What a person did: slip, bypass, edit, ...")
@click.option("--verdict", default="", metavar="VERDICT", help="How sure you are: proven, likely or ambiguous.")
@with_session
def attribute_command(session: Session, *, name: str, cause: str, reference: str, kind: str, verdict: str) -> None:
    """Name the cause of an incident; what was computed stays beside it.

    Classes: slip, bypass, edit, omission, approval-of-failing, and gate-gap where the gate was at fault. The share of
    incidents on which people and the computation disagree is a part of the KPI human_induced_errors.
    """
    from ratchet.measure.incidents import telling

    with session.workspace() as workspace:
        ground = _ground(workspace)
        telling.incident_named(ground, name)
        (found,) = _chosen(workspace, name)
        named = cause if cause == telling.NO_CAUSE else _event_id(workspace, cause)
        event = telling.adjudicated(ground, found, cause=named, reference=reference, kind=kind, verdict=verdict)
        recorded = _record(workspace, "attribute_incident", [event])
        same = "as computed" if event.data["computed"] == _pair(event) else f"computed: {found.verdict}"
        _print_told(session, recorded, f"Recorded for {name}: {event.data['verdict']} ({same}).")


def _pair(event: "Event") -> dict[str, str]:
    return {"cause": event.data["cause"], "verdict": event.data["verdict"]}


def _record(workspace: "Workspace", action: str, events: "list[Event]") -> "list[Event]":
    """Append what a person tells, caused by the command that it was told with."""
    last = events[-1]
    asked = {name: value for name, value in last.data.items() if name != "computed"}
    with workspace.by_command(action, asked, subject=last.subject):
        return workspace.ledger.record(*events)


def _print_told(session: Session, events: "list[Event]", sentence: str) -> None:
    from ratchet.cli import console
    from ratchet.store.ledger import to_export

    if session.as_json:
        console.print_json([to_export(event) for event in events])
    else:
        console.say(sentence)


def _ground(workspace: "Workspace") -> "Ground":
    from ratchet.measure.kpis.failures import ground_of

    return ground_of(workspace.ask())


def _event_id(workspace: "Workspace", name: str) -> str:
    """Return the id of an event that is named by its id or its place in the ledger; ``""`` stays."""
    from ratchet.cli.events import find_event

    return find_event(workspace, name).id if name else ""


def _moment(text: str, option: str, workspace: "Workspace") -> datetime:
    """Return the moment that a date and time means, in the project's zone if it names none.

    Raises:
        BadParameter: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or len(text) <= len("2026-03-31"):
        message = f"'{text}' is no date with a time. Write it as 2026-03-31T18:00."
        raise click.BadParameter(message, param_hint=option)
    return (moment if moment.tzinfo else moment.replace(tzinfo=_zone(workspace))).astimezone(UTC)


def _zone(workspace: "Workspace") -> "ZoneInfo":
    from zoneinfo import ZoneInfo

    return ZoneInfo(workspace.config.project.time_zone)
