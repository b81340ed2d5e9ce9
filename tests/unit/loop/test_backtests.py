"""What another version would have answered to the same requests."""

from datetime import timedelta

import duckdb
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ratchet import clock
from ratchet.loop import backtests, feedback, predictions
from ratchet.loop.feedback import Outcome
from ratchet.records import Actor, ModelVersion
from tests import projects
from tests.loops import Stage

SHOP = Actor(authtype="service_account", authid="shop", claims={"system": "shop"})
DAYS = 4


@pytest.fixture
def truth(stage: Stage, simulated: None) -> dict[str, float]:
    """Four days of requests, answered by chance, and what came of them: customers left where they came rarely."""
    stage.declare()
    version = stage.add_version()
    stage.make_live(version)
    chance = np.random.default_rng(5)
    found: dict[str, float] = {}
    for day in range(DAYS):
        visits = projects.customers(30, seed=day)["visits"].to_numpy()
        ids = stage.answer(
            version,
            at=clock.now() + timedelta(hours=1),
            count=30,
            request=f"d{day}-",
            visits=visits,
            scores=chance.random(30),
        )
        found |= dict(zip(ids, (visits < 5).astype(float), strict=True))
        clock.advance(clock.now() + timedelta(days=1))
        predictions.tend(stage.resources)
    clock.advance(clock.now() + timedelta(hours=1))
    predictions.tend(stage.resources)
    outcomes = [Outcome(prediction_id=one, value=value) for one, value in found.items()]
    feedback.receive(stage.resources, "churn", outcomes, sender=SHOP, key="all")
    return found


def test_the_same_rows_are_scored_by_the_other_version(stage: Stage, truth: dict[str, float]) -> None:
    """The first version would have seen what chance did not, and each segment is scored once."""
    ((live, other),) = backtests.compare(stage.resources, "churn")
    assert (live.predictions, live.labelled) == (len(truth), len(truth))
    assert other is not None
    assert live.value is not None
    assert other > live.value
    files = backtests.replay(stage.resources, "churn@v1")
    assert len(files) == DAYS
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT prediction_id, score FROM read_parquet({[str(one) for one in files]})")
        scores = dict(rows.fetchall())
    names = sorted(truth)
    assert other == pytest.approx(roc_auc_score([truth[one] for one in names], [scores[one] for one in names]))
    times = [path.stat().st_mtime_ns for path in files]
    backtests.replay(stage.resources, "churn@v1")
    assert [path.stat().st_mtime_ns for path in files] == times


def test_chance_loses_against_a_model(stage: Stage, truth: dict[str, float]) -> None:
    """The whole spread is below zero, and the mean lies inside of it."""
    gain = backtests.bootstrap_gain(stage.resources, "churn", resamples=20)
    assert gain is not None
    assert gain.low <= gain.mean <= gain.high < 0


def test_the_gain_is_the_mean_of_the_months(stage: Stage, truth: dict[str, float]) -> None:
    """Without resampling it is the difference of the two areas; the seed makes the spread repeatable."""
    ((live, other),) = backtests.compare(stage.resources, "churn")
    first, again, second = (
        backtests.bootstrap_gain(stage.resources, "churn", resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first is not None
    assert live.value is not None
    assert other is not None
    assert first.mean == pytest.approx(live.value - other)
    assert first == again != second


def test_where_nothing_was_answered_nothing_is_compared(stage: Stage, simulated: None) -> None:
    """No endpoint, no number."""
    assert backtests.first_version(stage.resources, "churn") == ""
    assert backtests.compare(stage.resources, "churn") == []
    assert backtests.bootstrap_gain(stage.resources, "churn", resamples=5) is None


def test_a_later_first_month_leaves_nothing(stage: Stage, truth: dict[str, float]) -> None:
    """Only months from a given one on count."""
    assert backtests.bootstrap_gain(stage.resources, "churn", resamples=5, first="2026-02") is None


def test_the_first_version_is_the_one_that_served_first(stage: Stage, simulated: None) -> None:
    """Not the one that was registered first."""
    versions: list[ModelVersion] = [stage.add_version() for _ in range(2)]
    stage.make_live(versions[1])
    clock.advance(clock.now() + timedelta(hours=1))
    stage.make_live(versions[0])
    assert backtests.first_version(stage.resources, "churn") == "churn@v2"


def test_weights_change_the_area_as_repeated_rows_do() -> None:
    """A day that was drawn twice counts twice, and ties count half."""
    import pandas as pd

    rows = pd.DataFrame(
        {
            "day": ["a"] * 4 + ["b"] * 4,
            "outcome": [0, 1, 0, 1, 1, 0, 1, 0],
            "live": [0.1, 0.1, 0.5, 0.9, 0.4, 0.4, 0.2, 0.7],
            "other": [0.5] * 8,
        }
    )
    month = backtests._PairedMonth(rows)
    twice = pd.concat([rows, rows[rows["day"] == "b"]])
    expected = roc_auc_score(twice["outcome"], twice["live"]) - 0.5
    assert month.gain(np.array([1.0, 2.0])) == pytest.approx(expected)


def test_a_model_without_classes_is_replayed_as_well(stage: Stage, truth: dict[str, float]) -> None:
    """By the same function that gives its scores in production."""
    rows = projects.customers(200)
    model = LogisticRegression().fit(rows[["visits", "spend"]], rows["left"])
    import msgspec

    from ratchet.loop import registry

    version = stage.add_version(model=model)
    narrow = msgspec.structs.replace(version, inputs=version.inputs[:2])
    with stage.database.write() as transaction:
        transaction.exec_driver_sql("DELETE FROM model_version WHERE number = 2")
        registry.add_model_version(transaction, narrow)
    assert len(backtests.replay(stage.resources, "churn@v2")) == DAYS
