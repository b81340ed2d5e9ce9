"""What changes between two maps, as a picture."""

from xml.etree import ElementTree as ET

import pytest

from ratchet.measure.maps.difference_svg import difference_summary, draw_difference, mark, united
from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.layout import arrange
from ratchet.measure.maps.process_maps import Edge, ProcessMap, find_circle
from tests.maps import node, process_map

BEFORE = process_map(
    node("stays", degree="automated"),
    node("rises", degree="absent", benefit="Less work."),
    node("falls", degree="automated"),
    node("open", degree="unmeasured"),
    node("gone", phase="Old", degree="exceptionally manual"),
    edges=(Edge(source="stays", target="gone"), Edge(source="gone", target="rises")),
)
AFTER = process_map(
    node("stays", degree="automated"),
    node("rises", degree="semi-automated"),
    node("falls", degree="non-repeatable"),
    node("open", degree="automated"),
    node("comes", degree="automated"),
    kind="target",
    edges=(Edge(source="rises", target="stays"), Edge(source="stays", target="comes")),
)
MARKS = {
    "stays": "same",
    "rises": "+3",
    "falls": "\u22122",
    "open": "not known",
    "comes": "new",
    "gone": "taken off",
}


@pytest.fixture(scope="module")
def boxes() -> dict[str, ET.Element]:
    """What is drawn of each process, by its id."""
    root = ET.fromstring(draw_difference(BEFORE, AFTER))  # noqa: S314, drawn by us
    groups = [one for one in root.iter("{http://www.w3.org/2000/svg}g") if one.find("{*}title") is not None]
    names = {one.name: one.id for one in united(BEFORE, AFTER).nodes}
    return {names[str(one.findtext("{*}title")).split("\n")[0]]: one for one in groups}


def texts(element: ET.Element) -> list[str]:
    """Return what can be read in a part of the picture."""
    return [str(one.text) for one in element.iter("{http://www.w3.org/2000/svg}text")]


def test_each_process_has_the_word_of_its_change(boxes: dict[str, ET.Element]) -> None:
    """Also the one that is gone; none is told by its colour alone."""
    assert {name: texts(box)[-1] for name, box in boxes.items()} == MARKS
    assert {change.node: mark(change) for change in compare(BEFORE, AFTER).changes} == MARKS


@pytest.mark.parametrize(
    ("name", "letters"),
    [("stays", ["A"]), ("rises", ["\u2013", "S"]), ("falls", ["A", "N"]), ("open", ["?", "A"]), ("gone", ["M"])],
)
def test_both_degrees_stand_there_by_their_letters(boxes: dict[str, ET.Element], name: str, letters: list[str]) -> None:
    """First that of today; one where nothing changes, or where there is only one."""
    assert texts(boxes[name])[1:-1] == letters


def test_what_changes_has_the_bolder_border(boxes: dict[str, ET.Element]) -> None:
    """And what is gone is struck through."""
    widths = {
        name: max(float(one.get("stroke-width", 0)) for one in box.iter("{http://www.w3.org/2000/svg}rect"))
        for name, box in boxes.items()
    }
    assert widths["stays"] < min(width for name, width in widths.items() if name != "stays")
    strikes = {name: len(box.findall("{*}path")) for name, box in boxes.items()}
    assert strikes == {"stays": 0, "rises": 1, "falls": 1, "open": 1, "comes": 0, "gone": 1}


def test_the_summary_counts_each_process_once() -> None:
    """In words, one of each kind; what is new counts from absent on."""
    assert difference_summary(compare(BEFORE, AFTER)) == (
        "6 processes: 1 rises, 1 falls back, 1 is new, 1 is taken off, 1 has no degree on one of the maps, "
        "1 stays as before; 7 steps upwards in all"
    )
    assert difference_summary(compare(AFTER, AFTER)).startswith("5 processes: 5 stay as before; 0 steps")


def test_lines_of_what_is_gone_are_drawn_unless_they_close_a_circle() -> None:
    """Today gone leads to rises, which will lead to stays, which leads to gone today."""
    both = united(BEFORE, AFTER)
    assert both.phases[-1] == "Old"
    control = [edge for edge in both.edges if not edge.loop]
    assert len(control) == 3
    assert find_circle([one.id for one in both.nodes], control) == []
    assert len(arrange(both).cells) == 6


def test_only_what_occurs_is_in_the_legend() -> None:
    """A picture in which nothing changes does not explain what a change looks like."""

    def explained(before: ProcessMap, after: ProcessMap) -> bool:
        return "two letters" in draw_difference(before, after)

    assert (explained(AFTER, AFTER), explained(BEFORE, AFTER)) == (False, True)
    assert "what changes</text>" not in draw_difference(BEFORE, AFTER, has_title=False)
