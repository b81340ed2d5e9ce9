"""Samples of the traffic: deterministic, from sealed segments only; and the rows that are made of them."""

from datetime import timedelta
from pathlib import Path
from typing import get_args, get_type_hints

import pandas as pd
import pytest

from ratchet import clock
from ratchet.config import SampleSection
from ratchet.errors import UnknownName
from ratchet.loop import datasets, feedback, predictions, sampling
from ratchet.loop.feedback import Outcome
from ratchet.loop.frames import write_parquet
from ratchet.records import Actor, Event, ModelVersion
from ratchet.store import storers
from tests import projects
from tests.loops import Stage

SHOP = Actor(authtype="service_account", authid="shop", claims={"system": "shop"})


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves, of a declared pipeline with a dataset."""
    stage.declare()
    write_parquet(stage.resources.project / "data" / "2026-01.parquet", projects.customers(60))
    datasets.scan(stage.resources, "customers")
    made = stage.add_version()
    stage.make_live(made)
    return made


def seal(stage: Stage, *, days: int = 1) -> None:
    """Let days pass and seal them."""
    clock.advance(clock.now() + timedelta(days=days, hours=1))
    predictions.tend(stage.resources)


def take(stage: Stage, key: str) -> Event | None:
    """Take a sample by a command."""
    with stage.command(key):
        return sampling.take_sample(stage.resources, "churn")


def drawn(stage: Stage, taken: Event | None) -> pd.DataFrame:
    """Return the rows of a sample."""
    assert taken is not None
    return read(stage, taken.data["artifact_digest"])


def read(stage: Stage, artifact: str) -> pd.DataFrame:
    """Return the rows of an artifact."""
    frame: pd.DataFrame = storers.load("frame", stage.resources.artifacts.read(artifact))
    return frame


def settings(**sample: object) -> str:
    """Return settings with a section for samples."""
    lines = "\n".join(f"{name} = {value!r}" for name, value in sample.items())
    return projects.SETTINGS.replace("[sample.churn]\nrows = 30\n", f"[sample.churn]\n{lines}\n")


def test_only_sealed_days_are_sampled_and_each_once(stage: Stage, version: ModelVersion) -> None:
    """What was in the last sample's segments is not in the next one's."""
    first = stage.answer(version, at=projects.START, count=10, request="a")
    assert take(stage, "too early") is None
    seal(stage)
    assert set(drawn(stage, take(stage, "first"))["prediction_id"]) == set(first)
    second = stage.answer(version, at=clock.now(), count=5, request="b")
    assert take(stage, "nothing new") is None
    seal(stage)
    assert set(drawn(stage, take(stage, "second"))["prediction_id"]) == set(second)


def test_a_random_sample_is_the_same_for_the_same_seed(stage: Stage, version: ModelVersion) -> None:
    """It is drawn by a hash of the ids, so it can be drawn again anywhere."""
    stage.answer(version, at=projects.START, count=60)
    seal(stage)
    fresh = predictions.segments(stage.resources, "churn")
    sections = [stage.resources.config.sample["churn"]]
    for seed in (0, 1):
        stage.configure(settings(rows=20, seed=seed))
        sections.append(stage.resources.config.sample["churn"])
    found = [sampling._draw(stage.resources, fresh, each) for each in sections]
    assert sampling._draw(stage.resources, fresh, sections[1]) == found[1]
    assert [rows for rows, _ in found] == [30, 20, 20]
    thirty, zero, one = (list(read(stage, artifact)["prediction_id"]) for _, artifact in found)
    assert thirty[:20] == zero
    assert set(one) != set(zero)


def test_the_least_confident_come_first(stage: Stage, version: ModelVersion) -> None:
    """Those whose score is nearest to one half."""
    stage.configure(settings(strategy="least_confidence", rows=3))
    stage.answer(version, at=projects.START, count=5, scores=[0.9, 0.45, 0.52, 0.1, 0.5])
    seal(stage)
    assert sorted(drawn(stage, take(stage, "one"))["prediction_id"]) == ["r1.0", "r2.0", "r4.0"]


def test_the_settings_take_the_strategies_that_there_are() -> None:
    """No name can be written down that nothing draws by."""
    assert get_args(get_type_hints(SampleSection)["strategy"]) == tuple(sampling.STRATEGIES)


def test_a_sample_that_is_taken_again_is_the_first(stage: Stage, version: ModelVersion) -> None:
    """Killed behind the commit: what was sealed meanwhile is left for the next sample."""
    stage.answer(version, at=projects.START, count=5, request="a")
    seal(stage)
    first = take(stage, "one")
    later = stage.answer(version, at=clock.now(), count=5, request="b")
    seal(stage)
    assert take(stage, "one") == first
    assert set(drawn(stage, take(stage, "two"))["prediction_id"]) == set(later)


def test_a_late_segment_is_sampled_too(stage: Stage, version: ModelVersion) -> None:
    """Frames that came after their day was sealed and sampled are in the next sample."""
    stage.answer(version, at=projects.START, count=5, request="a")
    seal(stage)
    stage.answer(version, at=projects.START + timedelta(days=1), count=5, request="b")
    seal(stage)
    take(stage, "one")
    late = stage.answer(version, at=projects.START, count=3, request="late")
    seal(stage)
    assert set(drawn(stage, take(stage, "two"))["prediction_id"]) == set(late)


def send(stage: Stage, ids: list[str], *, key: str = "b1") -> None:
    """Send what came of predictions, and join it."""
    found = [
        Outcome(
            prediction_id=one,
            value=number % 2,
            fields={"customer": f"new-{one}", "seen_at": projects.START.isoformat(), "known_at": None},
        )
        for number, one in enumerate(ids)
    ]
    feedback.receive(stage.resources, "churn", found, sender=SHOP, key=key)
    with stage.command(f"join/{key}"):
        feedback.join_feedback(stage.resources, "churn")


def build(stage: Stage, key: str) -> Event | None:
    """Build the dataset by a command."""
    with stage.command(key):
        return sampling.build_dataset(stage.resources, "churn")


def test_a_row_has_the_logged_inputs_and_the_joined_outcome(stage: Stage, version: ModelVersion) -> None:
    """Types are those of the dataset; what the sender told fills the other columns."""
    ids = stage.answer(version, at=projects.START, count=6)
    seal(stage)
    take(stage, "sample")
    assert build(stage, "no outcomes yet") is None
    send(stage, ids[:4])
    event = build(stage, "build")
    assert event is not None
    assert event.type == "dataset.version.published"
    assert event.data["generated"] is True
    version2 = datasets.latest(stage.resources, "customers")
    opened = datasets.open_version(version2.manifest, name=version2.name, artifacts=stage.resources.artifacts)
    rows = opened.to_pandas()
    made = rows[rows["customer"].str.startswith("new-")].sort_values("customer")
    assert list(made["customer"]) == [f"new-{one}" for one in ids[:4]]
    assert list(made["left"]) == [0, 1, 0, 1]
    asked = projects.customers(6, seed=7)
    assert list(made["visits"]) == list(asked["visits"][:4])
    assert list(made["plan"]) == list(asked["plan"][:4])
    assert made["known_at"].isna().all()
    assert rows.dtypes.to_dict() == opened.to_pandas(columns=list(rows.columns)).dtypes.to_dict()


def test_a_sample_is_used_once(stage: Stage, version: ModelVersion) -> None:
    """Its rows are in the dataset; the next build waits for the next sample."""
    ids = stage.answer(version, at=projects.START, count=6)
    seal(stage)
    take(stage, "sample")
    send(stage, ids)
    assert build(stage, "build") is not None
    assert build(stage, "again") is None


def test_a_build_that_is_done_again_returns_the_first_event(stage: Stage, version: ModelVersion) -> None:
    """Killed behind the commit, with a further sample in between: nothing is built twice, and nothing left out."""
    ids = stage.answer(version, at=projects.START, count=6, request="a")
    seal(stage)
    take(stage, "sample")
    send(stage, ids)
    first = build(stage, "build")
    later = stage.answer(version, at=clock.now(), count=4, request="b")
    seal(stage)
    take(stage, "second sample")
    send(stage, later, key="b2")
    assert build(stage, "build") == first
    second = build(stage, "next")
    assert second is not None
    assert second.data["row_count"] == 60 + 6 + 4


def test_without_prediction_or_dataset_there_is_nothing_to_build(stage: Stage, simulated: None, tmp_path: Path) -> None:
    """A pipeline that was not declared, or that takes no dataset, is named."""
    with pytest.raises(UnknownName, match=r"No pipeline named 'churn'. Known: none yet"):
        build(stage, "undeclared")
    stage.declare(dataset="")
    with pytest.raises(UnknownName, match=r"takes no rt.Dataset"):
        build(stage, "no dataset")
