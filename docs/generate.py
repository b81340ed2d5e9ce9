"""Writes the generated parts of the documentation: the help pages of all commands. Called by ``make docs``.

Invariant: what it writes depends on the commands alone, not on terminal, machine or time.
"""

import sys
from pathlib import Path

import click

TARGET = Path(__file__).parent / "reference" / "cli.md"
_WIDTH = 96
_HEAD = """# Command line

Written by `make docs` from the help of each command; do not edit it by hand.

The exit code is 0 where a command did what was asked, 1 where it was refused or failed, 2 where it was not understood.
With `--json` a command prints JSON on its standard output and nothing else. It finds its project from the current
folder upwards, or takes it from `--workspace DIR`.
"""


def cli_page() -> str:
    """Return the page with the help of all commands."""
    from ratchet.cli import SECTIONS, cli

    parts = [_HEAD, _block(cli, "ratchet", None)]
    for section, commands in SECTIONS.items():
        parts.append(f"\n## {section}\n")
        context = click.Context(cli, info_name="ratchet")
        for name in commands:
            command = cli.get_command(context, name)
            assert command is not None, "each command of the list exists"
            parts += _pages(command, name, context)
    return "".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent)
    parts = [f"\n### `{context.command_path}`\n", _block(command, name, parent)]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None, "a group knows its commands"
            parts += _pages(found, inner, context)
    return parts


def _block(command: click.Command, name: str, parent: click.Context | None) -> str:
    settings = {**command.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"\n```text\n{text}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(cli_page())
    sys.stdout.write(f"{TARGET}\n")
