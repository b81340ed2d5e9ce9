"""Drawings of one incident in time."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ratchet.web.timelines import HEIGHT, WIDTH, Lane, Mark, timeline

ONSET = datetime(2026, 3, 1, 12, tzinfo=UTC)


def draw(*hours: float, lane: Lane = "change", end: float = 2.0, is_open: bool = False, text: str = "x") -> str:
    """Draw marks at some hours from the onset."""
    marks = [Mark(at=ONSET + timedelta(hours=one), lane=lane, text=text) for one in hours]
    finish = ONSET + timedelta(hours=end)
    return timeline(marks, onset=ONSET, end=finish, is_open=is_open, title="INC & co", description="what <happened>")


def places(drawing: str) -> list[tuple[float, float]]:
    """Return where the numbers of the marks stand."""
    found = re.findall(r'<text class="value" x="([\d.]+)" y="([\d.]+)">', drawing)
    return [(float(x), float(y)) for x, y in found]


@pytest.mark.parametrize("hours", [(), (0.0,), (-168.0, -24.0, -1.0, 0.5, 700.0), (-1.0,) * 12, (0.0001, 1e5)])
@pytest.mark.parametrize("lane", ["change", "cause", "step"])
def test_every_mark_is_on_the_drawing(hours: tuple[float, ...], lane: Lane) -> None:
    """It is XML, and nothing lies outside of it, however many and however far."""
    drawing = draw(*hours, lane=lane)
    ElementTree.fromstring(drawing)  # noqa: S314, our own text
    assert len(places(drawing)) == len(hours)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(drawing))


def test_marks_stand_in_the_order_of_time() -> None:
    """Left is before, and near ones do not cover one another."""
    found = places(draw(-168.0, -24.0, -1.0, -0.99))
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert found[2][1] != found[3][1]


def test_what_is_open_has_a_tip() -> None:
    """A bar without an end says so."""
    assert "out of bounds, still" in draw(is_open=True)
    assert "still" not in draw()
    assert draw(is_open=True).count('class="bar"') == 2


def test_kinds_differ_in_shape_and_text_is_escaped() -> None:
    """No colour is needed, and nobody's text becomes markup."""
    shapes = {lane: draw(-1.0, lane=lane).count("<circle") for lane in ("change", "cause", "step")}
    assert shapes == {"change": 1, "cause": 0, "step": 0}
    assert "1. &lt;b&gt;" in draw(-1.0, text="<b>")
    assert "INC &amp; co" in draw()


def test_labels_of_the_axis_keep_apart() -> None:
    """The onset is always there."""
    drawing = draw(-168.0, 168.0)
    axis = drawing.partition('<g class="axis">')[2].partition("</g>")[0]
    found = sorted(float(x) for x in re.findall(r'x="([\d.]+)"', axis))
    assert ">onset<" in axis
    assert all(after - before >= 39 for before, after in pairwise(found))
