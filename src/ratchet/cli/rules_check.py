"""``ratchet rules check``: whether rules mean something, and whether they may drive one another in a ring.

Invariant: nothing is put in force; a file that means nothing is refused with its line, as everywhere.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.automation.rules import Rule


@click.command(
    "check",
    short_help="Check the rules of a file without putting them in force.",
    epilog=examples("ratchet rules check", "ratchet rules check --file other.toml --json"),
)
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="This file; else ratchet.toml."
)
@with_session
def check_command(session: Session, *, file: Path | None) -> None:
    """Check that each rule of ratchet.toml and of the Python files means something, and name rings of rules.

    Rules are in a ring where what one does is what the next one waits for, and so back to the first. That may be
    wanted; limits end it where it is not: at_most of a rule, rule_depth and rule_fires_per_hour.
    """
    from ratchet.automation import rules
    from ratchet.automation.cycles import cycles
    from ratchet.cli import console
    from ratchet.config import FILE_NAME
    from ratchet.loop import projects

    with session.workspace() as workspace:
        _, project = projects.current(workspace.resources)
        path = file or workspace.project / FILE_NAME
        text = path.read_text(encoding="utf-8")
        found = rules.read_text(text, project, workspace.config, path=path)
        if session.as_json:
            rings = [{"rules": ring.rules, "text": str(ring)} for ring in cycles(found)]
            console.print_json({"file": str(path), "rules": msgspec.to_builtins(found), "cycles": rings})
            return
        console.say(f"{console.count(len(found), 'rule')} of {path.name} and the Python files: each means something.")
        print_cycles(found)


def print_cycles(found: "Iterable[Rule]") -> None:
    """Say which rules may drive one another in a ring."""
    from rich.text import Text

    from ratchet.automation.cycles import cycles
    from ratchet.cli import console

    for ring in cycles(found):
        console.say(Text(f"\nRules may drive one another in a ring: {ring}.", style="yellow"))
        console.say(
            Text('If that is not wanted, narrow a condition, or set a limit such as at_most = "1/day".', style="dim")
        )
