"""The page: self-contained, and complete without the picture."""

from html.parser import HTMLParser

import pytest

from ratchet.measure.maps.pages import difference_to_html, to_html
from tests.maps import node, process_map
from tests.unit.measure.maps.drawn import MAP, NASTY, SEEN

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Keeps elements, addresses and text; fails on what is not closed."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element and where it points."""
        self.tags.add(tag)
        self.addresses += [str(value) for key, value in attrs if key in ("src", "href", "action", "data")]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element that is closed at once."""
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text that people read."""
        if not {"svg", "style"} & set(self.open):
            self.words += f"{data} "


@pytest.fixture(scope="module")
def page() -> Reader:
    """The page of the map that has everything."""
    return Reader(to_html(MAP, SEEN, seq=7))


def test_it_asks_nobody_for_anything(page: Reader) -> None:
    """No script, no address, and a policy that forbids both."""
    assert not {"script", "link", "img", "iframe", "form"} & page.tags
    assert page.addresses == []
    assert "default-src 'none'" in to_html(MAP)


def test_all_stands_in_words(page: Reader) -> None:
    """Each process with purpose, roles, degree and what was measured, without the picture."""
    words = " ".join(page.words.split())
    for one in MAP.nodes:
        assert one.name in words
        assert one.purpose in words
    assert "Benefit of beginning: Less work." in words
    assert words.count(NASTY) >= 4
    assert "Measured automated" in words.replace(" A ", " ")
    assert "up to event 7" in words
    assert "model & <file>" in words
    assert "No process." in words


def test_disagreements_are_listed(page: Reader) -> None:
    """Or it is said that there are none; without a ledger nothing is said of them."""
    assert "Where people and ledger disagree" in page.words
    assert "Nowhere: each process" in to_html(process_map(node("a")), {})
    assert "ledger" not in Reader(to_html(process_map(node("a")))).words


def test_the_printed_page_is_turned_where_the_map_is_wide() -> None:
    """A row of five is printed on its side; a high map upright; a very high one runs over several pages."""
    flat = process_map(*map(node, "abcde"))
    high = process_map(*(node(f"n{n}", f"Phase {n}") for n in range(5)))
    assert "size: A4 landscape" in to_html(flat)
    assert "size: A4 portrait" in to_html(high)
    very_high = process_map(*(node(f"n{n}", f"Phase {n}") for n in range(30)))
    assert "break-inside: avoid; }\n  .picture svg" not in to_html(very_high)


def test_a_picture_is_as_wide_as_the_page_and_scrolls_no_way_but_sideways() -> None:
    """Down to a share of its size; a map of hundreds of processes is wider than any page."""
    small = to_html(MAP)
    many = to_html(process_map(*(node(f"n{number}") for number in range(200))))
    for page in (small, many):
        assert "max-height: 92vh" not in page
        assert ".picture svg { display: block; width: 100%; height: auto;" in page
    assert ".hint { display: none" in small
    assert ".hint { display: block" in many


def test_two_maps_are_one_page_of_what_changes() -> None:
    """Complete in words, with whatever is in the names escaped."""
    before = process_map(node("train", degree="absent", benefit="Less work.", name=NASTY), node("old"))
    after = process_map(node("train", degree="non-repeatable", name=NASTY), node("new"), kind="target")
    page = Reader(difference_to_html(before, after))
    words = " ".join(page.words.split())
    assert not {"script", "link", "img", "iframe", "form"} & page.tags
    assert f"{NASTY} Design \u2013 absent N non-repeatable +2" in words.replace("Build", "Design")
    assert "old" in words
    assert words.count("taken off") >= 2
    assert "To mind" in words
