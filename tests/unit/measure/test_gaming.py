"""Ways to look more automated than one is: each leaves the level where it was, by every policy that ships."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import SHIPPED, shipped
from ratchet.records import Actor, Event
from tests.ledgers import LAPTOP, PERSON, PIPELINE, LedgerBuilder


def by_hand(ledger: LedgerBuilder, *, weeks: int = 5) -> LedgerBuilder:
    """Train and deploy by hand for some weeks."""
    for _ in range(weeks):
        gate = ledger.train(ledger.command())
        ledger.deploy(ledger.command("promote"), gate)
        ledger.wait(days=7)
    return ledger


def reports(ledger: LedgerBuilder) -> dict[str, LevelReport]:
    """Return the reports by all policies at the ledger's present."""
    history = ledger.history()
    return {name: measure_level(history, PIPELINE, shipped(name), as_of=ledger.now) for name in SHIPPED}


def work(ledger: LedgerBuilder, begin: Callable[[LedgerBuilder], Event]) -> LedgerBuilder:
    """Train and deploy for some weeks, each begun in some way."""
    for _ in range(5):
        gate = ledger.train(begin(ledger))
        ledger.deploy(begin(ledger), gate)
        ledger.wait(days=7)
    return ledger


def bot_token(ledger: LedgerBuilder) -> Event:
    """Use the token of a bot from a laptop."""
    return ledger.command(actor=LAPTOP)


def agent(ledger: LedgerBuilder) -> Event:
    """Let an agent do it that acts with a person's rights."""
    actor = Actor(authtype="service_account", authid="agent", claims={"on_behalf_of": "person-1", "system": "agent"})
    return ledger.command(actor=actor)


def one_shot_rule(ledger: LedgerBuilder) -> Event:
    """Write a schedule for this one time."""
    at = ledger.now
    rule = ledger.rule(f"once {at}", leads_to=["train", "deploy"], cron=f"{at.minute} {at.hour} {at.day} {at.month} *")
    fired = ledger.tick(rule)
    ledger.toggle(rule, is_enabled=False)
    return fired


def curl(ledger: LedgerBuilder) -> Event:
    """Send a signal by hand to a rule that waits for it."""
    rule = ledger.rule("when told", leads_to=["train", "deploy"], on="custom.emitted")
    return ledger.fire(rule, ledger.signal())


def two_curls(ledger: LedgerBuilder) -> Event:
    """Send a signal to a rule whose only action is to send another signal."""
    first = ledger.rule("when told", leads_to=[], on="custom.emitted")
    second = ledger.rule("when told again", leads_to=["train", "deploy"], on="custom.emitted")
    passed_on = ledger.add("custom.emitted", "again", {"name": "again"}, cause=ledger.fire(first, ledger.signal()))
    return ledger.fire(second, passed_on)


def toggled(ledger: LedgerBuilder) -> Event:
    """Switch one of two rules on for each run, and off again."""
    for name in ("one", "other"):
        ledger.rule(name, leads_to=["train", "deploy"], on="dataset.version.published")
    name = "one" if len(ledger.events) % 2 else "other"
    rule = ledger.rule(name, leads_to=["train", "deploy"])
    ledger.toggle(rule, is_enabled=True)
    fired = ledger.fire(rule, ledger.add("dataset.version.published", "x", {"digest": str(len(ledger.events))}))
    ledger.toggle(rule, is_enabled=False)
    return fired


def borrowed_cause(ledger: LedgerBuilder) -> Event:
    """Name the firing of a rule as the cause of what one does oneself."""
    fired = ledger.tick(ledger.weekly())
    return ledger.add("command.issued", PIPELINE, {"action": "start_run"}, cause=fired, actor=PERSON)


def declared(ledger: LedgerBuilder) -> Event:
    """Tell that a schedule has begun it."""
    return ledger.fire(ledger.weekly(), ledger.command(), evidence="declared")


def own_approval(ledger: LedgerBuilder) -> Event:
    """Ask for an approval and give it oneself, behind a rule."""
    asked = ledger.command()
    return ledger.approve(asked, actor=PERSON)


def rule_on_own_approval(ledger: LedgerBuilder) -> Event:
    """Ask for an approval and give it oneself, and let a rule wait for that."""
    rule = ledger.rule("when approved", leads_to=["train", "deploy"], on="approval.closed")
    return ledger.fire(rule, ledger.approve(ledger.command(), actor=PERSON))


WAYS = (
    bot_token,
    agent,
    one_shot_rule,
    curl,
    two_curls,
    toggled,
    borrowed_cause,
    declared,
    own_approval,
    rule_on_own_approval,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_way_around_counts_no_more_than_a_button(way: Callable[[LedgerBuilder], Event]) -> None:
    """Whatever hides a person's hand, each level is at most what honest work by hand gives."""
    honest = reports(by_hand(LedgerBuilder()))
    found = reports(work(LedgerBuilder(), way))
    assert {name: report.level for name, report in found.items()} == dict.fromkeys(SHIPPED, 0)
    for name, report in found.items():
        assert report.level <= honest[name].level
        assert report.profile["train"].init.k == 0
        assert report.profile["deploy"].init.k == 0


def test_rules_that_come_again_are_no_way_around() -> None:
    """The same work begun by a rule that is sure to come again counts, so the cases above fail for their reason."""
    rule = {"leads_to": ["train", "deploy"], "cron": "0 3 * * MON"}
    found = reports(work(LedgerBuilder(), lambda ledger: ledger.tick(ledger.rule("weekly", **rule))))  # type: ignore[arg-type]  # the fields of a rule
    assert (found["standard"].level, found["strict"].level) == (2, 2)


def test_a_hundred_trivial_trainings_dilute_nothing() -> None:
    """The same inputs, code and parameters again are no further training: those by hand keep their weight."""
    ledger = by_hand(LedgerBuilder(), weeks=4)
    for _ in range(100):
        ledger.train(ledger.tick(ledger.weekly()), inputs=["the same"])
    report = reports(ledger)["standard"]
    assert (report.level, report.profile["train"].modes) == (0, {"auto": 1, "assisted": 4})


def test_ping_pong_dilutes_nothing() -> None:
    """To deploy and take back the same two versions for ever adds one deployment each way."""
    ledger = by_hand(LedgerBuilder(), weeks=4)
    cause = ledger.tick(ledger.release_rule())
    for _ in range(50):
        ledger.shift({"v1": 1.0}, cause=cause)
        ledger.shift({"v2": 1.0}, cause=cause)
    assert sum(reports(ledger)["standard"].profile["deploy"].modes.values()) == 7


def test_quick_approvals_are_reported() -> None:
    """An approval within five seconds counts as one and is shown as a rubber stamp, with its share."""
    ledger = LedgerBuilder()
    for minutes in (0, 0, 9, 9):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        closed = ledger.approve(ledger.fire(ledger.release_rule(), gate), minutes=minutes)
        ledger.deploy(closed, gate)
        ledger.wait(days=7)
    report = reports(ledger)["standard"]
    assert (report.approvals, report.rubber_stamps, report.rubber_stamp_share) == (4, 2, 0.5)
    assert reports(LedgerBuilder())["standard"].rubber_stamp_share is None


def test_backdating_changes_no_order_and_is_flagged() -> None:
    """Automated trainings that claim to be the most recent, or hand-started ones that claim to be old, are flagged."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    for _ in range(20):
        ledger.train(ledger.command())
        ledger.wait(days=1)
    honest = reports(ledger)["standard"]
    for event in [event for event in ledger.events if event.type == "run.finished"][3:]:
        ledger.events[event.seq - 1] = replace(event, time=event.at - timedelta(days=400))
    found = reports(ledger)["standard"]
    assert (found.level, found.levels[0].results[0].k) == (honest.level, honest.levels[0].results[0].k) == (0, 0)
    assert len(found.profile["train"].backdated) == 20
