"""The state of a workspace at a glance."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.cli import status
from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call


def test_one_line_for_each_pipeline(call: Call, project: Path) -> None:
    """Level, live version, ages and last run, within 80 columns."""
    answer = call("status")
    lines = [line for line in answer.out.splitlines() if line.startswith("returns ")]
    assert len(lines) == 1
    assert lines[0].split()[:3] == ["returns", "too", "little"]
    assert "no; start it with: ratchet up" in answer.out


def test_what_runs_elsewhere_has_its_line_too(call: Call, project: Path) -> None:
    """A pipeline that is known by its events alone is listed as such, with its last run."""
    at = clock.now() - timedelta(days=3)
    kept = {"source": "//github.com/us", "evidence": "imported", "trigger": "schedule", "pipeline": "churn", "time": at}
    pushed = Event(type="code.pushed", subject="us/churn", id="16", **kept)
    data = {"outcome": "success"}
    event = Event(type="run.finished", subject="17", id="17", causationid="16", data=data, **kept)
    with Workspace(project) as workspace:
        workspace.ledger.record(pushed, event)
    shown = call("status").out
    assert "churn" in shown
    assert "success, 3 d ago" in shown
    assert shown.count("runs elsewhere") == 1
    here, there = json.loads(call("status", "--json").out)["pipelines"]
    assert (here["pipeline"], here["runs_here"], here["last_run_gate"]) == ("returns", True, "pass")
    assert (there["pipeline"], there["runs_here"], there["last_run"]) == ("churn", False, "17")


def test_of_many_pipelines_some_are_shown(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet of other systems does not bury the project's own; a program gets all of them."""
    monkeypatch.setattr(status, "_SHOWN_OTHERS", 2)
    kept = {"source": "//github.com/us", "evidence": "imported", "time": clock.now()}
    with Workspace(project) as workspace:
        for number in range(5):
            event = Event(type="code.pushed", subject="us", id=f"{number}", pipeline=f"other-{number}", **kept)
            workspace.ledger.record(event)
    shown = call("status").out
    assert [f"other-{number}" in shown for number in range(5)] == [True, True, False, False, False]
    assert "and 3 more: ratchet level" in shown
    assert len(json.loads(call("status", "--json").out)["pipelines"]) == 6


@pytest.mark.usefixtures("project")
def test_alerts_are_told_with_value_and_limit(call: Call) -> None:
    """Who is woken by an alert sees what moved, and where to ask why."""
    shown = call("status").out
    assert "drift of 'price' is 0.31, at most 0.2" in shown
    assert "ratchet events " in shown


@pytest.mark.usefixtures("project")
def test_as_json(call: Call) -> None:
    """A program sees the same."""
    found = json.loads(call("status", "--json").out)
    assert found["is_running"] is False
    assert found["pipelines"][0]["live_version"] == "returns@v1"
    assert found["pipelines"][0]["alerts"][0]["column"] == "price"


def test_what_waits_is_told_by_kind_with_a_warning(call: Call, project: Path) -> None:
    """How many of what, for how long the oldest, and what to do once that is too long."""
    with Workspace(project) as workspace:
        workspace.command("monitor", {"pipeline": "returns"}, subject="returns")
    shown = " ".join(call("status").out.split())
    assert "1 act waits, the oldest for" in shown
    assert "is long" not in shown
    path = project / "ratchet.toml"
    path.write_text(path.read_text() + "\n[limits]\nreaction_wait_seconds = 0\n")
    assert "more than 0 s is long. Nothing runs; start it: ratchet up" in " ".join(call("status").out.split())
    found = json.loads(call("status", "--json").out)["backlog"]
    assert [(one["kind"], one["waiting"]) for one in found["kinds"]] == [("act", 1)]
    assert len(found["warnings"]) == 1
