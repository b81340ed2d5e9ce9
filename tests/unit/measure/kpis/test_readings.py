"""KPIs as every face shows them."""

import pytest

from ratchet.config import KpiSection, PricesSection, TeamSection
from ratchet.errors import UnknownName
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Scope
from ratchet.measure.kpis.readings import (
    TEN,
    Named,
    by_dimension,
    in_order,
    kpi_named,
    named_note,
    named_text,
    named_value,
    over_months,
    parts,
    read,
    read_all,
    scope_named,
    value_text,
)
from ratchet.measure.kpis.settings import Settings
from tests.kpis import asked
from tests.ledgers import ENDPOINT, LedgerBuilder

TEAMS = (TeamSection(name="consumer", kind="department"), TeamSection(name="growth", part_of="consumer"))


def made(value: float | None, *, direction: str = "up", unit: str = "share", status: str = "ok") -> Kpi:
    """Return a KPI that always says the same."""
    answer = Answer(status=status, values={"it": value}, by={"team": {"a": 3, "b": 1, "c": None}}, ids=frozenset({"E"}))
    about = {"title": "It", "sentence": "It.", "formula": "it", "timing": "leading", "nature": "risk"}
    return Kpi(name="cost", unit=unit, headline="it", direction=direction, answer=lambda _: answer, **about)


def in_service() -> LedgerBuilder:
    """Return a ledger with a pipeline that serves, of a team."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    return ledger


@pytest.mark.parametrize(
    ("direction", "value", "met"),
    [("up", 0.5, True), ("up", 0.4, False), ("down", 0.5, True), ("down", 0.6, False), ("none", 1.0, None)],
)
def test_a_target_is_met_in_the_direction_that_is_good(direction: str, value: float, met: bool | None) -> None:
    """The target itself meets it; where no direction is good, nothing does; without a value nobody can say."""
    settings = Settings(kpi={"cost": KpiSection(owner="growth", target=0.5)})
    question = asked(LedgerBuilder(), settings=settings)
    assert read(made(value, direction=direction), question).is_met is met
    assert read(made(None, direction=direction), question).is_met is None
    assert read(made(value, direction=direction), question).owner == "growth"
    assert read(made(value, direction=direction), asked(LedgerBuilder())).is_met is None


def test_what_has_no_evidence_has_no_value() -> None:
    """A count of 0 with nothing behind it is not 0; amounts are in the currency of the prices."""
    settings = Settings(kpi={"cost": KpiSection(target=0.5)}, prices=PricesSection(currency="EUR"))
    found = read(made(0, unit="USD", status="no evidence"), asked(LedgerBuilder(), settings=settings))
    assert (found.value, found.is_met, found.unit) == (None, None, "EUR")


def test_every_kpi_can_be_asked_of_an_empty_ledger() -> None:
    """Nothing happened, so there is no evidence, and never a 0."""
    for reading in read_all(asked(LedgerBuilder())):
        assert (reading.status, reading.value) == ("no evidence", None), reading.name


def test_every_kpi_can_be_asked_of_every_part() -> None:
    """Along each dimension each KPI has an answer for each part."""
    question = asked(in_service(), settings=Settings(team=TEAMS))
    wanted = {
        "team": ["growth"],
        "department": ["consumer"],
        "cost-centre": [],
        "pipeline": ["flight-delay"],
        "endpoint": [ENDPOINT],
        "model": ["flight-delay"],
        "month": ["2026-01"],
    }
    for dimension, names in wanted.items():
        for kpi in KPIS.values():
            assert list(by_dimension(kpi, question, dimension)) == names, kpi.name
    by_part = by_dimension(KPIS["models_in_production"], question, "department")
    assert by_part["consumer"].value == 1


def test_what_belongs_to_nobody_is_a_part() -> None:
    """Parts along teams leave nothing out."""
    ledger = LedgerBuilder()
    ledger.declare()
    assert list(parts(asked(ledger), "team")) == ["nobody"]


def test_a_series_says_what_was_said_at_the_ends_of_the_months() -> None:
    """The first month is as it was then, the last as it is now."""
    ledger = LedgerBuilder()
    ledger.declare()
    ledger.wait(days=40)
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    points = over_months(KPIS["models_in_production"], asked(ledger))
    assert [(point.month, point.reading.value) for point in points] == [("2026-01", None), ("2026-02", 1)]
    assert points[-1].reading.at == ledger.now


def test_a_part_is_found_by_its_name() -> None:
    """Teams go before pipelines of the same name; the kind can be said; what is unknown is answered with the known."""
    question = asked(in_service(), settings=Settings(team=TEAMS))
    assert scope_named(question, "").kind == "organisation"
    assert scope_named(question, "consumer").kind == "node"
    assert scope_named(question, "flight-delay").kind == "pipeline"
    assert scope_named(question, "model:flight-delay").kind == "model"
    assert scope_named(question, ENDPOINT).kind == "endpoint"
    assert scope_named(question, "nobody") == Scope(kind="node", name="")
    for name in ("lending", "model:lending", "node:flight-delay", ":"):
        with pytest.raises(UnknownName, match="Known: "):
            scope_named(question, name)


def test_the_ten_come_first() -> None:
    """What people ask for first is at the top, each KPI once, and none is left out."""
    order = in_order()
    assert order[0] == "time_to_deployment"
    assert sorted(order) == sorted(KPIS)
    assert len(TEN) == 10


def test_a_kpi_is_found_by_its_name() -> None:
    """With dashes or underscores; another name is answered with the known."""
    assert kpi_named("new-models") is KPIS["new_models"]
    with pytest.raises(UnknownName, match=r"No KPI named 'speed'\. Known: model_freshness"):
        kpi_named("speed")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "hours", "\u2013"),
        (0.9444, "share", "94.4 %"),
        (6.5, "hours", "6.5 h"),
        (0.5, "h", "30 min"),
        (0, "hours", "0 h"),
        (1 / 120, "hours", "30 s"),
        (3.248e-06, "hours", "11.7 ms"),
        (208.25, "hours", "8.68 d"),
        (0.4166, "a month", "0.417 a month"),
        (15820, "calls", "15\u202f820 calls"),
        (1, "models", "1 model"),
        (1.0, "pages a week", "1 page a week"),
        (1, "a month", "1 a month"),
        (1, "USD", "1 USD"),
        (7.8551e-06, "USD", "0.00000786 USD"),
        (3.0, "count", "3"),
        ("no", "share", "no"),
    ],
)
def test_values_are_written_with_their_unit(value: object, unit: str, text: str) -> None:
    """A person reads a number at once."""
    assert value_text(value, unit) == text


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("p50_hours", 3.248e-06, ("p50", "11.7 ms")),
        ("hours", 2.5, ("hours", "2.5 h")),
        ("is_within_tolerance", 0, ("is within tolerance", "no")),
        ("upper_share", 0.25, ("upper share", "25 %")),
        ("waiting_days", 80.29, ("waiting", "80.3 d")),
        ("oldest_data_age_days", None, ("oldest data age", "\u2013")),
        ("calls_count", 15820, ("calls count", "15\u202f820")),
    ],
)
def test_numbers_have_the_unit_that_their_names_end_with(name: str, value: float, shown: tuple[str, str]) -> None:
    """Nobody reads a moment as millionths of an hour."""
    assert named_value(name, value) == shown


def test_the_largest_part_stands_for_a_breakdown() -> None:
    """Who asks for parts is told the largest one with its share, and the next below it."""
    question = asked(LedgerBuilder())
    named = Named(title="It", kpi="cost", part="team")
    assert named_text(named, read(made(4.0), question)) == "a 75 %"
    assert named_note(named, read(made(4.0), question)) == "b 25 %"
    assert named_text(named, read(made(4.0, status="no evidence"), question)) == "no evidence"
    assert named_text(Named(title="It", kpi="cost", part="node"), read(made(4.0), question)) == "\u2013"


def test_a_note_says_what_a_value_is_held_against() -> None:
    """The target and whether it is met, else what else there is."""
    settings = Settings(kpi={"cost": KpiSection(target=0.5)})
    whole = Named(title="It", kpi="cost")
    assert named_note(whole, read(made(0.4), asked(LedgerBuilder(), settings=settings))) == "target 50 %: not met"
    assert named_note(whole, read(made(0.4), asked(LedgerBuilder()))) == ""
    question: Question = asked(in_service())
    speed = read(KPIS["time_to_deployment"], question)
    assert named_note(TEN[0], speed) == "published average 31 d"
