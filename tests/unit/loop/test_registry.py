"""The registry's rows: found by name or by the beginning of one, numbered densely, replaced whole."""

import pytest

from ratchet import clock
from ratchet.errors import UnknownName
from ratchet.loop import registry
from ratchet.records import DatasetVersion, Release
from tests.loops import DIGEST, Stage


def dataset(number: int) -> DatasetVersion:
    """Return a version of a dataset."""
    return DatasetVersion(
        dataset="customers",
        number=number,
        manifest=DIGEST,
        row_count=1,
        data_from="",
        data_until="",
        schema_digest=DIGEST,
        parents=(),
        generated=False,
        published_at=clock.now(),
        event_id=f"E{number}",
    )


def release(deployment: str, status: str) -> Release:
    """Return a release on the endpoint ``churn``."""
    return Release(
        deployment_id=deployment,
        endpoint="churn",
        environment="production",
        model_version="churn@v1",
        status=status,
        previous="",
        requested_at=clock.now(),
    )


def test_a_run_is_found_by_the_beginning_of_its_id(stage: Stage) -> None:
    """Eight characters are enough, in either case."""
    version = stage.add_version()
    assert registry.run(stage.database, version.run_id[:8].lower()).id == version.run_id


def test_a_beginning_that_fits_no_run_or_two_is_refused(stage: Stage) -> None:
    """The message lists the latest runs, so that the right one can be copied."""
    with pytest.raises(UnknownName, match="none yet"):
        registry.run(stage.database, "01ABC")
    version = stage.add_version()
    stage.add_version()
    with pytest.raises(UnknownName, match=version.run_id[:8]):
        registry.run(stage.database, "")


def test_runs_are_listed_the_latest_first(stage: Stage) -> None:
    """The list can be kept short, and to one pipeline."""
    first, second = stage.add_version(), stage.add_version()
    other = stage.add_version(name="other")
    listed = [run.id for run in registry.runs(stage.database, pipeline="churn")]
    assert listed == [second.run_id, first.run_id]
    assert [run.id for run in registry.runs(stage.database, limit=1)] == [other.run_id]


def test_versions_of_a_model_are_numbered_densely(stage: Stage) -> None:
    """Each model counts for itself, from 1."""
    names = [stage.add_version(name=name).name for name in ("churn", "churn", "other")]
    assert names == ["churn@v1", "churn@v2", "other@v1"]
    assert [one.name for one in registry.model_versions(stage.database)] == names
    assert [one.name for one in registry.model_versions(stage.database, model="other")] == ["other@v1"]


def test_a_version_is_found_by_its_name_and_by_its_run(stage: Stage) -> None:
    """A run registers one version at most, and it can be asked for."""
    version = stage.add_version()
    with stage.database.read() as connection:
        assert registry.model_version(connection, "churn@v1") == version
        assert registry.model_version_of_run(connection, version.run_id) == version
        assert registry.model_version_of_run(connection, "another") is None


@pytest.mark.parametrize("name", ["churn@v2", "churn", "churn@vone", "", "other@v1"])
def test_an_unknown_version_is_refused_with_those_that_exist(stage: Stage, name: str) -> None:
    """Whatever the name looks like, the message is the same."""
    stage.add_version()
    with stage.database.read() as connection, pytest.raises(UnknownName, match="churn@v1"):
        registry.model_version(connection, name)


def test_dataset_versions_come_in_order(stage: Stage) -> None:
    """The latest one is the one with the highest number, whenever it was written."""
    with stage.database.write() as transaction:
        for number in (2, 1, 10):
            registry.add_dataset_version(transaction, dataset(number))
    assert [one.number for one in registry.dataset_versions(stage.database, "customers")] == [1, 2, 10]
    with stage.database.read() as connection:
        latest = registry.latest_dataset_version(connection, "customers")
        assert latest is not None
        assert latest.name == "customers@v10"
        assert registry.latest_dataset_version(connection, "others") is None
        assert registry.dataset_version(connection, "customers", 2).number == 2


def test_an_unknown_dataset_version_names_the_newest(stage: Stage) -> None:
    """Without any version it says so."""
    with stage.database.read() as connection, pytest.raises(UnknownName, match="none"):
        registry.dataset_version(connection, "customers", 1)
    with stage.database.write() as transaction:
        registry.add_dataset_version(transaction, dataset(1))
    with stage.database.read() as connection, pytest.raises(UnknownName, match="customers@v1"):
        registry.dataset_version(connection, "customers", 3)


def test_a_release_is_replaced_and_found_by_its_status(stage: Stage) -> None:
    """A deployment has one row, which moves from desired to live."""
    with stage.database.write() as transaction:
        registry.put_release(transaction, release("D1", "desired"))
        assert registry.live_release(transaction, "churn") is None
        registry.put_release(transaction, release("D1", "live"))
        registry.put_release(transaction, release("D2", "refused"))
    with stage.database.read() as connection:
        live = registry.live_release(connection, "churn")
        assert live is not None
        assert live.deployment_id == "D1"
        assert len(registry.releases(connection)) == 2
        assert [one.deployment_id for one in registry.releases(connection, statuses=("refused",))] == ["D2"]
        assert registry.releases(connection, endpoint="other") == []


def test_small_values_are_kept_by_name(stage: Stage) -> None:
    """What is not there gives the default; what is there is replaced."""
    with stage.database.write() as transaction:
        assert registry.state(transaction, "x", 3) == 3
        registry.put_state(transaction, "x", [1, "two"])
        registry.put_state(transaction, "x", {"three": None})
        assert registry.state(transaction, "x", 3) == {"three": None}
