"""Groups of commands."""

from importlib import import_module

import click
import pytest

from ratchet.cli import COMMANDS
from ratchet.cli.groups import Group

GROUPS = [
    name
    for name, (module, _) in COMMANDS.items()
    if isinstance(getattr(import_module(f"ratchet.cli.{module}"), f"{name}_command"), click.Group)
]


@pytest.mark.parametrize("name", GROUPS)
def test_help_is_wrapped_and_not_cut(name: str) -> None:
    """On 80 columns each command of a group is described by a whole sentence."""
    command = getattr(import_module(f"ratchet.cli.{COMMANDS[name][0]}"), f"{name}_command")
    assert isinstance(command, Group)
    told = command.get_help(click.Context(command, info_name=name, terminal_width=80, max_content_width=80))
    listed = told.partition("Commands:")[2].partition("Examples:")[0]
    assert listed.count(".") >= len(command.commands)
    assert "..." not in listed
