"""What pages show of the measure: numbers of the ledger, and words where it holds none."""

from pathlib import Path

from ratchet import clock
from ratchet.measure.policies import shipped
from ratchet.records import Event
from ratchet.web.measurements import Measurements
from tests.unit.web.clients import whole
from tests.unit.web.conftest import Site
from tests.unit.web.sites import workspace_in


def test_an_empty_ledger_has_no_zeros(tmp_path: Path) -> None:
    """A declared pipeline without events has no level, no predictions and no alerts, rather than none of them."""
    with workspace_in(tmp_path) as workspace:
        overview = Measurements(workspace).overview(shipped("standard"))
        (line,) = overview.lines
        assert line.report.is_insufficient
        assert (line.runs_here, line.step is not None) == (True, True)
        assert (line.predictions, line.alerts, line.actions_this_month) == (None, None, 0)
        assert (overview.predictions, overview.alerts) == (None, None)
        assert overview.levels == {"": 1}
        assert Measurements(workspace).levels_over_time("flight-delay", shipped("standard")) == []


def test_a_year_is_told_as_it_was(site: Site) -> None:
    """Predictions add up, the alert that was cleared is no alert, and the pipeline has climbed."""
    overview = Measurements(site.workspace).overview(shipped("standard"))
    line = overview.line("flight-delay")
    assert line is not None
    usage = site.workspace.ledger.read(types=["usage.recorded"])
    assert line.predictions == overview.predictions == sum(event.data["rows"] for event in usage)
    assert line.alerts == 0
    tokens = len(site.tokens)
    assert sum(line.human_actions.values()) == sum(overview.human_actions.values()) - tokens
    assert {mark.stage for mark in line.stages} >= {"train", "evaluate", "deploy", "monitor"}


def test_levels_over_time_never_change_afterwards(site: Site) -> None:
    """The months that are over come out the same from memory, afresh, and after more has happened."""
    measurements = Measurements(site.workspace)
    first = measurements.levels_over_time("flight-delay", shipped("strict"))
    site.workspace.ledger.record(Event(type="custom.emitted", subject="go", pipeline="flight-delay"))
    again = measurements.levels_over_time("flight-delay", shipped("strict"))
    afresh = Measurements(site.workspace).levels_over_time("flight-delay", shipped("strict"))
    assert first[:-1] == again[:-1] == afresh[:-1]
    levels = [point.level for point in first if point.level is not None]
    assert levels == sorted(levels)
    assert first[-1].month == f"{clock.now():%Y-%m}"


def test_stages_of_a_policy_of_ones_own_are_shown(site: Site) -> None:
    """A policy may add stages, and its pages show them beside those that all pipelines have."""
    overview = Measurements(site.workspace).overview(shipped("manual-semi-full"))
    line = overview.line("flight-delay")
    assert line is not None
    assert {mark.stage for mark in line.stages} >= {"train", "features", "pipeline-ci"}
    page = whole(site.browser(), "/pipelines/flight-delay?policy=manual-semi-full").text
    assert "feature" in page


def test_many_pipelines_stand_and_few_are_looked_at(tmp_path: Path) -> None:
    """All pipelines are counted by level, only those of the page are read in full, and it shows what runs elsewhere."""
    with workspace_in(tmp_path) as workspace:
        with workspace.database.write() as transaction:
            for number in range(7):
                pipeline = f"towers-{number}"
                pushed = Event(type="code.pushed", source="towers", pipeline=pipeline, subject=pipeline, id=pipeline)
                workspace.ledger.append(transaction, pushed)
        measurements = Measurements(workspace)
        overview = measurements.overview(shipped("standard"), start=3, limit=2)
        assert len(overview.standings) == 8
        assert overview.levels == {"": 8}
        assert [(line.name, line.runs_here) for line in overview.lines] == [("towers-2", False), ("towers-3", False)]
        step = overview.lines[0].step
        assert step is not None
        assert not step.command
        assert measurements.one("towers-6", shipped("standard")).line("towers-6") is not None
        assert measurements.one("nothing", shipped("standard")).lines == ()
