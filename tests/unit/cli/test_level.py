"""Levels with their evidence, whatever the policy."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from ratchet import clock
from ratchet.cli.level import parse_moment
from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

MANY_LEVELS = "policy = 'seven'\n[[level]]\nid = 0\nname = 'Nothing'\nall = []\n" + "".join(
    f"[[level]]\nid = {number}\nname = 'Step {number}'\nall = [{{ stage = 'train', measure = 'exec', n_min = 1 }}]\n"
    for number in range(1, 8)
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-31", datetime(2026, 3, 31, 22, tzinfo=UTC)),
        ("2026-03-31T18:00", datetime(2026, 3, 31, 16, tzinfo=UTC)),
        ("2026-03-31T18:00:00+00:00", datetime(2026, 3, 31, 18, tzinfo=UTC)),
    ],
)
def test_a_date_means_its_end_in_the_zone_of_the_project(text: str, moment: datetime) -> None:
    """The day that is named belongs to what is looked at."""
    assert parse_moment(text, zone="Europe/Berlin") == moment


def test_what_is_no_date_is_refused() -> None:
    """The message shows how one is written."""
    with pytest.raises(click.BadParameter, match="Write it as 2026-03-31"):
        parse_moment("yesterday", zone="UTC")


@pytest.mark.usefixtures("project")
def test_the_blocking_criterion_is_one_sentence_with_its_events(call: Call) -> None:
    """What blocks the next level stands there with the events that do not count."""
    shown = call("level").out
    assert shown.startswith("returns: too little evidence for a level")
    assert "Level 1 (Training automated) is not reached: " in shown
    assert "Not counted: 1 started by a person." in shown.replace("\n", " ")
    assert "run.finished" in shown.partition("These do not count:")[2]


@pytest.mark.parametrize(("least", "head"), [(1, "level 0 of 1, None"), (2, "too little evidence for a level")])
def test_level_0_is_a_finding_and_too_little_evidence_is_none(call: Call, project: Path, least: int, head: str) -> None:
    """Text and JSON tell the two apart, for one pipeline, for all, and with other thresholds."""
    policy = f"""policy = 'own'
    [[level]]
    id = 0
    name = 'None'
    all = []
    [[level]]
    id = 1
    name = 'Trains'
    all = [{{ stage = 'train', measure = 'init', n_min = {least} }}]
    """
    (project / "own.toml").write_text(policy)
    toml = project / "ratchet.toml"
    toml.write_text(toml.read_text().replace("[project]", '[project]\npolicies = ["own.toml"]', 1))
    assert call("level", "returns", "--policy", "own").out.startswith(f"returns: {head}")
    found = json.loads(call("level", "returns", "--policy", "own", "--json").out)
    assert (found["label"], found["is_insufficient"]) == ("0", least > 1)
    (line,) = json.loads(call("status", "--policy", "own", "--json").out)["pipelines"]
    assert (line["level"], line["is_insufficient"]) == ("0", least > 1)
    for words in (("status",), ("level", "--sensitivity")):
        assert ("too little evidence" in call(*words, "--policy", "own").out) == (least > 1)


@pytest.mark.usefixtures("project")
def test_each_stage_has_its_line(call: Call) -> None:
    """K of n, the share and its lower bound, within 80 columns."""
    lines = call("level", "returns").out.splitlines()
    train = next(line for line in lines if line.startswith("train "))
    assert "0/1 0% >=0%" in train
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.usefixtures("project")
def test_explained_each_criterion_of_each_level_is_there(call: Call) -> None:
    """All levels from the highest, with what each asks for and the ids behind it."""
    shown = call("level", "--explain").out
    assert [f"Level {number}  " in shown for number in range(5)] == [False, True, True, True, True]
    assert "a gate before each deployment" in shown
    assert "does not count: " in shown


@pytest.mark.parametrize("form", [(), ("--explain",), ("--json",)])
def test_a_policy_may_have_any_number_of_levels(call: Call, project: Path, form: tuple[str, ...]) -> None:
    """The command knows no number of levels."""
    (project / "policies").mkdir()
    (project / "policies" / "seven.toml").write_text(MANY_LEVELS)
    toml = project / "ratchet.toml"
    toml.write_text(toml.read_text().replace("[project]", '[project]\npolicies = ["policies/seven.toml"]', 1))
    answer = call("level", "returns", "--policy", "seven", *form)
    assert answer.code == 0
    if "--json" in form:
        assert json.loads(answer.out)["label"] == "7"
    else:
        assert "level 7 of 7, Step 7" in answer.out
        assert "This is the highest level of the policy." in answer.out


@pytest.mark.usefixtures("project")
def test_before_anything_happened_nothing_is_known(call: Call) -> None:
    """The past is as it was."""
    assert "there were 0 trainings" in call("level", "--as-of", "2020-01-01").out.replace("\n", " ")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "No pipeline named 'nothing'. Known: returns."),
        (
            ("--policy", "lax"),
            "No level policy named 'lax'. Known: standard, strict, manual-semi-full, google-0-2, microsoft-0-4.",
        ),
    ],
)
def test_unknown_names_are_answered_with_the_known(call: Call, arguments: tuple[str, ...], message: str) -> None:
    """One line, code 1."""
    answer = call("level", *arguments)
    assert answer.code == 1
    assert message in answer.err


def test_an_id_stays_whole_beside_a_long_subject(call: Call, project: Path) -> None:
    """It is there to be copied; what is cut is the subject that another system made up."""
    at = clock.now()
    kept = {"source": "airflow", "evidence": "imported", "trigger": "schedule", "pipeline": "churn", "time": at}
    subject = "retrain/scheduled__2026-11-20T00:00:00+00:00"
    names = [f"{letter * 26}" for letter in "ABC"]
    data = {"run_id": subject, "outcome": "success", "candidate": True}
    verdict = {"run_id": subject, "decision": "pass", "suites": ["quality"]}
    with Workspace(project) as workspace:
        workspace.ledger.record(
            Event(type="clock.ticked", subject="retrain", id=names[0], **kept),
            Event(type="run.finished", subject=subject, id=names[1], causationid=names[0], data=data, **kept),
            Event(type="gate.evaluated", subject="churn@1", id=names[2], causationid=names[1], data=verdict, **kept),
        )
    lines = call("level", "churn").out.splitlines()
    line = next(line for line in lines if "run.finished" in line)
    assert line.startswith(f"  {names[1]}  run.finished  retrain/sched")
    assert line.endswith(f"…  {at:%Y-%m-%d}")
