"""Outcomes that arrive later: taken in once, joined once, and what they say about a model."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ratchet import clock
from ratchet.errors import UnknownPrediction
from ratchet.loop import feedback, predictions
from ratchet.loop.feedback import Outcome, OutcomeBatch
from ratchet.loop.frames import connect
from ratchet.records import Actor, ModelVersion
from tests import projects
from tests.loops import Stage

SHOP = Actor(authtype="service_account", authid="shop", claims={"system": "shop"})


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves, of a pipeline that was declared."""
    stage.declare()
    made = stage.add_version()
    stage.make_live(made)
    return made


def outcomes(ids: Sequence[str], value: float = 1.0, **fields: Any) -> list[Outcome]:
    """Return the same outcome for some predictions."""
    return [Outcome(prediction_id=one, value=value, fields=fields) for one in ids]


def receive(stage: Stage, found: Sequence[Outcome], *, key: str) -> OutcomeBatch:
    """Take outcomes in, sent by the shop."""
    return feedback.receive(stage.resources, "churn", found, sender=SHOP, key=key)


def known(stage: Stage) -> dict[str, float]:
    """Return the outcome that counts for each prediction."""
    paths = [stage.resources.folder / one.file for one in feedback.batches(stage.resources, "churn")]
    with connect() as connection:
        rows = connection.execute(feedback.outcomes_query(paths)).fetchall()
    return {str(row[0]): float(row[1]) for row in rows}


def test_a_batch_is_taken_once(stage: Stage, version: ModelVersion) -> None:
    """A sender that got no answer sends again, and gets the answer of the first time."""
    ids = stage.answer(version, at=projects.START)
    first = receive(stage, outcomes(ids), key="b1")
    assert receive(stage, outcomes(ids), key="b1") == first
    assert feedback.batches(stage.resources, "churn") == [first]
    assert first.rows == 10


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([1, None, 2.5], [1.0, None, 2.5]),
        ([None, None], [None, None]),
        (["x", None], ["x", None]),
        ([True, None], [True, None]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([{"a": 1}, None], [{"a": 1}, None]),
        ([2**70, 1], [2**70, 1]),
    ],
)
def test_what_a_sender_tells_besides_is_kept(
    stage: Stage, version: ModelVersion, values: list[Any], expected: list[Any]
) -> None:
    """Whatever JSON has, as it was told; what was not told is missing."""
    ids = stage.answer(version, at=projects.START, count=len(values))
    found = [
        Outcome(prediction_id=one, value=1.0, fields={"told": value}) for one, value in zip(ids, values, strict=True)
    ]
    batch = receive(stage, found, key="b1")
    with connect() as connection:
        path = stage.resources.folder / batch.file
        rows = connection.execute(f"SELECT field_told FROM '{path}' ORDER BY prediction_id").fetchall()
    assert [row[0] for row in rows] == expected


def test_one_unknown_prediction_refuses_the_whole_batch(stage: Stage, version: ModelVersion) -> None:
    """None of it is taken; the first unknown id and their number are in the message."""
    ids = stage.answer(version, at=projects.START)
    with pytest.raises(UnknownPrediction, match=r"2 outcomes.*'ghost\.1'.*None of this request was taken.*Send"):
        receive(stage, outcomes([*ids, "ghost.2", "ghost.1"]), key="b1")
    assert feedback.batches(stage.resources, "churn") == []
    assert receive(stage, outcomes(ids), key="b1").rows == 10


def test_an_outcome_may_come_before_its_day_is_sealed_and_long_after(stage: Stage, version: ModelVersion) -> None:
    """Predictions are looked for in the spool, in open files, and in the whole log."""
    ids = stage.answer(version, at=projects.START)
    receive(stage, outcomes(ids[:5]), key="soon")
    clock.advance(projects.START + timedelta(days=40))
    predictions.tend(stage.resources)
    assert receive(stage, outcomes(ids[5:]), key="late").rows == 5


def test_the_latest_outcome_wins(stage: Stage, version: ModelVersion) -> None:
    """Of two batches the later, and of two outcomes in one batch the one that stands below."""
    ids = stage.answer(version, at=projects.START, count=3)
    receive(stage, outcomes(ids, 0.0), key="z-first")
    clock.advance(projects.START + timedelta(hours=1))
    twice = [*outcomes(ids[1:2], 0.0), *outcomes(ids[1:2], 1.0), *outcomes(ids[2:], 1.0), *outcomes(ids[2:], 0.0)]
    receive(stage, twice, key="a-second")
    assert known(stage) == {ids[0]: 0.0, ids[1]: 1.0, ids[2]: 0.0}


def test_outcomes_are_joined_once(stage: Stage, version: ModelVersion) -> None:
    """The event counts what is new; with nothing new there is none."""
    ids = stage.answer(version, at=projects.START)
    with stage.command("nothing yet"):
        assert feedback.join_feedback(stage.resources, "churn") is None
    receive(stage, outcomes(ids[:4]), key="b1")
    with stage.command("first"):
        joined = feedback.join_feedback(stage.resources, "churn")
    assert joined is not None
    assert joined.data["rows"] == 4
    # Answered 0, 1, 2 and 3 seconds after the start, and received now.
    hours = (clock.now() - projects.START).total_seconds() / 3600
    assert joined.data["median_delay_hours"] == pytest.approx(hours - 1.5 / 3600, abs=0.001)
    assert joined.data["senders"] == [{"authtype": "service_account", "claims": {"system": "shop"}}]
    receive(stage, outcomes(ids[4:7]), key="b2")
    with stage.command("second"):
        again = feedback.join_feedback(stage.resources, "churn")
    assert again is not None
    assert again.data["rows"] == 3
    with stage.command("third"):
        assert feedback.join_feedback(stage.resources, "churn") is None
    assert len(feedback.joined_files(stage.resources, "churn")) == 2


def test_a_join_that_is_done_again_returns_the_first_event(stage: Stage, version: ModelVersion) -> None:
    """Killed behind the commit: outcomes that came meanwhile wait for the next join, which counts them."""
    ids = stage.answer(version, at=projects.START)
    receive(stage, outcomes(ids[:4]), key="b1")
    with stage.command("join"):
        first = feedback.join_feedback(stage.resources, "churn")
    receive(stage, outcomes(ids[4:]), key="b2")
    with stage.command("join"):
        assert feedback.join_feedback(stage.resources, "churn") == first
    with stage.command("next"):
        later = feedback.join_feedback(stage.resources, "churn")
    assert later is not None
    assert later.data["rows"] == 6


def test_coverage_is_the_share_of_sealed_predictions(stage: Stage, version: ModelVersion) -> None:
    """Without a sealed day it is not known, and said so."""
    ids = stage.answer(version, at=projects.START)
    receive(stage, outcomes(ids[:5]), key="b1")
    with stage.command("first"):
        joined = feedback.join_feedback(stage.resources, "churn")
    clock.advance(projects.START + timedelta(days=2))
    predictions.tend(stage.resources)
    receive(stage, outcomes(ids[5:7]), key="b2")
    with stage.command("second"):
        later = feedback.join_feedback(stage.resources, "churn")
    assert joined is not None
    assert later is not None
    assert (joined.data["coverage"], later.data["coverage"]) == (None, 0.7)


def test_the_live_metric_is_sklearns(stage: Stage, version: ModelVersion) -> None:
    """The area under the curve of what was answered, by day and in all, with the rows that it stands on."""
    chance = np.random.default_rng(3)
    scores = chance.choice([0.1, 0.4, 0.5, 0.9], 80)
    truth = (scores + chance.normal(0, 0.4, 80) > 0.5).astype(float)
    ids = stage.answer(version, at=projects.START, count=40, scores=scores[:40], request="a")
    ids += stage.answer(version, at=projects.START + timedelta(days=1), count=40, scores=scores[40:], request="b")
    labelled = [Outcome(prediction_id=one, value=value) for one, value in zip(ids[:70], truth[:70], strict=True)]
    receive(stage, labelled, key="b1")
    (whole,) = feedback.metrics(stage.resources, "churn", by="all")
    assert (whole.predictions, whole.labelled) == (80, 70)
    assert whole.value == pytest.approx(roc_auc_score(truth[:70], scores[:70]))
    first, second = feedback.metrics(stage.resources, "churn", by="day")
    assert first.value == pytest.approx(roc_auc_score(truth[:40], scores[:40]))
    assert second.value == pytest.approx(roc_auc_score(truth[40:70], scores[40:70]))
    (month,) = feedback.metrics(stage.resources, "churn")
    assert month.period == "2026-01"
    (since,) = feedback.metrics(stage.resources, "churn", by="all", since=projects.START + timedelta(days=1))
    assert since.predictions == 40


def test_one_class_gives_no_number(stage: Stage, version: ModelVersion) -> None:
    """Where everybody stayed nothing can be ranked: the value is missing, not one half."""
    ids = stage.answer(version, at=projects.START)
    assert feedback.metrics(stage.resources, "churn") == []
    receive(stage, outcomes(ids), key="b1")
    (found,) = feedback.metrics(stage.resources, "churn", by="all")
    assert (found.labelled, found.value) == (10, None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=2, max_size=60))
def test_the_area_in_sql_is_sklearns_with_ties(rows: list[tuple[float, bool]]) -> None:
    """Ranks share their places where scores are equal."""
    truth = [outcome for _, outcome in rows]
    scored = pd.DataFrame({"period": "all", "score": [score for score, _ in rows], "outcome": np.array(truth, float)})
    with duckdb.connect() as connection:
        connection.register("scored", scored)
        ((_, area, labelled),) = connection.execute(feedback.AREA).fetchall()
    assert labelled == len(rows)
    if len(set(truth)) == 1:
        assert area is None
    else:
        assert area == pytest.approx(roc_auc_score(truth, scored["score"]))
