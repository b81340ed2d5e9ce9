"""Airflow: who started a run, also over several runs that set one another off."""

import json
from pathlib import Path
from typing import Any

import pytest

from ratchet.config import ImportSection
from ratchet.importers import airflow, pulls
from ratchet.importers.readings import Reading
from ratchet.importers.refusals import RecordInvalid
from ratchet.measure.transitions import transitions
from tests.unit.importers.shapes import WITNESS, YOU, Desk, at

TRAIN = ImportSection(pipeline="churn", stages=("train", "evaluate"))
SECTIONS = {"retrain": TRAIN}


def dag_run(dag: str, day: float = 0, **changes: Any) -> dict[str, Any]:
    """Return a DAG run of Airflow 2 that succeeded."""
    values = {
        "dag_id": dag,
        "dag_run_id": f"{dag}-{day}",
        "run_type": "scheduled",
        "state": "success",
        "execution_date": at(day - 1),
        "start_date": at(day),
        "end_date": at(day, 30),
        "external_trigger": False,
        "conf": {},
    }
    return values | changes


def trigger(dag: str, day: float, child: str, *, run_id: str = "") -> dict[str, Any]:
    """Return a task instance that set off a run of another DAG."""
    return {
        "dag_id": dag,
        "dag_run_id": f"{dag}-{day}",
        "task_id": "go",
        "state": "success",
        "start_date": at(day, 5),
        "end_date": at(day, 10),
        "operator": "TriggerDagRunOperator",
        "rendered_fields": {"trigger_dag_id": child, "trigger_run_id": run_id or None},
    }


def take(desk: Desk, runs: list[dict[str, Any]], tasks: Any = (), **sections: ImportSection) -> list[Reading]:
    """Import pages of runs and of tasks."""
    files = [desk.save("runs.json", {"dag_runs": runs, "total_entries": len(runs)})]
    files += [desk.save("tasks.json", {"task_instances": list(tasks), "total_entries": len(tasks)})] if tasks else []
    named = {name.replace("__", "/"): section for name, section in sections.items()} or SECTIONS
    readings, claims = airflow.read_files(files, sections=named, witness=WITNESS)
    puller = pulls.Puller(desk.database, actor=YOU)
    puller.take(readings, claimed=claims)
    assert puller.tallies["airflow"].completeness == 1.0
    return readings


def modes(desk: Desk, stage: str = "train") -> list[str]:
    """Return the modes of all transitions of the pipeline in a stage."""
    return [one.mode for one in transitions(desk.history().as_of(), "churn", stage)]


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({"run_type": "scheduled"}, "auto"),
        ({"run_type": "scheduled", "triggered_by": "timetable", "logical_date": at(0), "queued_at": at(0)}, "auto"),
        ({"run_type": "asset_triggered"}, "auto"),
        ({"run_type": "dataset_triggered"}, "auto"),
        ({"run_type": "manual"}, "unknown"),
        ({"run_type": "manual", "triggered_by": "ui", "triggering_user_name": "person-1"}, "assisted"),
        ({"run_type": "manual", "triggered_by": "rest_api", "triggering_user_name": "person-1"}, "unknown"),
        ({"run_type": "manual", "triggered_by": "operator"}, "unknown"),
        ({"run_type": "backfill"}, "assisted"),
        ({"run_type": "backfill", "triggered_by": "rest_api"}, "unknown"),
        ({"run_type": "something_new"}, "unknown"),
    ],
)
def test_who_started_a_run(desk: Desk, changes: dict[str, Any], mode: str) -> None:
    """The type of the run decides; Airflow 3 says by which way, Airflow 2 calls everything else manual."""
    take(desk, [dag_run("retrain", 1, **changes)])
    assert modes(desk) == [mode]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("start", "mode"), [("scheduled", "auto"), ("backfill", "assisted"), ("manual", "unknown")])
def test_a_run_that_another_set_off_is_as_automatic_as_that_one(desk: Desk, start: str, mode: str, named: bool) -> None:
    """Over two generations: ingest sets off prepare, prepare sets off the training."""
    runs = [
        dag_run("ingest", 1, run_type=start),
        dag_run("prepare", 1, run_type="manual", start_date=at(1, 6)),
        dag_run("retrain", 1, run_type="manual", start_date=at(1, 7)),
    ]
    tasks = [
        trigger("ingest", 1, "prepare", run_id="prepare-1" if named else ""),
        trigger("prepare", 1, "retrain", run_id="retrain-1" if named else ""),
    ]
    readings = take(desk, runs, tasks)
    assert modes(desk) == [mode]
    assert readings[2].trigger == "operator"


def test_two_that_may_have_done_it_are_none(desk: Desk) -> None:
    """Where two tasks were at work and neither names the run, nothing is guessed."""
    runs = [dag_run("a", 1), dag_run("b", 1), dag_run("retrain", 1, run_type="manual", start_date=at(1, 6))]
    take(desk, runs, [trigger("a", 1, "retrain"), trigger("b", 1, "retrain")])
    assert modes(desk) == ["unknown"]


def test_a_task_that_was_not_at_work_did_not_do_it(desk: Desk) -> None:
    """An hour later is too late."""
    runs = [dag_run("a", 1), dag_run("retrain", 1, run_type="manual", start_date=at(1, 66))]
    take(desk, runs, [trigger("a", 1, "retrain")])
    assert modes(desk) == ["unknown"]


def test_a_circle_of_runs_is_unknown(desk: Desk) -> None:
    """Two runs that claim to have set one another off have no start."""
    runs = [dag_run("a", 1, run_type="manual"), dag_run("retrain", 1, run_type="manual")]
    tasks = [trigger("a", 1, "retrain", run_id="retrain-1"), trigger("retrain", 1, "a", run_id="a-1")]
    take(desk, runs, tasks)
    assert modes(desk) == ["unknown"]


def test_a_parent_that_is_not_in_the_files_is_unknown(desk: Desk) -> None:
    """The task says who did it, and nobody knows who started that one."""
    take(desk, [dag_run("retrain", 1, run_type="manual")], [trigger("a", 1, "retrain", run_id="retrain-1")])
    assert modes(desk) == ["unknown"]


def test_tasks_may_be_stages(desk: Desk) -> None:
    """A task that is named is a stage, started by whoever started its run; others are left out."""
    runs = [dag_run("ml", day) for day in range(1, 4)]
    tasks = [
        {"dag_id": "ml", "dag_run_id": f"ml-{day}", "task_id": name, "state": "success", "operator": "PythonOperator"}
        | {"start_date": at(day, minute), "end_date": at(day, minute + 5)}
        for day in range(1, 4)
        for minute, name in ((0, "fetch"), (5, "train"), (10, "check"))
    ]
    train, check = (ImportSection(pipeline="churn", stages=(one,)) for one in ("train", "evaluate"))  # type: ignore[arg-type]  # stages
    take(desk, runs, tasks, ml__train=train, ml__check=check)
    assert (modes(desk), modes(desk, "evaluate")) == (["auto"] * 3, ["auto"] * 3)
    assert desk.level("churn").level == 1


@pytest.mark.parametrize(
    ("state", "types"),
    [
        ("queued", ["run.queued"]),
        ("running", ["run.queued", "run.started"]),
        ("failed", ["run.queued", "run.started", "run.finished"]),
    ],
)
def test_how_far_a_run_came(desk: Desk, state: str, types: list[str]) -> None:
    """A state is a phase."""
    take(desk, [dag_run("retrain", 1, state=state)])
    assert [event.type for event in desk.events() if event.type.startswith("run.")] == types
    assert modes(desk) == []


def test_importing_twice_changes_nothing(desk: Desk) -> None:
    """Also for runs that belong to others."""
    pages = (
        [dag_run("ingest", 1), dag_run("retrain", 1, run_type="manual", start_date=at(1, 6))],
        [trigger("ingest", 1, "retrain")],
    )
    take(desk, *pages)
    before = desk.events()
    take(desk, *pages)
    assert desk.events() == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"run_type": None}, "run_type"),
        ({"start_date": "today"}, "start_date"),
        ({"end_date": "2999-01-01T00:00:00Z"}, "end_date"),
    ],
)
def test_a_run_that_says_something_impossible_is_refused(desk: Desk, changes: dict[str, Any], field: str) -> None:
    """The message names file, record and field."""
    path: Path = desk.folder / "runs.json"
    path.write_text(json.dumps({"dag_runs": [dag_run("retrain", 1, **changes)]}))
    with pytest.raises(RecordInvalid, match=rf"runs\.json: record 1: '{field}'"):
        airflow.read_files([path], sections=SECTIONS, witness=WITNESS)
