"""What runs cost, told in the ledger: by step and resource, once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.engine.executors import Zygotes
from ratchet.loop import run_costs
from ratchet.records import Event
from tests import registered
from tests.loops import Stage

COSTS = [
    {"step": "split", "index": 0, "cpu_seconds": 0.5, "wall_seconds": 1.0, "peak_memory_mb": 80.0, "result": "x"},
    {"step": "train", "index": 1, "cpu_seconds": 0.0, "wall_seconds": 0.0, "peak_memory_mb": 0.0}
    | {"cached": True, "from_run": "B"},
]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A workspace's parts."""
    made = Stage(tmp_path / "project", Zygotes())
    yield made
    made.close()


def test_each_step_is_told_once_by_resource(stage: Stage) -> None:
    """With unit, payer and cause, and whether it was taken from another run; told again it changes nothing."""
    filler = registered.Filler(stage.resources, 1)
    filler.add_dataset("orders")
    run = filler.add_run("churn", status="failed")
    with stage.command("end"):
        finished = stage.ledger.record(Event(type="run.finished", subject=run.id, pipeline="churn"))[0]
    for costs in (COSTS, COSTS, []):
        with stage.database.write() as transaction:
            run_costs.tell(stage.resources, transaction, run, finished, costs, owner="growth")
    told = [event for event in stage.events("cost.recorded") if event.causationid == finished.id]
    assert [(one.data["step"], one.data["resource"], one.data["qty"], one.data["unit"]) for one in told] == [
        ("split", "cpu_seconds", 0.5, "s"),
        ("split", "wall_seconds", 1.0, "s"),
        ("split", "peak_memory_mb", 80.0, "MB"),
        ("train", "cpu_seconds", 0.0, "s"),
        ("train", "wall_seconds", 0.0, "s"),
        ("train", "peak_memory_mb", 0.0, "MB"),
    ]
    assert {(one.subject, one.team, one.data["owner"]) for one in told} == {(run.id, "growth", "growth")}
    assert [one.data.get("from_run") for one in told] == [None] * 3 + ["B"] * 3
