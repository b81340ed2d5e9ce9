"""Steps with demands: carried out by a process that has what they need."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet.loop import registry
from ratchet.records import Run
from ratchet.workspace import Workspace
from tests import projects
from tests.waiting import is_alive, until

CODE = '''"""A pipeline whose steps say what they need."""

import os
import time
from pathlib import Path

import pandas as pd

import ratchet as rt

LIMIT = 3


class Table:
    """Steps may be static methods as well."""

    @staticmethod
    @rt.step(resources={"cpu": 0.5})
    def halves(rows: pd.DataFrame, *numbers: int, **options: dict) -> tuple[pd.DataFrame, list[int]]:
        """Take all kinds of arguments."""
        return rows[: len(rows) // 2], [*numbers, options["more"]["x"]]


@rt.step(resources={"cpu": 1, "memory_gb": 1})
def counted(customers: rt.Dataset, limit: int = LIMIT) -> dict:
    """Read a dataset elsewhere."""
    print("counting")
    return {"rows": len(customers.to_pandas()), "name": customers.name, "pid": os.getpid(), "limit": limit}


@rt.step(resources={})
def broken(number: int) -> int:
    """Raise, elsewhere."""
    raise ValueError(f"no such number: {number}")


@rt.step(resources={"gpu": 1}, cache=False)
def on_gpu(folder: str) -> dict:
    """Say where this is carried out."""
    (Path(folder) / f"gpu.{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return {"devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "pid": os.getpid()}


@rt.pipeline(model="churn")
def churn(customers: rt.Dataset, folder: str = "") -> dict:
    """Use them all."""
    found = counted(customers)
    assert found["pid"] != os.getpid(), "carried out here"
    assert (found["rows"], found["limit"], found["name"]) == (600, 3, customers.name), found
    part, numbers = Table.halves(customers.to_pandas(), 1, 2, more={"x": 3})
    assert (len(part), numbers) == (300, [1, 2, 3]), numbers
    try:
        broken(7)
    except Exception as error:
        assert "ValueError: no such number: 7" in str(error), str(error)
        return {}
    raise AssertionError("the error did not arrive")


@rt.pipeline(model="deep")
def deep(folder: str) -> dict:
    """Need an accelerator."""
    return on_gpu(folder)
'''
SETTINGS = """[project]
name = "shop"
{database}

[dataset.customers]
source = "data/*.parquet"
time = "seen_at"
key = "customer"
label = {{ column = "left", arrives = "known_at" }}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Give a running workspace on this machine alone."""
    folder = projects.write_project(tmp_path / "shop", settings=SETTINGS.format(database=""), code=CODE)
    with projects.running(folder, serve=False) as workspace:
        yield workspace


def run(workspace: Workspace, pipeline: str = "churn", **parameters: Any) -> Run:
    """Carry out a run and return it."""
    command = workspace.command("start_run", {"pipeline": pipeline, **parameters}, subject=pipeline, pipeline=pipeline)
    outcome = workspace.outcome(command)
    queued = workspace.ledger.get(outcome["event"])
    assert queued is not None, outcome["error"]
    workspace.settle()
    return registry.run(workspace.database, queued.subject)


def test_steps_with_demands_are_carried_out_by_other_processes(workspace: Workspace) -> None:
    """Arguments of all kinds arrive, results come back, errors are the body's to catch, and costs are counted."""
    done = run(workspace)
    assert (done.status, done.error) == ("success", "")
    log = (workspace.resources.logs / "runs" / f"{done.id}.log").read_text()
    assert "counting" in log
    steps = {cost["step"]: cost for cost in done.costs}
    assert set(steps) == {"counted", "halves", "broken"}
    assert steps["counted"]["peak_memory_mb"] > 1


def test_results_are_kept_for_other_runs_too(workspace: Workspace) -> None:
    """The cache does not mind who computed a result."""
    run(workspace)
    again = run(workspace)
    cached = {cost["step"] for cost in again.costs if cost.get("cached")}
    assert cached == {"counted", "halves"}


def test_a_step_may_not_take_more_memory_than_it_said(tmp_path: Path) -> None:
    """What a step says that it needs is its limit."""
    greedy = CODE.replace('"memory_gb": 1', '"memory_gb": 0.3').replace(
        '    print("counting")\n', "    held = bytearray(600 << 20)\n    time.sleep(60)\n"
    )
    folder = projects.write_project(tmp_path / "greedy", settings=SETTINGS.format(database=""), code=greedy)
    with projects.running(folder, serve=False) as workspace:
        done = run(workspace)
        assert done.status == "failed"
        assert "counted" in done.error
        assert "307" in done.error


def test_cancelling_a_run_ends_its_step_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    """The process that computes the step is ended, and nothing waits for it."""
    workspace.runs.close()
    here = workspace.runs.as_server()
    workspace.runs.launch(msgspec.structs.replace(here, capacity=msgspec.structs.replace(here.capacity, gpu=2)))
    parameters = {"pipeline": "deep", "folder": str(tmp_path)}
    command = workspace.command("start_run", parameters, subject="deep", pipeline="deep")
    queued = workspace.ledger.get(workspace.outcome(command)["event"])
    assert queued is not None
    until(lambda: list(tmp_path.glob("gpu.*")), "the step")
    (child,) = [int(path.suffix[1:]) for path in tmp_path.glob("gpu.*")]
    projects.give(workspace, "cancel_run", queued.subject, run=queued.subject)
    until(lambda: not is_alive(child), "the end of the step's process")
    assert registry.run(workspace.database, queued.subject).status == "cancelled"
