"""Charts of the report."""

import xml.etree.ElementTree as ET

from ratchet.measure.reports.numbers import Point
from ratchet.measure.reports.report import MonthLine
from ratchet.web import report_charts
from tests.unit.measure.reports import golden

LEVELS = {"0": "Not automated", "1": "Training", "2": "Deployment"}


def _drawn(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314, a drawing of our own


def _month(name: str, errors: int = 0, **buckets: int) -> MonthLine:
    counts = {name.removeprefix("l"): count for name, count in buckets.items()}
    return MonthLine(month=name, buckets=counts, errors=errors, human_changes=0, automated_changes=0)


def test_bars_are_as_high_as_their_counts_and_say_so() -> None:
    """Twice as many pipelines, twice the height; each part has its words, its digit and its own look."""
    text = report_charts.by_level([_month("2026-01", l0=2, l2=4, insufficient=1)], LEVELS)
    root = _drawn(text)
    heights = {one.get("class"): float(one.get("height", "0")) for one in root.iter("rect")}
    assert set(heights) == {"level l0", "level l2", "unknown"}
    assert abs(heights["level l2"] - 2 * heights["level l0"]) < 0.11
    titles = [one.text for one in root.iter("title")]
    assert "Jan 2026, level 2 Deployment: 4" in titles
    assert "Jan 2026, too little evidence: 1" in titles
    assert "1 unknown" in root.get("aria-label", "")


def test_a_month_without_errors_has_its_0_and_no_bar() -> None:
    """Counts of what happened may be 0; a bar is drawn only where something is."""
    root = _drawn(report_charts.errors([_month("2026-01"), _month("2026-02", errors=3)]))
    assert len(list(root.iter("rect"))) == 1
    assert [one.text for one in root.iter("text") if one.get("class") == "value"] == ["0", "3"]


def test_a_gap_in_a_series_is_a_gap_in_its_line() -> None:
    """Unknown months are passed over, never drawn as 0; too few known ones draw nothing."""
    points = [Point(month=f"2026-{n:02d}", value=v, text=str(v)) for n, v in enumerate([1.0, 2.0, None, 3.0, 4.0], 1)]
    root = _drawn(report_charts.spark(points, title="New models"))
    assert [len(one.get("points", "").split()) for one in root.iter("polyline")] == [2, 2]
    assert report_charts.spark(points[2:4], title="New models") == ""


def test_the_way_to_a_goal_shows_reached_planned_and_goal_in_three_ways() -> None:
    """Line, dots and dashes differ by more than colour, and the share of each month is said."""
    progress = golden.report().goals[0]
    root = _drawn(report_charts.burn_up(progress))
    assert {one.get("class") for one in root.iter() if one.get("class") in ("line", "plan", "goal")} == {
        "line",
        "plan",
        "goal",
    }
    assert "Dec 2024 50%" in root.get("aria-label", "")
