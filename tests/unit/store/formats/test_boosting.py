"""Models of XGBoost and LightGBM: the same answers, the same bytes, and no way in for code."""

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from ratchet.errors import UntrustedModel
from ratchet.store import storers
from ratchet.store.formats import archives, boosting, estimators
from ratchet.store.formats.refusals import ModelRefused


def rows(*, with_text: bool = False) -> pd.DataFrame:
    """Return rows that a model can be trained on."""
    random = np.random.default_rng(0)
    numbers = pd.DataFrame(random.normal(size=(200, 3)), columns=["a", "b", "c"])
    return numbers.assign(carrier=random.choice(["AA", "UA"], 200)) if with_text else numbers


def classes() -> pd.Series:
    """Return the classes of the rows."""
    return (rows()["a"] + rows()["b"] > 0).astype(int)


def encoded(last: Any) -> Pipeline:
    """Return a Pipeline that encodes text and ends with a model."""
    return make_pipeline(make_column_transformer((OrdinalEncoder(), ["carrier"]), remainder="passthrough"), last)


def early_stopped() -> Any:
    """Return a model of LightGBM that was fitted on after its best tree."""
    random = np.random.default_rng(1)
    model = lightgbm.LGBMClassifier(n_estimators=60, n_jobs=1, verbose=-1, learning_rate=1.0)
    chance = random.integers(0, 2, 200)
    stop = [lightgbm.early_stopping(5, verbose=False)]
    return model.fit(rows(), classes(), eval_X=rows(), eval_y=chance, callbacks=stop)


QUIET: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1}
LIGHT: dict[str, Any] = {**QUIET, "verbose": -1}
MODELS = {
    "xgboost classifier": lambda: xgboost.XGBClassifier(**QUIET).fit(rows(), classes()),
    "xgboost regression": lambda: xgboost.XGBRegressor(**QUIET).fit(rows(), rows()["c"]),
    "xgboost forest": lambda: xgboost.XGBRFClassifier(**QUIET).fit(rows(), classes()),
    "xgboost pipeline": lambda: encoded(xgboost.XGBClassifier(**QUIET)).fit(rows(with_text=True), classes()),
    "lightgbm classifier": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(rows(), classes()),
    "lightgbm regression": lambda: lightgbm.LGBMRegressor(**LIGHT).fit(rows(), rows()["c"]),
    "lightgbm stopped early": early_stopped,
    "lightgbm pipeline": lambda: encoded(lightgbm.LGBMRegressor(**LIGHT)).fit(rows(with_text=True), classes()),
}


@pytest.mark.parametrize("kind", MODELS)
def test_estimators_come_back(kind: str) -> None:
    """An estimator, alone or at the end of a Pipeline, comes back as one of the same class with the same answers."""
    model = MODELS[kind]()
    asked = rows(with_text="pipeline" in kind)
    name, content = storers.dump(model)
    back = storers.load(name, content)
    assert (name, type(back)) == (kind.partition(" ")[0], type(model))
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    np.testing.assert_array_equal(getattr(back, method)(asked), getattr(model, method)(asked))
    assert storers.column_names(back) == tuple(asked.columns)


@pytest.mark.parametrize("kind", MODELS)
def test_bytes_follow_from_the_model(kind: str) -> None:
    """Two trainings give the same bytes, and so does a model that was loaded: a run that is taken over refers to it."""
    name, content = storers.dump(MODELS[kind]())
    assert storers.dump(MODELS[kind]()) == (name, content)
    assert storers.dump(storers.load(name, content)) == (name, content)


@pytest.mark.parametrize(
    ("objective", "has_classes"), [("binary:logistic", True), ("reg:squarederror", False)], ids=["classes", "numbers"]
)
def test_a_booster_of_xgboost_serves(objective: str, has_classes: bool) -> None:
    """Trees by themselves are kept as the library's own file, and predict from data frames once they are opened."""
    trees = xgboost.train({"objective": objective, "nthread": 1}, xgboost.DMatrix(rows(), classes()), num_boost_round=5)
    name, content = storers.dump(trees)
    assert xgboost.Booster(model_file=bytearray(content)).num_boosted_rounds() == 5
    opened = storers.open_model(name, content)
    assert storers.column_names(opened) == ("a", "b", "c")
    expected = trees.predict(xgboost.DMatrix(rows()))
    assert hasattr(opened, "predict_proba") == has_classes
    found = opened.predict_proba(rows())[:, 1] if has_classes else opened.predict(rows())
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("objective", "has_classes"), [("binary", True), ("regression", False)])
def test_a_booster_of_lightgbm_serves(objective: str, has_classes: bool) -> None:
    """Trees by themselves are kept as the library's own text, and predict from data frames once they are opened."""
    settings = {"objective": objective, "num_threads": 1, "verbose": -1}
    trees = lightgbm.train(settings, lightgbm.Dataset(rows(), classes()), num_boost_round=5)
    name, content = storers.dump(trees)
    assert content.startswith(b"tree\n")
    opened = storers.open_model(name, content)
    assert hasattr(opened, "predict_proba") == has_classes
    found = opened.predict_proba(rows())[:, 1] if has_classes else opened.predict(rows())
    np.testing.assert_array_equal(found, trees.predict(rows()))
    np.testing.assert_array_equal(storers.load(name, content).predict(rows()), trees.predict(rows()))
    assert (opened.predict(rows()) == (found > 0.5 if has_classes else found)).all()


def test_numbered_columns_are_no_names() -> None:
    """A model that was fitted on a matrix does not know the names of its columns."""
    for model in (lightgbm.LGBMClassifier(**LIGHT), xgboost.XGBClassifier(**QUIET)):
        assert storers.column_names(model.fit(rows().to_numpy(), classes())) == ()


def _objective(truth: Any, scores: Any) -> tuple[Any, Any]:
    return scores - truth, np.ones_like(scores)


def test_functions_are_not_kept() -> None:
    """An estimator with a function of somebody's own inside is refused, with the function's name."""
    model = xgboost.XGBRegressor(objective=_objective, **QUIET).fit(rows(), classes())
    with pytest.raises(UntrustedModel, match="_objective"):
        storers.dump(model)


def test_what_is_not_fitted_is_refused() -> None:
    """A model without trees is refused, and so is the file of one that fits no format."""
    with pytest.raises(ModelRefused, match="XGBClassifier is not fitted"):
        storers.dump(xgboost.XGBClassifier())


@pytest.mark.parametrize("library", [boosting.XGBOOST, boosting.LIGHTGBM], ids=lambda one: str(one.name))
@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        archives.pack({"x": b""}),
        archives.pack({"estimator.skops": estimators.dump(OrdinalEncoder()), "model.ubj": b"", "model.txt": b""}),
    ],
    ids=["nonsense", "another archive", "more members"],
)
def test_files_that_are_no_model_are_refused(library: boosting.Library, content: bytes) -> None:
    """Bytes that are no model of the library are refused in our words, and do not end the process."""
    with pytest.raises(ModelRefused, match=library.name):
        library.load(content)


def test_another_estimator_in_the_file_is_refused() -> None:
    """A file whose estimator is not one of the library's is refused."""
    content = archives.pack({"estimator.skops": estimators.dump(OrdinalEncoder()), "model.ubj": b""})
    with pytest.raises(ModelRefused, match="holds a OrdinalEncoder"):
        boosting.XGBOOST.load(content)
