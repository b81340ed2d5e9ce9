"""``ratchet doctor``: what is well, what is not, and what to do.

Invariant: it changes nothing, and works where other commands do not.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ratchet.cli.session import FAILED, Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.diagnosis.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@click.command(
    "doctor",
    epilog=examples("ratchet doctor", "ratchet doctor --json | jq '.findings[] | select(.status != \"ok\")'"),
)
@click.option("--all", "is_whole", is_flag=True, help="Show what is well one by one, too.")
@with_session
def doctor_command(session: Session, *, is_whole: bool) -> None:
    """Look at everything that can be wrong with a workspace and its machine, and say what to do.

    It changes nothing, and works also where the database does not answer, ratchet.toml is broken or the disk is full.
    Outside of a workspace it looks at the machine. The exit code is 1 where it finds a problem; warnings are none.
    """
    from ratchet.cli import console
    from ratchet.diagnosis.examining import examine

    with console.progress("looking"):
        found = list(examine(Path(session.folder or ".")))
    counts = {status: sum(one.status == status for one in found) for status in _COLOURS}
    if session.as_json:
        console.print_json({"problems": counts["problem"], "warnings": counts["warning"], "findings": found})
    else:
        _print(found, counts, is_whole=is_whole)
    click.get_current_context().exit(FAILED if counts["problem"] else 0)


def _print(found: "list[Finding]", counts: dict[str, int], *, is_whole: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ratchet.cli import console

    for one in found:
        if one.status != "ok":
            console.say(Text.assemble((one.status, _COLOURS[one.status]), f" {one.area}, {one.check}: {one.said}"))
            console.say(Padding(Text(one.remedy, style="dim"), (0, 0, 0, 4), expand=False))
    if counts["problem"] or counts["warning"]:
        console.say("")
    if is_whole:
        made = console.table("AREA", "CHECK", "WHAT IS SO")
        for one in found:
            made.add_row(one.area, _named(one), one.said)
        console.say(made)
        console.say("")
    problems, warnings = console.count(counts["problem"], "problem"), console.count(counts["warning"], "warning")
    rest = "" if is_whole else "; all of it: ratchet doctor --all"
    console.say(f"{problems}, {warnings}, {counts['ok']} checks well{rest}")


def _named(one: "Finding") -> "RenderableType":
    from rich.text import Text

    return Text(one.check, style=_COLOURS[one.status])
