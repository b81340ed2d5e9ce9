"""The comparison as Markdown."""

import re
from pathlib import Path

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.markdown import plain, to_markdown
from tests.unit.measure.evaluations.conftest import Change


def test_all_parts_are_there(compared: Comparison) -> None:
    """Numbers, groups, contrasts, disagreements, missing respondents, and every answer with its emoji."""
    text = to_markdown(compared)
    assert text.startswith("# Which platform?\n")
    assert "| Answers | 🔴 2 🟡 1 🟢 3 | 🔴 1 🟡 0 🟢 2 |" in text
    assert "| Builders | 🔴 40% 🟡 20% 🟢 40% | 🔴 0% 🟡 0% 🟢 100% |" in text
    assert "| payers/price | Is the price known? | 🔴 Beta | 🟢 Alpha |" in text
    assert "| builders/gate | Alpha | 🔴 builder-2 | 🟢 builder-1 |" in text
    assert "| builder-2 | builders | 2 of 6 |" in text
    assert "**gate** **(must)** Is there a gate?" in text
    assert "- 🟢 Alpha, builder-1: It has one. [evidence](<https://example.org/gate>)" in text
    assert "- not answered yet" in text
    assert "question is gone" not in text


def test_each_table_has_rows_of_one_length(compared: Comparison) -> None:
    """No cell breaks its row."""
    for block in re.findall(r"(?:^\|.*\n)+", to_markdown(compared), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_words_of_respondents_stay_words(place: Path, change: Change) -> None:
    """No headings, tables, tags, links or line ends of theirs."""
    change("answers.toml", "It has one.", "# a | b <b>x</b> [l](javascript:y) `c` *d*\\n\\n## e")
    text = to_markdown(compare(evaluation.read(place)))
    assert r"\# a \| b \<b\>x\</b\> \[l\](javascript:y) \`c\` \*d\* \#\# e" in text
    assert "\n## e" not in text


def test_plain_text_is_one_line() -> None:
    """Whatever space was in it."""
    assert plain("a\n\n b\t_c_") == r"a b \_c\_"


def test_what_is_gone_is_listed(place: Path, change: Change) -> None:
    """Under a heading of its own."""
    change("questionnaires/builders.toml", 'id = "local"', 'id = "offline"')
    text = to_markdown(compare(evaluation.read(place)))
    assert "- builders/local: 🔴 Alpha, builder-1: Only in their cloud." in text.partition("question is gone")[2]
