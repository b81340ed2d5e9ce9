"""Estimators of scikit-learn: what comes back, and what is refused on both ways and at any depth."""

import os
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ratchet.errors import UntrustedModel
from ratchet.store.formats import estimators
from ratchet.store.formats.refusals import EstimatorRefused, ForeignPart, ModelRefused, UnreviewedLibrary
from ratchet.store.trust import tables

ROWS = np.random.default_rng(0).normal(size=(60, 2))
CLASSES = (ROWS[:, 0] > 0).astype(int)


def test_a_pipeline_comes_back() -> None:
    """An estimator with estimators inside comes back with the same answers."""
    model = make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression(), cv=2)).fit(ROWS, CLASSES)
    back = estimators.load(estimators.dump(model))
    np.testing.assert_array_equal(back.predict_proba(ROWS), model.predict_proba(ROWS))


@pytest.mark.parametrize("is_inside", [False, True], ids=["alone", "in a pipeline"])
def test_an_estimator_that_does_not_come_back_is_refused(is_inside: bool) -> None:
    """What the table refuses is refused with the reason, also inside a Pipeline."""
    model = make_pipeline(StandardScaler(), Birch(n_clusters=2)) if is_inside else Birch(n_clusters=2)
    with pytest.raises(EstimatorRefused, match=r"cannot be kept: objects of type Birch are not supported yet"):
        estimators.dump(model.fit(ROWS))


def test_a_refused_estimator_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file from elsewhere with an estimator that the table refuses is refused, at any depth."""
    content = estimators.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, CLASSES))
    monkeypatch.setitem(tables.installed_table().refused, "LogisticRegression", "it is refused for the test")
    with pytest.raises(EstimatorRefused, match="it is refused for the test"):
        estimators.load(content)


def test_a_function_that_could_do_anything_is_neither_stored_nor_loaded() -> None:
    """A function that is not on the table is refused on both ways, before anything is built."""
    model = FunctionTransformer(partial(os.system, "touch /tmp/owned"))
    with pytest.raises(UntrustedModel, match=r"posix\.system"):
        estimators.dump(model)
    with pytest.raises(UntrustedModel, match=r"posix\.system"):
        estimators.load(estimators.reproducible_skops(skops.io.dumps(model)))


def test_a_model_of_another_library_inside_is_told_where_it_may_be() -> None:
    """A classifier of LightGBM inside an estimator of scikit-learn is refused, and told where it can be kept."""
    lightgbm = pytest.importorskip("lightgbm")
    inner = lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1)
    model = VotingClassifier([("a", inner), ("b", LogisticRegression())]).fit(ROWS, CLASSES)
    with pytest.raises(ForeignPart, match=r"lightgbm\.sklearn\.LGBMClassifier.*last step of a Pipeline"):
        estimators.dump(model)


def test_an_unreviewed_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scikit-learn that nobody has reviewed nothing is stored or loaded, and the message says what to do."""
    content = estimators.dump(LogisticRegression().fit(ROWS, CLASSES))
    monkeypatch.setattr(tables, "installed_version", lambda: "9.7")
    for work in (lambda: estimators.load(content), lambda: estimators.dump(LogisticRegression().fit(ROWS, CLASSES))):
        with pytest.raises(UnreviewedLibrary, match=r"scikit-learn 9\.7 .* was reviewed for 1\.8 and 1\.9"):
            work()


def test_a_damaged_file_is_refused() -> None:
    """Bytes that are no skops file are refused in our words."""
    with pytest.raises(ModelRefused, match="damaged"):
        estimators.load(b"not a model")


def test_the_last_step_is_found_and_replaced_at_any_depth() -> None:
    """The last step of a Pipeline in a Pipeline is replaced in a copy; the given one keeps its own."""
    model = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    replaced = estimators.replace_last_step(model, "passthrough")
    assert estimators.last_step(replaced) == "passthrough"
    assert isinstance(estimators.last_step(model), LogisticRegression)
    assert estimators.replace_last_step(LogisticRegression(), 5) == 5
