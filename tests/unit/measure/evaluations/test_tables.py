"""TOML files of people: each mistake has its line."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations.tables import MAX_TEXT, TableFile, suggestion, toml_text


def test_tables_know_their_lines() -> None:
    """What looks like a header inside of a text or a comment is none."""
    file = TableFile(b'[[a]]\nx = """\n[[a]]\ny = 1\n"""\n# [[a]]\n[[a]] # here\ny = 2\n', where="f.toml")
    first, second = file.tables("a")
    assert (first.place, second.place) == ("f.toml:1", "f.toml:7")
    assert second.place_of("y") == "f.toml:8"
    assert second.place_of("missing") == "f.toml:7"


def test_quotes_in_texts_do_not_open_long_texts() -> None:
    """Quotes inside of quotes, escaped ones, and those after a comment sign are not the beginning of a long text."""
    content = b"a = \"x'''y\" # '''\nb = '\"\"\"'\nc = \"\\\"\"\n[[d]]\ne = 1\n"
    assert TableFile(content, where="f").tables("d")[0].place == "f:4"


def test_separators_inside_of_texts_are_no_line_ends() -> None:
    """Only the line ends of TOML count, whatever else separates lines elsewhere."""
    content = 'a = "x\u2028y"\r\n[[d]]\r\ne = 1\r\n'.encode()
    assert TableFile(content, where="f").tables("d")[0].place_of("e") == "f:3"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = \xff", "is not UTF-8 text"),
        (b"a = ", "is not TOML"),
        (b"a = 1\n[[x]]\nb = 1", "has no table"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, problem: str) -> None:
    """Encoding, syntax, and a missing table."""
    with pytest.raises(ConfigInvalid, match=problem):
        TableFile(content, where="f.toml").table("evaluation")


@pytest.mark.parametrize(
    ("line", "method", "message"),
    [
        ("k = 5", "text", r"f:2: 'k' is 5\. Write a text in quotes"),
        ('k = "  "', "text", r"f:2: 'k' is '  '\."),
        (f'k = "{"x" * (MAX_TEXT + 1)}"', "text", "at most 10,000 are kept"),
        ("k = true", "number", "is True. Write a number of at least 0"),
        ("k = -1", "number", "is -1"),
        ("k = inf", "number", "is inf"),
        ("k = nan", "number", "is nan"),
        ("k = 1", "flag", "Write true or false"),
        ('k = "31.12.2024"', "day", "Write a day such as 2026-03-31"),
        ("k = 2024-10-01T10:00:00", "day", "Write a day"),
        ('k = ["a", ""]', "texts", "Write a list of texts"),
        ("k = { a = 1 }", "pairs", "Write names with texts"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_line(line: str, method: str, message: str) -> None:
    """The message names file, line, key, value and what to write."""
    table = TableFile(f"[t]\n{line}\n".encode(), where="f").table("t")
    options = {"number": {"default": None}, "flag": {"default": False}, "day": {"default": None}}.get(method, {})
    with pytest.raises(ConfigInvalid, match=message):
        getattr(table, method)("k", **options)


def test_a_choice_names_what_is_allowed_and_the_closest() -> None:
    """A misspelt word is answered with the one that was meant."""
    table = TableFile(b'[t]\nkind = "opensource"\n', where="f").table("t")
    with pytest.raises(ConfigInvalid, match="Did you mean 'open source'\\? Allowed: bought, open source"):
        table.choice("kind", ("bought", "open source"))
    with pytest.raises(ConfigInvalid, match=r"f:2: 'kind' is not part of a thing. Did you mean 'kinds'"):
        table.refuse_unknown(("kinds",), "a thing")


def test_a_name_is_suggested_whatever_its_capitals() -> None:
    """Only close names are suggested."""
    assert suggestion("mlfow", ["MLflow", "ZenML"]) == "Did you mean 'MLflow'? "
    assert suggestion("x", ["MLflow"]) == ""


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back_from_toml(text: str) -> None:
    """Quotes, line ends and control characters survive, on one line."""
    written = toml_text(text)
    assert tomllib.loads(f"a = {written}")["a"] == text
    assert len(written.splitlines()) <= 1 + sum(text.count(one) for one in "\u2028\u2029")
