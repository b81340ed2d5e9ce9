"""Runs: parameters as they are typed, lists, and several side by side."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click
import pytest

from ratchet.cli.runs import _next_step, check_text, compare_rows, read_parameters
from ratchet.errors import ParameterUnknown
from ratchet.loop import registry
from ratchet.records import Event, Run
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call, run

USUAL = {"rate": 0.1, "rounds": 10, "is_deep": False, "name": "a", "columns": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rate=0.2", 0.2),
        ("rate=1", 1),
        ("rounds=20", 20),
        ("is_deep=true", True),
        ("name=12", "12"),
        ("name=a=b", "a=b"),
        ('columns=["x"]', ["x"]),
        ("columns=x", "x"),
    ],
)
def test_a_parameter_has_the_kind_of_its_default(text: str, value: Any) -> None:
    """What is typed becomes what the pipeline takes."""
    found = read_parameters("returns", USUAL, (text,))
    assert list(found.values()) == [value]
    assert type(next(iter(found.values()))) is type(value)


@pytest.mark.parametrize("text", ["rate=fast", "rate=true", "rounds=2.5", "is_deep=1", "rate", "=1"])
def test_another_kind_is_a_mistake_in_the_command_line(text: str) -> None:
    """A value of the wrong kind is refused before anything runs."""
    with pytest.raises(click.BadParameter):
        read_parameters("returns", USUAL, (text,))


def test_an_unknown_parameter_is_answered_with_the_known_ones() -> None:
    """The message lists what the pipeline takes."""
    with pytest.raises(ParameterUnknown, match="It takes: rate, rounds"):
        read_parameters("returns", USUAL, ("lr=1",))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (
            {"name": "auc at least", "limit": 0.6, "value": 0.7, "outcome": "passed"},
            "auc at least 0.6000: 0.7000, passed",
        ),
        (
            {"name": "auc at least", "limit": 0.6, "value": None, "outcome": "failed"},
            "auc at least 0.6000: nothing, failed",
        ),
        ({"name": "auc", "limit": None, "value": 0.7, "reason": "no champion"}, "auc: does not apply (no champion)"),
        ({"name": "holdout", "outcome": "failed", "reason": "12 rows"}, "holdout: 12 rows"),
    ],
)
def test_checks_tell_value_and_limit(check: dict[str, Any], text: str) -> None:
    """A verdict comes with what it was made from."""
    assert check_text(check) == text


def test_rows_that_differ_in_their_last_digit_differ() -> None:
    """A difference is not rounded away."""
    rows = compare_rows([run("A", metrics={"auc": 0.774912}), run("B", metrics={"auc": 0.774913})])
    assert ("metric auc", ["0.774912", "0.774913"], True) in rows
    assert ("seed", ["0", "0"], False) in rows


def test_rows_of_one_run_only_are_there_with_a_gap() -> None:
    """Runs of different pipelines can be compared: what one lacks is a dash."""
    rows = compare_rows([run("A"), run("B", parameters={"depth": 3})])
    assert ("parameter depth", ["-", "3"], True) in rows


@pytest.mark.usefixtures("project")
def test_list_shows_what_came_of_each(call: Call) -> None:
    """One line a run."""
    lines = call("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "PIPELINE", "STATUS", "GATE", "METRICS", "VERSION", "QUEUED", "TOOK"]
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.usefixtures("project")
def test_one_run_in_full(call: Call) -> None:
    """Parameters, data, code, machine, verdict and costs."""
    shown = call("runs", "good").out
    for part in ("learning_rate=0.1", "orders@v1 (4000 rows", "aaaaaaaa", "roc_auc 0.75", "train", "210 MB"):
        assert part in shown


@pytest.mark.usefixtures("project")
def test_a_version_stands_for_its_run(call: Call) -> None:
    """Who thinks in versions need not look the run up."""
    rows = list(csv.reader(io.StringIO(call("runs", "--compare", "returns@v1", "returns@v2", "--format", "csv").out)))
    assert rows[0] == ["differs", "what", "GOOD0000", "BAD00000"]
    assert ["*", "gate", "pass", "fail"] in rows
    assert ["", "pipeline", "returns", "returns"] in rows


def test_what_others_say_about_a_name_of_ours_is_not_shown(call: Call, project: Path) -> None:
    """A gate and a suite that another system reports under our version's name are that system's."""
    before = call("runs", "bad").out
    with Workspace(project) as workspace:
        foreign = {"subject": "returns@v2", "source": "elsewhere", "pipeline": "theirs", "evidence": "attested"}
        cause = workspace.ledger.record(Event(type="clock.ticked", subject="t"))[0].id
        for kind in ("gate.evaluated", "fitness.suite.finished"):
            workspace.ledger.record(Event(type=kind, causationid=cause, **foreign))
    answer = call("runs", "bad")
    assert (answer.code, answer.out) == (0, before)


@pytest.mark.usefixtures("project")
def test_comparison_in_markdown_and_json(call: Call) -> None:
    """The same rows for a document and for a program."""
    assert "| * | gate | pass | fail |" in call("runs", "--compare", "GOOD", "BAD", "--format", "markdown").out
    rows = json.loads(call("runs", "--compare", "GOOD", "BAD", "--json").out)["rows"]
    assert {"name": "gate", "values": ["pass", "fail"], "differs": True} in rows


@pytest.mark.usefixtures("project")
def test_unknown_run_names_the_latest(call: Call) -> None:
    """A mistyped id is answered with ids that exist."""
    answer = call("runs", "ZZZ")
    assert answer.code == 1
    assert "GOOD0000 (success)" in answer.err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("arguments", [("--compare", "GOOD"), ("GOOD", "BAD")])
def test_comparing_needs_two_runs_and_the_word(call: Call, arguments: tuple[str, ...]) -> None:
    """A command line that could mean two things is not guessed at."""
    assert call("runs", *arguments).code == 2


def test_the_next_step_after_a_gate_without_threshold_is_to_write_one(project: Path) -> None:
    """Where nothing guards the pipeline there is no threshold to change: the lines to add are there."""
    bad = run("BAD", model_version="returns@v2", gate="fail")
    with Workspace(project) as workspace:
        assert "change the threshold" in _next_step(workspace, bad)
    toml = project / "ratchet.toml"
    toml.write_text(toml.read_text().replace('pipeline = "returns"', 'pipeline = "another"', 1))
    with Workspace(project) as workspace:
        said = _next_step(workspace, bad)
    assert '[[fitness]]\npipeline = "returns"\nmetric = ' in said
    assert "change the threshold" not in said


def add(project: Path, *rows: Run) -> None:
    """Add runs to the project's registry."""
    with Workspace(project) as workspace, workspace.database.write() as transaction:
        for one in rows:
            registry.put_run(transaction, one)


def test_steps_that_were_taken_from_another_run_are_said(call: Call, project: Path) -> None:
    """In the list, in full with the run that computed them, and side by side; a step of one's own says why."""
    free = {"cpu_seconds": 0.0, "wall_seconds": 0.0, "peak_memory_mb": 0.0}
    taken = {"step": "split", "index": 0, **free, "cached": True, "from_run": "GOOD".ljust(26, "0")}
    own = {"step": "train", "index": 1, "cpu_seconds": 1.5, "wall_seconds": 2.0, "peak_memory_mb": 210.0}
    add(project, run("SOME", costs=(taken, {**own, "not_kept": "it reads the clock (now)"})))
    lines = call("runs").out.splitlines()
    assert lines[0].split()[-1] == "CACHED"
    assert [line.split()[-1] for line in lines if line.startswith(("SOME", "GOOD"))].count("1/2") == 1
    assert all(len(line) <= 80 for line in lines)
    shown = call("runs", "SOME").out
    assert "taken from run GOOD0000" in shown
    assert "The result of train is for this run only: it reads the clock (now)." in shown
    rows = json.loads(call("runs", "--compare", "GOOD", "SOME", "--json").out)["rows"]
    assert {"name": "steps taken", "values": ["-", "split from GOOD0000"], "differs": True} in rows


@pytest.mark.usefixtures("project")
def test_a_run_that_is_over_is_not_cancelled(call: Call) -> None:
    """It says how it ended, and nothing is started for it."""
    answer = call("runs", "cancel", "good")
    assert answer.code == 1
    assert "is over (success) and cannot be cancelled" in answer.err


def test_a_run_that_waits_is_cancelled(call: Call, project: Path) -> None:
    """Whoever asked for it is not needed any more; the ledger says who stopped it."""
    with Workspace(project) as workspace, workspace.by_command("start_run", {}, subject="returns", key="k"):
        queued = workspace.ledger.record(
            Event(type="run.queued", subject="WAITS".ljust(26, "0"), pipeline="returns", data={"run_id": "x"})
        )[0]
    add(project, run("WAITS", status="queued", finished_at=None, gate="", queued_event=queued.id))
    assert json.loads(call("runs", "cancel", "WAITS", "--json").out)["status"] == "cancelled"
    with Workspace(project) as workspace:
        finished = next(iter(workspace.ledger.read(types=["run.finished"], newest_first=True, limit=1)))
        who = workspace.local_actor()
    assert (finished.data["outcome"], finished.data["cancelled_by"]["authid"]) == ("cancelled", who.authid)
