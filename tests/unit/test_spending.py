"""Where money and the loop meet: conditions, refused runs, budgets that are told, bills."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ratchet import clock, config
from ratchet.automation import rules
from ratchet.automation.dispatcher import Dispatcher
from ratchet.errors import BudgetSpent, ConfigInvalid
from ratchet.loop import projects as declared
from ratchet.loop import training
from ratchet.measure.history import History
from ratchet.measure.kpis.desk import Desk
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import shipped
from ratchet.records import Actor, Event
from ratchet.spending import Spending
from tests import projects
from tests.loops import Stage

MONEY = """
[prices]
currency = "USD"

[[prices.item]]
resource = "cpu_seconds"
unit = "s"
amount = 1.0

[[team]]
name = "growth"

[[budget]]
scope = "{scope}"
name = "{name}"
amount_month = 10.0
then = "{then}"
"""
WATCHER = Actor(authtype="system", authid="rule", claims={"minted_by": "rule"})


class Purse:
    """A stage with money: what the workspace puts together, and how often the ledger was asked.

    Args:
        stage: The loop's parts.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.asked = 0
        self.levels_asked = 0
        self._history = History()
        desk = Desk(
            self._folded,
            settings=lambda: Settings.of(stage.resources.config),
            policies=lambda: [shipped("standard")],
        )
        self._desk = desk
        self.spending = Spending(stage.resources, ask=self._ask, level=self._level)
        stage.resources.admit_run = self.spending.admit
        dispatcher = Dispatcher(stage.resources, measured=self.spending.numbers)
        stage.runs.register("dispatch", dispatcher.dispatch)
        stage.runs.register("act", dispatcher.act)

    def _folded(self) -> History:
        self._history.fold(self.stage.ledger.read(after=self._history.last_seq))
        return self._history

    def _ask(self) -> Any:
        self.asked += 1
        return self._desk.ask()

    def _level(self, pipeline: str) -> float:
        self.levels_asked += 1
        return measure_level(self._folded(), pipeline, shipped("standard")).level

    def spend(self, amount: float, *, pipeline: str = "churn", **envelope: Any) -> Event:
        """Record that a run cost so much."""
        data = {"run_id": clock.new_id(), "step": "fit", "resource": "cpu_seconds", "qty": amount, "unit": "s"}
        with self.stage.command(clock.new_id()):
            event = Event(type="cost.recorded", subject="run", pipeline=pipeline, data=data, **envelope)
            return self.stage.ledger.record(event)[0]

    def start(self, key: str = "start", *, actor: Actor | None = None) -> Event:
        """Ask for a run, as a person unless somebody else is named."""
        with self.stage.command(key, **({"actor": actor} if actor else {})):
            return training.start_run(self.stage.resources, "churn")


Make = Callable[..., Purse]


@pytest.fixture
def make_purse(make_stage: Callable[..., Stage], simulated: None) -> Make:
    """Make a project with a budget, a rule if one is given, and its pipeline."""

    def make(scope: str = "pipeline", name: str = "churn", then: str = "stop", rule: str = "") -> Purse:
        settings = projects.SETTINGS + MONEY.format(scope=scope, name=name, then=then) + rule
        stage = make_stage(settings=settings, reacts=True)
        projects.write_project(stage.resources.project, settings=settings)
        found = declared.current(stage.resources)[1]
        path = stage.resources.project / config.FILE_NAME
        with stage.command("declare"):
            declared.declare(stage.resources, found)
            rules.put_in_force(stage.resources, rules.read(stage.resources.config, found, path=path))
        return Purse(stage)

    return make


# ---- runs that budgets refuse


def test_a_budget_that_is_used_up_stops_runs(make_purse: Make) -> None:
    """Nothing is queued; the message says what is spent of what, in which month, and what to do, with the file."""
    purse = make_purse()
    purse.spend(10)
    assert purse.start("first").type == "run.queued"
    purse.spend(0.5)
    with pytest.raises(BudgetSpent) as refused:
        purse.start("second")
    message = str(refused.value)
    assert "the budget of the pipeline 'churn' is 10.00 USD for 2026-01, and 10.50 are spent" in message
    assert str(purse.stage.resources.project / "ratchet.toml") in message
    assert len(purse.stage.events("run.queued")) == 1


@pytest.mark.parametrize(("scope", "name"), [("team", "growth"), ("endpoint", "churn")])
def test_a_run_is_stopped_by_the_budget_of_its_team_and_of_its_endpoint(
    make_purse: Make, scope: str, name: str
) -> None:
    """A pipeline costs its owner; what serves on an endpoint came from its pipeline."""
    purse = make_purse(scope, name)
    purse.stage.make_live(purse.stage.add_version())
    data = {"env": "production", "endpoint": "churn", "weights": {"churn@v1": 1.0}}
    with purse.stage.command("shift"):
        purse.stage.ledger.record(Event(type="traffic.shifted", subject="churn", pipeline="churn", data=data))
    purse.start("first")
    if scope == "team":
        purse.spend(11)
    else:
        # Serving without a period belongs to nobody, and to the budget of the endpoint all the same.
        cost = {"step": "serve", "endpoint": "churn", "resource": "cpu_seconds", "qty": 11, "unit": "s"}
        with purse.stage.command("serve"):
            purse.stage.ledger.record(Event(type="cost.recorded", subject="churn", data=cost))
    with pytest.raises(BudgetSpent, match=f"the budget of the {scope} '{name}'"):
        purse.start("second")


def test_other_budgets_stop_nothing(make_purse: Make) -> None:
    """Those of other pipelines, and those that only warn."""
    other = make_purse("pipeline", "other")
    other.spend(50, pipeline="other")
    other.spend(50)
    assert other.start().type == "run.queued"


def test_a_budget_that_warns_is_not_even_looked_at_for_a_run(make_purse: Make) -> None:
    """Reading the ledger takes time that nobody gains anything by."""
    purse = make_purse(then="warn")
    purse.spend(50)
    assert purse.start().type == "run.queued"
    assert purse.asked == 0


def test_a_budget_can_leave_runs_to_people(make_purse: Make) -> None:
    """A rule is refused, and told who may; a person is not."""
    purse = make_purse(then="require_approval")
    purse.spend(11)
    for actor in (WATCHER, Actor(authtype="service_account", authid="token"), Actor()):
        with pytest.raises(BudgetSpent, match="Only a person may start one now: ratchet run"):
            purse.start(f"by {actor.authtype}", actor=actor)
    assert purse.start("by hand").type == "run.queued"


def test_the_next_month_begins_at_nothing(make_purse: Make) -> None:
    """What was refused in January is started in February."""
    purse = make_purse()
    purse.spend(11)
    with pytest.raises(BudgetSpent):
        purse.start("january")
    clock.advance(projects.START + timedelta(days=27))
    assert purse.start("february").type == "run.queued"


def test_what_was_let_in_stays_let_in(make_purse: Make) -> None:
    """Work that is done again after a crash finds its run, although the money is gone by now."""
    purse = make_purse()
    queued = purse.start("once")
    purse.spend(11)
    assert purse.start("once") == queued
    with pytest.raises(BudgetSpent):
        purse.start("twice")


# ---- budgets that were passed


def test_a_passed_budget_is_told_once(make_purse: Make) -> None:
    """Caused by the cost that passed it; told again neither later, nor by another process, nor after more costs."""
    purse = make_purse("team", "growth", then="warn")
    purse.spend(9)
    assert purse.spending.tell() == []
    crossing = purse.spend(3)
    (told,) = purse.spending.tell()
    assert (told.type, told.causationid, told.team) == ("budget.exceeded", crossing.id, "growth")
    assert told.data == {
        "scope": "team",
        "name": "growth",
        "month": "2026-01",
        "amount": 10.0,
        "spent": 12.0,
        "currency": "USD",
        "then": "warn",
    }
    purse.spend(3)
    assert purse.spending.tell() == Purse(purse.stage).spending.tell() == []
    assert len(purse.stage.events("budget.exceeded")) == 1


def test_nothing_is_read_while_nothing_was_spent(make_purse: Make) -> None:
    """The check is made with every heartbeat."""
    purse = make_purse(then="warn")
    purse.spend(11)
    purse.spending.tell()
    before = purse.asked
    purse.spending.tell()
    assert purse.asked == before > 0


def test_another_amount_and_another_month_are_told_anew(make_purse: Make) -> None:
    """A budget that was raised and passed again, and the same budget in February."""
    purse = make_purse(then="warn")
    purse.spend(11)
    purse.spending.tell()
    settings = (purse.stage.resources.project / "ratchet.toml").read_text()
    purse.stage.configure(settings.replace("amount_month = 10.0", "amount_month = 10.5"))
    assert [event.data["amount"] for event in purse.spending.tell()] == [10.5]
    clock.advance(projects.START + timedelta(days=30))
    assert purse.spending.tell() == []
    purse.spend(12)
    assert [event.data["month"] for event in purse.spending.tell()] == ["2026-02"]


def test_a_late_cost_passes_the_budget_of_its_own_month(make_purse: Make) -> None:
    """It arose in January and was recorded in February."""
    purse = make_purse(then="warn")
    clock.advance(projects.START + timedelta(days=30))
    purse.spend(11, time=projects.START)
    assert [event.data["month"] for event in purse.spending.tell()] == ["2026-01"]


def test_who_refuses_a_run_has_told_why(make_purse: Make) -> None:
    """Also where nothing beats: the refusal is never without its reason in the ledger."""
    purse = make_purse()
    purse.spend(11)
    with pytest.raises(BudgetSpent):
        purse.start()
    assert [event.subject for event in purse.stage.events("budget.exceeded")] == ["pipeline churn 2026-01"]


# ---- conditions

GUARD = """
[[rule]]
name = "again"
on = "custom.emitted"
when = "{when}"
do = {{ start_run = "churn" }}
"""


def signal(purse: Purse, key: str) -> list[str]:
    """Send a signal to the rule; return what came of it."""
    with purse.stage.command(key):
        sent = purse.stage.ledger.record(Event(type="custom.emitted", subject=key, pipeline="churn"))[0]
    purse.stage.runs.work("dispatch", "act")
    types = purse.stage.types(after=sent.seq)
    return [one for one in types if one.startswith("rule.") or one == "run.queued"]


def test_a_rule_runs_while_money_is_left(make_purse: Make) -> None:
    """The condition is evaluated with what is spent when the event comes; the run is really queued."""
    purse = make_purse(then="warn", rule=GUARD.format(when="kpi.spent_usd_month < 5.0 && kpi.level < 4.0"))
    fired = ["rule.fired", "run.queued", "rule.action.succeeded"]
    assert signal(purse, "nothing spent") == fired
    purse.spend(4)
    assert signal(purse, "four spent") == fired
    purse.spend(2)
    assert signal(purse, "six spent") == []


def test_a_rule_can_go_by_the_forecast(make_purse: Make) -> None:
    """Nine on the first day are far too much for a month, although the budget is not passed."""
    purse = make_purse(then="warn", rule=GUARD.format(when="kpi.forecast_usd_month > 20.0"))
    assert signal(purse, "before") == []
    purse.spend(9)
    assert signal(purse, "after")[0] == "rule.fired"
    assert purse.spending.tell() == []


def test_a_rule_meets_the_budget(make_purse: Make) -> None:
    """Its condition holds, its action is refused, and the ledger says why."""
    purse = make_purse(rule=GUARD.format(when="true"))
    purse.spend(11)
    assert signal(purse, "go") == ["rule.fired", "rule.action.failed"]
    assert "the budget of the pipeline 'churn'" in purse.stage.events("rule.action.failed")[0].data["error"]


def test_only_what_a_condition_names_is_worked_out(make_purse: Make) -> None:
    """The level takes a walk through all causes, money a fold of all costs."""
    purse = make_purse(then="warn", rule=GUARD.format(when="kpi.spent_usd_month < 5.0"))
    signal(purse, "money")
    assert (purse.asked, purse.levels_asked) == (1, 0)
    purse.spending.numbers("churn", ["level"])
    assert (purse.asked, purse.levels_asked) == (1, 1)
    assert purse.spending.numbers("churn", []) == purse.spending.numbers("", ["level", "spent_usd_month"]) == {}


def test_a_number_that_does_not_exist_is_refused_with_the_list(make_purse: Make) -> None:
    """When the rule is loaded, with file and line."""
    with pytest.raises(
        ConfigInvalid, match=r"ratchet\.toml:\d+: the condition names 'kpi\.spend'; the numbers are kpi"
    ):
        make_purse(rule=GUARD.format(when="kpi.spend > 1.0"))
