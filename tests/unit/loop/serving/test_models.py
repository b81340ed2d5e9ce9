"""A model answers only after its bytes, its columns and its answers were checked."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression

from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ModelUnusable, PredictionFailed
from ratchet.loop.serving.models import build_frame, load_model, preload_libraries
from ratchet.loop.serving.routes import InputColumn, ModelReference, ModelSchema, ReleaseRoute
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts

from .conftest import SCHEMA

Release = Callable[..., ReleaseRoute]
ROWS = {"distance": [2.0, -2.0, None], "hour": [12, 13, 14], "carrier": ["AA", None, "never seen"]}


def _store(artifacts: Artifacts, content: bytes, *, storer: str = "skops") -> ModelReference:
    return ModelReference(sha256=artifacts.write(content), storer=storer)


def test_scores_are_those_of_the_model(artifacts: Artifacts, release: Release, model_bytes: dict[str, bytes]) -> None:
    """The endpoint says what the model says to a data frame of the same rows."""
    rows = {"distance": [2.0, -2.0], "hour": [12, 13], "carrier": ["AA", "UA"]}
    loaded = load_model(release("v1"), artifacts=artifacts)
    direct = storers.load("skops", model_bytes["v1"]).predict_proba(pd.DataFrame(rows))[:, 1]
    assert loaded.predict(rows) == direct.tolist()


def test_frame_has_the_types_of_a_training_frame() -> None:
    """Missing numbers make floats, missing text is NaN as pandas has it, and the order is the model's."""
    schema = ModelSchema(
        inputs=(*SCHEMA.inputs, InputColumn(name="late", datatype="BOOL", kind="number")), output="probability"
    )
    rows = ROWS | {"late": [True, False, True]}
    frame = build_frame(rows, schema=schema, order=("late", "hour", "carrier", "distance"))
    assert list(frame.columns) == ["late", "hour", "carrier", "distance"]
    assert [str(dtype) for dtype in frame.dtypes] == ["bool", "int64", "str", "float64"]
    assert frame["carrier"].isna().tolist() == [False, True, False]
    assert frame["distance"].isna().tolist() == [False, False, True]
    missing = build_frame(rows | {"hour": [1, None, 3]}, schema=schema, order=("hour",))
    assert str(missing["hour"].dtype) == "float64"


@pytest.mark.parametrize("length", [0, 100, None])
def test_changed_bytes_are_refused(
    artifacts: Artifacts, release: Release, model_bytes: dict[str, bytes], length: int | None
) -> None:
    """Truncated or changed bytes are refused before they are parsed."""
    wanted = release("v1")
    content = model_bytes["v1"]
    artifacts.path(wanted.model.sha256).write_bytes(content[:length] if length is not None else content + b"x")
    with pytest.raises(ArtifactCorrupt):
        load_model(wanted, artifacts=artifacts)


def test_a_missing_artifact_is_refused(artifacts: Artifacts, release: Release) -> None:
    """An artifact that is not there is named."""
    absent = hashlib.sha256(b"absent").hexdigest()
    with pytest.raises(ArtifactMissing, match=absent):
        load_model(release("v1", model=ModelReference(sha256=absent, storer="skops")), artifacts=artifacts)


def test_an_unreadable_artifact_is_refused(artifacts: Artifacts, release: Release) -> None:
    """A folder in the place of an artifact is an error of that model and not of the process."""
    wanted = release("v1")
    path: Path = artifacts.path(wanted.model.sha256)
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelUnusable, match="IsADirectoryError"):
        load_model(wanted, artifacts=artifacts)


@pytest.mark.parametrize(
    ("content", "storer", "reason"),
    [
        (b"not a model", "skops", "BadZipFile"),
        (b"[1]", "json", "has no predict_proba"),
        (b"[1]", "pickle", "No storer"),
    ],
)
def test_right_bytes_that_are_no_model_are_refused(
    artifacts: Artifacts, release: Release, content: bytes, storer: str, reason: str
) -> None:
    """Bytes with the right digest can still be no model; the error says why."""
    with pytest.raises(ModelUnusable, match=reason):
        load_model(release("v1", model=_store(artifacts, content, storer=storer)), artifacts=artifacts)


def test_a_model_of_other_columns_is_refused(artifacts: Artifacts, release: Release) -> None:
    """A model that was trained on columns other than its schema names is refused when it is loaded."""
    model = LinearRegression().fit(pd.DataFrame({"distance": [1.0, 2.0], "weight": [1.0, 2.0]}), [1, 2])
    reference = _store(artifacts, storers.dump(model)[1])
    schema = ModelSchema(inputs=SCHEMA.inputs, output="prediction")
    with pytest.raises(ModelUnusable, match="trained on distance, weight"):
        load_model(release("v1", model=reference, schema=schema), artifacts=artifacts)


def test_a_model_of_three_classes_has_no_probability(artifacts: Artifacts, release: Release) -> None:
    """The output 'probability' is the second of two classes, so a model of three is refused."""
    model = DummyClassifier().fit([[1], [2], [3]], ["a", "b", "c"])
    with pytest.raises(ModelUnusable, match="3 classes"):
        load_model(release("v1", model=_store(artifacts, storers.dump(model)[1])), artifacts=artifacts)


def test_a_regression_predicts_numbers(artifacts: Artifacts, release: Release) -> None:
    """The output 'prediction' is what the model predicts."""
    reference = _store(artifacts, storers.dump(DummyRegressor().fit([[1]] * 2, [3.0, 4.0]))[1])
    schema = ModelSchema(inputs=SCHEMA.inputs, output="prediction")
    assert load_model(release("v1", model=reference, schema=schema), artifacts=artifacts).predict(ROWS) == [3.5] * 3


def test_scores_that_are_no_numbers_are_an_error(artifacts: Artifacts, release: Release) -> None:
    """NaN is never sent as a prediction."""
    model = DummyRegressor().fit([[1]], [1.0])
    model.constant_ = np.array([[np.nan]])
    schema = ModelSchema(inputs=SCHEMA.inputs, output="prediction")
    loaded = load_model(
        release("v1", model=_store(artifacts, storers.dump(model)[1]), schema=schema), artifacts=artifacts
    )
    with pytest.raises(PredictionFailed, match="not finite"):
        loaded.predict(ROWS)


def test_what_the_model_raises_becomes_an_error_of_ours(artifacts: Artifacts, release: Release) -> None:
    """A model that refuses missing values is named together with its own words."""
    loaded = load_model(release("v1"), artifacts=artifacts)
    with pytest.raises(PredictionFailed, match=r"delay@v1 .*ValueError: Input X contains NaN"):
        loaded.predict(ROWS)


def test_a_model_is_not_loaded_where_it_could_not_be_asked(
    artifacts: Artifacts, release: Release, model_bytes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pandas no format is served, and the reason names the extra."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModelUnusable, match=r"answers needs pandas, .*pip install 'mlratchet\[sklearn\]'"):
        load_model(release("v1"), artifacts=artifacts)


def test_preloading_never_fails() -> None:
    """Libraries that are not installed are passed over."""
    preload_libraries()
