"""Models of CatBoost: the same answers and the same bytes, whenever they were trained."""

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from ratchet.store import storers
from ratchet.store.formats import archives, catboost, extras
from ratchet.store.formats.refusals import LibraryMissing, ModelRefused

if "RATCHET_ALL_FORMATS" in os.environ:
    import catboost as library
else:
    library = pytest.importorskip("catboost", reason="catboost is not installed; make proof-formats tests it")
QUIET = {"iterations": 5, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame(RANDOM.normal(size=(200, 2)), columns=["a", "b"]).assign(carrier=RANDOM.choice(["AA", "UA"], 200))
CLASSES = (ROWS["a"] > 0).astype(int)


def model(kind: str) -> Any:
    """Return a trained model of one kind."""
    if kind == "regression":
        return library.CatBoostRegressor(**QUIET).fit(ROWS[["a", "b"]], ROWS["a"] * 2)
    if kind == "categories":
        return library.CatBoostClassifier(**QUIET, cat_features=["carrier"]).fit(ROWS, CLASSES)
    if kind == "pipeline":
        encode = make_column_transformer((OrdinalEncoder(), ["carrier"]), remainder="passthrough")
        return make_pipeline(encode, library.CatBoostClassifier(**QUIET)).fit(ROWS, CLASSES)
    return library.CatBoostClassifier(**QUIET).fit(ROWS[["a", "b"]], CLASSES)


@pytest.mark.parametrize("kind", ["classifier", "regression", "categories", "pipeline"])
def test_models_come_back_with_the_same_bytes(kind: str) -> None:
    """A model comes back with the same answers, and another training, or the loaded model, gives the same bytes."""
    original = model(kind)
    name, content = storers.dump(original)
    back = storers.load(name, content)
    rows = ROWS if kind in ("categories", "pipeline") else ROWS[["a", "b"]]
    assert (name, type(back), storers.column_names(back)) == ("catboost", type(original), tuple(rows.columns))
    method = "predict" if kind == "regression" else "predict_proba"
    np.testing.assert_array_equal(getattr(back, method)(rows), getattr(original, method)(rows))
    assert storers.dump(model(kind))[1] == content
    assert storers.dump(back)[1] == content


def test_what_is_not_fitted_is_refused() -> None:
    """A model without trees is refused."""
    with pytest.raises(ModelRefused, match="not fitted"):
        storers.dump(library.CatBoostClassifier())


@pytest.mark.parametrize(
    "members", [{"x": b""}, {"model.cbm": b"", "CatBoostClassifier": b""}, {"model.cbm": b"CBM1xxxx", "CatBoost": b""}]
)
def test_files_that_are_no_model_are_refused(members: dict[str, bytes]) -> None:
    """Bytes that are no model of the library are refused in our words."""
    with pytest.raises(ModelRefused, match="catboost"):
        catboost.load(archives.pack(members))


def test_other_models_are_not_taken() -> None:
    """A Pipeline that ends with another model is not CatBoost's."""
    assert not catboost.accepts(make_pipeline(LogisticRegression()))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the message says which extra brings it."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "catboost" else name)
    with pytest.raises(LibraryMissing, match=r"needs catboost, .* pip install 'mlratchet\[catboost\]'"):
        storers.load("catboost", b"")
