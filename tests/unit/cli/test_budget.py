"""Budgets on the command line."""

import json
from pathlib import Path

import pytest

from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

SETTINGS = """
[prices]
currency = "EUR"

[[prices.item]]
resource = "cpu_seconds"
unit = "s"
amount = 1.0

[[budget]]
scope = "pipeline"
name = "returns"
amount_month = 100.0
then = "require_approval"

[[budget]]
scope = "endpoint"
name = "returns"
amount_month = 50.0
"""


@pytest.fixture
def spent(project: Path) -> Path:
    """The project with two budgets, of which one is passed."""
    path = project / "ratchet.toml"
    path.write_text(path.read_text() + SETTINGS)
    with Workspace(project) as workspace, workspace.by_command("spend", {}, subject="returns"):
        data = {"run_id": "R", "step": "train", "resource": "cpu_seconds", "qty": 120.0, "unit": "s"}
        workspace.ledger.record(Event(type="cost.recorded", subject="R", pipeline="returns", id="COST", data=data))
    return project


def test_a_budget_that_nothing_counts_towards_is_told_of(project: Path, call: Call) -> None:
    """Zero is no good news where there is no such pipeline, or no price."""
    path = project / "ratchet.toml"
    budget = '\n[[budget]]\nscope = "pipeline"\nname = "retruns"\namount_month = 100.0\n'
    path.write_text(path.read_text() + budget)
    answer = call("budget")
    assert answer.code == 0
    words = " ".join(answer.out.split())
    assert "No pipeline is named retruns yet" in words
    assert "has no [[prices.item]]" in words


@pytest.mark.usefixtures("spent")
def test_a_budget_with_prices_raises_no_doubts(call: Call) -> None:
    """Where a pipeline is known and something has a price, nothing is said beside the table."""
    answer = call("budget")
    assert "[[prices.item]]" not in answer.out


@pytest.mark.usefixtures("spent")
def test_budgets_are_a_table_with_bars(call: Call) -> None:
    """Spent, forecast and limit; the state stands there as a word, and what passed a budget can be looked at."""
    answer = call("budget")
    assert answer.code == 0
    assert "in EUR" in answer.out
    passed, within = (line for line in answer.out.splitlines() if "%" in line)
    assert "120.00" in passed
    assert "100.00" in passed
    assert "█" * 12 + " 120%" in passed
    assert passed.split()[-2:] == ["passed", "approval"]
    assert within.split()[-4:] == ["············", "0%", "within", "warn"]
    assert "pipeline returns was passed by: ratchet events COST" in answer.out
    assert call("events", "COST").code == 0


@pytest.mark.usefixtures("spent")
def test_programs_get_all_of_it(call: Call) -> None:
    """Also how the forecast was made."""
    found = json.loads(call("budget", "--json").out)
    assert (found["currency"], len(found["budgets"])) == ("EUR", 2)
    first = found["budgets"][0]
    assert (first["spent"], first["amount"], first["state"], first["crossed_by"]) == (120.0, 100.0, "passed", "COST")
    assert first["forecast"]["amount"] >= 120.0
    assert "spent so far" in found["forecast_method"]


@pytest.mark.usefixtures("project")
def test_without_budgets_it_shows_how_one_is_written(call: Call) -> None:
    """What is shown is accepted."""
    answer = call("budget")
    assert answer.code == 0
    path = Path("ratchet.toml")
    path.write_text(path.read_text() + answer.out.partition("\n\n")[2])
    assert len(json.loads(call("budget", "--json").out)["budgets"]) == 1


def test_a_budget_of_an_unknown_team_is_refused_with_its_line(call: Call, spent: Path) -> None:
    """Before anything is shown."""
    path = spent / "ratchet.toml"
    path.write_text(path.read_text().replace('"endpoint"', '"team"'))
    answer = call("budget")
    assert (answer.code, answer.out) == (1, "")
    assert "the budget is for the team 'returns', which is not declared. Declare it with [[team]]." in answer.err
