"""When pipelines are active."""

from datetime import timedelta

from ratchet.measure.activity import Activity, activity
from tests.ledgers import PIPELINE, START, LedgerBuilder


def found(ledger: LedgerBuilder) -> Activity:
    """Return the activity as of the ledger's present."""
    return activity(ledger.history().as_of(ledger.now), PIPELINE)


def test_active_within_ninety_days() -> None:
    """A pipeline is active for ninety days after an event, and not before its first."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    known = found(ledger)
    last = known.moments[-1]
    assert known.is_active(last)
    assert known.is_active(last + timedelta(days=90))
    assert not known.is_active(last + timedelta(days=90, seconds=1))
    assert not known.is_active(START)


def test_archived_until_it_is_declared_again() -> None:
    """An archived pipeline is not active, whatever happens to it, until somebody declares it again."""
    ledger = LedgerBuilder()
    ledger.declare()
    gone = ledger.add("pipeline.archived", PIPELINE, {}, cause=ledger.command("archive"))
    ledger.wait(days=1)
    ledger.scheduled_training()
    assert found(ledger).is_archived(ledger.now)
    assert not found(ledger).is_active(ledger.now)
    back = ledger.declare()
    assert found(ledger).archived == ((gone.at, back.at),)
    assert found(ledger).is_active(ledger.now)
    assert found(ledger).is_archived(gone.at)


def test_a_day_is_kept_by_its_first_and_last_moment() -> None:
    """Kept by days, a pipeline is active at the same moments."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    whole, kept = found(ledger), found(ledger).by_day()
    assert len(kept.moments) < len(whole.moments)
    assert (kept.moments[0], kept.moments[-1]) == (whole.moments[0], whole.moments[-1])
    for hours in range(0, 24 * 120, 7):
        at = START + timedelta(hours=hours)
        assert kept.is_active(at) == whole.is_active(at), at


def test_events_of_other_kinds_count_as_activity() -> None:
    """Moments of events that are not read are added in order."""
    ledger = LedgerBuilder()
    ledger.declare()
    later = ledger.now + timedelta(days=50)
    assert activity(ledger.history().as_of(ledger.now), PIPELINE, others=[later]).moments[-1] == later
