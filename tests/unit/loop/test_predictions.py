"""The prediction log at rest: collected once, sealed once, whatever breaks off in between."""

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import clock, faults
from ratchet.loop import predictions, registry
from ratchet.loop.frames import connect
from ratchet.loop.predictions import Segment
from ratchet.loop.serving.log import Frame, PredictionLog
from ratchet.records import Event, ModelVersion, derive_id
from ratchet.store.artifacts import hash_file
from tests import projects
from tests.loops import Stage
from tests.waiting import PATIENCE_SECONDS

NEXT_DAY = projects.START + timedelta(days=1, hours=1)


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves."""
    made = stage.add_version()
    stage.make_live(made)
    return made


def logged(stage: Stage, endpoint: str = "churn") -> list[str]:
    """Return the ids of all predictions in the log, sorted, as they lie in its files."""
    paths = predictions.files(stage.resources, endpoint)
    if not paths:
        return []
    with connect() as connection:
        names = ", ".join(f"'{path}'" for path in paths)
        query = f"SELECT prediction_id FROM read_parquet([{names}], union_by_name=true) ORDER BY 1"
        return [str(row[0]) for row in connection.execute(query).fetchall()]


def seal(stage: Stage) -> list[Segment]:
    """Seal what is over on the next day."""
    clock.advance(NEXT_DAY)
    return predictions.tend(stage.resources)


def test_frames_are_collected_once(stage: Stage, version: ModelVersion) -> None:
    """A second look finds nothing more, and spool files that are done disappear."""
    ids = stage.answer(version, at=projects.START)
    assert predictions.collect(stage.resources) == len(ids)
    assert logged(stage) == sorted(ids)
    assert predictions.collect(stage.resources) == 0
    assert list((stage.resources.serving / "spool").iterdir()) == []


def test_a_day_is_sealed_when_it_is_over(stage: Stage, version: ModelVersion) -> None:
    """One segment a day; its hash is in the ledger, and what it was made of is gone."""
    ids = stage.answer(version, at=projects.START, count=12)
    assert predictions.tend(stage.resources) == []
    (made,) = seal(stage)
    assert (made.name, made.rows, made.versions) == ("churn/2026-01-05", 12, {"churn@v1": 12})
    assert hash_file(stage.resources.folder / made.file) == made.sha256
    assert logged(stage) == sorted(ids)
    assert predictions.tend(stage.resources) == []
    (sealed,) = stage.events("prediction_log.segment.sealed")
    assert sealed.data["sha256"] == made.sha256
    assert predictions.segments(stage.resources, "churn") == [made]
    assert not list((stage.resources.folder / "predictions" / "churn").glob("open/*"))


def test_a_segment_counts_the_inputs_of_each_version(stage: Stage, version: ModelVersion) -> None:
    """What drift is computed from: each input's bins add up to the rows."""
    stage.answer(version, at=projects.START, count=12)
    (made,) = seal(stage)
    assert set(made.counts["churn@v1"]) == set(projects.FEATURES)
    assert {sum(counts) for counts in made.counts["churn@v1"].values()} == {12}


def test_what_is_missing_is_counted_as_missing(stage: Stage, version: ModelVersion) -> None:
    """A missing number and a missing text stand in the last bin of their inputs, and are missing in the segment."""
    stage.answer(version, at=projects.START, count=2)
    log = PredictionLog(stage.resources.serving, writer=clock.new_id())
    columns: dict[str, list[Any]] = {"visits": [None], "spend": [1.0], "plan": [None]}
    moment = int(projects.START.timestamp() * 1e6) + 7
    shared = {"traffic_id": "", "caller": "shop", "latency_us": 1, "status": 200, "scores": [0.5], "columns": columns}
    log.append(
        Frame(
            request_id="gap",
            endpoint="churn",
            version=version.name,
            time=moment,
            prediction_ids=["gap.0"],
            **shared,  # type: ignore[arg-type]
        )
    )
    log.close()
    (made,) = seal(stage)
    counts = made.counts["churn@v1"]
    assert (counts["visits"][-1], counts["spend"][-1], counts["plan"][-1]) == (1, 0, 1)
    with connect() as connection:
        path = stage.resources.folder / made.file
        query = f"SELECT feature_visits, feature_plan, epoch_us(time) FROM '{path}' WHERE prediction_id = 'gap.0'"
        assert connection.execute(query).fetchall() == [(None, None, moment)]
        kinds = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    assert (kinds["time"], kinds["latency_us"], kinds["score"]) == ("TIMESTAMP WITH TIME ZONE", "BIGINT", "DOUBLE")


def test_a_repeated_request_counts_once(stage: Stage, version: ModelVersion) -> None:
    """The endpoint process was killed behind the frame, and the caller asked again: one prediction, one use."""
    ids = stage.answer(version, at=projects.START, count=5)
    stage.answer(version, at=projects.START + timedelta(minutes=1), count=5)
    assert predictions.collect(stage.resources) == 10
    (made,) = seal(stage)
    assert made.rows == 5
    assert logged(stage) == sorted(ids)
    (usage,) = stage.events("usage.recorded")
    assert (usage.data["count"], usage.data["rows"], usage.data["errors"]) == (5, 5, 0)


def test_usage_follows_from_the_traffic_that_it_was(stage: Stage, version: ModelVersion) -> None:
    """Calls are counted by version and caller, each caused by what made that version answer."""
    stage.answer(version, at=projects.START, count=3, request="a")
    second = stage.add_version()
    release = stage.make_live(second)
    stage.answer(second, at=projects.START + timedelta(hours=1), count=4, request="b")
    seal(stage)
    usage = stage.events("usage.recorded")
    assert sorted((event.data["version"], event.data["count"]) for event in usage) == [("churn@v1", 3), ("churn@v2", 4)]
    assert {event.causationid for event in usage} == {event.id for event in stage.events("traffic.shifted")}
    assert next(event for event in usage if event.data["version"] == second.name).causationid == release.traffic_event


def test_answers_of_a_release_that_never_went_live_follow_from_its_start(stage: Stage, version: ModelVersion) -> None:
    """An endpoint may have followed a deployment that failed after that: its day is sealed like any other."""
    with stage.command("deploy"):
        event = Event(type="deployment.started", subject="d9", id=derive_id("d9", "deployment.started"))
        started = stage.ledger.record(event)[0]
    with stage.database.read() as connection:
        live = registry.live_release(connection, "churn")
    assert live is not None
    attempt = msgspec.structs.replace(live, deployment_id="d9", status="refused", traffic_event="")
    with stage.database.write() as transaction:
        registry.put_release(transaction, attempt)
        # What the endpoint was told while it was tried.
        going = msgspec.structs.replace(live, traffic_event=derive_id("d9", "traffic.shifted"))
        registry.put_release(transaction, going)
    ids = stage.answer(version, at=projects.START)
    (made,) = seal(stage)
    assert made.rows == len(ids)
    (sealed,) = stage.events("prediction_log.segment.sealed")
    assert sealed.causationid == started.id


def test_late_frames_get_a_segment_of_their_own(stage: Stage, version: ModelVersion) -> None:
    """What comes after its day was sealed is kept beside it, and the sealed file is not touched."""
    early = stage.answer(version, at=projects.START, count=4, request="early")
    (first,) = seal(stage)
    late = stage.answer(version, at=projects.START + timedelta(hours=2), count=3, request="late")
    (second,) = seal(stage)
    assert (second.name, second.rows) == ("churn/2026-01-05-2", 3)
    assert hash_file(stage.resources.folder / first.file) == first.sha256
    assert logged(stage) == sorted([*early, *late])
    third = stage.answer(version, at=projects.START + timedelta(hours=3), count=1, request="very late")
    assert [one.name for one in seal(stage)] == ["churn/2026-01-05-3"]
    assert logged(stage) == sorted([*early, *late, *third])


def test_a_midnight_is_that_of_the_project(stage: Stage, version: ModelVersion) -> None:
    """A day is one of the project's calendar."""
    stage.configure(projects.SETTINGS.replace('owner = "growth"', 'time_zone = "America/New_York"', 1))
    stage.answer(version, at=projects.START + timedelta(hours=3), count=1)
    assert [one.day for one in seal(stage)] == ["2026-01-04"]
    assert predictions.day_start(stage.resources, "2026-01-05") == projects.START + timedelta(hours=5)


def test_files_can_be_limited_to_the_last_days(stage: Stage, version: ModelVersion) -> None:
    """Sealed and open ones, from the day of a moment on."""
    stage.answer(version, at=projects.START, count=2, request="old")
    seal(stage)
    stage.answer(version, at=NEXT_DAY, count=2, request="new")
    predictions.collect(stage.resources)
    assert len(predictions.files(stage.resources, "churn")) == 2
    assert len(predictions.files(stage.resources, "churn", since=NEXT_DAY)) == 1
    assert predictions.files(stage.resources, "churn", since=NEXT_DAY + timedelta(days=1)) == []


def test_two_collectors_at_once_lose_nothing(
    stage: Stage, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes that come in collect while the heartbeat does: the slower must not undo what the faster did."""
    log = PredictionLog(stage.resources.serving, writer=clock.new_id())
    ids = stage.answer(version, at=projects.START, count=5, log=log)
    write = predictions._write_open
    other = threading.Thread(target=predictions.collect, args=[stage.resources])
    has_written, may_go_on = threading.Event(), threading.Event()

    def interleaved(*args: Any, **kwargs: Any) -> None:
        if threading.current_thread() is other:
            write(*args, **kwargs)
            has_written.set()
            may_go_on.wait(PATIENCE_SECONDS)
            return
        # Between reading and writing more frames come, and the other collector is faster, if it may.
        ids.extend(stage.answer(version, at=projects.START, count=5, first=5, log=log))
        other.start()
        has_written.wait(0.5)
        write(*args, **kwargs)

    monkeypatch.setattr(predictions, "_write_open", interleaved)
    predictions.collect(stage.resources)
    may_go_on.set()
    other.join()
    log.close()
    monkeypatch.undo()
    predictions.collect(stage.resources)
    assert logged(stage) == sorted(ids)


@pytest.mark.parametrize(
    ("point", "passage"),
    [
        ("frames.before_offset", 1),
        ("segment.before_row", 1),
        ("segment.before_removal", 1),
        ("write.before_commit", 2),
        ("write.after_commit", 2),
    ],
)
def test_whatever_is_killed_each_prediction_is_in_one_segment(
    stage: Stage, version: ModelVersion, tmp_path: Path, point: str, passage: int
) -> None:
    """A process dies at a fault point, another goes on, and late frames come in between."""
    ids = stage.answer(version, at=projects.START, count=6, request="a")
    predictions.collect(stage.resources)
    ids += stage.answer(version, at=projects.START + timedelta(hours=5), count=4, request="b")
    clock.advance(NEXT_DAY)
    token = tmp_path / "token"
    token.touch()
    environment = {**os.environ, faults.VARIABLE: f"{point}:{passage}:{token}"}
    command = [sys.executable, "-m", "tests.unit.loop.collecting", str(stage.resources.project)]
    subprocess.run(command, env=environment, check=False, timeout=PATIENCE_SECONDS)
    ids += stage.answer(version, at=projects.START + timedelta(hours=6), count=2, request="late")
    predictions.tend(stage.resources)
    assert logged(stage) == sorted(ids)
    sealed = predictions.segments(stage.resources, "churn")
    assert sum(one.rows for one in sealed) == len(ids)
    assert sum(event.data["rows"] for event in stage.events("usage.recorded")) == len(ids)


def test_a_removal_that_broke_off_is_finished(stage: Stage, version: ModelVersion) -> None:
    """Killed between two of a sealed day's parts: what is left of them is not sealed again."""
    ids = stage.answer(version, at=projects.START, count=3, request="a")
    predictions.collect(stage.resources)
    ids += stage.answer(version, at=projects.START + timedelta(hours=1), count=3, request="b")
    predictions.collect(stage.resources)
    parts = sorted((stage.resources.folder / "predictions" / "churn" / "open" / "2026-01-05").iterdir())
    kept = {path: path.read_bytes() for path in parts}
    seal(stage)
    parts[-1].parent.mkdir(parents=True, exist_ok=True)
    parts[-1].write_bytes(kept[parts[-1]])
    predictions.tend(stage.resources)
    assert not parts[-1].exists()
    assert sum(one.rows for one in predictions.segments(stage.resources, "churn")) == len(ids)
    assert logged(stage) == sorted(ids)


def test_an_empty_day_is_cleared_away(stage: Stage, version: ModelVersion) -> None:
    """Killed between the last part and its folder, or in the middle of a part: the next look removes what is left."""
    stage.answer(version, at=projects.START, count=1)
    seal(stage)
    folder = stage.resources.folder / "predictions" / "churn" / "open" / "2026-01-05"
    folder.mkdir(parents=True)
    (folder / ".a.parquet.123-01ABC").write_bytes(b"half")
    assert predictions.tend(stage.resources) == []
    assert not folder.exists()
    assert len(predictions.segments(stage.resources, "churn")) == 1


def test_refused_requests_are_counted_and_are_no_predictions(stage: Stage, version: ModelVersion) -> None:
    """A frame without prediction is an error in the usage, and no row of the segment."""
    stage.answer(version, at=projects.START, count=2)
    log = PredictionLog(stage.resources.serving, writer=clock.new_id())
    frame = Frame(
        request_id="bad",
        endpoint="churn",
        version=version.name,
        traffic_id=stage.events("traffic.shifted")[0].id,
        caller="shop",
        time=int(projects.START.timestamp() * 1e6),
        latency_us=100,
        status=400,
        error="no",
    )
    log.append(frame)
    log.close()
    (made,) = seal(stage)
    assert made.rows == 2
    (usage,) = stage.events("usage.recorded")
    assert (usage.data["count"], usage.data["rows"], usage.data["errors"]) == (3, 2, 1)


def test_inputs_are_given_back_under_their_own_names() -> None:
    """The log's columns have a prefix, so that an input may be called ``time``."""
    assert predictions.feature_columns(["time", "x"]) == '"feature_time" AS "time", "feature_x" AS "x"'
