"""TOML files of people: each value has its line, and each mistake is named with it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratchet.errors import ConfigInvalid
from ratchet.toml_tables import MAX_TEXT, NotToml, TableFile, Way, line_of, lines_of, suggestion, toml_text, values_of

PROJECT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "examples", "docs")
TEXT = '''# note: id = "b"
[head]
text = """
[[node]]
id = "b"
"""
[[node]]
id = "a"

[[node]] # the second
"id" = "b"
roles = [
    "one",  # "two"
    "two",
]
bound = { stage = "train", deep = [{ x = 1 }, {
    y = 2 }] }
a.b."c d" = 1
[node.inner]
[[node.many]]
z = 1
[[node.many]]
z = 2
'''


def ways(value: Any, way: Way = ()) -> set[Way]:
    """Return the ways to everything inside of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {way, *(deeper for key, one in inner for deeper in ways(one, (*way, key)))}


# ---- lines


@pytest.mark.parametrize(
    ("way", "line"),
    [
        (("head", "text"), 3),
        (("node",), 7),
        (("node", 0, "id"), 8),
        (("node", 1), 10),
        (("node", 1, "id"), 11),
        (("node", 1, "roles", 1), 14),
        (("node", 1, "bound", "deep", 0, "x"), 16),
        (("node", 1, "bound", "deep", 1, "y"), 17),
        (("node", 1, "a", "b", "c d"), 18),
        (("node", 1, "inner"), 19),
        (("node", 1, "many", 1, "z"), 23),
        (("node", 0, "missing", 3), 7),
        (("node", 2, "id"), 7),
        (("nothing",), 1),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_everything_has_its_line(way: Way, line: int, line_end: str) -> None:
    """Also below headers inside of texts and comments, and whatever ends the lines; what is missing has its table's."""
    assert line_of(TEXT.replace("\n", line_end), way) == line


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_feeds_end_lines(separator: str) -> None:
    """What ends lines elsewhere may stand inside of texts and comments."""
    text = f'a = "x{separator}y" # {separator}\n[[d]]\ne = 1\n'
    if separator >= " ":
        assert values_of(text)["d"] == [{"e": 1}]
    assert line_of(text, ("d", 0, "e")) == 3


def test_lines_of_all_files_here_are_known() -> None:
    """In every TOML file of the repository each value has a line, and nothing else has one."""
    files = [PROJECT / "pyproject.toml", *(one for folder in FOLDERS for one in (PROJECT / folder).rglob("*.toml"))]
    assert len(files) > 20
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert set(lines_of(text).at) | {()} == ways(tomllib.loads(text)), path


_words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
_scalars = st.one_of(st.integers(-5, 5), st.booleans(), _words, st.just(1.5))
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=12,
)
_spaces = st.lists(st.sampled_from([" ", "\n", "\r\n", "# ]}=\"'''\n", "\t"]), max_size=3).map("".join)


def written(value: Any, space: str, number: list[int]) -> str:
    """Write a value as TOML; lists have space and comments between their elements."""
    number[0] += 1
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{toml_text(key)} = {written(one, space, number)}" for key, one in value.items()) + " }"
        )
    if isinstance(value, list):
        return f"[{space}" + ",".join(f"{space}{written(one, space, number)}{space}" for one in value) + "]"
    if isinstance(value, str):
        quotes = ("'''", '"""', "")[number[0] % 3]
        is_plain = all(one.isprintable() and one not in "'\"\\" for one in value)
        return f"{quotes}{value}{quotes}" if quotes and is_plain else toml_text(value)
    return json.dumps(value)


@given(st.dictionaries(_words, _values, max_size=4), _spaces)
@example({"a": ['x""', {"b": "#"}]}, "# ]\n")
def test_lines_are_known_of_whatever_is_toml(values: dict[str, Any], space: str) -> None:
    """Each value has a line, and its key or first sign stands on it."""
    text = "".join(f"{toml_text(key)} = {written(one, space, [0])}\n" for key, one in values.items())
    assert tomllib.loads(text) == values
    found = lines_of(text)
    assert set(found.at) | {()} == ways(values)
    lines = text.split("\n")
    for way, line in found.at.items():
        key = toml_text(str(way[-1]))
        assert isinstance(way[-1], int) or key in lines[line - 1]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a = 1\nb = \n", 2, "Invalid value"),
        (f"a = {'[' * 10_000}{']' * 10_000}", 0, "too deep"),
        (f"a = {'9' * 5000}", 0, "a number has too many digits"),
        ("a = 1\na = 2", 0, "overwrite"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    """Also what the reader of TOML gives up on."""
    with pytest.raises(NotToml, match=problem) as error:
        values_of(text)
    assert error.value.line == line


# ---- tables


def test_tables_know_where_they_stand() -> None:
    """From a header up to the next; one that is written inline has no lines of its own."""
    file = TableFile(b'[[a]]\nx = """\n[[a]]\n"""\n# [[a]]\n[[a]] # here\ny = 2\n[b]\n', where="f.toml")
    first, second = file.tables("a")
    assert (first.place, second.place) == ("f.toml:1", "f.toml:6")
    assert (second.place_of("y"), second.place_of("missing")) == ("f.toml:7", "f.toml:6")
    assert [file.span(one) for one in (first, second, file.table("b"))] == [(0, 5), (5, 7), (7, 9)]
    inline = TableFile(b"a = [{ x = 1 }]\n", where="f.toml")
    assert inline.span(inline.tables("a")[0]) is None
    assert inline.tables("a")[0].place_of("x") == "f.toml:1"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff", "m.toml: is not UTF-8 text (invalid start byte). Save it as UTF-8."),
        (b"a = 1\nb = \n", "m.toml:2: is not TOML: Invalid value (at line 2, column 5). See https://toml.io"),
        (b"a = " + b"[" * 2000 + b"]" * 2000, "m.toml: is not TOML: lists or tables stand too deep in one another."),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, says: str) -> None:
    """The message has the line where the text stops making sense."""
    with pytest.raises(ConfigInvalid) as error:
        TableFile(content, where="m.toml")
    assert str(error.value).startswith(says)


def test_byte_order_mark_is_no_part_of_a_text() -> None:
    """Files of some editors begin with one."""
    assert TableFile(b"\xef\xbb\xbfa = 1\n", where="m").values == {"a": 1}


def test_tables_that_are_none_are_refused() -> None:
    """A missing table, a value in its place, and a list that is none."""
    file = TableFile(b"a = 1\nb = 2\n", where="f.toml")
    with pytest.raises(ConfigInvalid, match=r"^f.toml: has no table \[x\]. Write a table \[x\].$"):
        file.table("x")
    with pytest.raises(ConfigInvalid, match=r"^f.toml:2: 'b' is 2. Write a table \[b\].$"):
        file.table("b")
    with pytest.raises(ConfigInvalid, match=r"^f.toml:2: has b as 2. Write tables \[\[b\]\].$"):
        file.tables("b")


@pytest.mark.parametrize(
    ("line", "method", "message"),
    [
        ("k = 5", "text", r"f:2: 'k' is 5\. Write a text in quotes"),
        ('k = "  "', "text", r"f:2: 'k' is '  '\."),
        (f'k = "{"x" * (MAX_TEXT + 1)}"', "text", "at most 10,000 are kept"),
        ('k = "a\\u0000b"', "text", "cannot be shown"),
        ('k = "a\\u001bb"', "text", "cannot be shown"),
        ('k = "a\\uFFFEb"', "text", "cannot be shown"),
        ('k = "a\\nb"', "line", "goes over several lines"),
        ('k = "a\u2028b"', "line", "goes over several lines"),
        ("k = true", "number", "is True. Write a number of at least 0"),
        ("k = -1", "number", "is -1"),
        ("k = inf", "number", "is inf"),
        ("k = nan", "number", "is nan"),
        ("k = '1'", "number", "is '1'"),
        ("", "number", "is missing"),
        ("k = 1.5", "whole", "is 1.5. Write a whole number from 1 to 9"),
        ("k = 10", "whole", "is 10"),
        ("k = 1", "flag", "Write true or false"),
        ('k = "31.12.2024"', "day", "Write a day such as 2026-03-31"),
        ("k = 2024-10-01T10:00:00", "day", "Write a day"),
        ('k = ["a", ""]', "texts", "Write a list of texts"),
        ('k = [\n"a",\n"\\u0007"]', "texts", "f:4: 'k' has a character that cannot be shown"),
        (f'k = ["{"x" * (MAX_TEXT + 1)}"]', "texts", "has 10,001 characters in one text; at most 10,000"),
        ("k = { a = 1 }", "pairs", "Write names with texts"),
        ("k = { a = '\\u0007' }", "pairs", ""),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_line(line: str, method: str, message: str) -> None:
    """The message names file, line, key, value and what to write."""
    table = TableFile(f"[t]\n{line}\n".encode(), where="f").table("t")
    every: dict[str, dict[str, Any]] = {"whole": {"low": 1, "high": 9}, "flag": {"default": False}}
    options = every.get(method, {})
    if not message:
        assert getattr(table, method)("k") == {"a": "\\u0007"}
        return
    with pytest.raises(ConfigInvalid, match=message):
        getattr(table, method)("k", **options)


def test_a_choice_names_what_is_allowed() -> None:
    """Of names that people gave, the one that was meant is named as well."""
    table = TableFile(b'[t]\nkind = "opensource"\n', where="f").table("t")
    with pytest.raises(ConfigInvalid, match=r"f:2: 'kind' is 'opensource'. Write one of: bought, open source.$"):
        table.choice("kind", ("bought", "open source"))
    with pytest.raises(ConfigInvalid, match="Did you mean 'open source'\\? Allowed: bought, open source"):
        table.choice("kind", ("bought", "open source"), suggests=True)
    with pytest.raises(ConfigInvalid, match=r"f:2: 'kind' is not part of a thing. Did you mean 'kinds'"):
        table.refuse_unknown(("kinds",), "a thing")


def test_a_name_is_suggested_whatever_its_capitals() -> None:
    """Only close names are suggested."""
    assert suggestion("mlfow", ["MLflow", "ZenML"]) == "Did you mean 'MLflow'? "
    assert suggestion("x", ["MLflow"]) == ""


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back_from_toml(text: str) -> None:
    """Quotes, line ends and control characters survive, on one line."""
    made = toml_text(text)
    assert tomllib.loads(f"a = {made}")["a"] == text
    assert len(made.splitlines()) <= 1 + sum(text.count(one) for one in "\u2028\u2029")
