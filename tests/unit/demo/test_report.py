"""What the demo prints."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ratchet.demo.report import WIDTH, Figures, Month, as_json, as_text, progress
from ratchet.demo.story import START


def _month(name: str, **changes: object) -> Month:
    month = Month(
        month=name,
        level=2,
        own_level=1,
        live=0.70,
        january=0.65,
        data_age_days=5.0,
        predictions=28000,
        labelled=27000,
        trainings=5,
        deployments=4,
        human_actions=1,
    )
    return msgspec.structs.replace(month, **changes)


def _figures(months: list[Month]) -> Figures:
    return Figures(
        months=months,
        gain=0.05,
        gain_low=0.04,
        gain_high=0.06,
        flights=56000,
        coverage=0.97,
        trainings=10,
        refused=2,
        deployments=8,
        human_trainings=1,
        human_deployments=1,
        closures=1,
        events=500,
        level_name="2 (Deployment automated)",
        own_level_name="1 (Renewed)",
        explanation="Level 3 is not reached.",
    )


def test_months_that_lose_are_printed() -> None:
    """A month in which January's model was better is in the table and in the text."""
    text = as_text(_figures([_month("2013-03"), _month("2013-04", live=0.60)]), folder=Path("/nowhere/demo"))
    assert "-0.050" in text
    assert "It lost in 2013-04." in text


def test_a_month_without_outcomes_has_no_number() -> None:
    """No evidence is a dash, never a zero."""
    text = as_text(_figures([_month("2013-01", live=None, january=None, data_age_days=None)]), folder=Path("/nowhere"))
    row = next(line for line in text.splitlines() if "2013-01" in line)
    assert row.split()[2:6] == ["-", "-", "-", "-"]


def test_the_table_fits_a_terminal_and_nothing_is_cut() -> None:
    """No line is wider than promised, and no heading ends in dots."""
    text = as_text(_figures([_month("2013-03")]), folder=Path("/nowhere"))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "…" not in text


def test_it_ends_with_where_the_page_lies() -> None:
    """The last line is the file to send."""
    text = as_text(_figures([_month("2013-03")]), folder=Path("/nowhere/demo"))
    assert text.splitlines()[-1] == "Send it: /nowhere/demo/report.html"


def test_json_has_every_figure() -> None:
    """What scripts read is what people read."""
    figures = _figures([_month("2013-03")])
    assert msgspec.json.decode(as_json(figures), type=Figures) == figures


def test_without_a_terminal_each_month_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log shows how far the year has come; who asked for JSON gets nothing beside it."""
    end = START + timedelta(days=70)
    for quiet in (False, True):
        with progress(START, end, quiet=quiet) as advance:
            for day in range(70):
                advance(START + timedelta(days=day))
        said = capsys.readouterr()
        assert said.out == ""
        begun = [line.split(" ")[0] for line in said.err.splitlines()]
        assert begun == ([] if quiet else ["2013-01", "2013-02", "2013-03"])
