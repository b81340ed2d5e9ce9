"""What a workspace holds beside its database."""

from datetime import timedelta

import pytest
from sklearn.linear_model import LogisticRegression

from ratchet import clock
from ratchet.loop import datasets, feedback, predictions, registry
from ratchet.loop.feedback import Outcome
from ratchet.loop.holdings import Holdings, holdings
from tests import projects
from tests.loops import DIGEST, PERSON, Stage


@pytest.fixture
def held(stage: Stage) -> Stage:
    """A stage with two versions of a dataset and of a model, the second one live, a sealed day and an outcome."""
    projects.write_project(stage.resources.project)
    with stage.command("first"):
        datasets.scan(stage.resources, "customers")
    more = projects.customers(10, first=600)
    projects.write_parquet(stage.resources.project / "data" / "2026-02.parquet", more)
    with stage.command("second"):
        datasets.scan(stage.resources, "customers")
    stage.add_version()
    version = stage.add_version(model=LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1]))
    stage.make_live(version)
    stage.answer(version, at=clock.now() - timedelta(days=2), count=2)
    predictions.tend(stage.resources)
    outcomes = [Outcome(prediction_id="r0.0", value=1.0)]
    feedback.receive(stage.resources, "churn", outcomes, sender=PERSON, key="told")
    return stage


def held_by(stage: Stage) -> Holdings:
    """Return what the rows of a stage name."""
    with stage.database.read() as connection:
        return holdings(connection, stage.resources.artifacts)


def test_all_that_rows_name_is_named(held: Stage) -> None:
    """Models, profiles, holdouts, manifests and their parts: all that was written and is no orphan."""
    orphan = held.resources.artifacts.write(b"nobody's")
    found = held_by(held)
    written = set(held.resources.artifacts.all())
    assert found.named & written == written - {orphan}
    assert DIGEST in found.named


def test_what_serves_and_the_newest_data_are_needed(held: Stage) -> None:
    """Of two versions the one that serves; of two datasets' versions the newer, with its parts."""
    found = held_by(held)
    versions = registry.model_versions(held.database)
    assert {versions[1].artifact, versions[1].profile} <= found.needed
    assert versions[0].artifact not in found.needed
    newest = datasets.latest(held.resources, "customers")
    assert newest.number == 2
    parts = datasets.open_version(newest.manifest, name="x", artifacts=held.resources.artifacts)
    assert newest.manifest in found.needed
    assert len(parts.to_pandas()) == 610
    assert len(found.needed) == 2 + 1 + 2


def test_files_come_with_their_hash(held: Stage) -> None:
    """A sealed day has one, outcomes have none; both lie below the state folder."""
    files = held_by(held).files
    assert [bool(sha256) for name, sha256 in sorted(files.items())] == [False, True]
    assert all((held.resources.folder / name).is_file() for name in files)


def test_a_manifest_that_is_gone_is_still_needed(held: Stage) -> None:
    """What it named nobody knows any more; that it is missing shows."""
    newest = datasets.latest(held.resources, "customers")
    held.resources.artifacts.path(newest.manifest).unlink()
    assert newest.manifest in held_by(held).needed
