"""Who holds an artifact, as what, and whether that still counts."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ratchet.config import RetentionSection
from ratchet.engine.executors import Zygotes
from ratchet.loop import registry
from ratchet.loop.holders import UNNAMED, Holders, read_holders, read_registered
from ratchet.records import RunLog
from ratchet.store import schema
from tests import registered
from tests.loops import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A workspace's parts."""
    made = Stage(tmp_path / "project", Zygotes())
    yield made
    made.close()


def test_whoever_keeps_it_comes_first() -> None:
    """An artifact is kept while one of its holders counts, and is called what it is for that one."""
    known = Holders()
    known.add("code", "run A", ["x", ""], keeps=False)
    assert (known.keep("x"), known.kind("x")) == (False, "code")
    known.add("model", "churn@v1", ["x"])
    assert (known.keep("x"), known.kind("x")) == (True, "model")
    assert [hold.by for hold in known.of("x")] == ["churn@v1", "run A"]
    assert (known.keep("y"), known.kind("y"), known.of("")) == (False, UNNAMED, [])


def test_a_version_holds_what_it_was_made_from(stage: Stage) -> None:
    """Model, holdout, profile, code, libraries, manifest and data of a version are held by their kinds."""
    filler = registered.Filler(stage.resources, 1)
    data = filler.add_dataset("orders")
    run = filler.add_run("churn", status="success")
    with stage.database.read() as connection:
        known = read_holders(connection, stage.resources.artifacts, RetentionSection(runs=1, days=0.0))
        version = registry.model_version_of_run(connection, run.id)
    assert version is not None
    named = [version.artifact, version.holdout, version.profile, run.snapshot, run.lock, data.manifest]
    assert [known.kind(one) for one in named] == ["model", "holdout", "profile", "code", "libraries", "manifest"]
    parts = set(stage.resources.artifacts.all()) - set(named)
    assert {known.kind(one) for one in parts} == {"data"}
    assert all(known.keep(one) for one in (*named, *parts))


def test_a_run_holds_its_log_as_long_as_its_code(stage: Stage) -> None:
    """What it printed goes when the run is no longer kept, unless it made a version that is."""
    filler = registered.Filler(stage.resources, 1)
    filler.add_dataset("orders")
    made = []
    for status in ("success", "failed", "failed"):
        run = filler.add_run("churn", status=status)
        sha256 = stage.resources.artifacts.write(f"printed by {run.id}".encode())
        log = RunLog(sha256=sha256, size_bytes=1, cut_bytes=0, place="here")
        with stage.database.write() as transaction:
            registry.put_run(transaction, msgspec.structs.replace(run, log=log))
        made.append(sha256)
    with stage.database.read() as connection:
        known = read_holders(connection, stage.resources.artifacts, RetentionSection(runs=1, days=0.0))
    kept = [known.keep(one) for one in made]
    assert {known.kind(one) for one in made} == {"log"}
    assert kept == [True, False, True]


def test_which_versions_are_kept(stage: Stage) -> None:
    """All; those that ever served; or none but the last, what serves and what served before it."""
    filler = registered.Filler(stage.resources, 1)
    filler.add_dataset("orders")
    versions = []
    for _ in range(5):
        run = filler.add_run("churn", status="success")
        with stage.database.read() as connection:
            versions.append(registry.model_version_of_run(connection, run.id))
    for version in versions[:3]:
        assert version is not None
        filler.add_release(version)

    def kept(models: str) -> list[int]:
        policy = RetentionSection(runs=1, days=0.0, models=models)  # type: ignore[arg-type]
        with stage.database.read() as connection:
            names = read_registered(connection, policy).kept_versions
        return sorted(int(name.rpartition("v")[2]) for name in names)

    assert kept("all") == [1, 2, 3, 4, 5]
    assert kept("served") == [1, 2, 3, 5]
    assert kept("recent") == [2, 3, 5]


def test_each_table_is_read_or_tells_only() -> None:
    """A table that is added holds what it names, unless it is said here that it need not."""
    told_only = {"ledger", "payload", "ledger_tree", "ledger_tile", "pseudonym"}
    told_only |= {"transition", "transition_fold", "projection", "standing", "answer"}
    from ratchet.loop.holders import _other_tables

    read = {table.name for table in _other_tables()}
    assert {"state", "segment", "outcome_batch", "release", "rule"} <= read
    by_meaning = {"run", "model_version", "dataset_version", "step_result"}
    assert {table.name for table in schema.metadata.sorted_tables} == read | told_only | by_meaning
