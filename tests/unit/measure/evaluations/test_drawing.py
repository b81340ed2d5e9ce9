"""The comparison as a picture."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.drawing import legend_words, to_svg
from ratchet.measure.evaluations.sentiments import Sentiment
from tests.unit.measure.evaluations.conftest import Change

SVG = "{http://www.w3.org/2000/svg}"


def drawn(compared: Comparison) -> ET.Element:
    """Return the picture as parsed XML."""
    return ET.fromstring(to_svg(compared))  # noqa: S314, our own drawing


def words(root: ET.Element) -> list[str]:
    """Return all texts of the picture."""
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_each_sentiment_is_a_circle_with_its_letter(compared: Comparison) -> None:
    """In its colour where somebody gave it, as an outline where nobody did; the counts stand beside."""
    root = drawn(compared)
    circles = [circle.get("fill") for circle in root.iter(f"{SVG}circle")]
    texts = words(root)
    # Three groups of answers with two candidates: builders twice, payers twice, and the legend.
    assert len(circles) == 3 * 4 + 3
    assert {one.colour for one in Sentiment} <= set(circles)
    assert "#ffffff" in circles
    assert [texts.count(one.letter) for one in Sentiment] == [5, 5, 5]


def test_no_emoji_is_drawn_as_text(compared: Comparison) -> None:
    """A viewer without a font for it would show a box."""
    assert not any(one.value in text for text in words(drawn(compared)) for one in Sentiment)


def test_it_says_what_is_in_it(compared: Comparison) -> None:
    """Title and description for those who do not see it."""
    root = drawn(compared)
    assert root.findtext(f"{SVG}title") == "Which platform?"
    assert root.findtext(f"{SVG}desc") == "Alpha: 🔴 2 🟡 1 🟢 3; Beta: 🔴 1 🟡 0 🟢 2"


def test_the_numbers_are_there(compared: Comparison) -> None:
    """Cost, effort, coverage, steps, and what is ruled out."""
    texts = words(drawn(compared))
    for text in ("1,200 EUR", "30 days", "2 of 4 (50%)", "ruled out by a must", "no map", "not stated"):
        assert text in texts, text


def test_what_nobody_has_stated_is_hatched(compared: Comparison) -> None:
    """A quarter of Alpha's bar, and a count: the rest must not look like the whole."""
    root = drawn(compared)
    hatched = [
        float(part.get("width", "0")) for part in root.iter(f"{SVG}rect") if part.get("fill") == "url(#unstated)"
    ]
    assert hatched == [pytest.approx(236 / 4 - 1), pytest.approx(18)]
    assert "A 1 · S 1 · N 0 · M 1 · \u2013 0 · ? 1" in words(root)


def test_it_asks_for_nothing_and_carries_out_nothing(compared: Comparison) -> None:
    """No script, style, image or address; the strictest content policy holds."""
    text = to_svg(compared)
    assert text.count("http") == 1  # the name of the format
    root = drawn(compared)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "g",
        "rect",
        "line",
        "circle",
        "text",
        "defs",
        "pattern",
    }
    assert not [element for element in root.iter() if "style" in element.attrib]


def test_markup_of_others_is_text(place: Path, change: Change) -> None:
    """A title with tags is a title with tags."""
    change("evaluation.toml", "Which platform?", "<script>&")
    assert drawn(compare(evaluation.read(place))).findtext(f"{SVG}title") == "<script>&"


@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_columns_stay_apart_and_inside(place: Path, count: int) -> None:
    """Any number of candidates with long names: everything lies inside of the picture."""
    text = (place / "evaluation.toml").read_text()
    others = "".join(
        f'[[candidate]]\nname = "Candidate number {number} with quite a long name of its own"\nkind = "own"\n'
        for number in range(count)
    )
    (place / "evaluation.toml").write_text(
        text[: text.index("[[candidate]]")] + others + text[text.index("[[respondent]]") :]
    )
    (place / "answers.toml").write_text("")
    root = drawn(compare(evaluation.read(place)))
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for element in root.iter():
        x = float(element.get("x", element.get("x1", element.get("cx", "0"))))
        y = float(element.get("y", element.get("y1", element.get("cy", "0"))))
        assert 0 <= x + float(element.get("width", "0")) <= width + 0.01
        assert 0 <= y + float(element.get("height", "0")) <= height + 0.01


def test_the_degrees_are_explained_in_words() -> None:
    """Five of them."""
    assert [name for name, _ in legend_words()] == [
        "automated",
        "semi-automated",
        "non-repeatable",
        "exceptionally manual",
        "absent",
    ]
