"""What served production when, in columns; tests/property/test_columns.py holds it against the events one by one."""

from datetime import timedelta

from ratchet.clock import to_us
from ratchet.measure.kpis.questions import Scope
from ratchet.measure.kpis.shifts import AGAIN, NEW, NOTHING, ROLLBACK, deployed, live_places, live_versions, shifts_of
from tests.kpis import asked
from tests.ledgers import START, LedgerBuilder


def test_a_deployment_is_no_rollback_and_not_the_same_bytes() -> None:
    """As ``deliveries.live_shifts`` says, shift by shift."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"m@v1": 1.0}, cause=cause, digests={"m@v1": "a"})
    ledger.shift({"m@v1": 0.9, "m@v2": 0.1}, cause=cause, digests={"m@v2": "b"})
    ledger.shift({"m@v2": 1.0}, cause=cause)
    ledger.shift({"m@v1": 1.0}, cause=cause, digests={"m@v1": "a"})
    ledger.shift({"m@v3": 1.0}, cause=cause, digests={"m@v3": "b"})
    ledger.shift({"m@v4": 1.0}, cause=cause)
    ledger.shift({"m@v5": 1.0}, cause=cause)
    ledger.shift({}, cause=cause)
    question = asked(ledger)
    shifts = shifts_of(question.view)
    assert shifts.kind.tolist() == [NEW, NEW, NOTHING, ROLLBACK, AGAIN, NEW, NEW, NOTHING]
    assert deployed(question).tolist() == [0, 1, 5, 6]
    assert (live_places(question).tolist(), live_versions(question)) == ([], [])
    assert shifts.until_us.tolist()[-1] == to_us(question.as_of)
    assert shifts_of(question.view) is shifts


def test_the_last_shift_of_each_endpoint_comes_as_endpoints_appeared() -> None:
    """An endpoint that was first stays first, although its last shift is the last of all."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    for endpoint, version in (("one", "m@v1"), ("two", "n@v1"), ("one", "m@v2")):
        shift = {"endpoint": endpoint, "env": "production", "weights": {version: 1.0}}
        ledger.add("traffic.shifted", endpoint, shift, cause=cause)
    question = asked(ledger)
    assert shifts_of(question.view).last.tolist() == [2, 1]
    assert live_versions(question) == ["m@v2", "n@v1"]
    of_one = asked(ledger, scope=Scope(kind="endpoint", name="one"))
    assert (deployed(of_one).tolist(), live_versions(of_one)) == ([0, 2], ["m@v2"])


def test_what_was_imported_later_is_led_by_what_is_seen_alone() -> None:
    """A shift of long ago whose push was recorded after the moment has no push there; once that is seen it has one."""
    ledger = LedgerBuilder()
    then = ledger.now
    push = ledger.wait(days=3).add("code.pushed", "p", source="elsewhere")
    shift = {"endpoint": "e", "env": "production", "weights": {"m@v1": 1.0}}
    at = START - timedelta(days=1)
    ledger.add("traffic.shifted", "e", shift, cause=push, source="elsewhere", time=at, evidence="imported")
    before, after = (shifts_of(asked(ledger, at=moment).view) for moment in (then, ledger.now))
    assert (len(before), before.rows["push_us"].tolist()) == (1, [to_us(push.at)])
    assert [trace.push_us == to_us(push.at) for trace in before.walked.values()] == [False]
    assert after.walked == {}
