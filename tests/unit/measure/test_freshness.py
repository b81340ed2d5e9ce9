"""How old live models are, and how often people acted."""

from datetime import UTC, datetime

import pytest

from ratchet.measure.freshness import freshness, human_actions
from tests.ledgers import PIPELINE, LedgerBuilder


def test_ages_of_the_live_version() -> None:
    """The live version's data, training and serving are as old as the ledger says."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    ledger.deploy(ledger.command(), gate)
    ledger.wait(days=10)
    found = freshness(ledger.history(), PIPELINE, as_of=ledger.now)
    assert found.train_age_days == pytest.approx(17, abs=0.01)
    assert found.data_age_days == pytest.approx(17, abs=0.01)
    assert found.serving_age_days == pytest.approx(10, abs=0.01)


def test_rollback_makes_it_older() -> None:
    """Going back to an earlier version brings its ages back, counted from when it first went live."""
    ledger = LedgerBuilder()
    old = ledger.scheduled_training()
    ledger.deploy(ledger.command(), old)
    new = ledger.scheduled_training()
    ledger.deploy(ledger.command(), new)
    young = freshness(ledger.history(), PIPELINE, as_of=ledger.now)
    ledger.deploy(ledger.command(), old)
    found = freshness(ledger.history(), PIPELINE, as_of=ledger.now)
    assert young.train_age_days == pytest.approx(7, abs=0.01)
    assert found.train_age_days == pytest.approx(14, abs=0.01)
    assert found.serving_age_days == pytest.approx(7, abs=0.01)


def test_ages_are_weighted_by_traffic() -> None:
    """With two live versions the ages are weighted by their share of traffic."""
    ledger = LedgerBuilder()
    old = ledger.scheduled_training()
    new = ledger.scheduled_training()
    ledger.shift({old.data["version"]: 0.75, new.data["version"]: 0.25}, cause=ledger.command())
    found = freshness(ledger.history(), PIPELINE, as_of=ledger.now)
    assert [version.share for version in found.versions] == [0.75, 0.25]
    assert found.train_age_days == pytest.approx(0.75 * 14 + 0.25 * 7, abs=0.01)


def test_what_the_ledger_does_not_say_is_unknown() -> None:
    """An age of a version that nobody registered is unknown, and so is the average; nothing live has no age."""
    ledger = LedgerBuilder()
    assert freshness(ledger.history(), PIPELINE, as_of=ledger.now).train_age_days is None
    ledger.shift({"from-elsewhere": 1.0}, cause=ledger.command())
    found = freshness(ledger.history(), PIPELINE, as_of=ledger.now)
    assert (found.data_age_days, found.train_age_days) == (None, None)
    assert found.serving_age_days == pytest.approx(0, abs=0.01)


def test_freshness_of_the_past() -> None:
    """As of a moment only what was live then counts."""
    ledger = LedgerBuilder()
    ledger.deploy(ledger.command(), ledger.scheduled_training())
    then = ledger.now
    ledger.deploy(ledger.command(), ledger.scheduled_training())
    assert freshness(ledger.history(), PIPELINE, as_of=then).versions[0].version == "flight-delay@v1"


def test_human_actions_by_month() -> None:
    """People's commands are counted by month, months without any included, machines' commands left out."""
    ledger = LedgerBuilder(start=datetime(2025, 11, 20, tzinfo=UTC))
    ledger.command()
    ledger.command()
    ledger.scheduled_training()
    ledger.wait(days=60)
    ledger.command()
    history = ledger.history()
    expected = {"2025-11": 2, "2025-12": 0, "2026-01": 1}
    assert human_actions(history, PIPELINE, as_of=ledger.now) == expected
    assert human_actions(history, as_of=ledger.now) == expected
    assert human_actions(history, "other", as_of=ledger.now) == {}
