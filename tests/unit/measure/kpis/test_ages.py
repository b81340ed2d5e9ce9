"""Model freshness: how old what serves production is."""

from datetime import timedelta

import pytest

from ratchet.config import KpiSection
from ratchet.measure.kpis.ages import data_until
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests.kpis import answer
from tests.ledgers import ENDPOINT, LedgerBuilder

SETTINGS = Settings(kpi={"model_freshness": KpiSection(target=10.0)})


def registration(until: object) -> Event:
    """Return the registration of a version that learned from data up to a moment."""
    return Event(type="model.version.registered", subject="m@v1", data={"data_until": until})


def test_an_empty_ledger_has_no_age() -> None:
    """Where nothing serves, nothing is fresh and nothing is 0 days old."""
    found = answer("model_freshness", LedgerBuilder(), settings=SETTINGS)
    assert found.status == "no evidence"
    assert found.values["median_data_age_days"] is None
    assert found.values["within_target_share"] is None


def test_ages_are_weighted_by_traffic() -> None:
    """Three quarters on a version of 8 days and one on one of 4 are 7 days; a rollback makes it older."""
    ledger = LedgerBuilder()
    old = ledger.train(ledger.command())
    ledger.deploy(ledger.command(), old)
    new = ledger.wait(days=4).train(ledger.command())
    versions = old.data["version"], new.data["version"]
    ledger.shift(dict(zip(versions, (0.75, 0.25), strict=True)), cause=ledger.command())
    found = answer("model_freshness", ledger, at=ledger.now + timedelta(days=4), settings=SETTINGS)
    assert found.by[ledger.pipeline]["data_age_days"] == pytest.approx(7, abs=0.01)
    assert found.by[ledger.pipeline]["ratio_to_target"] == pytest.approx(0.7, abs=0.01)
    assert found.values["within_target_share"] == 1
    ledger.shift({versions[0]: 1.0}, cause=ledger.command())
    found = answer("model_freshness", ledger, at=ledger.now + timedelta(days=4), settings=SETTINGS)
    assert found.by[ledger.pipeline]["data_age_days"] == pytest.approx(8, abs=0.01)


def test_an_unknown_age_stays_unknown() -> None:
    """A version made by hand has a serving age, and no other; it is counted and in no median."""
    ledger = LedgerBuilder()
    ledger.shift({"m@v1": 1.0}, cause=ledger.command())
    found = answer("model_freshness", ledger, at=ledger.now + timedelta(days=2), settings=SETTINGS)
    assert found.values["unknown_count"] == 1
    assert found.values["median_data_age_days"] is None
    assert found.by["m"]["train_age_days"] is None
    assert found.by["m"]["serving_age_days"] == pytest.approx(2, abs=0.01)


def test_a_batch_model_serves_when_its_last_batch_did() -> None:
    """A failed batch, a rehearsal and a later record of an earlier batch change nothing."""
    ledger = LedgerBuilder()
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    version = f"{ledger.pipeline}@v1"
    batch = {"endpoint": ENDPOINT, "version": version, "mode": "batch", "count": 1}
    good = ledger.wait(days=5).add("usage.recorded", ENDPOINT, {**batch, "outcome": "success"})
    ledger.add("usage.recorded", ENDPOINT, {**batch, "outcome": "success"}, time=ledger.now - timedelta(days=3))
    ledger.wait(days=1).add("usage.recorded", ENDPOINT, {**batch, "outcome": "failed"})
    ledger.add("usage.recorded", ENDPOINT, {**batch, "outcome": "success", "kind": "synthetic"})
    found = answer("model_freshness", ledger, at=good.at + timedelta(days=3))
    assert found.by[ledger.pipeline]["serving_age_days"] == pytest.approx(3)
    assert found.by[ledger.pipeline]["data_age_days"] == pytest.approx(8, abs=0.01)
    assert good.id in found.events


def test_two_endpoints_of_one_model_are_two() -> None:
    """What serves on two endpoints is told apart."""
    ledger = LedgerBuilder()
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    data = {"endpoint": "second", "env": "production", "role": "live", "weights": {f"{ledger.pipeline}@v1": 1.0}}
    ledger.add("traffic.shifted", "second", data, cause=ledger.command())
    assert list(answer("model_freshness", ledger).by) == [ledger.pipeline, f"{ledger.pipeline} (second)"]


@pytest.mark.parametrize("text", [None, "", "yesterday", 7])
def test_what_is_no_moment_is_unknown(text: object) -> None:
    """A version that says nothing, or nonsense, about its data has no data age."""
    assert data_until(registration(text)) is None


def test_a_moment_without_a_zone_is_utc() -> None:
    """The newest data is a moment, with or without a zone."""
    assert data_until(registration("2024-03-01T00:00:00")) == data_until(registration("2024-02-29T19:00:00-05:00"))
