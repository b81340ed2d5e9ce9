"""Time to deployment."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from ratchet.config import BaselineSection
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.settings import Settings
from tests.kpis import answer, asked
from tests.ledgers import LedgerBuilder


def test_an_empty_ledger_has_no_time() -> None:
    """Nothing was deployed, so nothing took 0 hours."""
    found = answer("time_to_deployment", LedgerBuilder())
    assert found.status == "no evidence"
    assert [found.values[name] for name in ("p50_hours", "p90_hours", "kaplan_meier_median_hours")] == [None] * 3


def test_open_versions_are_censored_and_not_dropped() -> None:
    """One went live after 2 hours and two are still waiting: the median of all is not known yet."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    ledger.wait(hours=2).deploy(ledger.command(), gate)
    ledger.train(ledger.command())
    ledger.train(ledger.command())
    found = answer("time_to_deployment", ledger, at=ledger.now + timedelta(hours=9)).values
    assert found["p50_hours"] == pytest.approx(2, abs=0.01)
    assert found["kaplan_meier_median_hours"] is None
    assert (found["deployed_count"], found["open_count"], found["superseded_count"]) == (1, 2, 0)


def test_a_version_is_superseded_by_one_that_was_trained_later() -> None:
    """It waited until the later one went live; one trained before does not supersede it."""
    ledger = LedgerBuilder()
    first, _second = ledger.train(ledger.command()), ledger.train(ledger.command())
    ledger.wait(hours=3).deploy(ledger.command(), first)
    assert answer("time_to_deployment", ledger).values["open_count"] == 1
    third = ledger.train(ledger.command())
    ledger.deploy(ledger.command(), third)
    found = answer("time_to_deployment", ledger).values
    assert (found["open_count"], found["superseded_count"]) == (0, 1)


def test_live_before_trained_is_an_error_that_is_listed() -> None:
    """A training that ended after its version was live is in no median, and is not made 0."""
    ledger = LedgerBuilder()
    shifted = ledger.shift({f"{ledger.pipeline}@v1": 1.0}, cause=ledger.command())
    ledger.wait(hours=1).train(ledger.command())
    found = answer("time_to_deployment", ledger)
    assert found.by["data_errors"] == [f"{ledger.pipeline}@v1"]
    assert (found.values["data_error_count"], found.values["deployed_count"]) == (1, 0)
    assert found.values["p50_hours"] is None
    assert shifted.id in found.events


def test_time_runs_by_the_events_own_clock() -> None:
    """A training that was imported a day late took no longer."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    ledger.wait(hours=5).deploy(ledger.command(), gate)
    late = ledger.now + timedelta(days=1)
    ledger.events = [replace(event, recordedtime=late) for event in ledger.events]
    found = answer("time_to_deployment", ledger, at=ledger.now + timedelta(days=2))
    assert found.values["p50_hours"] == pytest.approx(5, abs=0.01)


def test_the_start_of_the_work_counts_for_a_models_first_version_only() -> None:
    """A later version did not take since the pipeline was declared."""
    ledger = LedgerBuilder()
    ledger.declare()
    for _ in range(2):
        gate = ledger.wait(hours=10).train(ledger.command())
        ledger.deploy(ledger.command(), gate)
    found = answer("time_to_deployment", ledger).by
    assert (found["started"]["count"], found["trained"]["count"]) == (1, 2)
    assert found["started"]["p50_hours"] == pytest.approx(10, abs=0.2)


def test_it_is_held_against_the_published_and_the_own_time() -> None:
    """Reference lines are in the KPI's unit, the own one first where it was declared."""
    lines = KPIS["time_to_deployment"].lines
    assert [line.value for line in lines(asked(LedgerBuilder()))] == [744]
    own = Settings(baseline=BaselineSection(days_to_deployment=10.0))
    assert [line.value for line in lines(asked(LedgerBuilder(), settings=own))] == [240, 744]


def test_the_hour_that_the_clock_skips_is_no_hour() -> None:
    """From one o'clock to four in the night in which summer time begins two hours pass, and not three."""
    ledger = LedgerBuilder(start=datetime(2024, 3, 10, 6, tzinfo=UTC) - timedelta(minutes=5))
    gate = ledger.train(ledger.command())
    ledger.now = datetime(2024, 3, 10, 4, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    ledger.deploy(ledger.command(), gate)
    local = Settings(time_zone="America/New_York")
    assert answer("time_to_deployment", ledger, settings=local).values["p50_hours"] == pytest.approx(2, abs=0.02)
