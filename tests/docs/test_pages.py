"""The pages hold together: links lead somewhere, commands and settings on them mean something, sizes are kept."""

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from ratchet import config
from ratchet.automation.actions import ACTIONS
from ratchet.automation.conditions import compile_condition
from ratchet.automation.rules import preset_text
from ratchet.catalogue import EVENT_TYPES
from ratchet.cli import cli
from ratchet.cli.groups import ShowByDefault
from ratchet.measure.maps import process_maps
from tests.docs import pages

# Made from a run of the demo, not kept here.
PRODUCED: set[str] = set()
ADR = sorted((pages.DOCS / "adr").glob("0*.md"))
ADR_SECTIONS = ("Context", "Options", "Decision", "Consequences", "Revisit when")
LEVELS = sorted((pages.DOCS / "tutorial").glob("level-*.md"))


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)
def test_each_relative_link_leads_somewhere(page: Path) -> None:
    """A link names a file that is there, and a heading that the file has."""
    for link in pages.links(page):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / unquote(target)).resolve() if target else page
        if path.is_relative_to(pages.ROOT) and pages.name_of(path) in PRODUCED:
            continue
        assert path.exists(), f"{pages.name_of(page)} links to {link}"
        assert not anchor or anchor in pages.anchors(path), f"{pages.name_of(page)} links to {link}"


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)
def test_each_page_is_linked_from_another(page: Path) -> None:
    """Nobody has to guess that a page exists."""
    linked = {(other.parent / link.partition("#")[0]).resolve() for other in pages.PAGES for link in pages.links(other)}
    assert page in linked or page.name == "README.md"


def test_the_architecture_fits_on_two_hundred_lines() -> None:
    """The architecture can be read in one sitting."""
    assert len((pages.ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", ADR, ids=pages.name_of)
def test_each_decision_says_all_that_a_decision_has_to(page: Path) -> None:
    """A decision has a status, its sections in order, and a row in the list."""
    assert tuple(pages.headings(page)[1:]) == ADR_SECTIONS
    assert "\nStatus: " in page.read_text()
    assert page.name in pages.links(page.parent / "README.md")


def test_decisions_are_numbered_without_gaps() -> None:
    """The first line of a decision has the number of its file."""
    for number, page in enumerate(ADR, start=1):
        assert page.name.startswith(f"{number:04d}-")
        assert page.read_text().startswith(f"# {number}. ")


# ---- what stands in blocks


def commands() -> list[tuple[str, str]]:
    """Return the calls of ``ratchet`` in blocks of shell and in the prose, each with its page."""
    found = []
    for page in pages.PAGES:
        lines = [line for block in pages.blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`(ratchet [a-z][^`]*)`", pages.prose(page)) if page.name != "cli.md" else []
        calls = [call for line in lines for call in re.findall(r"(?:^|&& |\$\()(ratchet [^&)]+)", line)]
        found += [(pages.name_of(page), call.strip()) for call in calls]
    return found


@pytest.mark.parametrize(("page", "call"), commands())
def test_each_command_on_a_page_is_understood(page: str, call: str) -> None:
    """A call of ``ratchet`` names a command and options that there are."""
    words = shlex.split(call)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="ratchet")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None and isinstance(command, ShowByDefault):
            break
        assert found is not None, f"{page}: {call}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    if isinstance(command, ShowByDefault):
        command = command.commands["show"]
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help", "-h", "--version"}, f"{page}: {call}"


@pytest.mark.parametrize(("page", "text"), pages.all_blocks("toml"))
def test_each_block_of_settings_means_something(page: str, text: str) -> None:
    """A block of TOML can be read; its sections are accepted, its rules name events, actions and conditions."""
    values = tomllib.loads(_one_of_several(text))
    if "policy" in values or set(values) == {"do"} or "step" in values:
        return
    if "map" in values:
        process_maps.parse(text.encode(), where=page)
        return
    if values.keys() & {"evaluation", "answer", "group"}:
        return  # files of an evaluation, which tests/docs/test_evaluations.py reads
    values.setdefault("project", {"name": "page"})
    found = config.msgspec.convert(values, config.Config)
    for rule in found.rule:
        assert rule.on in EVENT_TYPES, page
        if rule.when:
            compile_condition(rule.when)
        for call in rule.do if isinstance(rule.do, list) else [rule.do]:
            assert (call if isinstance(call, str) else next(iter(call))) in ACTIONS, page


def _one_of_several(text: str) -> str:
    """Return a block with only the first of several lines that show the same key in different ways."""
    return text if len(re.findall(r"^do = ", text, re.MULTILINE)) < 2 or "[[" in text else text.splitlines()[0]


@pytest.mark.parametrize("page", LEVELS, ids=pages.name_of)
def test_the_tutorial_shows_the_rules_that_adopting_writes(page: Path) -> None:
    """The change on a page of the tutorial is the one that ``ratchet rules adopt`` makes."""
    level = int(page.stem.partition("-")[2])
    shown = "".join(
        f"{line.removeprefix('+')}\n" for block in pages.blocks(page, "diff") for line in block.splitlines()
    )
    if level in (0, 4):
        assert shown == ""
        return
    written = preset_text(level, pipeline="returns", model="returns", dataset="orders")
    assert shown == "\n".join(text for _, text in written)


def test_the_tutorial_has_a_page_for_each_level() -> None:
    """There are five pages, and each links to the next."""
    assert [page.stem for page in LEVELS] == [f"level-{number}" for number in range(5)]
    for page, following in pairwise(LEVELS):
        assert following.name in pages.links(page)
