"""A workspace with something in each of its places, to be saved and restored."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ratchet import clock
from ratchet.engine.executors import Zygotes
from ratchet.engine.runs import DurableRuns
from ratchet.loop import datasets, feedback, predictions, registry, snapshots
from ratchet.loop.feedback import Outcome
from ratchet.records import Event
from ratchet.store.checkpoints import Checkpoints
from ratchet.workspace import open_workspace
from tests import projects
from tests.loops import PERSON, Stage

JOB = {"source": "ratchet", "id": "none", "calls": [], "job": "act:waiting"}


@pytest.fixture(scope="session")
def made_shop(tmp_path_factory: pytest.TempPathFactory, zygotes: Zygotes) -> Path:
    """Data, a version that serves, predictions in each state, outcomes, a signed ledger, a waiting job; made once."""
    folder = projects.write_project(tmp_path_factory.mktemp("made") / "shop")
    stage = Stage(folder, zygotes)
    with stage.command("data"):
        datasets.scan(stage.resources, "customers")
    version = stage.add_version()
    _give_snapshot(stage, version.run_id)
    stage.make_live(version)
    now = clock.now()
    stage.answer(version, at=now - timedelta(days=3), request="sealed", count=4)
    predictions.tend(stage.resources)
    stage.answer(version, at=now, request="open", count=3)
    predictions.collect(stage.resources)
    outcomes = [Outcome(prediction_id="sealed0.0", value=1.0)]
    feedback.receive(stage.resources, "churn", outcomes, sender=PERSON, key="told")
    stage.answer(version, at=now, request="spooled", count=2)
    checkpoints_of(stage).seal()
    stage.ledger.record(Event(type="custom.emitted", subject="later", data={"é": 1.5}))
    runs = DurableRuns(stage.database)
    runs.prepare()
    with stage.database.write() as transaction:
        runs.enqueue(transaction, "act", "act:waiting", JOB)
    runs.close()
    stage.close()
    return folder


@pytest.fixture
def shop(made_shop: Path, tmp_path: Path, zygotes: Zygotes) -> Iterator[Stage]:
    """A copy of that workspace."""
    shutil.copytree(made_shop, tmp_path / "shop")
    stage = Stage(tmp_path / "shop", zygotes)
    yield stage
    stage.close()


def _give_snapshot(stage: Stage, run_id: str) -> None:
    run = registry.run(stage.database, run_id)
    taken = snapshots.take(stage.resources.project, stage.resources.artifacts)
    with stage.database.write() as transaction:
        registry.put_run(transaction, msgspec.structs.replace(run, snapshot=taken))


def checkpoints_of(stage: Stage) -> Checkpoints:
    """Return what signs the ledger of a stage."""
    folder = stage.resources.folder
    return Checkpoints(
        database=stage.database,
        ledger=stage.ledger,
        project="shop",
        folder=folder,
        key=folder / "keys" / "ledger.pem",
        anchors=[],
    )


def left_beside(path: Path) -> list[str]:
    """Return what lies in the folder of a path beside the project."""
    return sorted(one.name for one in path.parent.iterdir() if one.name not in ("shop", "project"))


def predicted(folder: Path) -> set[str]:
    """Return the ids of all predictions that a workspace knows of, each taken once."""
    from ratchet.loop.frames import connect

    with open_workspace(folder) as workspace:
        predictions.collect(workspace.resources)
        files = predictions.files(workspace.resources, "churn")
        with connect() as connection:
            query = predictions.rows_query(files, "prediction_id")
            found = [row[0] for row in connection.execute(query).fetchall()]
    assert len(found) == len(set(found))
    return set(found)
