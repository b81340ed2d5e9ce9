"""Versions on their way to production."""

from datetime import timedelta

from ratchet.measure.kpis.deliveries import (
    approvals,
    deployments,
    first_live,
    live,
    live_shifts,
    live_versions,
    registered,
    requests,
    trained,
    verdicts,
)
from ratchet.measure.kpis.questions import Scope
from tests.kpis import asked
from tests.ledgers import ENDPOINT, LedgerBuilder


def test_a_deployment_is_no_rollback_and_not_the_same_bytes() -> None:
    """A version that served before is a rollback, the same bytes under another name are again; a ramp is one."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"m@v1": 1.0}, cause=cause, digests={"m@v1": "a"})
    ledger.shift({"m@v1": 0.9, "m@v2": 0.1}, cause=cause, digests={"m@v2": "b"})
    ledger.shift({"m@v2": 1.0}, cause=cause)
    ledger.shift({"m@v1": 1.0}, cause=cause, digests={"m@v1": "a"})
    ledger.shift({"m@v3": 1.0}, cause=cause, digests={"m@v3": "b"})
    ledger.shift({}, cause=cause)
    question = asked(ledger)
    assert [shift.kind for shift in live_shifts(question.view)] == ["new", "new", "", "rollback", "again", ""]
    assert [shift.new for shift in deployments(question)] == [("m@v1",), ("m@v2",)]
    assert live(question) == {}


def test_bytes_that_nobody_names_are_never_the_same() -> None:
    """An event that does not say what it made live is taken at its word that it is new."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    for version in ("m@v1", "m@v2"):
        ledger.shift({version: 1.0}, cause=cause)
    assert [shift.kind for shift in live_shifts(asked(ledger).view)] == ["new", "new"]


def test_only_live_production_counts() -> None:
    """Shadows, other environments and shares of zero serve nobody; a service that was removed serves nothing."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    shifted = {"endpoint": ENDPOINT, "weights": {"m@v1": 1.0, "m@v0": 0.0}}
    ledger.add("traffic.shifted", ENDPOINT, {**shifted, "env": "production", "role": "shadow"}, cause=cause)
    ledger.add("traffic.shifted", ENDPOINT, {**shifted, "env": "staging", "role": "live"}, cause=cause)
    assert live_shifts(asked(ledger).view) == []
    ledger.add("traffic.shifted", ENDPOINT, shifted, cause=cause, env="production")
    assert live_versions(asked(ledger)) == ["m@v1"]
    ledger.add("service.removed", ENDPOINT, {"endpoint": ENDPOINT}, cause=cause)
    assert live_versions(asked(ledger)) == []


def test_events_that_come_late_stand_where_they_happened() -> None:
    """A shift that was imported after a later one does not become the one that serves."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.wait(days=3).shift({"m@v2": 1.0}, cause=cause)
    ledger.shift({"m@v1": 1.0}, cause=cause, time=ledger.now - timedelta(days=2))
    question = asked(ledger)
    assert live_versions(question) == ["m@v2"]
    assert [shift.new for shift in deployments(question)] == [("m@v1",), ("m@v2",)]


def test_the_way_of_a_version_is_found() -> None:
    """Run, registration, verdict, request and first traffic of a version belong together."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    shifted = ledger.deploy(ledger.command(), gate)
    view, version = asked(ledger).view, gate.data["version"]
    assert trained(view)[version].data["run_id"] == gate.data["run_id"]
    assert registered(view)[version].subject == version
    assert verdicts(view)[version] == [gate]
    assert first_live(view)[version].event == shifted
    assert list(requests(view)) == [shifted.data["deployment_id"]]


def test_the_last_required_approval_counts() -> None:
    """Approvals of one deployment are taken together; those that were not required or were refused are none."""
    ledger = LedgerBuilder()
    requested = ledger.add("deployment.requested", "D1", {"deployment_id": "D1"}, cause=ledger.command())

    def ask(role: str, *, minutes: float = 0, decision: str = "approved", is_required: bool = True) -> tuple[str, str]:
        data = {"target": "D1", "policy_required": is_required}
        asked_for = ledger.add("approval.requested", f"D1/{role}", data, cause=requested)
        given = ledger.wait(minutes=minutes).add(
            "approval.decided", f"D1/{role}", {**data, "decision": decision}, cause=asked_for
        )
        return asked_for.id, given.id

    first, quick = ask("risk")
    _, last = ask("security", minutes=90)
    ask("design", decision="refused", minutes=9)
    ask("friend", is_required=False, minutes=9)
    found = approvals(asked(ledger).view)["D1"]
    times = {event.id: event.time for event in ledger.events}
    assert (found.asked_at, found.given_at) == (times[first], times[last])
    assert found.rubber_stamps == (quick,)


def test_what_serves_belongs_to_whoever_owns_it_now() -> None:
    """A deployment stays with the team of that time; what is live goes with its pipeline to the new one."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    ledger.wait(days=1).add("ownership.changed", ledger.pipeline, {"to": "lending"})
    old, new = (asked(ledger, scope=Scope(kind="node", name=name)) for name in ("growth", "lending"))
    assert (len(deployments(old)), len(deployments(new))) == (1, 0)
    assert (len(live(old)), len(live(new))) == (0, 1)
