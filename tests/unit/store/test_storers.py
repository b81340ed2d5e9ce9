"""How values become bytes and back, and what is refused on both ways."""

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from ratchet.errors import NoStorer, UntrustedModel
from ratchet.store import storers
from ratchet.store.formats import estimators
from ratchet.store.storers import Storer

ROWS = 60
TIMES = pd.to_datetime(["2024-01-01", "2024-02-29"])
FRAMES = {
    "whole numbers": pd.DataFrame({"a": [1, 2], "b": np.array([1, 2**64 - 1], dtype="uint64")}),
    "small numbers": pd.DataFrame({"a": np.array([1, 2], dtype="int8"), "b": np.array([1, 2], dtype="float32")}),
    "missing and infinite": pd.DataFrame({"a": [1.5, np.nan, np.inf]}),
    "missing whole numbers": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "text": pd.DataFrame({"a": ["x", None, "ü 😀"]}),
    "booleans": pd.DataFrame({"a": [True, False]}),
    "times": pd.DataFrame({"a": TIMES, "b": TIMES - TIMES[0]}),
    "lists": pd.DataFrame({"a": [[1, 2], [3]]}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int64")}),
}
ARRAYS = {
    "numbers": np.arange(6, dtype="float32").reshape(2, 3),
    "one number": np.array(5),
    "transposed": np.arange(6).reshape(2, 3).T,
    "text": np.array(["a", "ü"]),
    "bytes": np.array([b"x"]),
    "times": np.array(["2024-02-29"], dtype="M8[D]"),
    "complex booleans": np.array([[True], [False]]),
}
VALUES = {
    "object": {"a": [1, None, "x", 1.5, True], "b": {}},
    "list": [],
    "text": "ü",
    "number": 2**70,
    "nothing": None,
    "fraction": -0.0,
}


def rows() -> pd.DataFrame:
    """Return rows that a model can be trained on."""
    numbers = np.random.default_rng(0).normal(size=(ROWS, 2))
    return pd.DataFrame(numbers, columns=["x", "y"]).assign(carrier=["AA", "UA", "DL"] * (ROWS // 3))


def model(kind: str) -> Any:
    """Return a trained model of one kind."""
    estimators = {
        "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=0),
        "boosted regression": HistGradientBoostingRegressor(max_iter=3, random_state=0),
        "forest": RandomForestClassifier(n_estimators=3, random_state=0),
        "logistic": LogisticRegression(),
        "linear": LinearRegression(),
    }
    encode = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["carrier"]),
        (StandardScaler(), ["x"]),
        remainder="passthrough",
    )
    target = (rows()["x"] > 0).astype("int64")
    return make_pipeline(encode, estimators[kind]).fit(rows(), target)


KINDS = ("boosting", "boosted regression", "forest", "logistic", "linear")


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_come_back(kind: str) -> None:
    """A data frame comes back with its columns, types and missing values."""
    name, content = storers.dump(FRAMES[kind])
    assert name == "frame"
    pd.testing.assert_frame_equal(storers.load(name, content), FRAMES[kind])


@pytest.mark.parametrize("name", ["late", None])
@pytest.mark.parametrize("values", [[1, 2], [0.5, None], ["x", "y"], [True, False], []])
def test_series_come_back(name: str | None, values: list[Any]) -> None:
    """A column by itself comes back with its values and its name, or none."""
    series = pd.Series(values, name=name, dtype="float64" if not values else None)
    kind, content = storers.dump(series)
    assert kind == "series"
    pd.testing.assert_series_equal(storers.load(kind, content), series)


def test_moments_come_back_as_the_same_moments() -> None:
    """A time with a zone comes back as the same moment, in UTC."""
    frame = pd.DataFrame({"a": TIMES.tz_localize("America/New_York")})
    back = storers.load(*storers.dump(frame))
    assert (back["a"] == frame["a"]).all()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(
            pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 7], name="key")), id="an index with a name is lost"
        ),
        pytest.param(pd.DataFrame({"a": [1, "x"]}), id="numbers among text become text"),
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "A"]), id="A becomes A_1"),
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), id="the second a becomes a_1"),
        pytest.param(pd.DataFrame([[1, 2]]), id="column 0 becomes column '0'"),
        pytest.param(
            pd.DataFrame({"a": pd.Categorical(["x"], categories=["y", "x"], ordered=True)}), id="categories become text"
        ),
    ],
)
def test_a_frame_comes_back_equal_or_is_refused(frame: pd.DataFrame) -> None:
    """What cannot be kept is refused, never changed."""
    try:
        name, content = storers.dump(frame)
    except NoStorer:
        return
    pd.testing.assert_frame_equal(storers.load(name, content), frame)


@pytest.mark.parametrize(
    "frame",
    [pytest.param(pd.DataFrame(), id="no columns"), pytest.param(pd.DataFrame({"a": [1j]}), id="complex numbers")],
)
def test_a_frame_that_cannot_be_stored_is_refused_in_our_words(frame: pd.DataFrame) -> None:
    """A frame that Parquet cannot hold is refused with NoStorer."""
    with pytest.raises(NoStorer):
        storers.dump(frame)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_come_back(kind: str) -> None:
    """An array comes back with its shape, type and values."""
    name, content = storers.dump(ARRAYS[kind])
    back = storers.load(name, content)
    assert (name, back.dtype, back.shape) == ("array", ARRAYS[kind].dtype, ARRAYS[kind].shape)
    assert (back == ARRAYS[kind]).all()


@pytest.mark.parametrize("kind", VALUES)
def test_json_comes_back(kind: str) -> None:
    """A JSON value comes back as it was."""
    name, content = storers.dump(VALUES[kind])
    assert (name, storers.load(name, content)) == ("json", VALUES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_models_come_back(kind: str) -> None:
    """A trained model comes back and predicts what it did."""
    original = model(kind)
    name, content = storers.dump(original)
    assert name == "skops"
    np.testing.assert_array_equal(storers.load(name, content).predict(rows()), original.predict(rows()))


@pytest.mark.parametrize("kind", KINDS)
def test_identical_models_give_identical_bytes(kind: str) -> None:
    """Two trainings of one model on the same rows give the same bytes."""
    assert storers.dump(model(kind)) == storers.dump(model(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_gives_the_bytes_it_came_from(kind: str) -> None:
    """A model that was loaded has the digest of the file: a run that is taken over refers to it by that."""
    content = storers.dump(model(kind))[1]
    assert storers.dump(storers.load("skops", content))[1] == content


def test_padding_is_no_part_of_a_model() -> None:
    """Bytes between the fields of a tree's nodes say nothing, and neither change the digest nor leave the process."""
    clean, dirty = model("forest"), model("forest")
    for forest, filling in ((clean, 0), (dirty, 0xAA)):
        for estimator in forest[-1].estimators_:
            state = estimator.tree_.__getstate__()
            nodes = state["nodes"].copy()
            nodes.view("u1").reshape(len(nodes), -1)[:, 57:] = filling
            estimator.tree_.__setstate__({**state, "nodes": nodes})
    assert storers.dump(clean) == storers.dump(dirty)


def test_identical_bytes_in_another_process() -> None:
    """Another process, with another seed for its hashes, gives the same bytes."""
    program = (
        "from tests.unit.store.test_storers import KINDS, FRAMES, model\nfrom ratchet.store import storers\n"
        "for value in [*map(model, KINDS), *FRAMES.values()]: print(storers.fingerprint(storers.dump(value)[1]))"
    )
    expected = [storers.fingerprint(storers.dump(value)[1]) for value in [*map(model, KINDS), *FRAMES.values()]]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
        assert found.stdout.decode().split() == expected


def test_another_model_gives_other_bytes() -> None:
    """Models that differ in one number do not share their bytes."""
    changed = model("logistic")
    before = storers.dump(changed)[1]
    changed[-1].coef_ = changed[-1].coef_ + 1e-12
    assert storers.dump(changed)[1] != before


@pytest.mark.parametrize(
    "function", [os.system, partial(os.system, "true"), partial(eval, "1")], ids=["function", "partial", "builtin"]
)
def test_untrusted_model_is_not_stored(function: Any) -> None:
    """A model with a part that could run anything is refused when a step returns it."""
    with pytest.raises(UntrustedModel, match=r"posix\.system|builtins\.eval"):
        storers.dump(FunctionTransformer(function))


def test_untrusted_model_is_not_loaded() -> None:
    """A file that was made elsewhere, with such a part, is refused before anything of it is built."""
    content = estimators.reproducible_skops(skops.io.dumps(FunctionTransformer(partial(os.system, "touch /tmp/owned"))))
    with pytest.raises(UntrustedModel, match=r"posix\.system"):
        storers.load("skops", content)


def test_reproducible_file_has_fixed_dates_and_each_content_once() -> None:
    """The rewritten file has a fixed date in each member, and no content twice."""
    original = skops.io.dumps(model("forest"))
    rewritten = estimators.reproducible_skops(original)
    with zipfile.ZipFile(io.BytesIO(original)) as before, zipfile.ZipFile(io.BytesIO(rewritten)) as after:
        contents = [after.read(name) for name in after.namelist()]
        assert len(set(contents)) == len(contents) <= len(before.namelist())
        assert {entry.date_time for entry in after.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: 2}, float("nan"), b"x", {1, 2}, object(), np.array([object()]), pd.Series([1], name=0), [object()]],
    ids=lambda value: type(value).__name__,
)
def test_what_nobody_can_store_is_refused(value: Any) -> None:
    """A value that would not come back as it was is refused, and the message lists what is possible."""
    with pytest.raises(NoStorer) as caught:
        storers.dump(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    assert f"No storer for a value of type {kind}. Return one of: pandas.DataFrame; " in str(caught.value)


def test_unknown_storer_is_refused() -> None:
    """A reference to a storer that is not there is an error that names it."""
    with pytest.raises(NoStorer, match="type pickle"):
        storers.load("pickle", b"")


@pytest.fixture
def _own_storer() -> Iterator[None]:
    """Register a storer for sets, for the time of one test."""
    storer = Storer(
        "set", lambda value: isinstance(value, set), lambda value: bytes(sorted(value)), set, "set of bytes"
    )
    storers.register(storer)
    yield
    storers._STORERS.remove(storer)


@pytest.mark.usefixtures("_own_storer")
def test_registered_storer_is_asked_first() -> None:
    """A storer that is registered takes its values and stands in the message."""
    name, content = storers.dump({3, 1})
    assert (name, content, storers.load(name, content)) == ("set", b"\x01\x03", {1, 3})
    with pytest.raises(NoStorer, match="Return one of: set of bytes; pandas"):
        storers.dump(object())


def test_moments_come_back_in_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour that a step reads off them is the same when the run is taken up elsewhere."""
    rows = pd.DataFrame({"at": pd.to_datetime(["2026-01-01T23:30:00Z"]).astype("datetime64[us, UTC]")})
    name, content = storers.dump(rows)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = storers.load(name, content)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert str(found["at"].dtype) == "datetime64[us, UTC]"
    assert list(found["at"].dt.hour) == [23]
