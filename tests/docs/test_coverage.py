"""The page that says where what practitioners ask for is, and which test shows it."""

import re
from pathlib import Path

import click
import pytest

from ratchet.cli import cli
from ratchet.cli.groups import ShowByDefault

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage.md"
_ROW = re.compile(r"^\| ([A-E]\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = {row[0]: row[1:] for row in _ROW.findall(PAGE.read_text())}


def test_rows_are_numbered_without_gaps() -> None:
    """Each text has its rows from 1 on, so none was lost on the way."""
    for text in "ABCDE":
        numbers = [int(name[1:]) for name in ROWS if name[0] == text]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 15


@pytest.mark.parametrize("name", ROWS)
def test_each_row_says_how_far_it_is(name: str) -> None:
    """What is there names a place and a test; what is missing says so in words."""
    _, where, shown, state = ROWS[name]
    assert re.match(r"yes$|partly: .{10,}|not yet(: .+)?$", state)
    assert (where == "-") == (shown == "-") == state.startswith("not yet")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[2] != "-"])
def test_each_row_leads_to_a_test(name: str) -> None:
    """The third column links files with tests in them."""
    links = re.findall(r"\]\(([^)]+)\)", ROWS[name][2])
    assert links
    for link in links:
        path = (PAGE.parent / link).resolve()
        assert path.is_file(), f"{name}: {link} is gone"
        assert path.name.startswith("test_")
        assert "def test_" in path.read_text()


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "`ratchet " in row[1]])
def test_each_command_of_a_row_exists(name: str) -> None:
    """Commands and their options are those of the command line."""
    for words in re.findall(r"`ratchet ([^`]+)`", ROWS[name][1]):
        _check(words.split())


def _check(words: list[str]) -> None:
    context = click.Context(cli)
    group: click.Command = cli
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        found = group.get_command(context, words[0])
        if found is None and isinstance(group, ShowByDefault):
            break
        assert found is not None, f"no command {words[0]}"
        group, words = found, words[1:]
    if isinstance(group, ShowByDefault):
        group = group.commands["show"]
    known = {option for parameter in group.params for option in parameter.opts}
    for word in words:
        assert not word.startswith("-") or word in known, f"{group.name} has no {word}"
