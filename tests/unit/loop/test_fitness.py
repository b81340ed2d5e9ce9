"""Fitness functions and the gate: nothing passes that did not show what it must, and each verdict keeps its numbers."""

import sys
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from ratchet.config import Comparison, FitnessSection, Metric
from ratchet.errors import StepFailed
from ratchet.loop import fitness
from ratchet.records import Event, ModelVersion
from ratchet.store import storers
from ratchet.store.formats.refusals import LibraryMissing
from tests import projects
from tests.loops import Stage

CANDIDATE = {"name": "churn@v2", "metrics": {"roc_auc": 0.80, "log_loss": 0.50}}


def section(metric: str = "roc_auc", **limits: Any) -> FitnessSection:
    """Return a fitness function with some limits."""
    if "champion" in limits:
        limits["no_worse_than"] = Comparison(champion=limits.pop("champion"))
    return FitnessSection(pipeline="churn", metric=metric, **limits)


def scores(champion: dict[str, float] | None = None, *, problems: list[str] | None = None, **metrics: float) -> Any:
    """Return what was measured."""
    return {
        "metrics": metrics,
        "champion": {"name": "churn@v1", "metrics": champion} if champion is not None else None,
        "rows": 100,
        "problems": problems or [],
        "profile": "",
    }


def judge(stage: Stage, version: ModelVersion, measured: Any, *sections: FitnessSection) -> tuple[str, Event]:
    """Judge a version by some sections and return the decision and the gate's event."""
    import msgspec

    stage.resources.config = msgspec.structs.replace(stage.resources.config, fitness=sections)
    with stage.database.write() as transaction:
        decision = fitness.judge(stage.resources, transaction, version, measured)
    return decision, stage.events("gate.evaluated")[-1]


CASES = [
    ("above the limit", [section(at_least=0.6)], scores(roc_auc=0.7), "pass", ""),
    ("on the limit", [section(at_least=0.7)], scores(roc_auc=0.7), "pass", ""),
    ("below the limit", [section(at_least=0.75)], scores(roc_auc=0.731), "fail", "at least 0.7500, got 0.7310"),
    ("over the most", [section("log_loss", at_most=0.5)], scores(log_loss=0.6), "fail", "at most 0.5000, got 0.6000"),
    ("under the most", [section("log_loss", at_most=0.5)], scores(log_loss=0.5), "pass", ""),
    ("as good as champion", [section(champion=0.005)], scores({"roc_auc": 0.8}, roc_auc=0.795), "pass", ""),
    (
        "worse than champion",
        [section(champion=0.005)],
        scores({"roc_auc": 0.8}, roc_auc=0.794),
        "fail",
        "no worse than champion 0.7950, got 0.7940",
    ),
    (
        "a loss that is smaller",
        [section("log_loss", champion=0.01)],
        scores({"log_loss": 0.5}, log_loss=0.2),
        "pass",
        "",
    ),
    (
        "a loss that is larger",
        [section("log_loss", champion=0.01)],
        scores({"log_loss": 0.5}, log_loss=0.52),
        "fail",
        "0.5100, got 0.5200",
    ),
    ("one of two fails", [section(at_least=0.6), section(at_least=0.9)], scores(roc_auc=0.7), "fail", "0.9000"),
    ("no fitness function", [], scores(roc_auc=0.9), "fail", r"no fitness function.*add \[\[fitness\]\]"),
    ("no threshold", [section()], scores(roc_auc=0.9), "fail", "no fitness function with a threshold"),
    ("nothing to compare with", [section(champion=0.1)], scores(roc_auc=0.9), "fail", "no fitness function"),
    ("not measured", [section(at_least=0.1)], scores(), "fail", "got nothing"),
    (
        "a bad holdout",
        [section(at_least=0.1, champion=0.1)],
        scores({}, problems=["holdout has 3 rows, at least 50 are needed"]),
        "fail",
        "holdout has 3 rows, at least 50",
    ),
]


@pytest.mark.parametrize(
    ("sections", "measured", "decision", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_gate_decides(stage: Stage, sections: Any, measured: Any, decision: str, reason: str) -> None:
    """It passes only where something was shown and nothing failed; the reason has value and limit."""
    import re

    found, event = judge(stage, stage.add_version(gate=""), measured, *sections)
    assert found == decision == event.data["decision"]
    assert re.search(reason, event.data["reason"])
    assert (event.data["reason"] == "") == (decision == "pass")


def test_without_a_champion_the_comparison_is_recorded_as_not_applicable(stage: Stage) -> None:
    """The first version has nobody to be compared with; another function must vouch for it."""
    decision, _ = judge(stage, stage.add_version(gate=""), scores(roc_auc=0.7), section(at_least=0.6, champion=0.01))
    assert decision == "pass"
    quality = next(event for event in stage.events("fitness.suite.finished") if event.data["kind"] == "quality")
    assert [check["outcome"] for check in quality.data["checks"]] == ["passed", "not_applicable"]
    assert quality.data["checks"][1]["reason"] == "no champion"


def test_a_verdict_keeps_what_it_was_made_from(stage: Stage) -> None:
    """Values, limits, the champion's numbers and the rows; the gate follows from the suites, these from the version."""
    version = stage.add_version(gate="")
    measured = scores({"roc_auc": 0.8}, roc_auc=0.81)
    _, gate = judge(stage, version, measured, section(at_least=0.6, champion=0.01))
    data, quality = stage.events("fitness.suite.finished")
    assert (data.data["kind"], data.data["outcome"], data.causationid) == ("data", "passed", version.event_id)
    assert quality.causationid == data.id
    assert gate.causationid == quality.id
    assert [(check["value"], check["limit"]) for check in quality.data["checks"]] == [(0.81, 0.6), (0.81, 0.79)]
    assert quality.data["checks"][1]["champion"] == "churn@v1"
    assert (quality.data["champion"], quality.data["rows"]) == (measured["champion"], 100)
    assert gate.data["artifact_digest"] == version.artifact


def test_judging_again_changes_nothing(stage: Stage) -> None:
    """A step that is done again finds its events."""
    version = stage.add_version(gate="")
    for _ in range(2):
        judge(stage, version, scores(roc_auc=0.7), section(at_least=0.6))
    assert len(stage.events("gate.evaluated")) == 1
    assert len(stage.events("fitness.suite.finished")) == 2


def test_a_function_for_another_gate_does_not_guard_production(stage: Stage) -> None:
    """A section may name the environment that it guards."""
    decision, _ = judge(stage, stage.add_version(gate=""), scores(roc_auc=0.7), section(at_least=0.9, gate="staging"))
    assert decision == "fail"
    decision, _ = judge(
        stage,
        stage.add_version(gate=""),
        scores(roc_auc=0.7),
        section(at_least=0.9, gate="staging"),
        section(at_least=0.6, gate="production"),
    )
    assert decision == "pass"


@pytest.mark.parametrize("name", sorted(fitness.METRICS))
def test_every_metric_can_be_computed(name: str) -> None:
    """A perfect answer is at least as good as a wrong one, in the direction that ``is_loss`` says."""
    truth = np.array([0, 1, 0, 1, 1, 0])
    good, bad = np.where(truth == 1, 0.9, 0.1), np.where(truth == 1, 0.2, 0.8)
    better, worse = fitness.metric(name, truth, good), fitness.metric(name, truth, bad)
    assert (better < worse) if fitness.is_loss(name) else (better > worse)


def test_a_metric_needs_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing, the fitness function and the extra are named."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(LibraryMissing, match=r"'mae' needs scikit-learn, .*'mlratchet\[sklearn\]'"):
        fitness.metric("mae", np.zeros(2), np.zeros(2))


def test_the_settings_take_the_metrics_that_there_are() -> None:
    """No name can be written down that nothing computes, and none is kept from those who write."""
    assert get_args(Metric) == tuple(fitness.METRICS)


def holdout(**changes: Any) -> pd.DataFrame:
    """Return rows to measure on."""
    return projects.customers(60).assign(**changes)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (holdout(), ""),
        (holdout().drop(columns="left"), "lacks column 'left'"),
        (holdout().head(49), "has 49 rows, at least 50 are needed"),
        (holdout(left=[None, *[1.0] * 59]), "label 'left' is missing in 1 rows"),
        (holdout(left=1), "has one value only"),
    ],
)
def test_a_holdout_must_be_good_for_something(rows: pd.DataFrame, problem: str) -> None:
    """Too few rows, no label or one class: no number is made of it."""
    found = fitness._problems(rows, label="left", columns=["visits", "spend"])
    assert bool(found) == bool(problem)
    assert problem in "".join(found)


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ([0, 1], ""),
        ([False, True], ""),
        (["no", "yes"], "label 'left' has the values no, yes; write 1 for what is to be predicted"),
        ([1, 2], "label 'left' has the values 1, 2; write 1"),
        (["a", "b", "c", "d"], "label 'left' has more than two classes (a, b, c, ...)"),
    ],
)
def test_a_label_of_other_classes_is_refused_in_words(label: list[Any], problem: str) -> None:
    """Nothing is measured or served by the probability of one of three classes, or against words."""
    rows = pd.DataFrame({"x": np.arange(60.0), "left": (label * 60)[:60]})
    model = LogisticRegression().fit(rows[["x"]], rows["left"])
    assert problem in "".join(fitness._class_problems(model, rows["left"]))
    assert bool(fitness._class_problems(model, rows["left"])) == bool(problem)
    assert fitness._class_problems(LinearRegression(), rows["left"]) == []


def candidate(stage: Stage, version: ModelVersion, rows: pd.DataFrame) -> dict[str, Any]:
    """Return a candidate of a version's model on a holdout."""
    return {
        "model": {"storer": "skops", "sha256": version.artifact},
        "holdout": {"storer": "frame", "sha256": stage.resources.artifacts.write(storers.dump(rows)[1])},
        "label": "left",
        "inputs": [dict(one) for one in version.inputs],
    }


def test_candidate_and_champion_are_measured_on_the_same_rows(stage: Stage) -> None:
    """In a child process, by the metrics that ``ratchet.toml`` asks for."""
    stage.declare()
    champion = stage.add_version()
    stage.make_live(champion)
    measured = fitness.score(
        stage.resources, pipeline="churn", candidate=candidate(stage, stage.add_version(), projects.customers(80))
    )
    assert measured["rows"] == 80
    assert measured["problems"] == []
    assert measured["champion"] == {"name": "churn@v1", "metrics": measured["metrics"]}
    assert 0.6 < measured["metrics"]["roc_auc"] <= 1


def test_a_holdout_that_is_too_small_stops_at_the_gate(stage: Stage) -> None:
    """With a champion, too: the gate says why, and nothing breaks."""
    stage.declare()
    stage.make_live(stage.add_version())
    version = stage.add_version(gate="")
    measured = fitness.score(
        stage.resources, pipeline="churn", candidate=candidate(stage, version, projects.customers(10))
    )
    decision, event = judge(stage, version, measured, section(at_least=0.6, champion=0.1))
    assert decision == "fail"
    assert "holdout has 10 rows, at least 50 are needed" in event.data["reason"]


def test_a_smoke_test_loads_and_predicts(stage: Stage) -> None:
    """As an endpoint would, on rows of the version's own holdout."""
    assert fitness.smoke(stage.resources, stage.add_version()) == {"rows": fitness.SMOKE_ROWS}


def test_a_model_that_does_not_give_numbers_fails_its_smoke_test(stage: Stage) -> None:
    """The message has the rows and what came instead."""
    rows = projects.customers(200)
    model = LogisticRegression().fit(rows[["visits", "spend"]], rows["left"])
    model.coef_[:] = np.nan
    version = stage.add_version(model=model)
    inputs = tuple(one for one in version.inputs if one["name"] != "plan")
    import msgspec

    with pytest.raises(StepFailed, match=r"."):
        fitness.smoke(stage.resources, msgspec.structs.replace(version, inputs=inputs))


def test_a_model_with_classes_gives_the_second_ones_probability() -> None:
    """One without classes gives its prediction."""
    from sklearn.linear_model import LinearRegression

    rows = projects.customers(50)[["visits"]]
    left = projects.customers(50)["left"]
    classifier, regressor = LogisticRegression().fit(rows, left), LinearRegression().fit(rows, left)
    assert np.allclose(fitness.predict(classifier, rows), classifier.predict_proba(rows)[:, 1])
    assert np.allclose(fitness.predict(regressor, rows), regressor.predict(rows))
    assert [fitness.output_of(one) for one in (classifier, regressor)] == ["probability", "prediction"]
