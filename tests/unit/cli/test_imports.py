"""Importing on the command line: what is said before, what is written, and what is refused whole."""

import json
from pathlib import Path

import msgspec
import pytest

from ratchet import clock
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call
from tests.unit.importers.shapes import START, page, run
from tests.unit.importers.test_airflow import dag_run
from tests.unit.importers.test_mlflow import Tracking
from tests.unit.importers.test_mlflow import tracking as tracking

SECTION = '\n[import.github.Retrain]\npipeline = "churn"\nstages = ["train", "evaluate"]\n'


@pytest.fixture
def runs(project: Path) -> str:
    """An export of five weekly trainings in the current folder, the last one some weeks ago."""
    before = (clock.now() - START).days - 60
    (project / "runs.json").write_text(json.dumps(page(*(run(week, day=before + 7 * week) for week in range(1, 6)))))
    return "runs.json"


def _seq(project: Path) -> int:
    with Workspace(project) as workspace:
        return workspace.ledger.last_seq()


def test_a_dry_run_says_what_would_be_and_writes_nothing(call: Call, project: Path, runs: str) -> None:
    """A stranger learns from it what to write into the settings."""
    before = _seq(project)
    answer = call("import", "github", runs, "--dry-run")
    assert answer.code == 0
    assert "github/example/churn: 5 of 5 records (100%), 20 events would be new" in " ".join(answer.out.split())
    assert "5 schedule" in answer.out
    assert '[import.github."Retrain"]' in answer.out
    assert "Nothing was written" in answer.out
    assert _seq(project) == before


def test_a_mapped_pipeline_has_its_level(call: Call, project: Path, runs: str) -> None:
    """From a file to a level with two commands."""
    (project / "ratchet.toml").write_text((project / "ratchet.toml").read_text() + SECTION)
    assert call("import", "github", runs).code == 0
    assert json.loads(call("level", "churn", "--json").out)["level"] == 1
    again = json.loads(call("import", "github", runs, "--json").out)
    assert [again["sources"][0][name] for name in ("new_events", "known_events", "completeness")] == [0, 30, 1.0]
    assert (again["rows"][0]["stages"], again["notes"], again["is_dry"]) == (["train", "evaluate"], [], False)


def test_people_are_pseudonyms_in_the_ledger(call: Call, project: Path) -> None:
    """The login is in the erasable table only."""
    (project / "runs.json").write_text(json.dumps(page(run(1, event="workflow_dispatch"))))
    call("import", "github", "runs.json")
    printed = call("events", "--json").out
    assert "command.issued" in printed
    assert "person-1" not in printed


def test_imported_history_sets_off_no_rule(call: Call, project: Path, runs: str) -> None:
    """A rule that listens to what is imported does not act on what happened elsewhere long ago."""
    rule = '\n[[rule]]\nname = "eager"\non = "gate.evaluated"\ndo = { start_run = "returns" }\n'
    (project / "ratchet.toml").write_text((project / "ratchet.toml").read_text() + SECTION + rule)
    with Workspace(project) as workspace:
        workspace.sync()
    call("import", "github", runs)
    with Workspace(project) as workspace:
        gates = list(workspace.ledger.read(types=["gate.evaluated"], pipeline="churn"))
        assert len(gates) == 5
        assert [job for job in workspace.runs.pending() if job.startswith("dispatch")] == []
        # The same event, had it happened here, would be acted on: so the test can fail.
        workspace.ledger.record(msgspec.structs.replace(gates[0], id="other", seq=0))
        assert [job for job in workspace.runs.pending() if job.startswith("dispatch")] != []


@pytest.mark.usefixtures("runs")
def test_nothing_is_half_imported(call: Call, project: Path) -> None:
    """One bad record in the second file refuses both."""
    bad = page(run(6), run(7) | {"created_at": "soon"})
    (project / "bad.json").write_text(json.dumps(bad))
    before = _seq(project)
    answer = call("import", "github", "runs.json", "bad.json")
    assert answer.code == 1
    assert "bad.json: record 2: 'created_at' is 'soon'" in " ".join(answer.err.split())
    assert _seq(project) == before


def test_a_wrong_section_is_refused_with_its_line(call: Call, project: Path, runs: str) -> None:
    """A misspelt stage is named before anything is read."""
    text = (project / "ratchet.toml").read_text() + SECTION.replace('"train"', '"trian"')
    (project / "ratchet.toml").write_text(text)
    answer = call("import", "github", runs)
    line = text.splitlines().index('stages = ["trian", "evaluate"]') + 1
    assert answer.code == 1
    assert f"ratchet.toml:{line}: Invalid enum value 'trian'" in answer.err.replace("\n", "")


def test_airflow_is_imported(call: Call, project: Path) -> None:
    """A page of DAG runs."""
    (project / "runs.json").write_text(json.dumps({"dag_runs": [dag_run("retrain", 1)], "total_entries": 2}))
    found = json.loads(call("import", "airflow", "runs.json", "--json").out)
    assert [found["sources"][0][name] for name in ("source", "claimed", "imported")] == ["airflow", 2, 1]
    assert "claims 2 records, and 1 are imported" in found["notes"][-1]


def test_mlflow_is_asked(call: Call, project: Path, tracking: Tracking) -> None:
    """Twice is once; an alias that has moved meanwhile is all that is new."""
    before = _seq(project)
    assert "19 events would be new" in " ".join(call("import", "mlflow", tracking.address, "--dry-run").out.split())
    assert _seq(project) == before
    news = []
    for part in ("runs", "runs", "two", "one"):
        tracking.part = part
        found = json.loads(call("import", "mlflow", tracking.address, "--json").out)
        news.append(found["sources"][0]["new_events"])
    assert news == [19, 0, 1, 1]


@pytest.mark.usefixtures("project")
def test_a_server_that_is_down_is_said_so(call: Call) -> None:
    """What happened, and what to do."""
    answer = call("import", "mlflow", "http://127.0.0.1:1")
    assert answer.code == 1
    assert "Is the server running" in " ".join(answer.err.split())
