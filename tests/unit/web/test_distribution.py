"""Pipelines by level beside errors made by people."""

import re

import pytest

from ratchet.measure.kpis.failures import errors_by_month
from ratchet.measure.policies import shipped
from ratchet.measure.reports.report import MonthLine
from ratchet.measuring import Measuring
from ratchet.web import distribution
from ratchet.web.charts import MISSING
from tests.unit.web.conftest import Site
from tests.unit.web.test_process_pages import page

STANDARD = shipped("standard")
NOTHING = {"0": 0, "1": 0, "2": 0, "3": 0, "4": 0, "insufficient": 0}


def month(name: str, *, errors: int = 0, by_people: int = 0, **buckets: int) -> MonthLine:
    """Return a month."""
    found = NOTHING | {key.removeprefix("level"): value for key, value in buckets.items()}
    return MonthLine(month=name, buckets=found, errors=errors, human_changes=by_people, automated_changes=1)


def test_both_charts_have_the_same_months() -> None:
    """Each bucket is a column of the table, errors are marked as lagging, and rates need changes by people."""
    lines = [
        month("2026-01", insufficient=2, errors=3, by_people=12),
        month("2026-02", level0=1, level2=1),
    ]
    levels, errors = distribution.figures(lines, STANDARD)
    assert [row[0] for row in levels.rows] == [row[0] for row in errors.rows] == ["Jan 2026", "Feb 2026"]
    assert levels.columns == (
        "Month",
        *(f"{number} {STANDARD.level(number).name}" for number in range(5)),
        "Too little evidence",
    )
    assert levels.rows == (("Jan 2026", "0", "0", "0", "0", "0", "2"), ("Feb 2026", "1", "0", "1", "0", "0", "0"))
    assert "1 at level 2, 1 at level 0." in levels.summary
    assert levels.legend.count("swatch") == 6
    assert (errors.tag, errors.rows[0][1:]) == ("lagging", ("3", "12", "1", "25.0"))
    assert errors.rows[1][-1] == MISSING
    assert "3 in these months" in errors.summary


def test_nothing_yet_is_no_chart() -> None:
    """Without a month there is nothing to draw; without an active pipeline the words say so."""
    assert distribution.figures([], STANDARD) == []
    levels, _ = distribution.figures([month("2026-01")], STANDARD)
    assert "none is active" in levels.summary


def test_months_are_those_of_the_ledger(site: Site) -> None:
    """Of a real year: levels as the table keeps them, errors as the KPI counts them."""
    found = Measuring(site.workspace).distributions(STANDARD, months=distribution.MONTHS)
    errors = errors_by_month(site.workspace.ask())
    lines = distribution.months(found, errors)
    assert [one.month for one in lines] == [one.month for one in found]
    assert lines[-1].buckets["4"] == 1
    assert sum(one.human_changes for one in lines) == sum(one.human_changes_count for one in errors)
    assert distribution.months(found, [])[0].errors == 0


@pytest.mark.parametrize("name", distribution.SHOWN_WITH)
def test_pages_of_both_show_both(site: Site, name: str) -> None:
    """Levels first, errors beside them and marked; by another policy, too."""
    text = page(site.browser(), f"/kpis/{name}")
    assert text.index("Active pipelines by level") < text.index(
        'Errors made by people <span class="tag">lagging</span>'
    )
    assert "By the policy standard." in text
    assert "By the policy strict." in page(site.browser(), f"/kpis/{name}?policy=strict")
    assert "Active pipelines by level" not in page(site.browser(), "/kpis/new_models")


def test_no_goal_is_no_missing_evidence(site: Site) -> None:
    """Where nobody set a goal, the page says that, and draws no empty chart of it."""
    text = page(site.browser(), "/kpis/level_distribution")
    assert "no goal is set" in re.sub(r"\s+", " ", text)
    assert "Month by month" not in text
    assert "no goal is set" in page(site.browser(), "/kpis")
