"""Switching rules in ``ratchet.toml`` changes one line and nothing else."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.cli.rules import with_switch
from ratchet.cli.session import Refused
from tests.unit.cli.conftest import Call

FILE = Path("ratchet.toml")
ADOPT = ("rules", "adopt", "train-weekly", "--pipeline", "returns")
TEXT = """# A shop.
[project]
name = "shop"

# Each Monday.
[[rule]]
name = "weekly"   # the first
on = "clock.ticked"
cron = "0 3 * * MON"
do = { start_run = "returns" }

# When the gate passes; see [[rule]] above.
[[rule]]
on = "gate.evaluated"
enabled = true  # for now
do = [
    "promote",  # at once
]
name = "deploy"
"""


def test_off_is_one_line_more() -> None:
    """The line comes where a reader sees it, and comments stay where they were."""
    changed = with_switch(TEXT, "weekly", is_enabled=False, path=FILE)
    assert changed == TEXT.replace(
        'name = "weekly"   # the first\n', 'name = "weekly"   # the first\nenabled = false\n'
    )


def test_off_and_on_again_is_where_it_began() -> None:
    """The diff of a change of mind is empty."""
    off = with_switch(TEXT, "weekly", is_enabled=False, path=FILE)
    assert with_switch(off, "weekly", is_enabled=True, path=FILE) == TEXT


def test_a_line_that_is_there_is_changed_with_its_comment() -> None:
    """What a person wrote beside the switch stays."""
    changed = with_switch(TEXT, "deploy", is_enabled=False, path=FILE)
    assert changed == TEXT.replace("enabled = true  # for now", "enabled = false  # for now")


@pytest.mark.parametrize(("name", "is_enabled"), [("weekly", True), ("deploy", True)])
def test_what_is_so_already_changes_nothing(name: str, *, is_enabled: bool) -> None:
    """Asking again leaves the file alone."""
    assert with_switch(TEXT, name, is_enabled=is_enabled, path=FILE) == TEXT


def test_a_file_that_cannot_be_followed_is_left_to_its_author() -> None:
    """Rules may be written as a list in one line; then nothing is guessed at."""
    text = 'rule = [{ name = "weekly", on = "clock.ticked" }]\n'
    with pytest.raises(Refused, match="Set enabled = false there by hand"):
        with_switch(text, "weekly", is_enabled=False, path=FILE)


@pytest.mark.parametrize("name", ["weekly", "deploy"])
@pytest.mark.parametrize("text", [TEXT, TEXT.rstrip()])
def test_line_ends_are_those_of_the_file(name: str, text: str) -> None:
    """A file that was written on Windows stays one, with the new line too."""
    off = with_switch(text, name, is_enabled=False, path=FILE)
    theirs = with_switch(text.replace("\n", "\r\n"), name, is_enabled=False, path=FILE)
    assert theirs == off.replace("\n", "\r\n")


NAMES = st.lists(st.text("abc [=]#", min_size=1, max_size=6), min_size=1, max_size=4, unique=True)
EXTRAS = st.sampled_from(["", "# [[rule]]\n", "\n", "enabled = false\n", "enabled = true # x\n", 'when = "[[rule]]"\n'])


@given(names=NAMES, extras=st.lists(EXTRAS, min_size=4, max_size=4), place=st.integers(0, 3), is_enabled=st.booleans())
def test_only_the_switch_of_the_named_rule_changes(
    names: list[str], extras: list[str], place: int, *, is_enabled: bool
) -> None:
    """Whatever the file looks like, all other values are as before."""
    blocks = [f'[[rule]]\nname = "{name}"\n{extra}' for name, extra in zip(names, extras, strict=False)]
    text, number = "".join(blocks), place % len(names)
    before = tomllib.loads(text)["rule"]
    after = tomllib.loads(with_switch(text, names[number], is_enabled=is_enabled, path=FILE))["rule"]
    assert after[number].pop("enabled", True) == is_enabled
    before[number].pop("enabled", None)
    assert after == before


def test_commands_keep_the_line_ends_and_permissions_of_the_file(call: Call, project: Path) -> None:
    """Adopting, switching off and on, and putting a policy in force change what they say they change."""
    toml, elsewhere = project / "ratchet.toml", project / "kept" / "settings.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(toml.read_text().replace("\n", "\r\n").encode())
    elsewhere.chmod(0o640)
    toml.unlink()
    toml.symlink_to(elsewhere)
    own = project / "own.toml"
    own.write_text("policy = 'own'\n[[level]]\nid = 1\nname = 'One'\nall = [{ stage = 'train', measure = 'init' }]\n")
    words = [("rules", "disable", "train returns weekly"), ("rules", "enable", "train returns weekly")]
    for command in (ADOPT, *words, ("policy", "publish", "own.toml")):
        assert call(*command).code == 0
        content = elsewhere.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n")
    assert b'policies = ["own.toml"]' in content
    assert (toml.is_symlink(), elsewhere.stat().st_mode & 0o777) == (True, 0o640)
