"""``ratchet kpi``: numbers about how the work is done, each with what it says and the events behind it.

Invariant: a number without evidence is shown as such, never as 0; text and JSON say the same.
"""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.measure.kpis.readings import Named, Reading
    from ratchet.workspace import Workspace

_DIMENSIONS = ("team", "department", "cost-centre", "pipeline", "endpoint", "model", "month")
_SHOWN_EVENTS = 12
_TREND = timedelta(days=30)
_OURS = re.compile(r"(?:.*_)?(?:p\d\d|age|waiting)_(hours|days)")
_GOOD = {"up": "more is better", "down": "less is better", "none": "neither more nor less is better"}
_MET = {True: "met", False: "not met", None: ""}


@click.command(
    "kpi",
    epilog=examples(
        "ratchet kpi",
        "ratchet kpi --all",
        "ratchet kpi time_to_deployment --explain",
        "ratchet kpi cost --by team --as-of 2026-03-31",
        "ratchet kpi models_in_production --for lending",
    ),
)
@click.argument("name", required=False, default="")
@click.option("--all", "is_whole", is_flag=True, help="Show all, not only those that people ask for first.")
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
def kpi_command(session: Session, *, name: str, is_whole: bool, explain: bool, as_of: str, by: str, part: str) -> None:
    """Show numbers about how the work is done, with what they say.

    Without NAME those that people ask for first have a line each: how it is, how it was 30 days before, how it
    should be. With --json it is always all of them.
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
            _show_all(session, workspace, as_of=moment, part=part, is_whole=is_whole, is_explained=explain)


# ---- all


def _show_all(
    session: Session, workspace: "Workspace", *, as_of: Any, part: str, is_whole: bool, is_explained: bool
) -> None:
    """Print the ten that people ask for first, one line each, and the rest where it is wanted."""
    from rich.text import Text

    from ratchet.cli import console
    from ratchet.measure.kpis.readings import TEN, Named, in_order, kpi_named, read

    if session.as_json:
        console.print_json(workspace.kpis(as_of=as_of, scope=part))
        return
    question = workspace.ask(as_of=as_of, scope=part)
    before = question.at(question.as_of - _TREND)
    first = {named.kpi for named in TEN}
    rest = [Named(title=kpi_named(name).title, kpi=name) for name in in_order() if name not in first]
    shown = [*TEN, *rest] if is_whole or is_explained else TEN
    now = {named.kpi: read(kpi_named(named.kpi), question) for named in shown}
    then = {named.kpi: read(kpi_named(named.kpi), before) for named in shown}
    made = console.table("KPI", "NOW", "TREND, 30 DAYS", "TARGET")
    for named in shown:
        reading = now[named.kpi]
        made.add_row(named.title, _now(named, reading), _trend(named, reading, then[named.kpi]), _target_text(reading))
    console.say(made)
    if is_explained:
        for reading in now.values():
            console.title(reading.title)
            console.say(reading.sentence)
            _explain(reading)
    if all(reading.target is None for reading in now.values()):
        console.say(Text("\nNo targets are set. They stand in ratchet.toml: [kpi.NAME], target = ...", style="dim"))
    console.say(
        Text(f"\nWhat one says, and the events behind it: ratchet kpi NAME. Names: {', '.join(now)}", style="dim")
    )
    if len(shown) == len(TEN):
        console.say(Text(f"All {len(in_order())}: ratchet kpi --all", style="dim"))


def _now(named: "Named", reading: "Reading") -> "RenderableType":
    from rich.text import Text

    from ratchet.measure.kpis.readings import named_text

    return Text(named_text(named, reading), style="dim" if reading.status == "no evidence" else "bold")


def _trend(named: "Named", now: "Reading", before: "Reading") -> "RenderableType":
    """Return how it was a month before, in the colour of whether that has got better."""
    from rich.text import Text

    from ratchet.measure.kpis.readings import MISSING, named_text, value_text

    then = named_text(named, before)
    if before.status == "no evidence" or then == MISSING:
        return Text("-", style="dim")
    if then == named_text(named, now):
        return Text("as before", style="dim")
    if named.part or not isinstance(now.value, int | float) or not isinstance(before.value, int | float):
        return Text(f"was {then}", style="dim")
    is_up = now.value > before.value
    style = {"up": "green" if is_up else "red", "down": "red" if is_up else "green", "none": ""}[now.direction]
    # The unit stands beside it already, where it does not change with the size of the number.
    then = then if now.unit in ("share", "hours", "h") else value_text(before.value, "")
    return Text(f"{'up' if is_up else 'down'} from {then}", style=style)


def _target_text(reading: "Reading") -> "RenderableType":
    from rich.text import Text

    from ratchet.measure.kpis.readings import value_text

    if reading.target is None:
        return Text("-", style="dim")
    met = _MET[reading.is_met]
    style = {True: "green", False: "red", None: ""}[reading.is_met]
    return Text(", ".join(filter(None, (value_text(reading.target, reading.unit), met))), style=style)


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
    from ratchet.measure.kpis.readings import named_value

    console.title("Its numbers")
    console.say(console.facts([named_value(name, value) for name, value in reading.values.items()]))
    if reading.by:
        console.title("In parts")
        console.say(console.facts([_part_line(str(part), entry) for part, entry in reading.by.items()]))


def _written(value: Any) -> str:
    """Return a value of a breakdown in one line."""
    from ratchet.cli import console

    if isinstance(value, dict):
        return ", ".join(_part(str(name), one) for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "none"
    return console.number(value)


def _part(name: str, value: Any) -> str:
    """Return one entry of a breakdown; only names of our own are read for a unit, not those of callers and teams."""
    from ratchet.measure.kpis.readings import named_value

    return " ".join(named_value(name, value)) if _OURS.fullmatch(name) else f"{name} {_written(value)}"


def _part_line(name: str, value: Any) -> tuple[str, str]:
    """Return a breakdown with its name, whose end may be the unit of all its numbers."""
    from ratchet.measure.kpis.readings import named_value

    found = _OURS.fullmatch(name)
    if not found or isinstance(value, list):
        return name, _written(value)
    if not isinstance(value, dict):
        return named_value(name, value)
    label, _ = named_value(name, None)
    return label, ", ".join(f"{key} {named_value(f'_{found[1]}', one)[1]}" for key, one in value.items()) or "none"


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
