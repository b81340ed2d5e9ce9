"""What it costs that finished versions wait, and what was saved."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.config import BaselineSection
from ratchet.measure.kpis.value import union_hours, value_at_stake
from ratchet.records import Event
from tests.ledgers import LedgerBuilder
from tests.unit.measure.kpis.asking import ask, settings

AT = datetime(2026, 1, 1, tzinfo=UTC)


def declared(ledger: LedgerBuilder, worth: Any = 100, **more: Any) -> Event:
    """Declare what a day of the model is worth."""
    data = {"model": ledger.pipeline, "value_per_day": worth, "currency": "USD"} | more
    return ledger.add("assessment.recorded", ledger.pipeline, data, evidence="declared")


def test_a_version_waits_from_its_gate_until_it_is_live() -> None:
    """Two days at 100 a day; one that failed its gate waits for nothing."""
    ledger = LedgerBuilder()
    said = declared(ledger)
    gate = ledger.train(ledger.command())
    ledger.wait(days=2)
    ledger.deploy(ledger.command(), gate)
    ledger.train(ledger.command(), decision="fail")
    ledger.wait(days=30)
    answer = value_at_stake(ask(ledger))
    assert answer.values["waiting_days"] == pytest.approx(2, abs=0.001)
    assert answer.values["usd"] == pytest.approx(200, abs=0.1)
    assert answer.events == (said.id,)


def test_a_version_that_never_went_live_waits_until_it_is_superseded() -> None:
    """Or until now, where nothing newer is live; overlapping waits count once."""
    ledger = LedgerBuilder()
    declared(ledger)
    ledger.train(ledger.command())
    newer = ledger.wait(days=3).train(ledger.command())
    assert value_at_stake(ask(ledger.wait(days=1))).values["waiting_days"] == pytest.approx(4, abs=0.01)
    ledger.deploy(ledger.command(), newer)
    ledger.wait(days=50)
    assert value_at_stake(ask(ledger)).values["waiting_days"] == pytest.approx(4, abs=0.01)


def test_an_approved_version_waits_from_its_last_approval() -> None:
    """Who has not approved yet has not finished it."""
    ledger = LedgerBuilder()
    declared(ledger)
    gate = ledger.train(ledger.command())
    asked = {"target": "d-1", "policy_required": True}
    request = ledger.add("approval.requested", "a-1", asked, cause=gate)
    ledger.wait(days=5)
    ledger.add("approval.decided", "a-1", asked | {"decision": "approved"}, cause=request)
    ledger.wait(days=1)
    ledger.shift({gate.data["version"]: 1.0}, cause=gate, deployment_id="d-1", digests={gate.data["version"]: "x"})
    assert value_at_stake(ask(ledger)).values["waiting_days"] == pytest.approx(1, abs=0.001)


def test_the_last_declaration_counts() -> None:
    """Not their sum."""
    ledger = LedgerBuilder()
    declared(ledger, 100)
    last = declared(ledger, 10)
    ledger.train(ledger.command())
    ledger.wait(days=1)
    answer = value_at_stake(ask(ledger))
    assert (answer.values["usd"], answer.events) == (pytest.approx(10, abs=0.1), (last.id,))


@pytest.mark.parametrize("worth", [None, "much", True, 0])
def test_what_is_no_value_is_no_declaration(worth: object) -> None:
    """Assessments of other kinds are recorded under the same type."""
    ledger = LedgerBuilder()
    declared(ledger, worth)
    ledger.train(ledger.command())
    answer = value_at_stake(ask(ledger))
    assert (answer.status, answer.values["usd"]) == ("no evidence", None)


def test_a_value_in_another_currency_gives_days_and_no_money() -> None:
    """Dollars and euros are not added."""
    ledger = LedgerBuilder()
    declared(ledger, currency="EUR")
    ledger.train(ledger.command())
    ledger.wait(days=1)
    answer = value_at_stake(ask(ledger))
    assert answer.by[ledger.pipeline] == {"waiting_days": pytest.approx(1, abs=0.001), "usd": None}
    assert answer.values["usd"] == 0.0


def test_savings_need_a_baseline() -> None:
    """Without one nothing is said; with one it is times and hours against it."""
    ledger = LedgerBuilder()
    declared(ledger)
    gate = ledger.train(ledger.command())
    ledger.deploy(ledger.wait(days=1).command(), gate)
    values = value_at_stake(ask(ledger)).values
    assert (values["saved_days"], values["saved_hours"]) == (None, None)
    before = BaselineSection(days_to_deployment=10.0, hours_per_deployment=8.0)
    values = value_at_stake(ask(ledger, using=settings(baseline=before))).values
    assert values["saved_days"] == pytest.approx(9, abs=0.01)
    assert values["saved_hours"] == pytest.approx(8 - 2 * 5 / 60, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12))
def test_a_union_is_what_counting_each_hour_gives(stretches: list[tuple[int, int]]) -> None:
    """Whatever overlaps, touches or is empty; what ends before it begins covers nothing."""
    moments = [(AT + timedelta(hours=a), AT + timedelta(hours=b)) for a, b in stretches]
    covered = {hour for a, b in stretches for hour in range(a, b)}
    assert union_hours(moments) == pytest.approx(len(covered))
