"""The golden year's incidents: what the product attributes them to is what was worked out by hand."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet.measure.history import History
from ratchet.measure.incidents.attribution import Attribution, attributions
from ratchet.records import Event

GOLDEN = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["incidents"]
MOMENTS = {
    "2024-06-30": "2024-07-01T04:00:00+00:00",
    "2024-09-30": "2024-10-01T04:00:00+00:00",
    "2024-12-31": "2025-01-01T05:00:00+00:00",
}


@pytest.fixture(scope="module")
def history() -> History:
    """Give the year as the measure reads it."""
    made = History()
    lines = (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()
    made.fold(msgspec.convert([json.loads(line) for line in lines], list[Event]))
    return made


def as_expected(found: Attribution) -> dict[str, Any]:
    """Return an attribution in the words of the document."""
    return {
        "service": found.incident.service,
        "candidates": sorted(found.candidates),
        "cause": found.cause,
        "weights": found.weights,
        "verdict": found.verdict,
        "mode": found.mode,
        "human_induced": found.is_human_induced,
        "class": found.conduct.kind if found.conduct else None,
        "adjudicated": found.said.verdict if found.said else None,
        "disagrees": found.is_disputed,
    }


@pytest.mark.parametrize("day", MOMENTS)
def test_each_incident_is_attributed_as_by_hand(history: History, day: str) -> None:
    """Candidates, weights, verdict, mode and class of all incidents that were known at a moment."""
    snapshot = history.as_of(datetime.fromisoformat(MOMENTS[day]))
    assert {one.incident.name: as_expected(one) for one in attributions(snapshot)} == EXPECTED[day]


def test_all_verdicts_and_classes_occur_in_the_year() -> None:
    """Else the comparison would leave something untried."""
    last = EXPECTED["2024-12-31"].values()
    assert {one["verdict"] for one in last} == {"proven", "likely", "ambiguous", "not change-induced"}
    classes = {"slip", "bypass", "edit", "omission", "approval-of-failing", "gate-gap", None}
    assert {one["class"] for one in last} == classes
