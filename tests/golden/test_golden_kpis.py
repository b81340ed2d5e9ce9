"""The golden year's KPIs: what the product answers is what was worked out by hand, figure by figure, event by event."""

import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import config
from ratchet.config import KPI_NAMES
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests.kpis import folded, rounded

GOLDEN = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
ROWS = [json.loads(line) for line in (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()]
EVENTS = msgspec.convert(ROWS, list[Event])
MOMENTS = {
    "2024-06-30": "2024-07-01T04:00:00+00:00",
    "2024-09-30": "2024-10-01T04:00:00+00:00",
    "2024-12-31": "2025-01-01T05:00:00+00:00",
}
IMPLEMENTED = tuple(KPIS)
# A bill that was refused left nothing in the ledger, so no KPI can know of it; test_golden_bills.py imports them.
for _expected in (EXPECTED[day] for day in MOMENTS):
    del _expected["cost"]["by"]["refused_bills"]


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Give the year as KPIs read it."""
    return folded(EVENTS)


@pytest.fixture(scope="module")
def settings() -> Settings:
    """Give the settings of the year, as the project's file would."""
    text = (GOLDEN / "settings.toml").read_text(encoding="utf-8").replace("[project]", '[project]\nname = "golden"')
    return Settings.of(config.parse(text, path=GOLDEN / "settings.toml"))


def told(facts: Facts, settings: Settings, *, name: str, day: str) -> dict[str, Any]:
    """Return what a KPI answers, in the words of the expectations."""
    question = Question(facts.as_of(datetime.fromisoformat(MOMENTS[day])), settings)
    found = KPIS[name].answer(question)
    return {
        "status": found.status,
        "values": rounded(found.values),
        "by": rounded(found.by),
        "events": list(found.events),
    }


@pytest.mark.parametrize("name", IMPLEMENTED)
@pytest.mark.parametrize("day", MOMENTS)
def test_each_kpi_is_what_was_worked_out_by_hand(facts: Facts, settings: Settings, day: str, name: str) -> None:
    """Each value, each part of the breakdown and each event behind it is the expected one."""
    assert told(facts, settings, name=name, day=day) == EXPECTED[day][name]


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_redelivery_changes_no_kpi(settings: Settings, name: str) -> None:
    """Events that come a second time, in whatever order, are here already."""
    twice = folded(EVENTS)
    again = list(EVENTS)
    random.Random(1).shuffle(again)
    assert twice.fold(again) == 0
    assert told(twice, settings, name=name, day="2024-12-31") == EXPECTED["2024-12-31"][name]


def test_what_was_published_stays_as_it_was(settings: Settings) -> None:
    """A KPI of an earlier moment is the same before and after the rest of the year came in."""
    day = "2024-06-30"
    until = datetime.fromisoformat(MOMENTS[day])
    half = folded(event for event in EVENTS if event.recordedtime is not None and event.recordedtime <= until)
    for name in IMPLEMENTED:
        assert told(half, settings, name=name, day=day) == EXPECTED[day][name], name


def test_the_names_are_those_of_the_golden_year() -> None:
    """No KPI is left out, and none is there that nobody worked out."""
    assert set(IMPLEMENTED) == set(KPI_NAMES) == set(EXPECTED["2024-12-31"])
    assert len(IMPLEMENTED) == 25
