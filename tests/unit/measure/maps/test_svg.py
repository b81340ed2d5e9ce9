"""The picture, parsed as XML."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.lettering import text_width
from ratchet.measure.maps.routes import BOX_WIDTH
from ratchet.measure.maps.svg import degree_summary, draw, rounded
from tests.maps import any_map, node, process_map
from tests.unit.measure.maps.drawn import MAP, NASTY, SEEN

ALLOWED = {"svg", "title", "desc", "defs", "pattern", "marker", "g", "rect", "circle", "path", "text", "tspan"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    """The picture of the map that has everything."""
    return ET.fromstring(draw(MAP, SEEN))  # noqa: S314, our own text


def titled(picture: ET.Element, name: str) -> ET.Element:
    """Return the group whose tooltip begins with a name."""
    for group in picture.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None and str(title.text).startswith(name):
            return group
    raise AssertionError(name)


def texts(element: ET.Element) -> list[str]:
    """Return all texts that are drawn."""
    return ["".join(one.itertext()) for one in element.iter(f"{SVG}text")]


def test_all_text_is_escaped_and_nothing_runs(picture: ET.Element) -> None:
    """What users write stays text; no script, no style, no address that anything is loaded from."""
    tags = {one.tag.removeprefix(SVG) for one in picture.iter()}
    assert tags <= ALLOWED
    names = {key for one in picture.iter() for key in one.attrib}
    assert not {key for key in names if key.startswith(("on", "style")) or key.endswith("href")}
    assert picture.find(f"{SVG}desc").text == degree_summary(MAP)  # type: ignore[union-attr]


def test_each_degree_shows_by_letter_and_border(picture: ET.Element) -> None:
    """An absent process is transparent and dashed, an unmeasured one hatched; the others are filled."""
    for one in MAP.nodes[:6]:
        group = titled(picture, f"Do {one.id}")
        area, look = group.find(f"{SVG}rect"), DEGREES[one.degree]
        assert area is not None
        assert look.letter in texts(group)
        assert ("stroke-dasharray" in area.attrib) == (one.degree == "absent")
        fill = {"absent": "none", "unmeasured": "url(#unmeasured)"}.get(one.degree, look.fill)
        assert area.attrib["fill"] == fill


def test_the_tooltip_says_purpose_roles_and_what_was_measured(picture: ET.Element) -> None:
    """In words, for those who see no colours."""
    title = titled(picture, NASTY[:60]).find(f"{SVG}title")
    assert title is not None
    assert NASTY in str(title.text)
    assert "Who: ML engineer" in str(title.text)
    assert "Measured: automated." in str(title.text)
    absent = next(one.id for one in MAP.nodes if one.degree == "absent")
    assert "Benefit: Less work." in str(titled(picture, f"Do {absent}")[0].text)


def test_the_measured_degree_stands_beside_the_declared_one(picture: ET.Element) -> None:
    """Only where a process is bound, and marked where the two differ."""
    bound, unbound = titled(picture, NASTY[:60]), titled(picture, "Do n0")
    assert len(bound.findall(f"{SVG}rect")) == len(unbound.findall(f"{SVG}rect")) + 1
    assert "\u2260" in texts(bound)
    assert "\u2260" not in texts(unbound)


def test_lines_differ_by_kind(picture: ET.Element) -> None:
    """Control is solid, data dashed with its name, loops have their own arrow."""
    lines = [one for one in picture.iter(f"{SVG}path") if one.find(f"{SVG}title") is not None]
    kinds = [(one.attrib["marker-end"], "stroke-dasharray" in one.attrib) for one in lines]
    assert sorted(kinds) == [
        ("url(#arrow-control)", False),
        ("url(#arrow-control)", False),
        ("url(#arrow-data)", True),
        ("url(#arrow-data)", True),
        ("url(#arrow-loop)", False),
    ]
    assert {"model & <file>", "report"} <= set(texts(picture))


def test_the_legend_has_each_degree_and_role_in_words(picture: ET.Element) -> None:
    """Nobody has to guess a sign."""
    words = " ".join(texts(picture))
    for look in DEGREES.values():
        assert f"{look.name}: " in words
        assert look.sentence.split()[-1] in words
    assert "ML engineer" in words
    assert "legal" not in words
    assert "in the square" in words
    assert "in the square" not in " ".join(texts(ET.fromstring(draw(MAP))))  # noqa: S314, our own text


def test_names_stay_inside_of_their_boxes(picture: ET.Element) -> None:
    """However long they are, and whatever the letters."""
    for name in ("W" * 60, "word " * 12, "\u6a5f\u68b0" * 30, "Donaudampfschifffahrtsgesellschaftskapitaen"):
        drawn = ET.fromstring(draw(process_map(node("a", name=name[:60].strip()))))  # noqa: S314, our own text
        lines = [one for one in drawn.iter(f"{SVG}text") if one.attrib.get("font-size") == "13.0"]
        assert 1 <= len(lines) <= 2
        assert all(text_width(str(one.text), size=13) <= BOX_WIDTH - 16 for one in lines)
    assert picture.attrib["role"] == "img"


def test_all_that_is_drawn_lies_within_the_picture() -> None:
    """Also the legend of a narrow map, a long title, and a map with two hundred nodes."""
    long = process_map(node("a"), name="W" * 60, id="i" * 64, version="v" * 64)
    for made in (process_map(node("a")), long, MAP, any_map(1, nodes=200, phases=7, edges=250)):
        picture = ET.fromstring(draw(made))  # noqa: S314, our own text
        width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
        for x, y, text, size in _placed(picture, 0.0, 0.0):
            assert x >= 0
            assert x + text_width(text, size=size) <= width + 4
            assert 0 <= y <= height


def _placed(element: ET.Element, left: float, top: float) -> Iterator[tuple[float, float, str, float]]:
    """Give where each text begins, with its words and size."""
    for one in element:
        move = one.attrib.get("transform", "")
        x, y = map(float, move[10:-1].split()) if move.startswith("translate") else (0.0, 0.0)
        if one.tag == f"{SVG}text":
            text, size = "".join(one.itertext()), float(one.attrib["font-size"])
            half = text_width(text, size=size) / 2 if one.attrib.get("text-anchor") == "middle" else 0.0
            yield left + float(one.attrib["x"]) - half, top + float(one.attrib["y"]), text, size
        yield from _placed(one, left + x, top + y)


def test_corners_are_rounded_within_their_stretches() -> None:
    """A stretch that is shorter than two radii is not overshot."""
    path = rounded(((0.0, 0.0), (6.0, 0.0), (6.0, 50.0)))
    assert path == "M0.0,0.0L3.0,0.0Q6.0,0.0 6.0,3.0L6.0,50.0"


def test_a_picture_below_a_heading_has_none_of_its_own() -> None:
    """Its name stays for screen readers, and is not drawn a second time."""
    made = process_map(node("a"), name="Once")
    with_title, without = (ET.fromstring(draw(made, has_title=one)) for one in (True, False))  # noqa: S314, our own text
    assert "Once" in texts(with_title)
    assert "Once" not in texts(without)
    assert without.find(f"{SVG}title").text == "Once"  # type: ignore[union-attr]
    assert float(without.attrib["height"]) < float(with_title.attrib["height"])
