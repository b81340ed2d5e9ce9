"""What is known about rules at a moment."""

from datetime import timedelta

import pytest

from ratchet.measure.rulebook import has_slots
from tests.ledgers import PIPELINE, START, LedgerBuilder

WINDOW = timedelta(days=180)


@pytest.mark.parametrize(
    ("cron", "time_zone", "expected"),
    [
        ("0 3 * * MON", "UTC", True),
        ("0 3 1 * *", "America/New_York", True),
        ("0 3 1 6 *", "UTC", False),
        ("", "UTC", False),
        ("nonsense", "UTC", False),
        ("0 3 30 2 *", "UTC", False),
        ("0 3 * * MON", "Nowhere/City", False),
    ],
)
def test_slots_within_the_window(cron: str, time_zone: str, expected: bool) -> None:
    """A schedule recurs if the window holds two of its slots; one that cannot be read does not."""
    assert has_slots(cron, time_zone, until=START, window=WINDOW) is expected


def test_rule_as_it_stood() -> None:
    """A rule's state is that of the snapshot: enabled, switched off, deleted."""
    ledger = LedgerBuilder()
    rule = ledger.weekly()
    before = ledger.now
    ledger.toggle(rule, is_enabled=False)
    history = ledger.history()
    assert [r.rule_id for r in history.as_of(before).rules.enabled(PIPELINE)] == ["retrain weekly"]
    assert history.as_of(ledger.now).rules.enabled(PIPELINE) == []
    assert history.as_of(before).rules.enabled("other") == []


def test_single_use_is_judged_as_of_the_snapshot() -> None:
    """A first firing is single-use until the second is in the ledger."""
    ledger = LedgerBuilder()
    rule = ledger.rule("own", leads_to=["train"], on="dataset.version.published")
    first = ledger.fire(rule, ledger.add("dataset.version.published", "d@v1"))
    then = ledger.now
    ledger.fire(rule, ledger.add("dataset.version.published", "d@v2"))
    history = ledger.history()
    assert history.as_of(then).rules.is_single_use(first)
    assert not history.as_of(ledger.now).rules.is_single_use(first)


def test_preset_that_was_never_enabled_does_not_recur() -> None:
    """A shipped preset comes again only while it is enabled."""
    ledger = LedgerBuilder()
    data = {"rule_id": "preset", "digest": "d", "origin": "template", "enabled": False, "on": "gate.evaluated"}
    rule = ledger.add("rule.created", "preset", data)
    fired = ledger.fire(rule, ledger.add("gate.evaluated", "m@v1"))
    assert ledger.history().as_of(ledger.now).rules.is_single_use(fired)


def test_firing_twice_on_one_trigger_is_one_firing() -> None:
    """A firing recorded twice for one trigger does not make a rule recurring."""
    ledger = LedgerBuilder()
    rule = ledger.rule("own", leads_to=["train"], on="dataset.version.published")
    trigger = ledger.add("dataset.version.published", "d@v1")
    fired = [ledger.fire(rule, trigger), ledger.fire(rule, trigger)]
    assert ledger.history().as_of(ledger.now).rules.is_single_use(fired[0])


def test_pause_between_many_firings_changes_nothing() -> None:
    """A rule that was switched off for a while keeps what it proved before and after."""
    ledger = LedgerBuilder()
    rule = ledger.weekly()
    early = [ledger.tick(rule), ledger.tick(rule)]
    ledger.toggle(rule, is_enabled=False)
    ledger.toggle(rule, is_enabled=True)
    late = ledger.tick(rule)
    rules = ledger.history().as_of(ledger.now).rules
    assert [rules.is_single_use(fired) for fired in (*early, late)] == [False, False, False]


def test_whether_a_rule_may_fire_is_told_without_its_firings() -> None:
    """A rule that fires and is switched on again is enabled as it was last written; firings alone make none."""
    ledger = LedgerBuilder()
    rule = ledger.weekly()
    ledger.fire(rule, ledger.signal())
    ledger.toggle(rule, is_enabled=False)
    ledger.toggle(rule, is_enabled=True)
    ledger.add("rule.fired", "stranger", {"rule_id": "stranger"})
    rules = ledger.history().as_of(ledger.now).rules
    (enabled,) = rules.enabled(PIPELINE)
    assert enabled.rule_id == "retrain weekly"
    whole = rules.rule((rule.source, "retrain weekly"))
    assert (enabled.on, enabled.leads_to, enabled.cron) == (whole.on, whole.leads_to, whole.cron)
