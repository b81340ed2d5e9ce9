"""Budgets: what something may cost in a local month, what it has cost so far, and what it will have cost at the end.

Invariant: a budget is passed by costs in the ledger alone, never by a forecast.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from croniter import croniter

from ratchet.config import BudgetSection
from ratchet.measure.kpis.bearers import Costs, costs_of
from ratchet.measure.kpis.columns import Mask, sums_by
from ratchet.measure.kpis.questions import Question, Scope, ScopeKind, month_end
from ratchet.records import Record

_SCOPES: dict[str, ScopeKind] = {"team": "node", "pipeline": "pipeline", "endpoint": "endpoint"}
_DAY = timedelta(days=1)
_RUNS_IN_MEAN = 10
_SLOTS_AT_MOST = 10_000
METHOD = (
    "spent so far, plus the days left at this month's daily rate without scheduled runs and corrections, plus the "
    "scheduled runs still to come at the mean cost of the last 10"
)


class Forecast(Record, frozen=True):
    """What a month will have cost at its end.

    Attributes:
        amount: Money, what was spent so far included.
        rate_day: What a day has cost so far, without scheduled runs and corrections.
        days_left: Days until the month ends.
        scheduled_runs: Runs whose schedule comes due until then.
        scheduled_amount: What they will cost.
    """

    amount: float
    rate_day: float
    days_left: float
    scheduled_runs: int
    scheduled_amount: float


class Standing(Record, frozen=True):
    """How a budget stands in a local month.

    Attributes:
        scope: ``team``, ``pipeline`` or ``endpoint``.
        name: Which one.
        month: Such as ``2026-03``.
        then: What happens when it is passed: ``warn``, ``require_approval`` or ``stop``.
        currency: Of all amounts.
        amount: What it may cost.
        spent: What it has cost.
        forecast: What it will have cost at the end of the month.
        crossed_by: Id of the event of the cost that passed the budget; ``""`` where none did.
    """

    scope: str
    name: str
    month: str
    then: str
    currency: str
    amount: float
    spent: float
    forecast: Forecast
    crossed_by: str

    @property
    def is_passed(self) -> bool:
        """Tell whether more was spent than was set aside."""
        return self.spent > self.amount


def scope_of(budget: BudgetSection) -> Scope:
    """Return the part of the whole that a budget is for."""
    return Scope(kind=_SCOPES[budget.scope], name=budget.name)


def about(question: Question, budget: BudgetSection) -> Question:
    """Return the question about what a budget is for, at the same moment."""
    return Question(question.view, question.settings, scope_of(budget), policies=question.policies)


def standings(question: Question, *, month: str = "") -> list[Standing]:
    """Return how all budgets stand, in the order of the settings.

    Args:
        question: At which moment.
        month: Of which local month; of the one of the moment, if not given.
    """
    return [_standing(question, budget, month or question.month(question.as_of)) for budget in question.settings.budget]


def passed(question: Question) -> list[dict[str, str | float]]:
    """Return the budgets that any month's costs passed, of what the question is about."""
    budgets = question.settings.budget
    if question.scope.kind != "organisation":
        budgets = tuple(budget for budget in budgets if scope_of(budget) == question.scope)
    return [
        {
            "scope": budget.scope,
            "name": budget.name,
            "month": month,
            "spent_usd": spent,
            "amount_usd": budget.amount_month,
            "then": budget.then,
        }
        for budget in budgets
        for month, spent in _by_month(about(question, budget)).items()
        if spent > budget.amount_month
    ]


def months_to_look_at(question: Question) -> list[str]:
    """Return the local months that a cost recorded in this month belongs to: this one, and at its turn the last."""
    this = question.month(question.as_of)
    start, _ = bounds(this, question.zone)
    last = question.month(start - _DAY)
    recent = [event for event in question.view.of("cost.recorded") if (event.recordedtime or event.at) >= start]
    found = {question.month(event.at) for event in recent}
    return [month for month in (last, this) if month in found]


def covering(question: Question, pipeline: str) -> Iterator[Standing]:
    """Yield how the budgets stand this month that a run of a pipeline would be charged to, or is for."""
    for budget in question.settings.budget:
        if about(question, budget).covers_pipeline(pipeline):
            yield _standing(question, budget, question.month(question.as_of))


def bounds(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return when a local month begins and ends."""
    return datetime(int(month[:4]), int(month[5:7]), 1, tzinfo=zone), month_end(month, zone)


def spent_and_forecast(question: Question) -> tuple[float, Forecast]:
    """Return what the scope has cost in the local month of the moment, and will have cost at its end."""
    month = question.month(question.as_of)
    costs = costs_of(question)
    return costs.only(_of_month(question, costs, month)).total, _forecast(question, costs, month)


def _standing(question: Question, budget: BudgetSection, month: str) -> Standing:
    asked = about(question, budget)
    costs = costs_of(asked)
    inside = costs.only(_of_month(asked, costs, month))
    return Standing(
        scope=budget.scope,
        name=budget.name,
        month=month,
        then=budget.then,
        currency=question.settings.prices.currency,
        amount=budget.amount_month,
        spent=inside.total,
        forecast=_forecast(asked, costs, month),
        crossed_by=_crossing(inside, budget.amount_month),
    )


def _crossing(costs: Costs, amount: float) -> str:
    """Return the id of the first cost, in the order of the ledger, with which an amount was passed."""
    if costs.total <= amount:
        return ""
    order = np.argsort(costs.rows, kind="stable")
    over = np.cumsum(costs.amounts[order]) > amount
    return costs.table.id(int(costs.rows[order][np.argmax(over)]))


def _by_month(question: Question) -> dict[str, float]:
    costs = costs_of(question)
    names, codes = costs.by_month(question)
    return sums_by(names, codes, costs.amounts)


def _of_month(question: Question, costs: Costs, month: str) -> Mask:
    names, codes = costs.by_month(question)
    return np.equal(codes, names.index(month) if month in names else -1)


# ---- forecasting


def _forecast(question: Question, costs: Costs, month: str) -> Forecast:
    """Return what a month will have cost: the rate so far for the days left, and the runs that are scheduled."""
    start, end = bounds(month, question.zone)
    now = min(max(question.as_of, start), end)
    inside = costs.only(_of_month(question, costs, month))
    slots = {name: due for name in question.pipelines if (due := _slots(question, name, now, end)) is not None}
    table = costs.table
    steady = ~np.isin(table.code("pipeline"), _codes(table.words("pipeline"), slots)) | table.equals("run_id", "")
    steady &= table.equals("adjusts", "")
    # On the first day its cost is the rate, not what it would come to if it went on like the first minute.
    days = max((now - start) / _DAY, 1.0)
    rate = max(0.0, inside.only(steady[inside.rows]).total / days)
    days_left = (end - now) / _DAY
    runs = sum(slots.values())
    scheduled = sum(due * _mean_run(costs, name) for name, due in slots.items())
    return Forecast(
        amount=inside.total + rate * days_left + scheduled,
        rate_day=rate,
        days_left=days_left,
        scheduled_runs=runs,
        scheduled_amount=scheduled,
    )


def _codes(words: list[str], names: "dict[str, int]") -> list[int]:
    return [code for code, word in enumerate(words) if word in names]


def _slots(question: Question, pipeline: str, since: datetime, until: datetime) -> int | None:
    """Return how often a pipeline's schedules come due in a period; ``None`` where it has none."""
    rules = [
        rule
        for rule in question.view.snapshot.rules.enabled(pipeline)
        if rule.cron and "train" in rule.leads_to and croniter.is_valid(rule.cron)
    ]
    return sum(_due(rule.cron, rule.time_zone, since, until) for rule in rules) if rules else None


def _due(cron: str, time_zone: str, since: datetime, until: datetime) -> int:
    try:
        slots = croniter(cron, since.astimezone(ZoneInfo(time_zone or "UTC")))
    except (KeyError, ValueError, OSError):
        return 0
    count = 0
    while count < _SLOTS_AT_MOST and slots.get_next(datetime) < until:
        count += 1
    return count


def _mean_run(costs: Costs, pipeline: str) -> float:
    """Return what one of a pipeline's last runs has cost on average, as far as the question is about it."""
    table = costs.table
    is_run = ~table.equals("run_id", "") & table.equals("pipeline", pipeline)
    runs = costs.only(is_run[costs.rows])
    codes = table.code("run_id")[runs.rows]
    # Codes count up as runs first appear in the ledger.
    last = np.unique(codes)[-_RUNS_IN_MEAN:]
    if not len(last):
        return 0.0
    return float(runs.amounts[np.isin(codes, last)].sum()) / len(last)
