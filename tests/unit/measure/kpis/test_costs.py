"""What the work cost, and whether that agrees with the bills."""

from typing import Any

import pytest

from ratchet.config import BillSection
from ratchet.measure.kpis.costs import cost
from ratchet.measure.kpis.questions import Scope
from ratchet.records import Event
from tests.ledgers import LedgerBuilder
from tests.unit.measure.kpis.asking import adjust, ask, budget, call, serve, settings, spend


def bill(ledger: LedgerBuilder, billed: str, **data: Any) -> Event:
    """Import a row of a bill for January."""
    known = {
        "billed_cost": billed,
        "currency": "USD",
        "period_start": "2026-01-01T00:00:00Z",
        "period_end": "2026-02-01T00:00:00Z",
    }
    return ledger.add("bill.imported", "bill.csv#1", known | data, pipeline="")


def test_the_parts_add_up_and_steps_are_told_apart() -> None:
    """A run's steps are training whatever their names; a correction counts with what it says it is."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    start = ledger.now
    call(ledger, "web", cpu_s=30)
    served = serve(ledger, start, hours=100, capacity_cpu_s=40)
    trained = spend(ledger, 100)
    stored = ledger.add("cost.recorded", "b", {"step": "storage", "resource": "cpu_seconds", "qty": 300, "unit": "s"})
    answer = cost(ask(ledger))
    assert {name: value for name, value in answer.values.items() if value is not None} == pytest.approx(
        {
            "total_usd": 14.0,
            "allocated_usd": 11.5,
            "idle_usd": 2.5,
            "unattributed_usd": 0.0,
            "training_usd": 1.0,
            "serving_usd": 10.0,
        }
    )
    assert answer.by["node"] == pytest.approx({"consumer": 11.5, "growth": 4.0, "web": 7.5})
    assert answer.events == tuple(sorted([served.id, trained.id, stored.id]))
    assert "unpriced" not in answer.by


def test_rating_again_adds_a_correction_and_rewrites_nothing() -> None:
    """What was published for January stays; the correction is February's."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    first = spend(ledger, 1000)
    before = ledger.now
    january = cost(ask(ledger)).values
    adjust(ledger.wait(days=30), first, -4.0)
    assert cost(ask(ledger, at=before)).values == january
    assert cost(ask(ledger)).by["month"] == pytest.approx({"2026-01": 10.0, "2026-02": -4.0})


def test_without_costs_there_is_no_evidence_and_no_zero() -> None:
    """Nothing recorded is not the same as nothing spent."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    answer = cost(ask(ledger))
    assert (answer.status, set(answer.values.values())) == ("no evidence", {None})


def test_what_has_no_price_is_listed() -> None:
    """A cost that counts as nothing is not hidden."""
    ledger = LedgerBuilder()
    ledger.add("cost.recorded", "r", {"resource": "wall_seconds", "qty": 12, "unit": "s"})
    answer = cost(ask(ledger))
    assert (answer.values["total_usd"], answer.by["unpriced"]) == (0.0, {"wall_seconds": 12.0})


@pytest.mark.parametrize(("billed", "is_near"), [("10.00", 1), ("9.81", 1), ("9.79", 0), ("10.20", 1), ("10.21", 0)])
def test_a_bill_agrees_within_the_tolerance(billed: str, is_near: int) -> None:
    """Two in a hundred of the bill, in both directions."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    spend(ledger, 1000)
    bill(ledger, billed)
    values = cost(ask(ledger)).values
    assert (values["billed_usd"], values["in_bill_period_usd"]) == pytest.approx((float(billed), 10.0))
    assert values["is_within_tolerance"] == is_near


def test_only_costs_in_the_period_of_the_bills_are_compared() -> None:
    """The end is out; the tolerance is the project's."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    spend(ledger, 1000)
    spend(ledger.wait(days=40), 5000)
    bill(ledger, "20.00", period_end="2026-01-20T00:00:00Z")
    values = cost(ask(ledger, using=settings(bill=BillSection(tolerance_share=0.5)))).values
    assert (values["in_bill_period_usd"], values["bill_gap_share"]) == pytest.approx((10.0, -0.5))
    assert values["is_within_tolerance"] == 1


@pytest.mark.parametrize(
    "wrong", [{"currency": "EUR"}, {"billed_cost": "much"}, {"period_start": "2026-01-01"}, {"period_end": None}]
)
def test_a_bill_that_means_nothing_here_is_left_out(wrong: dict[str, Any]) -> None:
    """One that another system sent without sense stops no answer; an importer refuses it before."""
    ledger = LedgerBuilder()
    spend(ledger, 1000)
    bill(ledger, "10.00", **wrong)
    assert cost(ask(ledger)).values["billed_usd"] is None


def test_bills_are_compared_for_the_whole_only() -> None:
    """No row of a bill says which team it is for."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    spend(ledger, 1000)
    bill(ledger, "10.00")
    assert cost(ask(ledger, Scope(kind="node", name="growth"))).values["billed_usd"] is None


def test_budgets_that_were_passed_are_those_of_the_scope() -> None:
    """All for the whole, its own for a part."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    spend(ledger, 1000)
    budgets = (budget("team", "growth", 9), budget("pipeline", ledger.pipeline, 5), budget("team", "web", 1))
    using = settings(budget=budgets)
    names = [one["name"] for one in cost(ask(ledger, using=using)).by["budgets_exceeded"]]
    assert names == ["growth", ledger.pipeline]
    part = cost(ask(ledger, Scope(kind="pipeline", name=ledger.pipeline), using=using))
    assert [one["scope"] for one in part.by["budgets_exceeded"]] == ["pipeline"]
