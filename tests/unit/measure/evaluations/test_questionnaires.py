"""Questionnaires: nine ship, others are written; what means nothing is refused with its line."""

import re
from itertools import chain

import pytest

from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.measure.evaluations.questionnaires import SHIPPED, parse, shipped

GOOD = b'group = "g"\n[[item]]\nid = "a"\ntext = "Is it so?"\nwhy = "Because."\n'


def test_nine_groups_ship_with_eight_questions_each() -> None:
    """Each question says what to try and what hangs on it, and each has its own name and text."""
    every = [shipped(name) for name in SHIPPED]
    assert len(every) == 9
    for one in every:
        assert len(one.items) >= 8
        assert one.role
        assert one.about
        assert len({item.id for item in one.items}) == len(one.items)
    items = list(chain.from_iterable(one.items for one in every))
    assert len({item.text for item in items}) == len(items)
    assert all(item.text.rstrip()[-1] in "?." for item in items)
    assert all(len(item.text.split()) >= 8 and item.why.endswith(".") for item in items)


def test_musts_are_few_and_weighty() -> None:
    """At most one question of a group rules a candidate out, and it has the group's highest weight."""
    for one in map(shipped, SHIPPED):
        musts = [item for item in one.items if item.must]
        assert len(musts) <= 1
        assert all(item.weight == max(other.weight for other in one.items) for item in musts)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_has_the_name_of_its_group(name: str) -> None:
    """A group is found by its file."""
    assert shipped(name).group == name
    assert re.fullmatch("[a-z-]+", shipped(name).role)


def test_what_does_not_ship_is_answered_with_what_does() -> None:
    """The closest is suggested."""
    with pytest.raises(UnknownName, match=r"No shipped questionnaire named 'securty'.*Did you mean 'security'"):
        shipped("securty")


def test_weight_and_must_may_be_left_out() -> None:
    """A question counts once and rules nobody out, where the file does not say otherwise."""
    read = parse(GOOD, where="g.toml")
    assert (read.name, read.role) == ("g", "g")
    assert (read.items[0].weight, read.items[0].must) == (1.0, False)
    assert read.item("a") is read.items[0]
    assert read.item("b") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"g"', b'"G 1"', "g.toml:1: 'group' is 'G 1'"),
        (b'id = "a"', b'id = "a b"', "g.toml:3: 'id' is 'a b'"),
        (b'why = "Because."\n', b"", "'why' is missing"),
        (
            b'why = "Because."',
            b'why = "Because."\nwieght = 2',
            "'wieght' is not part of an item. Did you mean 'weight'",
        ),
        (b'why = "Because."', b'why = "Because."\nweight = 0', "g.toml:6: 'weight' is 0. Write a number above 0"),
        (b'why = "Because."', b'why = "Because."\nweight = 101', "'weight' is 101"),
        (b'why = "Because."', b'why = "Because."\nmust = "yes"', "'must' is 'yes'. Write true or false"),
        (b"[[item]]", b"[item]", "has item as"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(old: bytes, new: bytes, message: str) -> None:
    """File, line, what is wrong, what is allowed."""
    with pytest.raises(ConfigInvalid, match=message):
        parse(GOOD.replace(old, new), where="g.toml")


def test_an_item_twice_is_refused_with_both_lines() -> None:
    """An answer could not tell which of the two it is to."""
    twice = GOOD + b'[[item]]\nid = "a"\ntext = "Again?"\nwhy = "No."\n'
    with pytest.raises(ConfigInvalid, match=r"g.toml:7: 'id' is 'a' a second time; the first is at g.toml:3"):
        parse(twice, where="g.toml")


def test_a_questionnaire_without_questions_is_refused() -> None:
    """Whoever would answer it answers nothing."""
    with pytest.raises(ConfigInvalid, match="asks nothing"):
        parse(b'group = "g"\n', where="g.toml")
