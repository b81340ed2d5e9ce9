"""``ratchet assess``: process maps: begin one, draw it, compare two, plan the way between them, put one on record.

Invariant: what people declare needs no workspace; what the ledger shows is added where there is one, and is never mixed
with it; a file is written as a whole or not at all, and never over a map.
"""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from ratchet.cli.groups import Group
from ratchet.cli.outputs import make_folder, write_output
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rich.console import RenderableType

    from ratchet.measure.maps.differences import Difference
    from ratchet.measure.maps.follows import Proposal
    from ratchet.measure.maps.measured import Measured
    from ratchet.measure.maps.plans import Plan
    from ratchet.measure.maps.process_maps import ProcessMap
    from ratchet.workspace import Workspace

_Command = TypeVar("_Command", bound=Callable[..., Any])
FOLDER = "assessment"
_OUT = "Write it to a file as well: "
_STYLES = {
    "automated": "green",
    "semi-automated": "yellow",
    "non-repeatable": "dark_orange",
    "exceptionally manual": "magenta",
    "absent": "dim",
    "unmeasured": "dim",
    "done": "green",
    "under way": "cyan",
    "overdue": "red",
}


def _written_to(forms: str) -> Callable[[_Command], _Command]:
    """Return the option that names files to write; their endings say in which form."""
    files = click.Path(dir_okay=False, path_type=Path)
    return click.option("--out", "outs", multiple=True, type=files, help=f"{_OUT}{forms}")


@click.group(
    "assess",
    cls=Group,
    epilog=examples(
        "ratchet assess init",
        "ratchet assess map assessment/current.toml --out map.html",
        "ratchet assess diff assessment/current.toml assessment/target.toml",
        "ratchet assess plan assessment/current.toml assessment/target.toml",
    ),
)
def assess_command() -> None:
    """Draw how the work is done today, how it shall be done, and the way between.

    A map is a TOML file with a table for each process: its purpose, who does it, and how far it runs by itself. Where
    there is a workspace, the ledger's view of the same processes stands beside it.
    """


# ---- what is read


class _Source:
    """A workspace, or none, for maps that come from files or from the ledger."""

    def __init__(self, workspace: "Workspace | None") -> None:
        self.workspace = workspace

    def map(self, name: str) -> "ProcessMap":
        """Return the map in a file, or the recorded one of this reference.

        Raises:
            ConfigInvalid: There is no such file, or it describes no map.
        """
        from ratchet.measure.maps import process_maps, recording

        path = Path(name)
        if "@" in name and not path.exists() and self.workspace is not None:
            recorded = {one.process_map.reference: one for one in recording.recorded_maps(self.workspace.history())}
            if name in recorded:
                return recorded[name].process_map
            raise Refused(
                f"{name} is neither a file nor a recorded map. Recorded: {', '.join(recorded) or 'none yet'}."
            )
        return process_maps.load(path)

    def measured(self, process_map: "ProcessMap", as_of: "datetime | None" = None) -> "dict[str, Measured] | None":
        """Return what the ledger says about a map; ``None`` where there is no ledger."""
        from ratchet.measure.maps.measured import measure_degrees

        if self.workspace is None:
            return None
        return measure_degrees(self.workspace.history(), process_map, as_of=as_of)


@contextmanager
def _source(session: Session) -> "Iterator[_Source]":
    """Open the workspace if there is one; maps are drawn without one, too."""
    from ratchet import config
    from ratchet.errors import WorkspaceNotFound

    try:
        config.find(Path(session.folder or "."))
    except WorkspaceNotFound:
        if session.folder:
            raise
        yield _Source(None)
        return
    with session.workspace() as workspace:
        yield _Source(workspace)


# ---- init


@assess_command.command(
    "init",
    short_help="Begin with a map that ships.",
    epilog=examples("ratchet assess init", "ratchet assess init loans --template ai-act-9-15 --id loans"),
)
@click.argument("into", metavar="[DIR]", default=FOLDER, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--template",
    default="ml-process",
    show_default=True,
    help="Which one: ml-process, crisp-ml-q, stack-canvas, ml-test-score, ai-act-9-15 or nist-ai-rmf.",
)
@click.option("--id", "map_id", default="", help="Id of the map; by default the template's name.")
@with_session
def init_command(session: Session, *, into: Path, template: str, map_id: str) -> None:
    """Begin with a map that ships: DIR/current.toml to fill in, and DIR/target.toml as a first aim.

    Nothing is written over.
    """
    from ratchet.cli import console
    from ratchet.measure.maps import process_maps, templates

    texts = {
        into / "current.toml": templates.template_text(template, kind="current", map_id=map_id),
        into / "target.toml": templates.template_text(template, kind="target", map_id=map_id),
    }
    maps = {path: process_maps.parse(text.encode(), where=str(path)) for path, text in texts.items()}
    for path in texts:
        if path.exists():
            raise Refused(f"{path} exists already and is left as it is. Choose another folder: ratchet assess init DIR")
    make_folder(into)
    for path, text in texts.items():
        write_output(path, text.encode())
    current = into / "current.toml"
    if session.as_json:
        files = [{"file": str(path), "map": one.reference, "digest": one.digest} for path, one in maps.items()]
        console.print_json({"template": template, "files": files})
        return
    console.say(f"{len(maps[current].nodes)} processes, from the template {template}: {templates.ABOUT[template]}.\n")
    console.say(
        console.facts(
            [
                (f"  {current}", "how it is done today: give each process its degree"),
                (f"  {into / 'target.toml'}", "how it shall be done: a first aim, to be discussed"),
            ]
        )
    )
    console.say("\nNext:")
    console.say(f"  ratchet assess map {current} --out {into / 'current.html'}", is_whole=True)
    console.say(f"  ratchet assess diff {current} {into / 'target.toml'}", is_whole=True)


# ---- map


@assess_command.command(
    "map",
    short_help="Draw a map, and set the ledger's view beside it.",
    epilog=examples(
        "ratchet assess map current.toml",
        "ratchet assess map current.toml --out map.html --out map.svg",
        "ratchet assess map current.toml --propose-edges",
        "ratchet assess map flights-current@1",
    ),
)
@click.argument("file")
@_written_to(".svg, .html, .md, .mmd (Mermaid), .bpmn (BPMN 2.0), .json (OCEL 2.0) or .toml.")
@click.option("--propose-edges", is_flag=True, help="Show which process directly follows which, by the ledger.")
@click.option("--as-of", "as_of", default="", metavar="DATE", help="By the ledger as it was at the end of this day.")
@with_session
def map_command(session: Session, *, file: str, outs: tuple[Path, ...], propose_edges: bool, as_of: str) -> None:
    """Draw a map, and set the ledger's view beside it.

    FILE is a map, or the reference of one that is on record, such as flights-current@1.
    """
    from ratchet.cli import console
    from ratchet.measure.maps.follows import propose_edges as propose
    from ratchet.measure.maps.measured import disagreements

    _require_ending(outs, tuple(_WRITERS))
    with _source(session) as source:
        process_map = source.map(file)
        moment = _moment(source, as_of)
        measured = source.measured(process_map, moment)
        for path in outs:
            text = _WRITERS[path.suffix.lower()](source, process_map, measured, moment)
            write_output(path, text.encode(), inputs=(file,))
        proposals: list[Proposal] = []
        if propose_edges:
            if source.workspace is None:
                raise Refused("There is no workspace here, and so no ledger that could propose edges.")
            proposals = propose(source.workspace.history(), process_map, as_of=moment)
    differing = disagreements(process_map, measured or {})
    if session.as_json:
        values: dict[str, Any] = {
            "map": msgspec.to_builtins(process_map),
            "reference": process_map.reference,
            "digest": process_map.digest,
            "degrees": process_map.count_by_degree(),
            "measured": msgspec.to_builtins(measured),
            "disagreements": msgspec.to_builtins(differing),
            "written": [str(path) for path in outs],
        }
        console.print_json(values | ({"proposed_edges": msgspec.to_builtins(proposals)} if propose_edges else {}))
        return
    if propose_edges:
        _print_proposals(process_map, proposals)
    else:
        _print_map(process_map, measured)
    for path in outs:
        console.note(f"Written: {path}")


def _moment(source: _Source, as_of: str) -> "datetime | None":
    from ratchet.cli.level import parse_moment

    if not as_of:
        return None
    if source.workspace is None:
        raise Refused("There is no workspace here, and so no ledger to look back into with --as-of.")
    return parse_moment(as_of, zone=source.workspace.config.project.time_zone)


def _as_svg(_source: _Source, process_map: "ProcessMap", measured: Any, _moment: Any) -> str:
    from ratchet.measure.maps.svg import draw

    return draw(process_map, measured)


def _as_html(source: _Source, process_map: "ProcessMap", measured: Any, moment: Any) -> str:
    from ratchet.measure.maps.pages import to_html

    seq = source.workspace.history().as_of(moment).seq if source.workspace is not None else 0
    return to_html(process_map, measured, seq=seq)


def _as_markdown(_source: _Source, process_map: "ProcessMap", measured: Any, _moment: Any) -> str:
    from ratchet.measure.maps.markdown import to_markdown

    return to_markdown(process_map, measured)


def _as_mermaid(_source: _Source, process_map: "ProcessMap", _measured: Any, _moment: Any) -> str:
    from ratchet.measure.maps.mermaid import to_mermaid

    return to_mermaid(process_map)


def _as_bpmn(_source: _Source, process_map: "ProcessMap", measured: Any, _moment: Any) -> str:
    from ratchet.measure.maps.bpmn import to_bpmn

    return to_bpmn(process_map, measured)


def _as_ocel(source: _Source, process_map: "ProcessMap", measured: Any, moment: Any) -> str:
    from ratchet.measure.maps.ocel import to_ocel

    history = source.workspace.history() if source.workspace is not None else None
    values = to_ocel(process_map, measured=measured, history=history, as_of=moment)
    return msgspec.json.format(msgspec.json.encode(values), indent=1).decode() + "\n"


def _as_toml(_source: _Source, process_map: "ProcessMap", _measured: Any, _moment: Any) -> str:
    from ratchet.measure.maps.process_maps import to_toml

    return to_toml(process_map)


_WRITERS = {
    ".svg": _as_svg,
    ".html": _as_html,
    ".md": _as_markdown,
    ".mmd": _as_mermaid,
    ".bpmn": _as_bpmn,
    ".json": _as_ocel,
    ".toml": _as_toml,
}


def _degree(name: str) -> "RenderableType":
    from rich.text import Text

    return Text(name, style=_STYLES.get(name, ""))


def _print_map(process_map: "ProcessMap", measured: "dict[str, Measured] | None") -> None:
    from ratchet.cli import console
    from ratchet.measure.maps.measured import disagreements
    from ratchet.measure.maps.svg import degree_summary

    console.say(f"{process_map.title} ({process_map.reference})")
    console.say(degree_summary(process_map))
    headers = ("PROCESS", "DEGREE", "MEASURED") if measured is not None else ("PROCESS", "DEGREE", "WHO")
    for phase in process_map.phases:
        console.title(phase)
        made = console.table(*headers, whole=("DEGREE", "MEASURED"))
        for node in process_map.in_phase(phase):
            if measured is None:
                made.add_row(node.name, _degree(node.degree), ", ".join(node.roles))
            else:
                made.add_row(node.name, _degree(node.degree), _degree(_shown(measured[node.id], node.bound_to)))
        console.say(made)
    if measured is None:
        console.note("\nThere is no workspace here: only what people declare is shown.")
        return
    differing = disagreements(process_map, measured)
    console.title(f"Where people and ledger disagree: {len(differing)}")
    for one in differing:
        console.say(f"{one.name}: people say {one.declared}, the ledger shows {one.measured}. {one.reason}")


def _shown(measured: "Measured", bound_to: object) -> str:
    return measured.degree if bound_to is not None else "-"


def _print_proposals(process_map: "ProcessMap", proposals: "list[Proposal]") -> None:
    from ratchet.cli import console
    from ratchet.measure.maps.process_maps import edge_lines

    if not proposals:
        console.say("The ledger proposes no edge: too few processes are bound to it, or too little has happened.")
        return
    made = console.table("FROM", "TO", "SEEN", "SHARE", "", right=("SEEN", "SHARE"))
    for one in proposals:
        state = "on the map" if one.is_drawn else "new, leads back" if one.edge.loop else "new"
        made.add_row(one.edge.source, one.edge.target, str(one.count), f"{one.share:.0%}", state)
    console.say(made)
    new = [one.edge for one in proposals if not one.is_drawn]
    if new:
        console.say(f"\nTo take them over, add to {process_map.id}:\n")
        console.say("\n\n".join("\n".join(edge_lines(edge)) for edge in new), is_whole=True)


# ---- diff


@assess_command.command(
    "diff",
    short_help="Compare two maps, process by process.",
    epilog=examples(
        "ratchet assess diff current.toml target.toml",
        "ratchet assess diff current.toml target.toml --out gap.html --out gap.svg",
    ),
)
@click.argument("before", metavar="CURRENT")
@click.argument("after", metavar="TARGET")
@_written_to(".svg, .html (both draw the changes) or .md.")
@with_session
def diff_command(session: Session, *, before: str, after: str, outs: tuple[Path, ...]) -> None:
    """Compare two maps, process by process, and say what to mind about the second.

    A picture shows each process with its degree today and the one to come.
    """
    from ratchet.cli import console
    from ratchet.measure.maps.differences import compare

    _require_ending(outs, tuple(_DIFFERENCE_WRITERS))
    with _source(session) as source:
        maps = source.map(before), source.map(after)
    difference = compare(*maps)
    for path in outs:
        write_output(path, _DIFFERENCE_WRITERS[path.suffix.lower()](*maps).encode(), inputs=(before, after))
    if session.as_json:
        console.print_json(msgspec.to_builtins(difference) | {"written": [str(path) for path in outs]})
        return
    _print_difference(difference)
    for path in outs:
        console.note(f"Written: {path}")


def _require_ending(outs: tuple[Path, ...], known: tuple[str, ...]) -> None:
    for path in outs:
        if path.suffix.lower() not in known:
            raise click.UsageError(f"{path} has an unknown ending. Known: {', '.join(known)}.")


def _difference_as_svg(before: "ProcessMap", after: "ProcessMap") -> str:
    from ratchet.measure.maps.difference_svg import draw_difference

    return draw_difference(before, after)


def _difference_as_html(before: "ProcessMap", after: "ProcessMap") -> str:
    from ratchet.measure.maps.pages import difference_to_html

    return difference_to_html(before, after)


def _difference_as_markdown(before: "ProcessMap", after: "ProcessMap") -> str:
    from ratchet.measure.maps.differences import compare
    from ratchet.measure.maps.markdown import difference_to_markdown

    return difference_to_markdown(compare(before, after))


_DIFFERENCE_WRITERS = {".svg": _difference_as_svg, ".html": _difference_as_html, ".md": _difference_as_markdown}


def _print_difference(difference: "Difference") -> None:
    from ratchet.cli import console

    console.say(difference.distance)
    changed = [one for one in difference.changes if one.before != one.after]
    if changed:
        console.say("")
        made = console.table("PROCESS", "FROM", "TO", "STEPS", right=("STEPS",), whole=("FROM", "TO"))
        for one in changed:
            made.add_row(one.name, _degree(one.before), _degree(one.after), f"{one.steps:+d}" if one.steps else "")
        console.say(made)
    same = len(difference.changes) - len(changed)
    console.say(f"\n{same} {'process stays' if same == 1 else 'processes stay'} as before.")
    edges = [("+", edge) for edge in difference.added_edges] + [("-", edge) for edge in difference.removed_edges]
    if edges:
        console.title("Edges")
        for sign, edge in edges:
            console.say(f"{sign} {edge.source} -> {edge.target}{f': {edge.artifact}' if edge.artifact else ''}")
    _print_findings(difference)


def _print_findings(found: "Difference | Plan") -> None:
    from ratchet.cli import console

    if found.findings:
        console.title("To mind")
        for one in found.findings:
            console.say(f"- {one.sentence}")


# ---- plan


@assess_command.command(
    "plan",
    short_help="Plan the way from one map to another.",
    epilog=examples(
        "ratchet assess plan current.toml target.toml",
        "ratchet assess plan current.toml target.toml --steps steps.toml --out plan.md",
    ),
)
@click.argument("before", metavar="CURRENT")
@click.argument("after", metavar="TARGET")
@click.option("--steps", "steps_file", default="", metavar="FILE", help="Steps with owner, effort, cost and date.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=_OUT + ".md.")
@with_session
def plan_command(session: Session, *, before: str, after: str, steps_file: str, out: Path | None) -> None:
    """Plan the way from one map to another, and show how far it is.

    Each process that has to rise gets a step: those of the FILE first, and a proposed one where the file has none.
    Progress is what the ledger measured, or else what the latest recorded map declares.
    """
    from ratchet.cli import console
    from ratchet.measure.maps.markdown import plan_to_markdown

    _require_ending((out,) if out else (), (".md",))
    with _source(session) as source:
        plan = _plan(source, before, after, steps_file)
    if out is not None:
        inputs = (before, after, *([steps_file] if steps_file else []))
        write_output(out, plan_to_markdown(plan).encode(), inputs=inputs)
    if session.as_json:
        more = {"by_status": plan.count_by_status(), "written": [str(out)] if out else []}
        console.print_json(msgspec.to_builtins(plan) | more)
        return
    _print_plan(plan)
    if out is not None:
        console.note(f"Written: {out}")


def _plan(source: _Source, before: str, after: str, steps_file: str) -> "Plan":
    from ratchet import clock
    from ratchet.measure.maps import plans, recording
    from ratchet.measure.maps.measured import on_either

    current, target = source.map(before), source.map(after)
    if target.kind != "target":
        message = f"{after} is a map of kind '{target.kind}', and a plan leads to one of kind 'target'."
        raise click.UsageError(f"{message} Are the two the wrong way round?" if current.kind == "target" else message)
    written = plans.load_steps(Path(steps_file), target=target) if steps_file else None
    measured = on_either(source.measured(current) or {}, source.measured(target) or {})
    recorded = recording.recorded_maps(source.workspace.history()) if source.workspace is not None else []
    return plans.make_plan(
        current, target, written=written, measured=measured, recorded=recorded, today=clock.now().date()
    )


def _print_plan(plan: "Plan") -> None:
    from rich.text import Text

    from ratchet.cli import console

    console.say(plan.distance)
    if not plan.steps:
        console.say("Nothing is left to do.")
        _print_findings(plan)
        return
    console.say("")
    made = console.table("#", "STEP", "OWNER", "DAYS", plan.currency.upper(), "BY", "GAIN", "PROGRESS", right=("#",))
    for one in plan.steps:
        title = Text(one.step.title)
        if one.step.is_proposed:
            title.append(" (proposed)", style="dim")
        if one.step.gain:
            title.append(f"\n{one.step.gain}", style="dim")
        made.add_row(
            str(one.position),
            title,
            one.step.owner or "-",
            f"{one.step.effort_days:g}" if one.step.effort_days else "-",
            f"{one.step.cost:,.0f}" if one.step.cost else "-",
            str(one.step.by or "-"),
            f"+{one.steps_gained}" if one.steps_gained else "",
            _degree("overdue" if one.is_overdue else one.status),
        )
    console.say(made)
    last = f", the last by {plan.last_date}" if plan.last_date else ""
    if plan.effort_days or plan.cost or last:
        console.say(f"\nIn all: {plan.effort_days:g} days, {plan.cost:,.0f} {plan.currency}{last}.")
    else:
        console.say(
            "\nNobody has said yet what the steps take: write days, cost and date, and name the file: --steps FILE"
        )
    if len(plan.without_owner) == len(plan.steps) > 1:
        console.say(f"None of the {len(plan.steps)} steps has an owner.")
    elif plan.without_owner:
        console.say(f"Nobody owns: {', '.join(plan.without_owner)}.")
    if plan.idle:
        console.say(f"These need no step, nothing about them changes: {', '.join(plan.idle)}.")
    _print_findings(plan)


# ---- record


@assess_command.command(
    "record",
    short_help="Put a version of a map on record.",
    epilog=examples("ratchet assess record current.toml"),
)
@click.argument("file")
@with_session
def record_command(session: Session, *, file: str) -> None:
    """Put a version of a map on record, in the ledger, as what people declare.

    A recorded version never changes. What is declared never counts towards a level.
    """
    from ratchet.cli import console
    from ratchet.measure.maps import process_maps, recording

    process_map = process_maps.load(Path(file))
    data = recording.to_data(process_map)
    with session.workspace() as workspace:
        before = workspace.ledger.last_seq()
        event = workspace.record_assessment(process_map.reference, data)
        if event.data.get("digest") != process_map.digest:
            raise recording.MapVersionTaken(reference=process_map.reference, recorded_at=f"{event.at:%Y-%m-%d}")
    is_new = event.seq > before
    if session.as_json:
        values = {"reference": process_map.reference, "digest": process_map.digest, "event": event.id}
        console.print_json(values | {"seq": event.seq, "is_new": is_new})
        return
    if is_new:
        console.say(f"{process_map.reference} is on record: event {event.seq}, digest {process_map.digest[:12]}.")
    else:
        console.say(f"{process_map.reference} was on record already, since {event.at:%Y-%m-%d}; nothing was changed.")
