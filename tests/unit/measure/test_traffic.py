"""What serves production when."""

from ratchet.measure.traffic import live_now, shifts
from tests.ledgers import ENDPOINT, PIPELINE, LedgerBuilder


def test_shift_knows_what_was_live_before() -> None:
    """Each shift names what it made live, against what was live just before."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"v1": 1.0}, cause=cause, digests={"v1": "a"})
    ledger.shift({"v1": 0.5, "v2": 0.5}, cause=cause, digests={"v1": "a", "v2": "b"})
    first, second = shifts(ledger.history().as_of(ledger.now), PIPELINE)
    assert (first.newly_live, first.before) == (frozenset({"v1"}), frozenset[str]())
    assert (second.newly_live, second.before, second.digests) == (frozenset({"v2"}), first.after, {"v2": "b"})


def test_live_now_is_the_last_shift_that_serves() -> None:
    """An endpoint whose traffic was taken away serves nothing."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"v1": 1.0}, cause=cause)
    snapshot = ledger.history().as_of(ledger.now)
    assert list(live_now(shifts(snapshot, PIPELINE))) == [ENDPOINT]
    ledger.shift({"v1": 0.0}, cause=cause)
    assert live_now(shifts(ledger.history().as_of(ledger.now), PIPELINE)) == {}


def test_what_took_a_shift_back() -> None:
    """A shift is taken back by a return to what was live before, not by something newer."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"v1": 1.0}, cause=cause)
    ledger.shift({"v2": 1.0}, cause=cause)
    ledger.shift({"v2": 0.5, "v3": 0.5}, cause=cause)
    back = ledger.shift({"v2": 1.0}, cause=cause)
    ledger.shift({"v4": 1.0}, cause=cause)
    found = shifts(ledger.history().as_of(ledger.now), PIPELINE)
    assert [shift.taken_back_by for shift in found] == [None, None, back, None, None]
