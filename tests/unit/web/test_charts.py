"""Charts: what is missing stays a gap, and nothing that was handed in breaks the drawing."""

from xml.etree import ElementTree

import pytest

from ratchet.web.charts import MISSING, Series, bar_chart, line_chart, nice_ticks, step_chart

MONTHS = ("Nov 2025", "Dec 2025", "Jan 2026", "Feb 2026")
SVG = "{http://www.w3.org/2000/svg}"


def _parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)  # noqa: S314, our own text


def _classed(drawing: str, name: str, tag: str) -> list[ElementTree.Element]:
    return [one for one in _parsed(drawing).iter(SVG + tag) if name in (one.get("class") or "").split()]


def test_a_missing_value_breaks_the_line() -> None:
    """Two points, a gap and one point are two lines and three marks, and no mark stands at zero."""
    series = Series(name="live", values=(0.7, 0.72, None, 0.71))
    drawing = line_chart(MONTHS, [series], title="t", description="d")
    assert len(_classed(drawing, "line", "polyline")) == 2
    assert len([one for one in _classed(drawing, "s1", "g") if "mark" in (one.get("class") or "")]) == 3 + 1
    titles = [one.text for one in _parsed(drawing).iter(SVG + "title")]
    assert "Feb 2026, live: 0.71" in titles
    assert not any("Jan 2026, live" in str(text) for text in titles)


def test_no_evidence_is_said_in_words() -> None:
    """A chart without any value says so."""
    assert "no evidence yet" in line_chart((), [Series(name="live", values=())], title="t", description="d")


def test_steps_hold_until_the_next() -> None:
    """A level is drawn as horizontal and vertical lines only, and a month without evidence is left out."""
    series = Series(name="standard", values=(None, 0.0, 2.0, 2.0), shown=("", "0", "2g", "2g"))
    drawing = step_chart(MONTHS, [series], title="t", description="d", top=4)
    paths = [str(one.get("d")) for one in _classed(drawing, "line", "path")]
    assert len(paths) == 1 + 1, "one of the chart, one of its legend"
    assert set(paths[0]) <= set("MHV,.0123456789-")
    assert "Jan 2026, standard: 2g" in drawing


def test_bars_carry_their_numbers() -> None:
    """Each bar has its number above it; a count of zero has a number and no bar, a missing one a dash."""
    bars = Series(name="n", values=(3.0, 0.0, None, 1.0))
    drawing = bar_chart(MONTHS, bars, title="t", description="d")
    assert len(_classed(drawing, "bar", "rect")) == 2
    assert [one.text for one in _classed(drawing, "value", "text")] == ["3", "0", MISSING, "1"]


def test_series_differ_without_colour() -> None:
    """The second series has a mark of another shape."""
    both = [Series(name="one", values=(1.0,)), Series(name="two", values=(2.0,))]
    drawing = line_chart(("Jan 2026",), both, title="t", description="d")
    assert len(list(_parsed(drawing).iter(SVG + "circle"))) == 2
    assert len(list(_parsed(drawing).iter(SVG + "rect"))) == 2


def test_names_cannot_become_markup() -> None:
    """What was handed in as text stays text, in titles, legends and labels."""
    nasty = "<script>alert('x')</script>&\""
    series = Series(name=nasty, values=(1.0,), shown=(nasty,))
    for drawing in (
        line_chart((nasty,), [series], title=nasty, description=nasty),
        step_chart((nasty,), [series], title=nasty, description=nasty, top=2),
        bar_chart((nasty,), series, title=nasty, description=nasty),
    ):
        assert not list(_parsed(drawing).iter(SVG + "script"))
        assert "style=" not in drawing


def test_charts_can_be_read_out() -> None:
    """Title and description are named by the drawing."""
    root = _parsed(bar_chart(("Jan 2026",), Series(name="n", values=(1.0,)), title="Actions", description="Few."))
    named = {one.get("id"): one.text for one in root.iter() if one.get("id")}
    assert [named[name] for name in str(root.get("aria-labelledby")).split()] == ["Actions", "Few."]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.61, 0.76, [0.6, 0.65, 0.7, 0.75, 0.8]),
        (0.0, 8.0, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (5.0, 5.0, [4.5, 4.75, 5.0, 5.25, 5.5]),
        (0.0, 0.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (-3.0, 120.0, [-50.0, 0.0, 50.0, 100.0, 150.0]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, ticks: list[float]) -> None:
    """Ticks are round numbers around the range."""
    assert nice_ticks(low, high) == ticks


def test_ticks_are_written_in_full() -> None:
    """Steps of a quarter have two decimals: 7.25 is not 7.2."""
    drawn = line_chart(["Jan", "Feb"], [Series(name="it", values=(7.0, 7.0))], title="It", description="It.")
    assert all(f">{tick}<" in drawn for tick in ("6.50", "6.75", "7.00", "7.25", "7.50"))
