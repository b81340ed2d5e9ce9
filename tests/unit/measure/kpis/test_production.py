"""What is in production."""

from datetime import UTC, datetime, timedelta

import pytest

from ratchet.measure.kpis.settings import Settings
from tests.kpis import answer
from tests.ledgers import ENDPOINT, LedgerBuilder

NEW_YORK = Settings(time_zone="America/New_York")


def in_service(*, start: datetime | None = None) -> LedgerBuilder:
    """Return a ledger in which a version went live."""
    ledger = LedgerBuilder(start=start) if start else LedgerBuilder()
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    return ledger


@pytest.mark.parametrize(
    "name", ["models_in_production", "new_models", "frameworks_and_libraries", "reproducible_share"]
)
def test_an_empty_ledger_is_no_evidence(name: str) -> None:
    """Nothing behind it, and no share of nothing."""
    found = answer(name, LedgerBuilder())
    assert found.status == "no evidence"
    assert all(value is None or isinstance(value, int) for value in found.values.values())


def test_a_model_that_nobody_calls_is_a_zombie() -> None:
    """Without a record of usage nobody knows; with one that is older than 30 days nobody calls; health is no call."""
    ledger = in_service()
    counts = ("zombies_count", "unmeasured_count")
    assert [answer("models_in_production", ledger).values[name] for name in counts] == [0, 1]
    usage = {"endpoint": ENDPOINT, "version": f"{ledger.pipeline}@v1", "count": 5}
    called = ledger.add("usage.recorded", ENDPOINT, usage)
    ledger.wait(days=29).add("usage.recorded", ENDPOINT, {**usage, "kind": "health"})
    ledger.add("usage.recorded", ENDPOINT, {**usage, "role": "shadow"})
    ledger.add("usage.recorded", ENDPOINT, {**usage, "count": 0})
    edge = called.at + timedelta(days=30)
    assert answer("models_in_production", ledger, at=edge - timedelta(seconds=1)).values["zombies_count"] == 0
    found = answer("models_in_production", ledger, at=edge)
    assert [found.values[name] for name in counts] == [1, 0]
    assert found.by["zombies"] == [ledger.pipeline]
    assert found.values["models_count"] == 1


def test_a_deployment_before_local_midnight_belongs_to_the_month_that_ends() -> None:
    """Half past eleven on 31 March in New York is April in UTC, and March in the months of the organisation."""
    ledger = in_service(start=datetime(2024, 4, 1, 3, 20, tzinfo=UTC))
    until = datetime(2024, 4, 2, tzinfo=UTC)
    assert list(answer("new_models", ledger, at=until).by) == ["2024-04"]
    local = answer("new_models", ledger, at=until, settings=NEW_YORK)
    assert local.by["2024-03"] == {"models_count": 1, "versions_count": 1}
    assert local.by["2024-04"] == {"models_count": 0, "versions_count": 0}
    assert local.values["models_per_month"] == 0.5


def test_a_later_version_is_no_new_model() -> None:
    """A model is new once; a rollback is no new version."""
    ledger = in_service()
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    ledger.shift({f"{ledger.pipeline}@v1": 1.0}, cause=ledger.command())
    found = answer("new_models", ledger).values
    assert (found["models_count"], found["versions_count"]) == (1, 2)


def test_what_a_run_locked_is_counted_by_name() -> None:
    """Versions of one library are one library; a run without a lock is unknown."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    place = next(event for event in ledger.events if event.type == "run.finished")
    environment = {"frameworks": ["scikit-learn"], "libraries": ["numpy==2.4", "pandas==3.0", "numpy==2.3"]}
    place.data.update({"environment": environment, "seed": 0})
    ledger.deploy(ledger.command(), gate)
    found = answer("frameworks_and_libraries", ledger)
    assert found.by["sentence"] == "1 model with 1 framework and 2 libraries in 1 month"
    assert answer("reproducible_share", ledger).values["share"] == 1
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    assert answer("frameworks_and_libraries", ledger).values["unknown_count"] == 1
    whole = answer("reproducible_share", ledger)
    assert (whole.values["share"], whole.by["missing"]) == (0, {f"{ledger.pipeline}@v2": ["environment", "seed"]})
