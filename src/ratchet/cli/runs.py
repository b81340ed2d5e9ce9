"""``ratchet run`` and ``ratchet runs``: start a run and follow it, list runs, show one, compare some, stop one.

Invariant: what is shown of a run was kept by it or stands in the ledger; nothing is computed again.
"""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.groups import ShowByDefault
from ratchet.cli.repeats import repeat_command, told_differences
from ratchet.cli.run_log import log_command, where, who
from ratchet.cli.session import FAILED, Refused, Session, examples, with_session
from ratchet.records import NATIVE_SOURCE

if TYPE_CHECKING:
    from ratchet.cli.console import Progress
    from ratchet.loop.pipelines import PipelineDeclaration
    from ratchet.records import Event, ModelVersion, Run
    from ratchet.workspace import Workspace

_GATE_WORDS = {"pass": "passed", "fail": "not passed", "": "-"}
_EMPTY = "-"


# ---- run


@click.command(
    "run",
    epilog=examples(
        "ratchet run returns",
        "ratchet run returns -p learning_rate=0.2 -p max_iter=100",
        "ratchet run returns --no-cache",
        "ratchet run returns --json | jq .metrics",
    ),
)
@click.argument("pipeline")
@click.option("-p", "--parameter", "given", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline.")
@click.option("--no-cache", is_flag=True, help="Compute each step, although another run has made the same.")
@with_session
def run_command(session: Session, *, pipeline: str, given: tuple[str, ...], no_cache: bool) -> int:
    """Run a pipeline on the latest data and show what came of it.

    A step that another run has made of the same code, arguments, seed and libraries is taken from there.
    The process that runs the workspace (`ratchet up`) carries it out; where there is none, this command does.
    The exit code is 1 when the run fails or its model does not pass the gate.
    """
    from ratchet.cli.console import print_json, progress
    from ratchet.cli.execution import finish

    with session.workspace() as workspace:
        with progress("reading the project") as shown:
            declared = _declaration(workspace, pipeline)
            parameters = read_parameters(declared.name, declared.parameters, given)
            options = {"no_cache": True} if no_cache else {}
            run = carry_out(workspace, pipeline, {**parameters, **options}, shown)
            finish(workspace, gate_event(workspace, run), progress=shown)
        if session.as_json:
            print_json(as_json(workspace, run))
        else:
            print_result(workspace, run)
    return 0 if run.status == "success" and run.gate in ("pass", "") else FAILED


def _declaration(workspace: "Workspace", pipeline: str) -> "PipelineDeclaration":
    from ratchet.loop import projects

    workspace.sync()
    workspace.look_for_data()
    return projects.pipeline(workspace.resources, pipeline)


def read_parameters(
    pipeline: str, usual: dict[str, Any], given: tuple[str, ...], *, option: str = "-p"
) -> dict[str, Any]:
    """Return parameters by name: JSON where it is JSON, else text.

    Args:
        pipeline: Whose they are.
        usual: The values that they have if nothing is given.
        given: As they were typed, such as ``learning_rate=0.2``.
        option: What they were typed behind.

    Raises:
        ParameterUnknown: The pipeline takes no such parameter.
    """
    from ratchet.errors import ParameterUnknown

    chosen: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{text}' is no NAME=VALUE, such as learning_rate=0.2.", param_hint=option)
        if name not in usual:
            raise ParameterUnknown(pipeline=pipeline, name=name, known=", ".join(usual) or "none")
        chosen[name] = _value(name, value, usual=usual[name], option=option)
    return chosen


def _value(name: str, text: str, *, usual: Any, option: str) -> Any:
    """Return a parameter's value, of the kind of its default."""
    if isinstance(usual, str):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    for kind, accepted, word in (
        (bool, (bool,), "true or false"),
        (int, (int,), "a whole number"),
        (float, (int, float), "a number"),
    ):
        if isinstance(usual, kind):
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                raise click.BadParameter(
                    f"{name} is '{text}', and {word} is needed (by default {usual}).", param_hint=option
                )
            break
    return value


def carry_out(workspace: "Workspace", pipeline: str, parameters: dict[str, Any], shown: "Progress") -> "Run":
    """Ask for a run and wait until it has ended.

    Raises:
        Refused: It was not started, or somebody broke off.
    """
    from ratchet.cli.execution import abandon, execute, follow_run

    asked = {"pipeline": pipeline, **parameters}
    queued = execute(workspace, "start_run", asked, subject=pipeline, pipeline=pipeline, progress=shown)
    run_id = str(queued.data["run_id"])
    try:
        return follow_run(workspace, run_id, progress=shown)
    except KeyboardInterrupt:
        raise abandon(workspace, run_id) from None


def print_result(workspace: "Workspace", run: "Run") -> None:
    """Print what came of a run.

    Raises:
        Refused: It did not end well.
    """
    from ratchet.cli.console import facts, say, short

    took = _took(run)
    if run.status == "cancelled":
        raise Refused(f"{run.error}\nIts log: {where(workspace, run)}")
    if run.status != "success":
        raise Refused(f"Run {short(run.id)} {run.status}: {run.error}\nIts log: {where(workspace, run)}")
    made = f"registered {run.model_version}" if run.model_version else "made no candidate"
    say(f"Run {short(run.id)} of {run.pipeline} finished in {took} and {made}.\n")
    taken = [("cached", _taken(run))] if _taken(run) else []
    say(facts([*_inputs(workspace, run), *_verdict(workspace, run), *taken, ("cost", _cost(run))]))
    say(f"\n{_next_step(workspace, run)}")


def _took(run: "Run") -> str:
    from ratchet.cli.console import duration

    return duration(_seconds(run))


def _seconds(run: "Run") -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()


def _taken(run: "Run") -> str:
    """Return which steps were not computed, and whose results they have, such as ``split from 7KQ2M4XA``."""
    return ", ".join(f"{cost['step']} from {cost['from_run'][:8]}" for cost in run.costs if cost.get("cached"))


def _cost(run: "Run") -> str:
    from ratchet.cli.console import duration

    processor, memory = _costs(run)
    return f"{duration(processor)} of processor time, {memory:.0f} MB at the peak" if run.costs else _EMPTY


def _costs(run: "Run") -> tuple[float, float]:
    processor = sum(float(cost["cpu_seconds"]) for cost in run.costs)
    return processor, max((float(cost["peak_memory_mb"]) for cost in run.costs), default=0.0)


def _inputs(workspace: "Workspace", run: "Run") -> list[tuple[str, Any]]:
    from zoneinfo import ZoneInfo

    from ratchet.cli.console import moment_text, number
    from ratchet.loop import registry

    zone = ZoneInfo(workspace.config.project.time_zone)
    found: list[tuple[str, Any]] = []
    for name in run.inputs.values():
        dataset, _, version = name.partition("@v")
        with workspace.database.read() as connection:
            one = registry.dataset_version(connection, dataset, int(version))
        until = f", until {moment_text(one.data_until, zone)}" if one.data_until else ""
        found.append(("data", f"{name} ({number(one.row_count)} rows{until})"))
    return found


def _verdict(workspace: "Workspace", run: "Run") -> list[tuple[str, Any]]:
    """Return metrics, the gate's decision and what it was made from."""
    from rich.text import Text

    from ratchet.cli.console import metrics

    if not run.model_version:
        return []
    decision = Text(_GATE_WORDS[run.gate], style={"pass": "green", "fail": "red"}.get(run.gate, ""))
    lines: list[tuple[str, Any]] = [("metrics", metrics(run.metrics)), ("gate", decision)]
    for check in _checks(workspace, run):
        style = "red" if check["outcome"] == "failed" else "dim" if check["outcome"] == "not_applicable" else ""
        lines.append(("", Text(check_text(check), style=style)))
    reason = _gate_reason(workspace, run)
    if run.gate == "fail" and reason and not any(check["outcome"] == "failed" for check in _checks(workspace, run)):
        lines.append(("", reason))
    return lines


def _checks(workspace: "Workspace", run: "Run") -> list[dict[str, Any]]:
    suites = workspace.ledger.read(types=["fitness.suite.finished"], subject=run.model_version, source=NATIVE_SOURCE)
    return [check for suite in suites for check in suite.data["checks"] if suite.data["run_id"] == run.id]


def gate_event(workspace: "Workspace", run: "Run") -> "Event | None":
    """Return the verdict on what a run registered, ``None`` where it registered nothing."""
    if not run.model_version:
        return None
    gates = workspace.ledger.read(
        types=["gate.evaluated"], subject=run.model_version, source=NATIVE_SOURCE, newest_first=True, limit=1
    )
    return next(iter(gates), None)


def _gate_reason(workspace: "Workspace", run: "Run") -> str:
    gate = gate_event(workspace, run)
    return str(gate.data["reason"]) if gate else ""


def check_text(check: dict[str, Any]) -> str:
    """Return what came of one fitness function, such as ``roc_auc at least 0.65: 0.7312, passed``."""
    if "limit" not in check:
        return f"{check['name']}: {check['reason']}"
    if check["limit"] is None:
        return f"{check['name']}: does not apply ({check.get('reason', 'no reason given')})"
    value = "nothing" if check["value"] is None else f"{check['value']:.4f}"
    return f"{check['name']} {check['limit']:.4f}: {value}, {check['outcome']}"


def _next_step(workspace: "Workspace", run: "Run") -> str:
    from ratchet.loop import registry

    if not run.model_version:
        return "A pipeline that returns rt.Candidate(...) registers a model version."
    with workspace.database.read() as connection:
        version = registry.model_version(connection, run.model_version)
        live = registry.live_release(connection, version.model)
    if live is not None and live.model_version == version.name:
        return f"It is live on endpoint '{live.endpoint}': a rule has deployed it."
    if run.gate == "pass":
        return f"Next: ratchet promote {version.name}"
    if all(section.pipeline != run.pipeline for section in workspace.config.fitness):
        guard = f'[[fitness]]\npipeline = "{run.pipeline}"\nmetric = "roc_auc"\nat_least = 0.7'
        return (
            f"Next: say in ratchet.toml what is good enough, such as\n\n{guard}\n\nand then: ratchet run {run.pipeline}"
        )
    return (
        "Next: retrain with other parameters or data, or change the threshold in ratchet.toml.\n"
        f"To take responsibility for it as it is: ratchet promote {version.name} --bypass 'REASON'"
    )


# ---- runs


@click.group(
    "runs",
    cls=ShowByDefault,
    epilog=examples(
        "ratchet runs --pipeline returns",
        "ratchet runs 7KQ2M4XA",
        "ratchet runs --compare returns@v1 returns@v2",
        "ratchet runs log 7KQ2M4XA",
        "ratchet runs cancel 7KQ2M4XA",
        "ratchet runs repeat returns@v1",
    ),
)
def runs_command() -> None:
    """List runs, show one or its log, compare some; stop one, or do one again.

    Without a command: ratchet runs show.
    """


@runs_command.command(
    "show",
    epilog=examples(
        "ratchet runs show 7KQ2M4XA",
        "ratchet runs 7KQ2M4XA             the same without `show`",
        "ratchet runs --compare 7KQ2M4XA B1T9W0ZC",
        "ratchet runs --compare returns@v1 returns@v2 --format csv > runs.csv",
    ),
)
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("--compare", is_flag=True, help="Show the runs side by side; rows that differ are marked with '*'.")
@click.option("--pipeline", default="", help="Only runs of this pipeline.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="Of the list and the comparison.",
)
@with_session
def show_command(
    session: Session, *, names: tuple[str, ...], compare: bool, pipeline: str, limit: int, form: str
) -> None:
    """List runs, show one, or compare some.

    A run is named by the beginning of its id, or by the model version that it registered.
    """
    from ratchet.loop import registry

    if compare and len(names) < 2:  # noqa: PLR2004, one run has nothing to be compared with
        raise click.UsageError("--compare needs at least two runs: ratchet runs --compare RUN RUN")
    if len(names) > 1 and not compare:
        raise click.UsageError("Name one run, or add --compare to see several side by side.")
    with session.workspace() as workspace:
        if not names:
            _list(session, workspace, registry.runs(workspace.database, pipeline=pipeline, limit=limit), form)
            return
        runs = [find(workspace, name) for name in names]
        if compare:
            _compare(session, runs, form)
        else:
            _show(session, workspace, runs[0])


def find(workspace: "Workspace", name: str) -> "Run":
    """Return a run by the beginning of its id, or by the name of the version that it registered.

    Raises:
        UnknownName: There is none, or more than one.
    """
    from ratchet.loop import registry

    if "@v" not in name:
        return registry.run(workspace.database, name)
    with workspace.database.read() as connection:
        version: ModelVersion = registry.model_version(connection, name)
    return registry.run(workspace.database, version.run_id)


def _list(session: Session, workspace: "Workspace", runs: "list[Run]", form: str) -> None:
    from ratchet.cli import console

    if session.as_json:
        console.print_json([as_json(workspace, run) for run in runs])
        return
    if not runs:
        console.say("No runs yet. Start one with: ratchet run PIPELINE")
        return
    # For a program a moment stays a moment, and seconds stay a number.
    headers: tuple[str, ...] = ("RUN", "PIPELINE", "STATUS", "GATE", "METRICS", "VERSION", "QUEUED", "TOOK", "CACHED")
    rows: list[tuple[str, ...]] = [
        (
            console.short(run.id),
            run.pipeline,
            run.status,
            run.gate or _EMPTY,
            console.metrics(run.metrics),
            f"v{run.model_version.rpartition('@v')[2]}" if run.model_version else _EMPTY,
            console.ago(run.queued_at) if form == "table" else run.queued_at.isoformat(),
            _took(run) if form == "table" else str(_seconds(run) or ""),
            _share_taken(run),
        )
        for run in runs
    ]
    if form != "table":
        print_form(form, [headers, *rows])
        return
    if all(row[-1] == _EMPTY for row in rows):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    whole = ("RUN", "STATUS", "GATE", "VERSION", "QUEUED")
    made = console.table(*headers, whole=whole, right=("TOOK", "CACHED"), narrow=("CACHED",))
    for row in rows:
        made.add_row(*row[:2], console.state(row[2]), console.state(row[3]), *row[4:])
    console.say(made)


def _share_taken(run: "Run") -> str:
    taken = sum(bool(cost.get("cached")) for cost in run.costs)
    return f"{taken}/{len(run.costs)}" if taken else _EMPTY


def _show(session: Session, workspace: "Workspace", run: "Run") -> None:
    from zoneinfo import ZoneInfo

    from rich.text import Text

    from ratchet.cli import console

    if session.as_json:
        console.print_json(as_json(workspace, run))
        return
    zone = ZoneInfo(workspace.config.project.time_zone)
    pairs: list[tuple[str, Any]] = [
        ("run", run.id),
        ("pipeline", run.pipeline),
        ("status", console.state(run.status)),
        ("queued", f"{console.moment_text(run.queued_at, zone)} ({console.ago(run.queued_at)})"),
        ("took", _took(run)),
        ("parameters", ", ".join(f"{name}={console.number(one)}" for name, one in run.parameters.items()) or _EMPTY),
        *_inputs(workspace, run),
        ("code", f"{console.short(run.snapshot)}, libraries {console.short(run.lock)}, seed {run.seed}"),
        ("machine", ", ".join(f"{name} {value}" for name, value in run.hardware.items())),
    ]
    if worker := who(workspace, run):
        pairs.append(("worker", worker))
    if run.model_version:
        pairs.append(("version", run.model_version))
    if run.repeats:
        pairs.append(("repeats", f"{console.short(run.repeats)}{told_differences(run)}"))
    if run.error:
        pairs.append(("error", Text(run.error, style="red")))
    console.say(console.facts([*pairs, *_verdict(workspace, run), ("log", where(workspace, run))]))
    _print_costs(run)
    console.say(f"\nWhy it ran, and what it led to: ratchet events {run.queued_event}")


def _print_costs(run: "Run") -> None:
    from ratchet.cli import console

    if not run.costs:
        return
    console.title("Cost")
    made = console.table("STEP", "PROCESSOR", "WALL", "MEMORY", "", right=("PROCESSOR", "WALL", "MEMORY"))
    for cost in run.costs:
        if cost.get("cached"):
            made.add_row(str(cost["step"]), _EMPTY, _EMPTY, _EMPTY, f"taken from run {console.short(cost['from_run'])}")
            continue
        spent = (console.duration(cost["cpu_seconds"]), console.duration(cost["wall_seconds"]))
        how = "broken off" if cost.get("broken_off") else ""
        made.add_row(str(cost["step"]), *spent, f"{cost['peak_memory_mb']:.0f} MB", how)
    console.say(made)
    for cost in run.costs:
        if cost.get("not_kept"):
            console.say(f"The result of {cost['step']} is for this run only: {cost['not_kept']}.")


# ---- stopping


@runs_command.command(
    "cancel", epilog=examples("ratchet runs cancel 7KQ2M4XA", "ratchet runs cancel 7KQ2M4XA --json | jq .status")
)
@click.argument("name", metavar="RUN")
@with_session
def cancel_command(session: Session, *, name: str) -> None:
    """Stop a run that waits or is under way.

    The step under way is ended at once. What the run has done until then is kept: the same run again begins there.
    """
    from ratchet.cli.console import print_json, progress, say, short
    from ratchet.cli.execution import execute
    from ratchet.errors import RunOver
    from ratchet.loop import registry

    with session.workspace() as workspace:
        run = find(workspace, name)
        if run.status not in ("queued", "running"):
            raise RunOver(run_id=short(run.id), outcome=run.status)
        with progress("cancelling") as shown:
            execute(workspace, "cancel_run", {"run": run.id}, subject=run.id, pipeline=run.pipeline, progress=shown)
        ended = registry.run(workspace.database, run.id)
        if session.as_json:
            print_json(as_json(workspace, ended))
        else:
            say(f"Run {short(ended.id)} of {ended.pipeline} is {ended.status}.")


runs_command.add_command(repeat_command)
runs_command.add_command(log_command)


# ---- side by side


def compare_rows(runs: "list[Run]") -> list[tuple[str, list[str], bool]]:
    """Return what is known of runs: name of the row, one value for each run, whether they differ."""
    described = [_describe(run) for run in runs]
    names = list(dict.fromkeys(name for one in described for name in one))
    rows = [(name, [one.get(name, _EMPTY) for one in described]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]


def _describe(run: "Run") -> dict[str, str]:
    from ratchet.cli.console import short

    processor, memory = _costs(run)
    seconds = _seconds(run)
    return {
        "pipeline": run.pipeline,
        "status": run.status,
        "gate": run.gate or _EMPTY,
        "version": run.model_version or _EMPTY,
        **{f"metric {name}": _exact(value) for name, value in sorted(run.metrics.items())},
        **{f"parameter {name}": _exact(value) for name, value in run.parameters.items()},
        **{f"data {name}": value for name, value in run.inputs.items()},
        "code": short(run.snapshot),
        "libraries": short(run.lock),
        "seed": str(run.seed),
        **{name.replace("_", " "): str(value) for name, value in run.hardware.items()},
        "seconds": _EMPTY if seconds is None else f"{seconds:.1f}",
        "steps taken": _taken(run) or _EMPTY,
        "cost processor s": f"{processor:.1f}",
        "cost peak memory MB": f"{memory:.0f}",
    }


def _exact(value: Any) -> str:
    """Return a value with all its digits: rounded ones could look the same and differ."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _compare(session: Session, runs: "list[Run]", form: str) -> None:
    from rich.text import Text

    from ratchet.cli import console

    rows = compare_rows(runs)
    heads = [console.short(run.id) for run in runs]
    if session.as_json:
        fields = [{"name": name, "values": values, "differs": differs} for name, values, differs in rows]
        console.print_json({"runs": [run.id for run in runs], "rows": fields})
        return
    if form != "table":
        marked = [("*" if differs else "", name, *values) for name, values, differs in rows]
        print_form(form, [("differs", "what", *heads), *marked])
        return
    made = console.table("", "RUN", *heads)
    for name, values, differs in rows:
        style = "bold" if differs else ""
        made.add_row(
            Text("*" if differs else "", style="bold yellow"), name, *[Text(one, style=style) for one in values]
        )
    console.say(made)
    different = sum(differs for _, _, differs in rows)
    console.say(f"\n{different} of {len(rows)} rows differ; they are marked with *.")


def print_form(form: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows, the header first, as CSV or as a table in Markdown."""
    import csv
    import sys

    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    lines = [f"| {' | '.join(value.replace('|', '&#124;') for value in row)} |\n" for row in rows]
    lines.insert(1, f"|{' --- |' * len(rows[0])}\n")
    sys.stdout.writelines(lines)


def as_json(workspace: "Workspace", run: "Run") -> dict[str, Any]:
    """Return all that is known of a run as JSON values."""
    gate = gate_event(workspace, run)
    values: dict[str, Any] = msgspec.to_builtins(run)
    return {
        **values,
        "gate_reason": str(gate.data["reason"]) if gate else "",
        "checks": _checks(workspace, run) if gate else [],
    }
