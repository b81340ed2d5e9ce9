"""When the loop has closed by itself, and when a person stood in it."""

import pytest

from ratchet.measure.closures import closures, own_rules_at_work
from ratchet.records import Actor, Event
from tests.ledgers import PERSON, PIPELINE, SYSTEM, LedgerBuilder


def count(ledger: LedgerBuilder) -> int:
    """Return how often the loop closed as of the ledger's present."""
    return len(closures(ledger.history().as_of(ledger.now), PIPELINE))


def loop(ledger: LedgerBuilder, *, begun_by: str = "rule", sender: Actor = SYSTEM) -> Event:
    """Write a loop from an alert to a verdict; return the verdict."""
    watch = ledger.rule("watch", leads_to=["monitor"], cron="0 4 * * *")
    evaluated = ledger.monitor(ledger.command("evaluate") if begun_by == "person" else ledger.tick(watch))
    alert = ledger.add("monitor.alert.raised", "drift", {"score": 0.3}, cause=evaluated)
    ledger.wait(hours=2)
    rule = ledger.rule("react", leads_to=["sample"], on="monitor.alert.raised", origin="template")
    return ledger.train(ledger.dataset(ledger.label(ledger.sample(ledger.fire(rule, alert)), sender=sender)))


def test_alert_to_live_traffic_by_rules_is_a_closure() -> None:
    """Alert, sample, labels, dataset, training, gate and live traffic in one chain close the loop once."""
    ledger = LedgerBuilder()
    gate = loop(ledger)
    assert count(ledger) == 0
    shift = ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)
    (closure,) = closures(ledger.history().as_of(ledger.now), PIPELINE)
    alert = next(event for event in ledger.events if event.type == "monitor.alert.raised")
    assert (closure.begun_by, closure.live_event) == (alert.id, shift.id)
    assert 2 < closure.hours < 2.2


def test_labels_can_begin_the_loop() -> None:
    """A rule on joined outcomes closes the loop without any alert."""
    ledger = LedgerBuilder()
    joined = ledger.label(ledger.tick(ledger.rule("join", leads_to=["label"], cron="0 5 * * *")))
    rule = ledger.rule("learn", leads_to=["dataset", "train"], on="feedback.joined", origin="template")
    gate = ledger.train(ledger.dataset(ledger.fire(rule, joined)))
    ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)
    assert count(ledger) == 1


@pytest.mark.parametrize("person", ["deploys", "evaluates", "sends outcomes"])
def test_person_anywhere_in_the_loop_breaks_it(person: str) -> None:
    """One link that a person began is enough for the loop not to have closed by itself."""
    ledger = LedgerBuilder()
    begun_by = "person" if person == "evaluates" else "rule"
    gate = loop(ledger, begun_by=begun_by, sender=PERSON if person == "sends outcomes" else SYSTEM)
    by_rule = ledger.fire(ledger.release_rule(), gate)
    ledger.deploy(ledger.command("promote") if person == "deploys" else by_rule, gate)
    assert count(ledger) == 0


def test_training_without_a_dataset_of_the_loop_is_no_closure() -> None:
    """A weekly training that is deployed closes nothing."""
    ledger = LedgerBuilder()
    ledger.automated_week()
    assert count(ledger) == 0


def test_own_rules_count_when_they_succeed() -> None:
    """A rule that fired and never succeeded, a shipped one, and a button do not count."""
    ledger = LedgerBuilder()
    own = ledger.rule("own", leads_to=[], on="monitor.alert.raised")
    shipped = ledger.rule("preset", leads_to=[], on="monitor.alert.raised", origin="template")
    button = ledger.rule("button", leads_to=[], on="custom.emitted")
    for _ in range(2):
        alert = ledger.add("monitor.alert.raised", "drift", {}, cause=ledger.monitor(ledger.tick(ledger.weekly())))
        ledger.fire(own, alert)
        for fired in (ledger.fire(shipped, alert), ledger.fire(button, ledger.signal())):
            ledger.succeed(fired, fired)
    snapshot = ledger.history().as_of(ledger.now)
    assert own_rules_at_work(snapshot, PIPELINE, fires=2) == {}
    ledger.own_rule_at_work(times=3)
    snapshot = ledger.history().as_of(ledger.now)
    assert own_rules_at_work(snapshot, PIPELINE, fires=2) == {"notify": 3}
    assert own_rules_at_work(snapshot, "other", fires=2) == {}
