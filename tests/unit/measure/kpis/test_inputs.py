"""What KPIs read of the events that come by the hundred thousand."""

from typing import Any

import pytest

from ratchet.clock import to_us
from ratchet.measure.kpis.inputs import Inputs, accuracy_gain, model_of, run_of, version_of
from ratchet.measure.kpis.traces import EMPTY
from ratchet.records import Event
from tests.ledgers import LedgerBuilder


def taken(events: list[Event]) -> Inputs:
    """Return events taken in."""
    inputs = Inputs()
    for event in events:
        inputs.take(event, to_us(event.at), EMPTY)
    inputs.settle()
    return inputs


def test_only_live_production_is_a_shift() -> None:
    """Shadows and other environments are no rows; shares of zero are no versions; a removal leaves none."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    shift = {"endpoint": "e", "env": "production", "weights": {"m@v1": 1.0, "m@v0": 0.0}}
    ledger.add("traffic.shifted", "e", shift | {"role": "shadow"}, cause=cause)
    ledger.add("traffic.shifted", "e", shift | {"env": "staging"}, cause=cause)
    one = ledger.add("traffic.shifted", "e", shift, cause=cause)
    two = ledger.add("service.removed", "e", {"endpoint": "e"}, cause=cause)
    inputs = taken(ledger.events)
    assert inputs.shifts.ids == [one.id, two.id]
    assert inputs.words.of(inputs.pairs["version"].values) == ["m@v1"]
    assert inputs.words.of(inputs.pairs["model"].values) == ["m"]


def test_only_what_people_did_is_an_act() -> None:
    """The engine's commands are none; labelling is told apart."""
    ledger = LedgerBuilder()
    mine = ledger.command()
    ledger.add("label.submitted", "x", cause=mine, authtype="user", authid="person-2")
    ledger.add("touch.recorded", "x", cause=mine, authtype="system", authclaims={"minted_by": "engine"})
    inputs = taken(ledger.events)
    assert len(inputs.acts) == 2
    assert inputs.acts._columns["is_labelling"].values.tolist() == [False, True]


def test_a_rule_that_fires_again_says_nothing_more() -> None:
    """The first firing is enough, and the earliest one that was imported; so it is with how work began."""
    ledger = LedgerBuilder()
    first = ledger.add("rule.fired", "r", cause=ledger.command())
    ledger.add("rule.fired", "r", cause=first)
    far = ledger.add("rule.fired", "r", cause=first, source="x", evidence="imported", time=first.time)
    ledger.add("rule.fired", "r", cause=first, source="x", evidence="imported")
    assert taken(ledger.events).firings.ids == [first.id, far.id]


@pytest.mark.parametrize(
    ("suite", "gain"),
    [
        (None, None),
        ({"metrics": {"accuracy": 0.9}}, None),
        ({"metrics": {"accuracy": 0.9}, "champion": {"metrics": {"accuracy": 0.8}}}, 0.1),
        ({"metrics": {"accuracy": "high"}, "champion": {"metrics": {"accuracy": 0.8}}}, None),
    ],
)
def test_a_gain_needs_both(suite: dict[str, Any] | None, gain: float | None) -> None:
    """Without the champion's accuracy, or one's own, there is none."""
    assert accuracy_gain(suite) == gain


def test_names_of_versions_and_runs() -> None:
    """The payload names them, else the subject does; a version's model stands before its number."""
    event = Event(type="x", subject="s", data={"version": "m@v2"})
    assert (version_of(event), run_of(event), model_of("m@v2")) == ("m@v2", "s", "m")
