"""Who bears what a resource cost."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from ratchet.config import PriceSection, PricesSection
from ratchet.measure.kpis.bearers import Costs, costs_of, unpriced
from ratchet.measure.kpis.columns import sums_by
from ratchet.measure.kpis.questions import Question, Scope
from ratchet.measure.kpis.usage import api_calls
from tests.ledgers import ENDPOINT, LedgerBuilder
from tests.unit.measure.kpis.asking import adjust, ask, call, serve, settings, spend


def borne(costs: Costs) -> dict[str, float]:
    """Return what each bearer bears, to the hundredth of a cent."""
    return {name: round(amount, 4) for name, amount in sums_by(costs.names, costs.bearers, costs.amounts).items()}


def test_a_run_is_borne_by_whoever_owned_the_pipeline_then() -> None:
    """A change of owner counts from its own instant on; what belongs to no pipeline belongs to nobody."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    spend(ledger, 100)
    ledger.add("ownership.changed", ledger.pipeline, {"from": "growth", "to": "lending"})
    spend(ledger, 200, time=ledger.now)
    spend(ledger, 400)
    spend(ledger, 800, pipeline="")
    assert borne(costs_of(ask(ledger))) == {"growth": 1.0, "lending": 6.0, "unattributed": 8.0}


def test_serving_is_borne_by_the_callers_and_the_rest_is_idle() -> None:
    """By compute-seconds of the calls in the period, of what the machine could have done."""
    ledger = LedgerBuilder()
    call(ledger, "web", cpu_s=1000)
    start = ledger.wait(days=1).now
    call(ledger, "web", cpu_s=30)
    call(ledger, "lending", cpu_s=10)
    call(ledger, "lending", cpu_s=500, role="shadow")
    call(ledger, "lending", cpu_s=500, endpoint="other")
    serve(ledger.wait(days=1), start, hours=100, capacity_cpu_s=100)
    call(ledger, "web", cpu_s=1000)
    assert borne(costs_of(ask(ledger))) == {"idle": 6.0, "lending": 1.0, "web": 3.0}


def test_a_caller_is_charged_to_the_team_that_its_token_was_issued_for() -> None:
    """To whom it belonged at the time of the call; two tokens of one team are one bearer."""
    ledger = LedgerBuilder()
    start = ledger.now
    ledger.add("credential.issued", "site", {"name": "site", "team": "web"})
    ledger.add("credential.issued", "app", {"name": "app", "team": "web"})
    ledger.add("credential.issued", "job", {"name": "job", "team": ""})
    for caller in ("site", "app", "job"):
        call(ledger, caller, cpu_s=10)
    ledger.add("credential.issued", "app", {"name": "app", "team": "lending"})
    call(ledger, "app", cpu_s=10)
    serve(ledger, start, hours=100, capacity_cpu_s=40)
    assert borne(costs_of(ask(ledger))) == {"idle": 0.0, "job": 2.5, "lending": 2.5, "web": 5.0}
    assert api_calls(ask(ledger, Scope(kind="node", name="web"))).values["calls_count"] == 20


def test_more_than_the_capacity_leaves_nothing_idle() -> None:
    """Callers never bear more than the cost."""
    ledger = LedgerBuilder()
    start = ledger.now
    call(ledger, "web", cpu_s=30)
    call(ledger, "lending", cpu_s=10)
    serve(ledger, start, hours=100, capacity_cpu_s=20)
    assert borne(costs_of(ask(ledger))) == {"idle": 0.0, "lending": 2.5, "web": 7.5}


def test_without_compute_seconds_the_number_of_calls_decides() -> None:
    """Then nothing is known to be idle, whatever the capacity; calls without a name belong to nobody."""
    ledger = LedgerBuilder()
    start = ledger.now
    call(ledger, "web", count=30)
    call(ledger, "", count=10)
    serve(ledger, start, hours=100, capacity_cpu_s=1000)
    assert borne(costs_of(ask(ledger))) == {"idle": 0.0, "unattributed": 2.5, "web": 7.5}


def test_without_calls_all_of_it_is_idle() -> None:
    """An endpoint that nobody asked, and one that never was asked anything."""
    ledger = LedgerBuilder()
    call(ledger, "web")
    start = ledger.wait(days=1).now
    serve(ledger.wait(days=1), start)
    serve(ledger, start, endpoint="never")
    assert borne(costs_of(ask(ledger))) == {"idle": 20.0}


@pytest.mark.parametrize("period", [{"from": ""}, {"until": "soon"}, {"from": "2026-01-01T00:00:00"}])
def test_serving_without_a_period_belongs_to_nobody(period: dict[str, str]) -> None:
    """Nobody can be charged for a time that is not said."""
    ledger = LedgerBuilder()
    start = ledger.now
    call(ledger, "web")
    serve(ledger, start, **period)
    assert borne(costs_of(ask(ledger))) == {"unattributed": 10.0}


def test_a_correction_is_spread_as_what_it_corrects() -> None:
    """Also a correction of a correction, whoever owns the pipeline by then; one of something unknown has no bearer."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    start = ledger.now
    call(ledger, "web", cpu_s=30)
    served = serve(ledger, start, hours=100, capacity_cpu_s=40)
    trained = spend(ledger, 100)
    ledger.add("ownership.changed", ledger.pipeline, {"from": "growth", "to": "lending"})
    adjust(ledger, adjust(ledger, served, -4.0), 2.0)
    adjust(ledger, trained, -0.5)
    assert borne(costs_of(ask(ledger))) == {"growth": 0.5, "idle": 2.0, "web": 6.0}
    ledger.add("cost.recorded", "x", {"adjusts": "never", "amount": 3, "currency": "USD"}, pipeline="")
    assert borne(costs_of(ask(ledger)))["unattributed"] == 3.0


def test_a_price_holds_from_its_local_day_on() -> None:
    """And before the first there is none, which is said."""
    prices = PricesSection(
        item=(
            PriceSection(resource="cpu_seconds", unit="s", amount=2, since=date(2026, 3, 2)),
            PriceSection(resource="cpu_seconds", unit="s", amount=1, since=date(2026, 3, 1)),
        )
    )
    ledger = LedgerBuilder(start=datetime(2026, 3, 1, 4, 59, 58, tzinfo=UTC))
    spend(ledger, 1)
    spend(ledger, 10)
    spend(ledger.wait(days=1), 100)
    question = ask(ledger, using=settings(prices=prices))
    assert costs_of(question).amounts.tolist() == [0.0, 10.0, 200.0]
    assert unpriced(question, costs_of(question)) == {"cpu_seconds": 1.0}


def test_a_resource_without_a_price_or_in_another_unit_is_said_to_have_none() -> None:
    """Nothing is charged at a price for something else, nor in another currency."""
    ledger = LedgerBuilder()
    ledger.add("cost.recorded", "r", {"resource": "peak_memory_mb", "qty": 512, "unit": "MB"})
    ledger.add("cost.recorded", "r", {"resource": "cpu_seconds", "qty": 3, "unit": "h"})
    first = spend(ledger, 100)
    ledger.add("cost.recorded", "r", {"adjusts": first.id, "resource": "adjustment", "amount": 9, "currency": "EUR"})
    question = ask(ledger)
    assert costs_of(question).total == pytest.approx(1.0)
    assert unpriced(question, costs_of(question)) == {"adjustment": 0.0, "cpu_seconds": 3.0, "peak_memory_mb": 512.0}


def test_a_scope_has_the_costs_that_are_about_it() -> None:
    """Corrections go with what they correct; a node has what its teams bear, and nobody the rest."""
    ledger = LedgerBuilder()
    ledger.declare(owner="lending")
    ledger.add("traffic.shifted", ENDPOINT, {"endpoint": ENDPOINT, "weights": {"flight-delay@v1": 1.0}})
    start = ledger.now
    call(ledger, "web", cpu_s=30)
    adjust(ledger, serve(ledger, start, hours=100, capacity_cpu_s=40), -2.0)
    spend(ledger, 100)
    spend(ledger, 400, pipeline="")

    def total(kind: str, name: str) -> float:
        return round(costs_of(ask(ledger, Scope(kind=kind, name=name))).total, 4)  # type: ignore[arg-type]

    assert total("pipeline", ledger.pipeline) == 9.0
    assert total("endpoint", ENDPOINT) == 8.0
    assert total("model", "flight-delay") == 9.0
    assert [total("node", name) for name in ("consumer", "web", "lending", "growth")] == [6.0, 6.0, 1.0, 0.0]
    assert total("node", "") == 6.0
    assert total("pipeline", "other") == 0.0


def asked(amounts: list[tuple[str, float]]) -> Question:
    """Return the question about a ledger with costs and corrections of all kinds."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    start = ledger.now
    for number, (kind, amount) in enumerate(amounts):
        if kind in ("web", "lending", ""):
            call(ledger, kind, cpu_s=amount)
        elif kind == "serve":
            serve(ledger, start, hours=amount, capacity_cpu_s=50)
        elif kind == "train":
            spend(ledger, amount, pipeline=ledger.pipeline if number % 2 else "")
        else:
            adjust(ledger, ledger.events[number // 2], -amount / 2)
    return ask(ledger)


@effort(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["web", "lending", "", "serve", "train", "adjust"]),
            st.floats(0, 1e6, allow_nan=False, allow_subnormal=False),
        ),
        max_size=25,
    )
)
def test_what_is_borne_adds_up_to_what_was_spent(amounts: list[tuple[str, float]]) -> None:
    """Whatever comes in whichever order: nothing is lost and nothing is charged twice."""
    question = asked(amounts)
    spent = 0.0
    for event in question.view.of("cost.recorded"):
        price = {"cpu_seconds": 0.01, "machine_hours": 0.1}.get(event.data["resource"], 0.0)
        spent += event.data.get("amount", 0.0) + event.data["qty"] * price
    assert costs_of(question).total == pytest.approx(spent, abs=1e-6)
