"""Answers as TOML and CSV: read, refused with their line, and written without losing anything."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations.answers import COLUMNS, Answer, Names, link_problem, put, read, to_csv, to_toml
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.toml_tables import unprintable
from tests.unit.measure.evaluations.conftest import ANSWERS

NAMES = Names(
    candidates=("Alpha", "Beta"),
    groups=("builders", "payers"),
    respondents={"builder-1": ("builders",), "builder-2": ("builders",), "payer-1": ("payers",)},
)
GOOD = b"""[[answer]]
candidate = "Alpha"
group = "builders"
item = "gate"
respondent = "builder-1"
sentiment = "red"
"""
HEADER = b"candidate,group,item,respondent,sentiment,text\n"
ROW = b"Alpha,builders,gate,builder-1,red,it fails\n"


def answer(**changes: object) -> Answer:
    """Return an answer with some things changed."""
    values: dict[str, object] = {
        "candidate": "Alpha",
        "group": "builders",
        "item": "gate",
        "respondent": "builder-1",
        "sentiment": Sentiment.RED,
        **changes,
    }
    return Answer(**values)  # type: ignore[arg-type]  # the names are those of its fields


def test_an_answer_is_read_with_its_place() -> None:
    """Words and letters become the emoji; capitals of candidates do not matter; text loses its margins."""
    found = read(ANSWERS.encode(), where="answers.toml", names=NAMES)
    assert [str(one.sentiment) for one in found] == ["🟢", "🔴", "🟡", "🔴", "🟢", "🟢", "🟢", "🟢", "🔴"]
    assert found[0].answered_on == date(2024, 10, 2)
    assert found[2].text == "Half of it.\n[[answer]]"
    assert found[5].candidate == "Alpha"
    assert [one.place for one in found[:4]] == [
        "answers.toml:2",
        "answers.toml:12",
        "answers.toml:21",
        "answers.toml:32",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"Alpha"', b'"Alfa"', "a.toml:2: 'candidate' is 'Alfa'. Did you mean 'Alpha'. Allowed: Alpha, Beta"),
        (
            b'"builders"',
            b'"bilders"',
            "a.toml:3: 'group' is 'bilders'. Did you mean 'builders'. Allowed: builders, payers",
        ),
        (b'"red"', b'"amber"', "a.toml:6: 'sentiment' is 'amber'. Allowed: red 🔴, yellow 🟡, green 🟢"),
        (b'"builder-1"', b'"builder-9"', "a.toml:5: 'respondent' is 'builder-9', who is not one of the respondents"),
        (b'"builder-1"', b'"payer-1"', "a.toml:3: 'group' is 'builders', for which payer-1 does not answer"),
        (b'item = "gate"\n', b"", "a.toml:1: 'item' is missing"),
        (b'item = "gate"', b'item = "gate"\nsentimnt = "x"', "'sentimnt' is not part of an answer"),
        (b'item = "gate"', b'item = "gate"\nevidence_link = "javascript:x"', "begins with 'javascript:'"),
        (b'item = "gate"', b'item = "gate"\nanswered_on = "soon"', "'answered_on' is 'soon'"),
        (b"[[answer]]", b"[[answers]]", "'answers' is not part of a file of answers. Did you mean 'answer'"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(old: bytes, new: bytes, message: str) -> None:
    """File, line, what is wrong, what is allowed."""
    with pytest.raises(ConfigInvalid, match=message):
        read(GOOD.replace(old, new), where="a.toml", names=NAMES)


def test_an_answer_given_twice_is_refused_with_both_lines() -> None:
    """Nothing decides for one of the two."""
    with pytest.raises(
        ConfigInvalid, match=r"a.toml:8: answers builders/gate about Alpha for builder-1 a second time; see a.toml:1"
    ):
        read(GOOD + b"\n" + GOOD, where="a.toml", names=NAMES)


def test_a_sheet_is_read_whatever_its_separator() -> None:
    """Commas or semicolons, a byte order mark, columns in any order, rows that are not filled in yet."""
    comma = b"\xef\xbb\xbf" + HEADER + b"\n" + ROW + b"Alpha,builders,local,builder-1,,\n"
    semicolon = (
        b"sentiment;text;respondent;item;group;candidate;question\r\n"
        b"red;it fails;builder-1;gate;builders;Alpha;Is it?\r\n"
    )
    for content in (comma, semicolon):
        (found,) = read(content, where="a.csv", names=NAMES)
        assert (found.item, found.sentiment, found.text) == ("gate", Sentiment.RED, "it fails")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.csv:1: has no column candidate, group, item, respondent, sentiment"),
        (b"candidate,group,item,sentiment\n", "a.csv:1: has no column respondent"),
        (HEADER.replace(b"text", b"texts") + ROW, "a.csv:1: has a column 'texts', which means nothing"),
        (HEADER.replace(b"text", b"item"), "a.csv:1: has a column 'item' twice"),
        (HEADER + b"Alpha,builders,gate\n", "a.csv:2: has 3 values, and the first line has 6 columns"),
        (HEADER + ROW + b"Alpha,builders,local,builder-1,amber,\n", "a.csv:3: 'sentiment' is 'amber'"),
        (HEADER + ROW + b'Alpha,builders,local,builder-1,red,"x\n', "a.csv:3: is not CSV"),
        (
            HEADER + b'Alpha,builders,gate,builder-1,red,"two\nlines"\nAlfa,builders,gate,builder-1,red,\n',
            "a.csv:4: 'candidate'",
        ),
        (HEADER + b"\xff", "a.csv: is not UTF-8 text"),
        (HEADER + ROW + ROW, "a.csv:3: answers builders/gate about Alpha for builder-1 a second time; see a.csv:2"),
    ],
)
def test_a_bad_sheet_is_refused_with_its_line(content: bytes, message: str) -> None:
    """Columns, quotes, encoding, values: the line is that of the file, also after texts of several lines."""
    with pytest.raises(ConfigInvalid, match=message):
        read(content, where="a.csv", names=NAMES)


@pytest.mark.parametrize(
    ("link", "is_good"),
    [
        ("", True),
        ("https://example.org/a?b=c:d", True),
        ("http://example.org", True),
        ("docs/page.md", True),
        ("../docs/a:b.md", True),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://example.org/a b", False),
        ("https://example.org\n", False),
    ],
)
def test_a_link_leads_to_an_address_or_a_file(link: str, is_good: bool) -> None:
    """Nothing that a browser would carry out."""
    assert (link_problem(link) == "") == is_good


# ---- writing


TEXTS = (
    st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
    .map(str.strip)
    .filter(lambda text: not unprintable(text))
)


@given(text=TEXTS, comment=TEXTS, sentiment=st.sampled_from(Sentiment))
def test_what_is_written_is_read_again(text: str, comment: str, sentiment: Sentiment) -> None:
    """TOML gives back every text; so does CSV."""
    one = answer(text=text, comment=comment, sentiment=sentiment, answered_on=date(2024, 10, 2))
    (toml,) = read(to_toml([one]), where="a.toml", names=NAMES)
    assert toml.values() == one.values()
    (sheet,) = read(to_csv([one]), where="a.csv", names=NAMES)
    assert sheet.values() == one.values()


def test_exported_sentiments_are_emoji() -> None:
    """In TOML and in CSV."""
    one = answer(sentiment=Sentiment.YELLOW)
    assert 'sentiment = "🟡"' in to_toml([one]).decode()
    assert "Alpha,builders,gate,builder-1,🟡," in to_csv([one]).decode()


def test_changing_an_answer_leaves_the_rest_of_the_file_alone() -> None:
    """Comments, order and what others wrote stay; the changed block alone is new."""
    before = ANSWERS.encode()
    after = put(before, [answer(item="tests", sentiment=Sentiment.GREEN, text="All")], where="a.toml", names=NAMES)
    changed = read(after, where="a.toml", names=NAMES)
    was = read(before, where="a.toml", names=NAMES)
    assert [one.values() for one in changed if one.item != "tests" or one.candidate != "Alpha"] == [
        one.values() for one in was if one.item != "tests" or one.candidate != "Alpha"
    ]
    assert (changed[2].text, changed[2].sentiment) == ("All", Sentiment.GREEN)
    text = after.decode()
    assert text.startswith("# kept by hand: a comment that has to stay\n[[answer]]\n")
    assert "# in between\n[[answer]]" in text


def test_a_new_answer_stands_at_the_end() -> None:
    """What was there stays byte by byte."""
    after = put(ANSWERS.encode(), [answer(item="new")], where="a.toml", names=NAMES).decode()
    assert after.startswith(ANSWERS.rstrip())
    assert after.endswith('respondent = "builder-1"\nsentiment = "🔴"\n')


def test_a_comment_above_the_next_answer_stays_with_it() -> None:
    """The block that is replaced ends where the comment of the next one begins."""
    content = GOOD + b"\n# about the next\n" + GOOD.replace(b'"gate"', b'"local"')
    after = put(content, [answer(text="longer")], where="a.toml", names=NAMES).decode()
    assert 'text = "longer"\n\n# about the next\n[[answer]]' in after


def test_a_file_keeps_its_line_ends() -> None:
    """Those of Windows stay, also around what is new; what stands there reads as before."""
    before = ANSWERS.replace("\n", "\r\n").encode()
    after = put(before, [answer(item="new", text="a\nb")], where="a.toml", names=NAMES)
    assert after.count(b"\r\n") == after.count(b"\n")
    assert after.startswith(before.rstrip())
    was = [one.values() for one in read(before, where="a.toml", names=NAMES)]
    now = [one.values() for one in read(after, where="a.toml", names=NAMES)]
    assert now == [*was, answer(item="new", text="a\nb").values()]


def test_a_file_without_blocks_can_be_changed() -> None:
    """Answers that stand in one list are read, and written as blocks."""
    names = b'candidate = "Alpha", group = "builders", item = "gate", respondent = "builder-1"'
    content = b'answer = [{ %s, sentiment = "red" }]' % names
    after = put(content, [answer(sentiment=Sentiment.GREEN)], where="a.toml", names=NAMES)
    (found,) = read(after, where="a.toml", names=NAMES)
    assert found.sentiment is Sentiment.GREEN


def test_a_file_that_cannot_be_read_is_not_written() -> None:
    """A mistake elsewhere in the file is told before anything is lost."""
    with pytest.raises(ConfigInvalid, match=r"a.toml:6: 'sentiment'"):
        put(GOOD.replace(b"red", b"amber"), [answer(item="new")], where="a.toml", names=NAMES)


def test_a_text_without_end_is_refused() -> None:
    """A limit on everything."""
    with pytest.raises(ConfigInvalid, match="builders/gate: has 10,001 characters"):
        put(b"", [answer(text="x" * 10_001)], where="a.toml", names=NAMES)


def test_a_text_that_cannot_be_shown_is_refused() -> None:
    """Before it is in the file, which nobody could read any more."""
    with pytest.raises(ConfigInvalid, match=r"builders/gate: has a character that cannot be shown, '.x1b'"):
        put(b"", [answer(comment="\x1b[2J")], where="a.toml", names=NAMES)


def test_a_sheet_can_be_the_file_of_answers() -> None:
    """Changed and added rows; the columns are always the same."""
    before = to_csv([answer(), answer(item="local")])
    after = put(before, [answer(item="local", text="x"), answer(item="new")], where="a.csv", names=NAMES)
    assert [(one.item, one.text) for one in read(after, where="a.csv", names=NAMES)] == [
        ("gate", ""),
        ("local", "x"),
        ("new", ""),
    ]
    assert after.decode("utf-8-sig").splitlines()[0] == ",".join(COLUMNS)
