"""Budgets: what something may cost in a month, has cost, and will have cost."""

from datetime import UTC, datetime, timedelta

import pytest

from ratchet.measure.kpis.budgets import covering, months_to_look_at, passed, spent_and_forecast, standings
from ratchet.measure.kpis.questions import Scope
from tests.ledgers import ENDPOINT, LedgerBuilder
from tests.unit.measure.kpis.asking import adjust, ask, budget, call, serve, settings, spend

# The first of April 2026 in New York.
APRIL = datetime(2026, 4, 1, 4, tzinfo=UTC)


def april(**days: float) -> LedgerBuilder:
    """Return a ledger with a pipeline, in April."""
    ledger = LedgerBuilder(start=APRIL - timedelta(days=60))
    ledger.declare(owner="growth")
    ledger.now = APRIL + timedelta(**days)
    return ledger


def test_a_budget_is_passed_by_more_than_it_and_not_by_as_much() -> None:
    """The cost with which it is passed is named, the first in the order of the ledger."""
    ledger = april(days=3)
    spend(ledger, 600)
    spend(ledger, 400)
    using = settings(budget=(budget("pipeline", ledger.pipeline, 10),))
    (before,) = standings(ask(ledger, using=using))
    assert (before.spent, before.is_passed, before.crossed_by) == (pytest.approx(10.0), False, "")
    crossing = spend(ledger, 1)
    spend(ledger, 500)
    (after,) = standings(ask(ledger, using=using))
    assert (after.is_passed, after.crossed_by, after.month, after.then) == (True, crossing.id, "2026-04", "warn")


def test_each_month_begins_at_nothing_at_local_midnight() -> None:
    """A second before it is still March in New York, although it is April in UTC."""
    ledger = april(seconds=-2)
    spend(ledger, 700)
    spend(ledger, 200)
    using = settings(budget=(budget("team", "growth", 5),))
    question = ask(ledger, using=using)
    assert [standing.spent for standing in standings(question)] == [pytest.approx(2.0)]
    assert [standing.spent for standing in standings(question, month="2026-03")] == [pytest.approx(7.0)]
    assert [(one["month"], one["spent_usd"]) for one in passed(question)] == [("2026-03", pytest.approx(7.0))]


def test_a_correction_can_bring_a_budget_back() -> None:
    """What is passed is what the month's costs add up to now."""
    ledger = april(days=3)
    first = spend(ledger, 1100)
    using = settings(budget=(budget("pipeline", ledger.pipeline, 10),))
    assert standings(ask(ledger, using=using))[0].is_passed
    adjust(ledger, first, -2.0)
    assert not standings(ask(ledger, using=using))[0].is_passed


def test_teams_endpoints_and_pipelines_have_what_is_about_them() -> None:
    """A team what it bears, an endpoint what names it, a pipeline what its events cost."""
    ledger = april(days=3)
    start = ledger.now
    call(ledger, "web", cpu_s=30)
    serve(ledger, start, hours=100, capacity_cpu_s=40)
    spend(ledger, 100)
    budgets = (
        budget("team", "web", 1),
        budget("team", "consumer", 1),
        budget("endpoint", ENDPOINT, 1),
        budget("pipeline", ledger.pipeline, 1),
    )
    found = [standing.spent for standing in standings(ask(ledger, using=settings(budget=budgets)))]
    assert found == pytest.approx([7.5, 8.5, 10.0, 11.0])


# ---- forecasts


def test_what_went_on_evenly_goes_on_evenly() -> None:
    """Ten days of thirty at 3 a day: 30 so far, 90 at the end; corrections are no rate."""
    ledger = april(days=10, seconds=-2)
    first = spend(ledger, 3200)
    adjust(ledger, first, -2.0)
    spent, forecast = spent_and_forecast(ask(ledger))
    assert spent == pytest.approx(30.0)
    assert (forecast.rate_day, forecast.days_left) == pytest.approx((3.2, 20.0))
    assert forecast.amount == pytest.approx(30.0 + 3.2 * 20)


def test_the_first_minute_of_a_month_is_no_day() -> None:
    """What was spent at once is a day's, however early it is."""
    ledger = april(minutes=1)
    spend(ledger, 100)
    _, forecast = spent_and_forecast(ask(ledger))
    assert forecast.rate_day == pytest.approx(1.0)
    assert forecast.amount == pytest.approx(1.0 + 30, abs=0.01)


def test_scheduled_runs_are_counted_and_not_smeared() -> None:
    """Two Mondays are left: two runs at the mean cost of the runs so far, and no daily rate for them."""
    ledger = april(days=-20)
    ledger.weekly()
    for number, seconds in enumerate((100, 300)):
        spend(ledger, seconds / 2, run_id=f"run-{number}")
        spend(ledger, seconds / 2, run_id=f"run-{number}")
    # Friday 17 April, noon in New York; Mondays at 03:00 UTC are left on the 20th and the 27th.
    ledger.now = datetime(2026, 4, 17, 16, tzinfo=UTC)
    spend(ledger, 200, run_id="run-2")
    spent, forecast = spent_and_forecast(ask(ledger, Scope(kind="pipeline", name=ledger.pipeline)))
    assert (spent, forecast.scheduled_runs, forecast.rate_day) == (pytest.approx(2.0), 2, 0.0)
    assert forecast.amount == pytest.approx(2.0 + 2 * 2.0)


def test_only_the_last_ten_runs_say_what_the_next_costs() -> None:
    """A pipeline that was made cheaper is forecast at its new cost."""
    ledger = april(days=-30)
    ledger.weekly()
    for number in range(15):
        spend(ledger, 10_000 if number < 5 else 100, run_id=f"run-{number}")
    ledger.now = datetime(2026, 4, 17, 16, tzinfo=UTC)
    _, forecast = spent_and_forecast(ask(ledger))
    assert forecast.scheduled_amount == pytest.approx(2 * 1.0)


def test_a_schedule_that_is_switched_off_runs_no_more() -> None:
    """What the rule's runs have cost is then an even rate like all else."""
    ledger = april(days=5)
    rule = ledger.weekly()
    spend(ledger, 500)
    assert spent_and_forecast(ask(ledger))[1].scheduled_runs > 0
    ledger.toggle(rule, is_enabled=False)
    _, forecast = spent_and_forecast(ask(ledger))
    assert (forecast.scheduled_runs, forecast.rate_day) == (0, pytest.approx(1.0, rel=0.01))


def test_schedules_that_train_nothing_cost_nothing() -> None:
    """A rule that only watches, one that nobody can read, and one of another pipeline."""
    ledger = april(days=5)
    ledger.rule("watch", leads_to=["monitor"], cron="0 4 * * *")
    ledger.rule("broken", leads_to=["train"], cron="whenever")
    spend(ledger, 500)
    assert spent_and_forecast(ask(ledger))[1].scheduled_runs == 0


# ---- which budgets


def test_a_run_is_covered_by_the_budgets_of_its_team_and_of_what_it_serves() -> None:
    """Of its department, its own pipeline, its endpoint; of no others, and not of callers."""
    ledger = april(days=3)
    ledger.add("traffic.shifted", ENDPOINT, {"endpoint": ENDPOINT, "weights": {"flight-delay@v1": 1.0}})
    names = [
        ("team", "consumer"),
        ("team", "growth"),
        ("team", "web"),
        ("pipeline", ledger.pipeline),
        ("pipeline", "other"),
        ("endpoint", ENDPOINT),
        ("endpoint", "other"),
    ]
    using = settings(budget=tuple(budget(scope, name, 1) for scope, name in names))
    found = [(one.scope, one.name) for one in covering(ask(ledger, using=using), ledger.pipeline)]
    assert found == [names[0], names[1], names[3], names[5]]


def test_late_costs_have_last_month_looked_at_once_more() -> None:
    """What is recorded this month counts in the month in which it arose, further back nothing is looked at."""
    ledger = april(days=3)
    assert months_to_look_at(ask(ledger)) == []
    spend(ledger, 1, time=APRIL - timedelta(days=2))
    assert months_to_look_at(ask(ledger)) == ["2026-03"]
    spend(ledger, 1)
    spend(ledger, 1, time=APRIL - timedelta(days=50))
    assert months_to_look_at(ask(ledger)) == ["2026-03", "2026-04"]
    ledger.wait(days=60)
    assert months_to_look_at(ask(ledger)) == []
