"""``ratchet runs repeat``: do again what a run did, and say whether the same comes out.

Invariant: the same code, data, parameters and seed as then, each step computed; what differs is named.
"""

from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import FAILED, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.records import Run
    from ratchet.workspace import Workspace


@click.command(
    "repeat",
    epilog=examples(
        "ratchet runs repeat 7KQ2M4XA",
        "ratchet runs repeat returns@v3 --set learning_rate=0.2",
        "ratchet runs repeat returns@v3 --json | jq .is_identical",
    ),
)
@click.argument("name", metavar="RUN")
@click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="A parameter that is to be another.")
@with_session
def repeat_command(session: Session, *, name: str, given: tuple[str, ...]) -> int:
    """Do again what a run did: with its code, data, parameters and seed, each step computed.

    With nothing else set it is a check: it registers nothing and says what came out otherwise. The exit code is 1
    where something did. With --set it is a run like any other, and its candidate goes to the gate.
    """
    from ratchet.cli import runs
    from ratchet.cli.console import print_json, progress
    from ratchet.cli.execution import finish
    from ratchet.loop import registry

    with session.workspace() as workspace:
        first = runs.find(workspace, name)
        changes = runs.read_parameters(first.pipeline, first.parameters, given, option="--set")
        with progress("reading the project") as shown:
            again = runs.carry_out(workspace, first.pipeline, {**changes, "repeats": first.id}, shown)
            finish(workspace, runs.gate_event(workspace, again), progress=shown)
        first = registry.run(workspace.database, again.repeats)
        if session.as_json:
            libraries = _libraries(workspace, first, again)
            told = {"is_identical": _is_identical(again), "libraries": libraries}
            print_json({**runs.as_json(workspace, again), **told})
        elif _is_check(first, again):
            _print_check(workspace, first, again)
        else:
            runs.print_result(workspace, again)
    if _is_check(first, again):
        return 0 if _is_identical(again) else FAILED
    return 0 if again.status == "success" and again.gate in ("pass", "") else FAILED


def told_differences(run: "Run") -> str:
    """Return how far a run agrees with the one that it did again, as the end of a line; ``""`` for no check."""
    if run.differences is None:
        return ""
    return f", differs in: {', '.join(run.differences)}" if run.differences else ", the same byte by byte"


def _is_check(first: "Run", again: "Run") -> bool:
    from ratchet.loop import repeats

    return repeats.is_check(again, first)


def _is_identical(again: "Run") -> bool | None:
    return None if again.differences is None else not again.differences


def _libraries(workspace: "Workspace", first: "Run", again: "Run") -> list[str]:
    from ratchet.loop import repeats

    return repeats.changed_libraries(workspace.resources.artifacts, first, again)


def _print_check(workspace: "Workspace", first: "Run", again: "Run") -> None:
    from ratchet.cli.console import facts, say, short
    from ratchet.cli.runs import print_result

    if again.status != "success":
        print_result(workspace, again)
        return
    what = f"run {short(first.id)} of {first.pipeline}" + (f" ({first.model_version})" if first.model_version else "")
    differences = again.differences or ()
    if not differences:
        say(f"The same byte by byte: {what} was done again as {short(again.id)}, and nothing came out otherwise.")
    else:
        say(f"Not the same: {what} was done again as {short(again.id)}, and something came out otherwise.")
    pairs: list[tuple[str, Any]] = [("differs", one) for one in differences]
    pairs += [("library", one) for one in _libraries(workspace, first, again)]
    pairs += [("machine", f"{name} {value} -> {again.hardware.get(name)}") for name, value in _moved(first, again)]
    if pairs:
        say(facts(pairs))
    if differences and len(pairs) == len(differences):
        say("\nLibraries and machine are the same. The first step named draws chance that no seed reaches, or reads")
        say("something that has changed: see where it differs, and give it a seed.")


def _moved(first: "Run", again: "Run") -> list[tuple[str, Any]]:
    return [(name, value) for name, value in first.hardware.items() if again.hardware.get(name) != value]
