"""The comparison as a page that stands by itself."""

import re
from html.parser import HTMLParser
from pathlib import Path

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.page import to_html
from tests.unit.measure.evaluations.conftest import Change

EMPTY = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page that was parsed: its tags with attributes, its text, and tags that were not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag that closes itself."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close a tag: it must be the last one that was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.words.append(data)


def test_the_page_is_well_formed(compared: Comparison) -> None:
    """Each tag is closed, in order."""
    assert Page(to_html(compared)).open == []


def test_it_asks_nothing_of_the_network(compared: Comparison) -> None:
    """No script, image, frame, font or style sheet; the policy forbids the rest."""
    page = Page(to_html(compared))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    addresses = [value for tag, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert addresses == ["https://example.org/gate"]
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert to_html(compared).count("url(") == to_html(compared).count("url(#unstated)")
    assert "@import" not in to_html(compared)


def test_sentiments_are_emoji_with_a_name(compared: Comparison) -> None:
    """They can be copied and read out; how they look does not depend on a font."""
    text = to_html(compared)
    assert '<span class="s red" role="img" aria-label="red">🔴</span> 2' in text
    outside = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert outside.count("🔴") == outside.count('aria-label="red">🔴</span>') > 0


def test_all_parts_are_there(compared: Comparison) -> None:
    """Numbers, picture, groups, contrasts, disagreements, processes, missing respondents, answers."""
    text = " ".join("".join(Page(to_html(compared)).words).split())
    for part in (
        "yes: builders/gate (builder-2)",
        "weight 40 / 20 / 40 %; 5 of 6 answered",
        "payers/price",
        "Alpha: Label it, Watch it",
        "Train it: semi-automated, wanted automated",
        "No map is named for it.",
        "payer-1 (payers): 2 of 4",
        "It can be passed by.",
        "There is no overall score on purpose",
    ):
        assert part in text, part
    assert "<svg" in to_html(compared)


def test_words_of_respondents_are_text(place: Path, change: Change) -> None:
    """Tags of theirs are shown, not followed."""
    change("answers.toml", "It has one.", "<script>alert(1)</script><b>x")
    text = to_html(compare(evaluation.read(place)))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;x" in text
    assert "<script" not in text


def test_what_is_gone_and_what_was_concluded_is_said(place: Path, change: Change) -> None:
    """Answers to questions that are gone, reasons, and that files were changed since."""
    change("questionnaires/builders.toml", 'id = "local"', 'id = "offline"')
    (place / "conclusion.toml").write_text(
        '[conclusion]\nchoice = "Beta"\nreasons = ["it <is> better"]\nby = "person-1"\n'
        'concluded_at = "2024-12-20T10:00:00+00:00"\ndigest = "0"\n'
    )
    text = to_html(compare(evaluation.read(place)))
    assert "it &lt;is&gt; better" in text
    assert "no longer those of the conclusion" in text
    assert "builders/local, Alpha, builder-1" in text


def test_the_picture_is_as_wide_as_the_page(compared: Comparison) -> None:
    """It is scaled, within the sizes at which it can be read."""
    made = to_html(compared)
    assert ".box svg { display: block; width: 100%; height: auto;" in made
    low, high = map(int, re.findall(r"m(?:in|ax)-width: (\d+)px; ", made.partition(".box svg {")[2].partition("}")[0]))
    assert 1.7 < high / low < 1.9
