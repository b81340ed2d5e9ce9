"""The language of the tables: what is missing stays missing."""

from typing import Any

import pytest

from ratchet.importers.templates import fill, holds, look_up

RECORD = {"a": {"b": 1, "c.d": "x"}, "text": "Ja", "empty": "", "none": None, "list": [1, 2], "zero": 0, "no": False}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", 1),
        ("a.c.d", "x"),
        ("a.c", None),
        ("text.b", None),
        ("empty", None),
        ("none|text", "Ja"),
        ("nothing|empty|zero", 0),
        ("no", False),
    ],
)
def test_a_path_finds_what_is_there(path: str, found: Any) -> None:
    """Names with dots are found, empty texts are missing, zero and false are not."""
    assert look_up(RECORD, path) == found


def test_a_hole_keeps_the_kind_of_its_value() -> None:
    """A text that is one hole becomes the value; one with more stays a text."""
    assert fill({"n": "{a.b}", "t": "n={a.b}", "l": ["{list}"], "k": True}, RECORD) == {
        "n": 1,
        "t": "n=1",
        "l": [[1, 2]],
        "k": True,
    }


def test_what_cannot_be_filled_is_left_out() -> None:
    """No text with a hole in it ever comes out."""
    assert fill({"gone": "{nothing}", "half": "{a.b} {nothing}", "kept": ["{nothing}", "{text}"]}, RECORD) == {
        "kept": ["Ja"]
    }


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, True),
        ({"text": "JA"}, True),
        ({"text": ["nein", "ja"]}, True),
        ({"text": "nein"}, False),
        ({"nothing": "ja"}, False),
        ({"a.b": {"above": 0}}, True),
        ({"a.b": {"above": 1}}, False),
        ({"text": {"above": 0}}, False),
        ({"empty": {"present": True}}, False),
        ({"empty": {"present": False}}, True),
        ({"text": "ja", "a.b": 2}, False),
    ],
)
def test_a_condition_holds_where_all_its_parts_do(condition: dict[str, Any], expected: bool) -> None:
    """Texts are compared without regard to case; what is missing is equal to nothing."""
    assert holds(condition, RECORD) is expected
