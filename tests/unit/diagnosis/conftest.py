"""A sound workspace, made once, to plant faults in copies of it."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.diagnosis.examining import examine
from ratchet.diagnosis.findings import Finding
from ratchet.engine.executors import Zygotes
from ratchet.engine.runs import DurableRuns
from ratchet.records import Event
from ratchet.store.checkpoints import Checkpoints
from tests import projects
from tests.loops import Stage

Examined = Callable[[], dict[tuple[str, str], Finding]]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, zygotes: Zygotes) -> Path:
    """A project with seventy signed events, the engine's tables and a key."""
    folder = projects.write_project(tmp_path_factory.mktemp("sound") / "shop")
    stage = Stage(folder, zygotes)
    version = stage.add_version()
    stage.answer(version, at=clock.now() - timedelta(minutes=1), count=2)
    for number in range(70):
        stage.ledger.record(Event(type="custom.emitted", subject=f"s{number}"))
    runs = DurableRuns(stage.database)
    runs.prepare()
    runs.close()
    state = stage.resources.folder
    key = state / "keys" / "ledger.pem"
    Checkpoints(database=stage.database, ledger=stage.ledger, project="shop", folder=state, key=key, anchors=[]).seal()
    stage.close()
    return folder


@pytest.fixture
def shop(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(sound, tmp_path / "shop"))


@pytest.fixture
def examined(shop: Path) -> Examined:
    """Look at it and return what was found, by area and check."""

    def look() -> dict[tuple[str, str], Finding]:
        found = list(examine(shop))
        assert all(one.status == "ok" or one.remedy for one in found)
        return {(one.area, one.check): one for one in found}

    return look
