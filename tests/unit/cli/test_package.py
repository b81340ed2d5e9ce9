"""The list of commands: complete, quick to help, and short of words when something is wrong."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from ratchet import cli
from tests.unit.cli.conftest import Call

SLOW = {"rich", "msgspec", "numpy", "sqlalchemy", "dbos", "ratchet.workspace", "ratchet.errors", "uvicorn"}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Give all commands with their whole names, those of groups, too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


ALL = dict(commands(cli.cli))


def test_help_imports_nothing_slow() -> None:
    """Asking for help loads click and leaves the rest."""
    code = "import sys; from ratchet.cli import cli; cli.main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not SLOW & set(done.stdout.splitlines()[-1].split())


def test_help_lists_every_command(call: Call) -> None:
    """The help page names all commands in sections."""
    page = call("--help").out
    assert all(f"  {name} " in page for name in cli.COMMANDS)
    assert all(f"{section}:" in page for section in cli.SECTIONS)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_line_of_the_list_says_what_the_command_says(name: str) -> None:
    """The line that help shows without loading a command begins as the command's own text does."""
    about, own = cli.COMMANDS[name][1], ALL[name].get_short_help_str(limit=200)
    assert about.split()[0] == own.split()[0]


@pytest.mark.parametrize("name", list(ALL))
def test_every_command_has_help_and_examples(name: str) -> None:
    """Each command explains itself, each of its options, too, and shows examples that begin with it."""
    command = ALL[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert command.epilog is not None
    assert f"ratchet {name}" in command.epilog


@pytest.mark.parametrize("name", [name for name, one in ALL.items() if not isinstance(one, click.Group)])
def test_every_command_can_speak_json(name: str) -> None:
    """Each command has the form for programs."""
    assert any("--json" in option.opts for option in ALL[name].params)


def test_without_a_command_help_is_shown(call: Call) -> None:
    """``ratchet`` alone is the question what it can do."""
    answer = call()
    assert answer.code == 0
    assert "Usage: ratchet" in answer.out


def test_misspelt_command_is_answered_with_the_nearest(call: Call) -> None:
    """A typing mistake costs one look."""
    answer = call("statsu")
    assert answer.code == 2
    assert "Did you mean 'status'?" in answer.err
