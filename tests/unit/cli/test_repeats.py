"""What is printed of a run that does another one again."""

import json
from pathlib import Path

import pytest

from ratchet.cli.repeats import _print_check, told_differences
from ratchet.cli.runs import find
from ratchet.loop import registry
from ratchet.records import Run
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call, run


def test_a_check_says_how_far_it_agrees() -> None:
    """And a run with something changed says nothing of the kind."""
    assert told_differences(run("A", differences=())) == ", the same byte by byte"
    assert told_differences(run("A", differences=("train", "model"))) == ", differs in: train, model"
    assert told_differences(run("A")) == ""


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (run("AGAIN", differences=()), ["The same byte by byte: run GOOD0000 of returns (returns@v1)"]),
        (
            run("AGAIN", differences=("train", "model")),
            ["Not the same", "train", "model", "Libraries and machine are the same."],
        ),
        (run("AGAIN", differences=("train",), hardware={"cores": 4}), ["Not the same", "cores 2 -> 4"]),
    ],
)
def test_what_differs_is_told_with_what_else_is_not_the_same(
    call: Call, project: Path, capsys: pytest.CaptureFixture[str], again: Run, expected: list[str]
) -> None:
    """Where libraries and machine are the same, the step is to blame; where not, that is not said."""
    assert call("runs").code == 0
    with Workspace(project) as workspace:
        _print_check(workspace, find(workspace, "GOOD"), again)
    shown = capsys.readouterr().out
    assert all(part in shown for part in expected)
    assert ("Libraries and machine" in shown) == (expected[-1].startswith("Libraries"))


def test_a_check_is_shown_with_what_it_repeats(call: Call, project: Path) -> None:
    """In full, and for programs."""
    with Workspace(project) as workspace, workspace.database.write() as transaction:
        registry.put_run(transaction, run("AGAIN", repeats="GOOD".ljust(26, "0"), differences=("train",), gate=""))
    assert "GOOD0000, differs in: train" in call("runs", "AGAIN").out
    assert json.loads(call("runs", "AGAIN", "--json").out)["differences"] == ["train"]


@pytest.mark.usefixtures("project")
def test_what_cannot_be_set_is_refused_before_anything_runs(call: Call) -> None:
    """A run that there is not, a parameter that it did not take, a value of another kind."""
    assert "No run named 'nope'" in call("runs", "repeat", "nope").err
    assert "It takes: learning_rate" in call("runs", "repeat", "good", "--set", "depth=3").err
    wrong = call("runs", "repeat", "good", "--set", "learning_rate=fast")
    assert wrong.code == 2
    assert "--set" in wrong.err
