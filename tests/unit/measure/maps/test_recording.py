"""Maps on record."""

from typing import Any

import pytest

from ratchet.measure.history import History
from ratchet.measure.maps.recording import from_events, recorded_maps, to_data
from tests.ledgers import PERSON, LedgerBuilder
from tests.maps import node, process_map


def test_a_recorded_map_can_be_read_again() -> None:
    """The event holds all of it, with its digest and its degrees in numbers."""
    made = process_map(node("a"), node("b", degree="automated"))
    data = to_data(made)
    assert (data["assessment"], data["digest"], data["degrees"]["automated"]) == ("map", made.digest, 1)
    ledger = LedgerBuilder()
    event = ledger.add("assessment.recorded", made.reference, data, actor=PERSON, pipeline="", evidence="declared")
    (found,) = recorded_maps(ledger.history(), as_of=ledger.now)
    assert (found.process_map, found.digest, found.event_id) == (made, made.digest, event.id)


def test_other_assessments_and_erased_ones_are_passed_over() -> None:
    """An event without a payload says nothing about a map."""
    ledger = LedgerBuilder()
    ledger.add("assessment.recorded", "x", {"assessment": "evaluation"})
    ledger.add("assessment.recorded", "y", {})
    assert from_events(ledger.events) == []
    assert recorded_maps(History()) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"map": None},
        {"map": 5},
        {"map": {"id": "x"}},
        {"nodes": []},
        {"phases": ["another"]},
        {"edges": [{"source": "a", "target": "nowhere"}]},
        {"edges": [{"source": "a", "target": "a"}]},
    ],
)
def test_what_no_file_could_hold_is_no_map(broken: dict[str, Any]) -> None:
    """Anybody with a token may send an assessment: one that could not be drawn is passed over, and hides no other."""
    ledger = LedgerBuilder()
    made = process_map(node("a"))
    data = to_data(made)
    spoilt = {**data, **broken} if "map" in broken else {**data, "map": {**data["map"], **broken}}
    ledger.add("assessment.recorded", "broken", spoilt)
    ledger.add("assessment.recorded", "whole", data)
    assert [one.process_map for one in from_events(ledger.events)] == [made]
