"""``ratchet kpi``: numbers about how the work is done, each with what it says and the events behind it.

Invariant: a number without evidence is shown as such, never as 0; text and JSON say the same.
"""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.measure.kpis.readings import Reading
    from ratchet.workspace import Workspace

_DIMENSIONS = ("team", "department", "cost-centre", "pipeline", "endpoint", "model", "month")
_SHOWN_EVENTS = 12
_GOOD = {"up": "more is better", "down": "less is better", "none": "neither more nor less is better"}
_MET = {True: "met", False: "not met", None: ""}


@click.command(
    "kpi",
    epilog=examples(
        "ratchet kpi",
        "ratchet kpi time_to_deployment --explain",
        "ratchet kpi cost --by team --as-of 2026-03-31",
        "ratchet kpi models_in_production --for lending",
    ),
)
@click.argument("name", required=False, default="")
@click.option("--explain", is_flag=True, help="Show how it is worked out, and the events behind it.")
@click.option(
    "--as-of", "as_of", default="", metavar="DATE", help="As it was at the end of this day, or at this moment."
)
@click.option(
    "--by",
    default="",
    type=click.Choice(["", *_DIMENSIONS]),
    metavar="DIMENSION",
    help=f"One line for each: {', '.join(_DIMENSIONS)}.",
)
@click.option(
    "--for",
    "part",
    default="",
    metavar="NODE",
    help="Of one team, department, cost centre, pipeline, endpoint or model.",
)
@with_session
def kpi_command(session: Session, *, name: str, explain: bool, as_of: str, by: str, part: str) -> None:
    """Show numbers about how the work is done, with what they say.

    Without NAME all are shown, those that people ask for first at the top.
    """
    from ratchet.cli.level import parse_moment

    if by and not name:
        raise click.UsageError(f"--by {by} needs the name of one KPI; `ratchet kpi` lists them.")
    with session.workspace() as workspace:
        moment = parse_moment(as_of, zone=workspace.config.project.time_zone) if as_of else None
        if by:
            _show_parts(session, workspace, name, by=by, as_of=moment, part=part)
        elif name:
            _show_one(session, workspace, workspace.kpi(name, as_of=moment, scope=part), is_explained=explain)
        else:
            _show_all(session, workspace.kpis(as_of=moment, scope=part), is_explained=explain)


# ---- all


def _show_all(session: Session, readings: "list[Reading]", *, is_explained: bool) -> None:
    from rich.text import Text

    from ratchet.cli import console
    from ratchet.measure.kpis.readings import TEN, named_note, named_text

    if session.as_json:
        console.print_json(readings)
        return
    found = {reading.name: reading for reading in readings}
    made = console.table("KPI", "NOW", "WHAT IT SAYS")
    for named in TEN:
        if named.kpi in found:
            reading = found[named.kpi]
            note = named_note(named, reading)
            made.add_row(named.title, _now(named_text(named, reading), note), _meaning(reading))
    console.say(made)
    console.title("The rest")
    rest = console.table("KPI", "NOW", "WHAT IT SAYS")
    first = {named.kpi for named in TEN}
    for reading in readings:
        if reading.name not in first:
            rest.add_row(reading.title, _now(_value(reading), _target(reading)), _meaning(reading))
    console.say(rest)
    if is_explained:
        for reading in readings:
            console.title(reading.title)
            _explain(reading)
    names = ", ".join(reading.name for reading in readings)
    console.say(Text(f"\nOne in full: ratchet kpi NAME --explain. Names: {names}", style="dim"))


def _now(value: str, note: str) -> "RenderableType":
    from rich.text import Text

    style = "dim" if value == "no evidence" else "bold"
    return Text.assemble((value, style), (f"\n{note}" if note else "", _met_style(note)))


def _met_style(note: str) -> str:
    return "red" if note.endswith("not met") else "green" if note.endswith(": met") else "dim"


def _meaning(reading: "Reading") -> "RenderableType":
    from rich.text import Text

    owner = f"; owner: {reading.owner}" if reading.owner else ""
    return Text.assemble(reading.sentence, (f" {reading.timing}, {reading.nature}{owner}", "dim"))


def _value(reading: "Reading") -> str:
    from ratchet.measure.kpis.readings import value_text

    return "no evidence" if reading.status == "no evidence" else value_text(reading.value, reading.unit)


def _target(reading: "Reading") -> str:
    from ratchet.measure.kpis.readings import value_text

    if reading.target is None:
        return ""
    met = _MET[reading.is_met]
    return f"target {value_text(reading.target, reading.unit)}" + (f": {met}" if met else "")


# ---- one


def _show_one(session: Session, workspace: "Workspace", reading: "Reading", *, is_explained: bool) -> None:
    from rich.text import Text

    from ratchet.cli import console

    if session.as_json:
        console.print_json(reading)
        return
    of = f" of {reading.scope.name or 'nobody'}" if reading.scope.kind != "organisation" else ""
    console.say(Text(f"{reading.title}{of}: {_value(reading)}", style="bold"))
    console.say(reading.sentence)
    console.say("")
    console.say(console.facts(_about(reading)))
    if reading.status == "no evidence":
        console.say("\nNo event stands behind it yet, so it is not said to be anything.")
    else:
        _print_values(reading)
    if is_explained:
        _explain(reading)
        _print_events(workspace, reading)
    elif reading.events:
        count = console.count(len(reading.events), "event")
        console.say(Text(f"\nIt rests on {count}: ratchet kpi {reading.name} --explain", style="dim"))


def _about(reading: "Reading") -> "list[tuple[str, RenderableType]]":
    from ratchet.measure.kpis.readings import value_text

    pairs: list[tuple[str, Any]] = [("good", _GOOD[reading.direction]), ("kind", f"{reading.timing}, {reading.nature}")]
    pairs += [("owner", reading.owner)] if reading.owner else []
    pairs += [("target", _target(reading).removeprefix("target "))] if reading.target is not None else []
    pairs += [(line.label, value_text(line.value, reading.unit)) for line in reading.lines]
    pairs.append(("as of", f"{reading.at:%Y-%m-%d %H:%M} UTC, event #{reading.seq}"))
    return pairs


def _print_values(reading: "Reading") -> None:
    from ratchet.cli import console

    console.title("Its numbers")
    console.say(console.facts([(name, console.number(value)) for name, value in reading.values.items()]))
    if reading.by:
        console.title("In parts")
        console.say(console.facts([(part, _written(entry)) for part, entry in reading.by.items()]))


def _written(value: Any) -> str:
    """Return a value of a breakdown in one line."""
    from ratchet.cli import console

    if isinstance(value, dict):
        return ", ".join(f"{name} {_written(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "none"
    return console.number(value)


def _explain(reading: "Reading") -> None:
    from rich.padding import Padding

    from ratchet.cli import console
    from ratchet.measure.kpis.readings import kpi_named

    kpi = kpi_named(reading.name)
    console.title("How it is worked out")
    console.say(Padding(kpi.formula, (0, 0, 0, 2)))
    for case in kpi.edge_cases:
        console.say(Padding(f"- {case}", (0, 0, 0, 2)))
    console.say(Padding(f"Definition {console.short(reading.digest)}", (0, 0, 0, 2)))


def _print_events(workspace: "Workspace", reading: "Reading") -> None:
    from ratchet.cli import console

    if not reading.events:
        return
    console.title(f"What it rests on: {console.count(len(reading.events), 'event')}")
    made = console.table("EVENT", "TYPE", "SUBJECT", "WHEN", whole=("EVENT", "WHEN"))
    for event_id in reading.events[-_SHOWN_EVENTS:]:
        event = workspace.ledger.find(event_id)
        if event is not None:
            made.add_row(event_id, event.type, console.short(event.subject), f"{event.at:%Y-%m-%d %H:%M}")
    console.say(made)
    if len(reading.events) > _SHOWN_EVENTS:
        console.say(f"and {len(reading.events) - _SHOWN_EVENTS} before; all of them with --json")


# ---- by parts


def _show_parts(session: Session, workspace: "Workspace", name: str, *, by: Any, as_of: Any, part: str) -> None:
    from ratchet.cli import console
    from ratchet.measure.kpis.readings import by_dimension, kpi_named

    kpi = kpi_named(name)
    found = by_dimension(kpi, workspace.ask(as_of=as_of, scope=part), by)
    if session.as_json:
        console.print_json(msgspec.to_builtins(found))
        return
    if not found:
        console.say(f"There is no {by} yet.")
        return
    made = console.table(by.upper(), "NOW" if by != "month" else "AT ITS END", "TARGET", "EVENTS", right=("EVENTS",))
    for label, reading in found.items():
        made.add_row(label, _value(reading), _target(reading).removeprefix("target "), str(len(reading.events)))
    console.say(made)
    console.say(f"\n{kpi.title}. {kpi.sentence}")
