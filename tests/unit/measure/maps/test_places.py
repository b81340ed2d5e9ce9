"""Lines of TOML files, found for messages."""

import pytest

from ratchet.errors import ConfigInvalid
from ratchet.measure.maps.places import Places

TEXT = b'''# note: id = "b"
[head]
text = """
[[node]]
id = "b"
"""
[[node]]
id = "a"

[[node]]
id = "b"
'''


def refused(places: Places, key: str, token: object = None) -> str:
    """Return what a refusal says."""
    with pytest.raises(ConfigInvalid) as error:
        places.refuse(key, "is wrong.", "Change it.", token=token)
    return str(error.value)


def test_line_of_a_value_is_found_in_its_table() -> None:
    """Comments and the insides of long strings are no tables."""
    places = Places(TEXT, where="map.toml")
    places.enter("node", 0)
    assert refused(places, "id") == "map.toml:8: 'id' is wrong. Change it."
    places.enter("node", 1)
    assert refused(places, "id", token="b").startswith("map.toml:11: ")
    places.enter("head")
    assert refused(places, "text").startswith("map.toml:3: ")


def test_missing_value_is_looked_for_at_its_table() -> None:
    """Where there is nothing to point at, the table is named."""
    places = Places(TEXT, where="map.toml")
    places.enter("node", 1)
    assert refused(places, "purpose").startswith("map.toml:10: ")


def test_tables_written_inline_are_checked_too() -> None:
    """A map whose nodes stand in one list has no table to find; then the first line is named."""
    places = Places(b'node = [{ id = "a" }]\n', where="map.toml")
    places.enter("node", 0)
    assert refused(places, "id").startswith("map.toml:1: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff", "m.toml: is not UTF-8 text (invalid start byte). Save it as UTF-8."),
        (b"a = 1\nb = \n", "m.toml:2: is not TOML: Invalid value (at line 2, column 5). See https://toml.io"),
    ],
)
def test_what_is_no_toml_is_refused(content: bytes, says: str) -> None:
    """The message has the line where the text stops making sense."""
    with pytest.raises(ConfigInvalid) as error:
        Places(content, where="m.toml")
    assert str(error.value).startswith(says)


def test_byte_order_mark_is_no_part_of_a_text() -> None:
    """Files of some editors begin with one."""
    assert Places(b"\xef\xbb\xbfa = 1\n", where="m").values == {"a": 1}


@pytest.mark.parametrize("value", ['"a\\u0000b"', '"a\\u001bb"', '"a\\uFFFEb"'])
def test_characters_that_cannot_be_shown_are_refused(value: str) -> None:
    """XML cannot hold them, and nobody can read them."""
    places = Places(f"name = {value}\n".encode(), where="m")
    with pytest.raises(ConfigInvalid, match="cannot be shown"):
        places.text(places.values, "name", longest=10)


@pytest.mark.parametrize("value", ["-1", "true", "nan", "inf", "'1'"])
def test_numbers_are_numbers(value: str) -> None:
    """No negative, no infinite, no truth value."""
    places = Places(f"cost = {value}\n".encode(), where="m")
    with pytest.raises(ConfigInvalid, match="Write a number from 0 upwards"):
        places.number(places.values, "cost")
