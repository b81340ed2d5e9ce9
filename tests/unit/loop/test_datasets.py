"""Datasets: versions that never change, published once, and rows that the loop adds."""

import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from ratchet.errors import ArtifactCorrupt, DataRefused, NoData, NoTimeColumn, UnknownName
from ratchet.loop import datasets, registry
from ratchet.loop.datasets import Dataset
from ratchet.loop.frames import write_parquet
from ratchet.records import DatasetVersion
from ratchet.store.formats.refusals import LibraryMissing
from tests import projects
from tests.loops import Stage


@pytest.fixture
def data(stage: Stage) -> Path:
    """The folder of data files, with one in it."""
    folder = stage.resources.project / "data"
    write_parquet(folder / "2026-01.parquet", projects.customers(60))
    return folder


def scan(stage: Stage) -> DatasetVersion:
    """Look at the files, which must have changed."""
    version = datasets.scan(stage.resources, "customers")
    assert version is not None
    return version


def opened(stage: Stage, version: DatasetVersion) -> Dataset:
    """Open a version as a pipeline would."""
    return datasets.open_version(version.manifest, name=version.name, artifacts=stage.resources.artifacts)


def test_the_same_files_are_published_once(stage: Stage, data: Path) -> None:
    """However often somebody looks, there is one version and one event."""
    version = scan(stage)
    assert (version.name, version.row_count, version.parents) == ("customers@v1", 60, ())
    assert datasets.scan(stage.resources, "customers") is None
    (data / "2026-01.parquet").touch()
    assert datasets.scan(stage.resources, "customers") is None
    (event,) = stage.events("dataset.version.published")
    assert event.data["digest"] == version.manifest
    assert event.data["new_files"] == 1
    assert not event.causationid


def test_a_file_that_grows_makes_a_version_and_no_new_file(stage: Stage, data: Path) -> None:
    """Rules tell a further file from one that grew by ``new_files``."""
    first = scan(stage)
    write_parquet(data / "2026-01.parquet", projects.customers(90))
    grown = scan(stage)
    write_parquet(data / "2026-02.parquet", projects.customers(30, first=500))
    second = scan(stage)
    assert [one.row_count for one in (grown, second)] == [90, 120]
    assert grown.parents == (first.manifest,)
    counts = [event.data["new_files"] for event in stage.events("dataset.version.published")]
    assert counts == [1, 0, 1]


def test_the_range_of_the_data_is_kept(stage: Stage, data: Path) -> None:
    """From the earliest to the latest moment of all parts."""
    later = projects.customers(30, start=projects.START + timedelta(days=3), first=500)
    write_parquet(data / "2026-02.parquet", later)
    version = scan(stage)
    assert version.data_from == projects.customers(60)["seen_at"].min().isoformat()
    assert version.data_until == later["seen_at"].max().isoformat()
    assert opened(stage, version).latest().isoformat() == version.data_until


def test_a_version_never_changes(stage: Stage, data: Path) -> None:
    """What was opened before still gives the old rows after the file was written anew."""
    version = scan(stage)
    before = opened(stage, version).to_pandas()
    write_parquet(data / "2026-01.parquet", projects.customers(10, seed=9))
    scan(stage)
    pd.testing.assert_frame_equal(opened(stage, version).to_pandas(), before)
    with stage.database.read() as connection:
        assert registry.dataset_version(connection, "customers", 1) == version


def test_a_corrupt_part_is_refused(stage: Stage, data: Path) -> None:
    """Nobody trains on bytes that are not those that were published."""
    version = scan(stage)
    manifest = msgspec.json.decode(stage.resources.artifacts.read(version.manifest), type=datasets.Manifest)
    projects.damage(stage.resources.artifacts.path(manifest.parts[0].sha256))
    with pytest.raises(ArtifactCorrupt):
        opened(stage, version).to_pandas()


def test_the_latest_row_of_each_key_wins(stage: Stage, data: Path) -> None:
    """A later part replaces single rows of an earlier one; the order of rows is by time and key."""
    changed = projects.customers(60).head(5).assign(plan="changed")
    write_parquet(data / "2026-02.parquet", changed)
    rows = opened(stage, scan(stage)).to_pandas()
    assert len(rows) == 60
    assert list(rows["plan"].head(5)) == ["changed"] * 5
    assert rows["seen_at"].is_monotonic_increasing


def test_rows_can_be_bounded_chosen_and_sampled(stage: Stage, data: Path) -> None:
    """The bounds are half open; a sample is the same each time, another seed draws others."""
    version = opened(stage, scan(stage))
    middle = version.latest() - timedelta(minutes=10 * 20)
    before, since = version.to_pandas(before=middle), version.to_pandas(since=middle)
    assert (len(before), len(since)) == (39, 21)
    assert before["seen_at"].max() < middle <= since["seen_at"].min()
    assert list(version.to_pandas(columns=["left", "plan"]).columns) == ["left", "plan"]
    first, second, other = (version.to_pandas(sample=20, seed=seed) for seed in (1, 1, 2))
    assert len(first) == 20
    pd.testing.assert_frame_equal(first, second)
    assert set(first["customer"]) != set(other["customer"])


def test_rows_are_given_as_arrays_too(stage: Stage, data: Path) -> None:
    """The same rows in the same order, bounded and chosen alike; what is missing is missing in both."""
    rows = projects.customers(9, first=500)
    rows.loc[2:5, ["plan", "spend"]] = None
    write_parquet(data / "2026-02.parquet", rows)
    version = opened(stage, scan(stage))
    since = version.latest() - timedelta(minutes=10 * 20)
    for options in ({}, {"columns": ["left", "plan"]}, {"since": since}, {"sample": 20, "seed": 3}):
        frame, arrays = version.to_pandas(**options), version.to_arrays(**options)
        assert list(arrays) == list(frame.columns)
        for name, values in arrays.items():
            expected = frame[name].dt.tz_localize(None) if getattr(frame[name].dtype, "tz", None) else frame[name]
            pd.testing.assert_series_equal(pd.Series(values, name=name), expected, check_dtype=False)


def test_rows_without_data_frames(stage: Stage, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is refused with the extra that brings it; arrays need none."""
    version = opened(stage, scan(stage))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LibraryMissing, match=r"^to_pandas\(\) of a dataset needs pandas, .*'mlratchet\[sklearn\]'"):
        version.to_pandas()
    assert len(version.to_arrays(columns=["left"])["left"]) == 60


def test_the_end_of_a_history_is_the_end_of_all_of_it(stage: Stage, data: Path) -> None:
    """Read alone, the newest rows are those of the whole: also where a later part moved a row out, in, or twice."""
    rows = projects.customers(60)
    old, new = rows["seen_at"].min(), rows["seen_at"].max()
    moved = pd.concat([rows.tail(3).assign(seen_at=old), rows.head(2).assign(seen_at=new), rows.tail(5).head(2)])
    write_parquet(data / "2026-02.parquet", pd.concat([moved, moved.tail(1)]))
    version = opened(stage, scan(stage))
    middle = version.latest() - timedelta(minutes=10 * 20)
    everything = version.to_pandas()
    end = everything[everything["seen_at"] >= middle].reset_index(drop=True)
    assert len(everything) == 60
    assert len(end) == 21 - 3 + 2
    pd.testing.assert_frame_equal(version.to_pandas(since=middle), end)


def test_a_column_may_be_named_like_one_of_ours(stage: Stage) -> None:
    """A maker of machines has a column ``part``, and a whole number as its key."""
    stage.configure('[project]\nname = "x"\n[dataset.parts]\nsource = "data/*"\nkey = "number"\n')
    rows = pd.DataFrame({"number": [1, 2, 2], "part": ["a", "b", "c"]})
    write_parquet(stage.resources.project / "data" / "a.parquet", rows.head(2))
    write_parquet(stage.resources.project / "data" / "b.parquet", rows.tail(1))
    version = datasets.scan(stage.resources, "parts")
    assert version is not None
    found = opened(stage, version).to_pandas(sample=10)
    assert dict(zip(found["number"], found["part"], strict=True)) == {1: "a", 2: "c"}


def test_the_latest_moment_needs_a_time_column(stage: Stage) -> None:
    """The message says which setting is missing."""
    stage.configure('[project]\nname = "x"\n[dataset.parts]\nsource = "data/*"\n')
    write_parquet(stage.resources.project / "data" / "a.parquet", pd.DataFrame({"n": [1]}))
    version = datasets.scan(stage.resources, "parts")
    assert version is not None
    with pytest.raises(NoTimeColumn, match=r"time = 'COLUMN' under \[dataset.parts\]"):
        opened(stage, version).latest()


def test_what_the_loop_makes_joins_the_files(stage: Stage, data: Path, tmp_path: Path) -> None:
    """A union with the latest of each key; the same part again is no new version, and new files do not lose it."""
    first = scan(stage)
    made = projects.customers(60).head(3).assign(plan="seen")
    write_parquet(tmp_path / "rows.parquet", pd.concat([made, made.assign(customer=["x1", "x2", "x3"])]))
    with stage.command("build"):
        version = datasets.add_generated(stage.resources, "customers", rows=tmp_path / "rows.parquet", label="L")
    assert (version.number, version.generated, version.parents) == (2, True, (first.manifest,))
    rows = opened(stage, version).to_pandas()
    assert len(rows) == 63
    assert (rows["plan"] == "seen").sum() == 6
    with stage.command("build again"):
        again = datasets.add_generated(stage.resources, "customers", rows=tmp_path / "rows.parquet", label="L")
    assert again.name == version.name
    write_parquet(data / "2026-02.parquet", projects.customers(10, first=900))
    assert len(opened(stage, scan(stage)).to_pandas()) == 73
    events = stage.events("dataset.generated", "dataset.version.published")
    assert [event.data.get("generated") for event in events if event.type == "dataset.version.published"] == [
        False,
        True,
        False,
    ]


def test_a_refused_file_publishes_nothing_and_is_recorded_once(stage: Stage, data: Path) -> None:
    """The old version stays the latest; the event says which file and why."""
    version = scan(stage)
    write_parquet(data / "2026-02.parquet", projects.customers(5).drop(columns="left"))
    for _ in range(2):
        with pytest.raises(DataRefused, match=r"data/2026-02\.parquet: column 'left' is missing"):
            datasets.scan(stage.resources, "customers")
    (event,) = stage.events("dataset.check.finished")
    assert event.data["file"] == "data/2026-02.parquet"
    assert datasets.latest(stage.resources, "customers") == version
    write_parquet(data / "2026-02.parquet", projects.customers(5, first=500))
    assert scan(stage).number == 2


def test_asking_for_the_latest_looks_at_the_files_first(stage: Stage, data: Path) -> None:
    """A run can be started right after the first file was put there."""
    assert datasets.latest(stage.resources, "customers").name == "customers@v1"


def test_a_dataset_without_files_or_section_is_refused(stage: Stage) -> None:
    """One message says where to put a file, the other which datasets there are."""
    with pytest.raises(NoData, match=r"data/\*\.parquet"):
        datasets.latest(stage.resources, "customers")
    with pytest.raises(UnknownName, match=r"No dataset named 'others'. Known: customers"):
        datasets.scan(stage.resources, "others")


def test_a_dataset_belongs_to_the_one_pipeline_that_it_feeds(stage: Stage, data: Path) -> None:
    """The event can be filtered by it; a dataset of two pipelines belongs to none."""
    stage.declare()
    scan(stage)
    stage.declare(pipeline="value")
    write_parquet(data / "2026-02.parquet", projects.customers(5, first=500))
    scan(stage)
    assert [event.pipeline for event in stage.events("dataset.version.published")] == ["churn", ""]


def test_a_dataset_tells_its_columns_and_label(stage: Stage, data: Path) -> None:
    """A pipeline need not know them by heart."""
    version = opened(stage, scan(stage))
    assert version.label == "left"
    assert version.columns["plan"] == "VARCHAR"
