"""Figures: chart and table say the same, and a month without a number is no zero."""

from ratchet.loop.feedback import PeriodMetric
from ratchet.measure.policies import shipped
from ratchet.web import figures
from ratchet.web.charts import MISSING
from ratchet.web.measurements import LevelPoint


def _metric(period: str, value: float | None) -> PeriodMetric:
    return PeriodMetric(period=period, predictions=1000, labelled=900 if value else 0, value=value)


def test_the_metric_has_gaps_where_nothing_is_known() -> None:
    """A month without outcomes and a month without predictions are dashes; the gain counts months with both."""
    found = [(_metric("2025-11", 0.7), 0.65), (_metric("2026-01", 0.72), 0.62), (_metric("2026-02", None), None)]
    figure = figures.quality(found, "flights")
    assert [row[:3] for row in figure.rows] == [
        ("Nov 2025", "0.700", "0.650"),
        ("Dec 2025", MISSING, MISSING),
        ("Jan 2026", "0.720", "0.620"),
        ("Feb 2026", MISSING, MISSING),
    ]
    assert "0.075 better than the first version" in figure.summary


def test_nothing_to_compare_is_said() -> None:
    """No outcomes, not yet computed and failed are three different things."""
    assert "nothing to compare" in figures.quality([], "flights").summary
    assert "Being computed" in figures.quality(None, "flights").summary
    assert figures.quality(None, "flights", problem="gone").problem == "gone"


def test_levels_stand_in_the_table() -> None:
    """Each month has its level by both policies, or words where there was too little evidence."""
    reached = LevelPoint(month="2026-02", level=1, label="1 Training automated")
    points = {
        "standard": [LevelPoint(month="2026-01", level=None, label="too little evidence"), reached],
        "strict": [LevelPoint(month="2026-01", level=0, label="0 Not automated"), reached],
    }
    figure = figures.levels(points, "a&b", [shipped("standard"), shipped("strict")])
    assert figure.rows[0] == ("Jan 2026", "too little evidence", "0 Not automated")
    assert figure.link == "?pipeline=a%26b"


def test_human_actions_are_counted_for_all_or_for_one() -> None:
    """The summary says which."""
    assert "over all pipelines: 2 in Feb 2026" in figures.human_actions({"2026-01": 0, "2026-02": 2}).summary
    assert "about flights: 2 in Feb 2026" in figures.human_actions({"2026-02": 2}, pipeline="flights").summary
    assert "none yet" in figures.human_actions({}).summary
