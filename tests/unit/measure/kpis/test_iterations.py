"""Speed of iteration."""

import pytest

from tests.kpis import answer
from tests.ledgers import LedgerBuilder


def test_an_empty_ledger_is_no_evidence() -> None:
    """Nothing went round."""
    found = answer("iteration_time", LedgerBuilder())
    assert (found.status, found.values["p50_hours"], found.values["count"]) == ("no evidence", None, 0)


def test_time_runs_from_the_earliest_reason_in_the_chain() -> None:
    """Data led to an alert, the alert to a training: the data is the reason; a person's whim is none."""
    ledger = LedgerBuilder()
    published = ledger.add("dataset.version.published", "flights@v1", {"digest": "d"})
    alert = ledger.wait(hours=4).add("monitor.alert.raised", "drift", cause=published)
    gate = ledger.train(alert)
    shifted = ledger.wait(hours=2).deploy(gate, gate)
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    found = answer("iteration_time", ledger)
    assert found.values["count"] == 1
    assert found.values["p50_hours"] == pytest.approx(6, abs=0.1)
    assert set(found.events) == {published.id, shifted.id}


def test_an_improvement_is_above_the_champion() -> None:
    """A version that was better than what served counts with what it gained; a worse one and a first one do not."""
    ledger = LedgerBuilder()
    for own, champion in ((0.7, None), (0.75, 0.7), (0.72, 0.75)):
        gate = ledger.train(ledger.command())
        suite = [event for event in ledger.events if event.data.get("kind") == "quality"][-1]
        suite.data.update({"metrics": {"accuracy": own}, "champion": champion and {"metrics": {"accuracy": champion}}})
        ledger.deploy(ledger.command(), gate)
    found = answer("iteration_time", ledger)
    assert found.by["improvements"] == [[ledger.pipeline, "2026-01", 0.05]]
    assert (found.values["improvements_count"], found.values["accuracy_gained"]) == (1, 0.05)
