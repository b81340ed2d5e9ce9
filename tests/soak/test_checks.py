"""The checker of the soak finds each fault that is planted, and nothing in a workspace that is sound."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ratchet.config import STATE_FOLDER
from ratchet.store.database import Database, sqlite_url
from tests.soak import checks, plants, project
from tests.soak.checks import Known
from tests.soak.cluster import Cluster, end_marked
from tests.soak.kills import Round
from tests.waiting import until

ENOUGH = 20


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """A workspace that took events, answered requests and sealed a day, stopped; and what is known of it."""
    round_ = Round(tmp_path_factory.mktemp("soak") / "calm", rate=40.0)
    with round_.running():
        until(lambda: len(round_.load.accepted) >= ENOUGH, "some events")
        project.pass_time(round_.folder, 86_400)
        until(lambda: has_segment(round_.folder), "a sealed day")
        piece = round_.check()
        assert piece.faults == []
        load = round_.load
        return round_.folder, Known(load.events, frozenset(load.accepted), frozenset(load.answered))


def has_segment(folder: Path) -> bool:
    """Tell whether a day was sealed and the clock ticked."""
    query = "SELECT count(*) FROM ledger WHERE type IN ('clock.ticked', 'prediction_log.segment.sealed') GROUP BY type"
    with closing(Database(sqlite_url(folder / STATE_FOLDER / "ratchet.db"))) as database, database.read() as found:
        return len(found.execute(text(query)).all()) == 2


@pytest.fixture
def copied(stopped: tuple[Path, Known], tmp_path: Path) -> tuple[Path, Known]:
    """A copy of it to spoil."""
    folder = tmp_path / "spoilt"
    shutil.copytree(stopped[0], folder)
    return folder, stopped[1]


def test_a_sound_workspace_has_no_fault(stopped: tuple[Path, Known]) -> None:
    """Nothing is found, and something of each kind was looked at."""
    faults, counts = checks.check(*stopped)
    assert faults == []
    assert all(counts.values()), counts


@pytest.mark.parametrize("name", plants.FOUND_BY)
def test_a_planted_fault_is_found(copied: tuple[Path, Known], name: str) -> None:
    """The check that is there for it finds it."""
    folder, known = copied
    plants.plant(name, folder)
    faults, _ = checks.check(folder, known)
    assert plants.FOUND_BY[name][1] in {fault.partition(":")[0] for fault in faults}, faults


def test_an_event_that_nobody_sent_is_found(stopped: tuple[Path, Known]) -> None:
    """What the ledger has and the sender never sent is a fault, and so is an answer that is in no log."""
    folder, known = stopped
    faults, _ = checks.check(folder, Known(known.sent - 1, known.accepted, known.answered | {10**6}))
    assert [fault.partition(":")[0] for fault in faults] == ["accepted", "predictions"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without a server."""
    cluster = Cluster(tmp_path, name=f"soak:{tmp_path}")
    yield cluster
    end_marked(cluster.name)


def test_a_process_that_is_left_is_found(cluster: Cluster) -> None:
    """Who carries the mark and goes on after the stop is named, and killed at the end."""
    assert cluster.stop() == []
    process = plants.leave_a_process(cluster.name)
    assert [fault for fault in cluster.stop() if f"left running: {process.pid} " in fault]
    cluster.end()
    assert process.wait() == -9
