"""The state of a workspace at a glance."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call


def test_one_line_for_each_pipeline(call: Call, project: Path) -> None:
    """Level, live version, ages and last run, within 80 columns."""
    answer = call("status")
    lines = [line for line in answer.out.splitlines() if line.startswith("returns ")]
    assert len(lines) == 1
    assert lines[0].split()[:3] == ["returns", "0", "v1"]
    assert "no; start it with: ratchet up" in answer.out


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
