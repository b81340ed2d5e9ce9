"""Where KPIs are asked."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.config import KpiSection
from ratchet.errors import UnknownName
from ratchet.measure.history import History
from ratchet.measure.kpis.desk import Desk
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.policies import shipped
from tests.ledgers import LedgerBuilder


class Counter:
    """A ledger whose history grows by itself, and settings that can be changed."""

    def __init__(self) -> None:
        """Begin with a pipeline that serves."""
        self.ledger = LedgerBuilder()
        self.ledger.declare(owner="growth")
        self.deploy()
        self.kept = History()
        self.settings = Settings()
        self.desk = Desk(self.history, settings=lambda: self.settings, policies=lambda: [shipped("standard")])

    def deploy(self) -> None:
        """Train and deploy a version."""
        self.ledger.deploy(self.ledger.command(), self.ledger.train(self.ledger.command()))

    def history(self) -> History:
        """Return the history with all that has happened."""
        self.kept.fold(self.ledger.events)
        return self.kept


def test_what_is_new_is_taken_in_when_it_is_asked_for() -> None:
    """A question keeps seeing what it saw; the next one sees more."""
    place = Counter()
    before = place.desk.ask(as_of=place.ledger.now)
    place.ledger.wait(hours=1)
    place.deploy()
    now = place.ledger.now
    assert place.desk.kpi("new_models", as_of=now).values["versions_count"] == 2
    assert len(before.events("traffic.shifted")) == 1
    assert place.desk.kpi("new_models", as_of=before.as_of).values["versions_count"] == 1
    assert place.desk.kpi("new_models", as_of=now).values["versions_count"] == 2


def test_a_view_sees_no_more_than_was_taken_in() -> None:
    """What the history got in the meantime, by another thread, waits for the next question."""
    place = Counter()
    question = place.desk.ask(as_of=place.ledger.now)
    facts = question.view._facts
    place.deploy()
    place.history()
    assert facts.as_of(place.ledger.now).seq == question.view.seq
    assert facts.catch_up() > 0
    assert facts.as_of(place.ledger.now).seq == len(place.ledger.events)


def test_settings_are_those_of_now() -> None:
    """A target that was changed counts at once."""
    place = Counter()
    assert place.desk.kpi("models_in_production", as_of=place.ledger.now).is_met is None
    place.settings = Settings(kpi={"models_in_production": KpiSection(target=2.0)})
    assert place.desk.kpi("models_in_production", as_of=place.ledger.now).is_met is False


def test_months_that_are_over_are_worked_out_once(simulated: None) -> None:
    """They are the same readings again, until the settings change; the last month is worked out anew."""
    from ratchet import clock

    place = Counter()
    clock.advance(place.ledger.now + timedelta(days=40))
    first, again = (place.desk.over_months("models_in_production") for _ in range(2))
    assert [point.month for point in first] == ["2026-01", "2026-02"]
    assert [one.reading is other.reading for one, other in zip(first, again, strict=True)] == [True, False]
    place.settings = Settings(kpi={"models_in_production": KpiSection(target=2.0)})
    assert place.desk.over_months("models_in_production")[0].reading.target == 2.0


def test_a_month_that_is_over_is_worked_out_again_when_its_history_is_imported(simulated: None) -> None:
    """What comes in late of a month changes that month, and not those before it."""
    from ratchet import clock

    place = Counter()
    place.ledger.wait(days=70)
    place.deploy()
    clock.advance(place.ledger.now)
    before = [point.reading for point in place.desk.over_months("models_in_production")]
    shift = next(event for event in place.ledger.events if event.type == "traffic.shifted")
    told = replace(
        shift,
        id="TOLD",
        source="github",
        evidence="imported",
        data={**shift.data, "endpoint": "other", "weights": {"other@v1": 1.0}},
        seq=len(place.ledger.events) + 1,
        time=shift.at + timedelta(days=30),
        recordedtime=place.ledger.now,
    )
    place.ledger.events.append(told)
    after = [point.reading for point in place.desk.over_months("models_in_production")]
    assert [reading.values["models_count"] for reading in before] == [1, 1, 1]
    assert [reading.values["models_count"] for reading in after] == [1, 2, 2]
    assert after[0] is before[0]


def test_one_part_can_be_asked() -> None:
    """A part is named; what nobody calls so is refused."""
    place = Counter()
    now = place.ledger.now
    assert place.desk.kpi("models_in_production", as_of=now, scope="growth").value == 1
    assert {reading.scope.name for reading in place.desk.kpis(as_of=now, scope="growth")} == {"growth"}
    with pytest.raises(UnknownName):
        place.desk.kpis(as_of=now, scope="elsewhere")


def test_what_came_after_a_place_can_be_left_out() -> None:
    """A question of now to the ledger as it was when it had fewer entries."""
    place = Counter()
    seq = place.ledger.events[-1].seq
    place.deploy()
    at = place.ledger.now
    assert place.desk.ask(as_of=at, seq=seq).view.until == seq
    assert len(place.desk.ask(as_of=at, seq=seq).events("traffic.shifted")) == 1
    assert len(place.desk.ask(as_of=at).events("traffic.shifted")) == 2
