"""What the work cost, who bears it, and whether that agrees with the bills.

Invariant: what teams bear, what was idle and what belongs to nobody add up to the total.
"""

from datetime import datetime
from typing import Any

import numpy as np

from ratchet.clock import to_us
from ratchet.measure.kpis.bearers import IDLE, NOBODY, UNATTRIBUTED, Costs, costs_of, unpriced
from ratchet.measure.kpis.budgets import passed
from ratchet.measure.kpis.columns import eras, sums_by
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, share
from ratchet.records import Event, Record

_BILL = ("billed_usd", "in_bill_period_usd", "bill_gap_share", "is_within_tolerance")


def cost(question: Question) -> Answer:
    """Add up what was spent, by who bears it, and compare it with the bills."""
    costs = costs_of(question)
    by_bearer = sums_by(costs.names, costs.bearers, costs.amounts)
    idle, unattributed = by_bearer.pop(IDLE, 0.0), by_bearer.pop(UNATTRIBUTED, 0.0)
    names, codes = costs.by_month(question)
    by: dict[str, Any] = {
        "team": by_bearer,
        "node": _by_node(question, costs),
        "month": sums_by(names, codes, costs.amounts),
        "budgets_exceeded": passed(question),
    }
    without_price = unpriced(question, costs)
    if without_price:
        by["unpriced"] = without_price
    rows = np.unique(costs.rows).tolist()
    values: dict[str, Value] = {
        "total_usd": costs.total,
        "allocated_usd": sum(by_bearer.values()),
        "idle_usd": idle,
        "unattributed_usd": unattributed,
        "training_usd": costs.of_step("train"),
        "serving_usd": costs.of_step("serve"),
    }
    if not rows:
        values = dict.fromkeys(values, None)
    bills = _bills(question)
    against = _against_bills(question, bills, costs)
    return Answer.of(values | against, by, [*map(costs.table.id, rows), *(bill.event for bill in bills)])


def _by_node(question: Question, costs: Costs) -> dict[str, float]:
    """Return what each part of the organisation bears, the teams among them."""
    found: dict[str, float] = {}
    for moment, parts in eras(question, costs.time_us):
        for team, amount in sums_by(costs.names, costs.bearers[parts], costs.amounts[parts]).items():
            for node in question.organisation.path(team, moment) if team not in NOBODY else ():
                found[node] = found.get(node, 0.0) + amount
    return dict(sorted(found.items()))


# ---- bills


class _Bill(Record, frozen=True):
    """A row of a bill: money, and the period (UTC, the end is out) that it is for."""

    event: Event
    amount: float
    since: datetime
    until: datetime


def _bills(question: Question) -> list[_Bill]:
    """Return the rows of bills that can be compared; nothing says which part of the organisation they are for."""
    if question.scope.kind != "organisation":
        return []
    return [bill for event in question.view.of("bill.imported") if (bill := _bill(question, event))]


def _bill(question: Question, event: Event) -> _Bill | None:
    """Return a row of a bill; ``None`` for one in another currency, or from outside and without sense."""
    data = event.data
    if data.get("currency") != question.settings.prices.currency:
        return None
    try:
        since, until = (datetime.fromisoformat(data[name]) for name in ("period_start", "period_end"))
        amount = float(data["billed_cost"])
    except (KeyError, TypeError, ValueError):
        return None
    return _Bill(event=event, amount=amount, since=since, until=until) if since.tzinfo and until.tzinfo else None


def _against_bills(question: Question, bills: list[_Bill], costs: Costs) -> dict[str, Value]:
    """Compare the costs in the period of the bills with what was billed."""
    if not bills:
        return dict.fromkeys(_BILL, None)
    since, until = min(bill.since for bill in bills), max(bill.until for bill in bills)
    inside = (costs.time_us >= to_us(since)) & (costs.time_us < to_us(until))
    spent, billed = float(costs.amounts[inside].sum()), sum(bill.amount for bill in bills)
    gap = share(spent - billed, billed)
    is_near = None if gap is None else int(abs(gap) <= question.settings.bill.tolerance_share)
    return dict(zip(_BILL, (billed, spent, gap, is_near), strict=True))


KPIS = (
    Kpi(
        name="cost",
        title="Cost",
        sentence="What models cost, and who bears it; more use for the same cost is better.",
        unit="USD",
        headline="total_usd",
        formula=(
            "The sum of quantity times the price in force on the local day. A pipeline's runs go to its owner at the "
            "time; serving to the callers by the compute-seconds of their calls in the period, of what the machine "
            "could have done, and the rest is idle; what has no owner is unattributed. A correction counts at its own "
            "time and is spread as what it corrects."
        ),
        edge_cases=(
            "What teams bear, idle and unattributed add up to the total.",
            "Where no call has compute-seconds, serving is split by the number of calls, and nothing is known to be "
            "idle.",
            "A resource without a price counts as nothing and is listed.",
            "The gap to the bills is taken over their period; a bill in another currency is refused as a whole.",
            "Amounts are in the currency of [prices], whatever the names of the values say.",
        ),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=cost,
    ),
)
