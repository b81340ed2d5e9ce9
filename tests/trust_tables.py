"""The table of trusted types, made anew: each estimator of the installed scikit-learn is fitted, kept and compared.

Invariant: an estimator is on the table as kept only if what it says of the same rows is the same after it came back.
The reasons for trusting a type are written by hand, into the table itself; whoever reviews a new version starts with
``python -m tests.trust_tables``, which copies those of the version before and says what is not on the list.
"""

import importlib
import json
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import skops.io
from sklearn import calibration, compose, ensemble, gaussian_process, linear_model, model_selection, neighbors, pipeline
from sklearn import preprocessing as prep
from sklearn.base import is_regressor
from sklearn.datasets import make_blobs
from sklearn.feature_selection import chi2, f_regression, mutual_info_classif, mutual_info_regression, r_regression
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import kernels
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils._testing import set_random_state
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y
from threadpoolctl import threadpool_limits

from ratchet.errors import RatchetError
from ratchet.store.formats import estimators
from ratchet.store.trust import tables

ROWS = 40
ANSWERS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
TEXTS = ["late again", "on time", "late", "early and on time"] * (ROWS // 4)
MAPPINGS = [{"carrier": text[0], "length": len(text)} for text in TEXTS]
# Estimators that take something else than a matrix: what they are fitted on, and what they are asked about.
OWN_ROWS: dict[str, Any] = {
    "CountVectorizer": TEXTS,
    "TfidfVectorizer": TEXTS,
    "HashingVectorizer": TEXTS,
    "DictVectorizer": MAPPINGS,
    "FeatureHasher": MAPPINGS,
    "LabelBinarizer": [0, 1, 2, 1] * (ROWS // 4),
    "LabelEncoder": ["a", "b", "c", "b"] * (ROWS // 4),
    "MultiLabelBinarizer": [("a",), ("a", "b")] * (ROWS // 2),
    "PatchExtractor": np.arange(2.0 * 9 * 9).reshape(2, 9, 9),
    "SparseCoder": np.random.default_rng(0).normal(size=(ROWS, 3)),
}


def further(name: str) -> list[Any]:
    """Return settings of an estimator that keep types of their own, beside those that scikit-learn's tests use."""
    instances: dict[str, list[Any]] = {
        "FrozenEstimator": [FrozenEstimator(linear_model.LogisticRegression().fit(*rows()))],
        "HistGradientBoostingRegressor": [
            ensemble.HistGradientBoostingRegressor(loss=loss, quantile=0.5, max_iter=2)
            for loss in ("absolute_error", "gamma", "poisson", "quantile")
        ],
        "GradientBoostingRegressor": [
            ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2)
            for loss in ("absolute_error", "huber", "quantile")
        ],
        "GradientBoostingClassifier": [ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=2)],
        "GaussianProcessRegressor": [
            gaussian_process.GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None)
            for kernel in (
                kernels.Matern() + kernels.WhiteKernel(),
                kernels.RationalQuadratic() * kernels.ExpSineSquared(),
                kernels.Exponentiation(kernels.DotProduct(), 2),
            )
        ],
        "KNeighborsClassifier": [
            neighbors.KNeighborsClassifier(algorithm="ball_tree"),
            neighbors.KNeighborsClassifier(metric="manhattan"),
            neighbors.KNeighborsClassifier(metric="chebyshev"),
            neighbors.KNeighborsClassifier(metric="minkowski", p=3),
        ],
        "KNeighborsRegressor": [neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="haversine")],
        "TweedieRegressor": [linear_model.TweedieRegressor(power=power) for power in (1, 1.5, 2)],
        "GridSearchCV": [
            model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [1.0, 2.0]}, scoring=scoring, cv=cv)
            for scoring, cv in (
                ("roc_auc", model_selection.StratifiedKFold(2)),
                ("neg_log_loss", model_selection.ShuffleSplit(2, random_state=0)),
                ("average_precision", model_selection.RepeatedStratifiedKFold(n_splits=2, n_repeats=1)),
                ("f1", model_selection.TimeSeriesSplit(2)),
                ("accuracy", model_selection.StratifiedShuffleSplit(2, random_state=0)),
                ("neg_mean_absolute_error", model_selection.RepeatedKFold(n_splits=2, n_repeats=1)),
                ("neg_root_mean_squared_error", 2),
            )
        ],
        "CalibratedClassifierCV": [
            calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="isotonic", cv=2)
        ],
        "ColumnTransformer": [
            compose.make_column_transformer((prep.StandardScaler(), [0]), remainder="passthrough"),
        ],
        "FunctionTransformer": [prep.FunctionTransformer(function) for function in (np.log1p, np.abs, np.mean)],
        "Pipeline": [pipeline.make_pipeline(prep.OneHotEncoder(handle_unknown="ignore"), linear_model.Ridge())],
        "SelectKBest": [
            _selecting(function)
            for function in (chi2, f_regression, r_regression, mutual_info_classif, mutual_info_regression)
        ],
    }
    return instances.get(name, [])


def _selecting(function: Any) -> Any:
    from sklearn.feature_selection import SelectKBest

    return SelectKBest(function, k=2)


@cache
def rows() -> tuple[Any, Any]:
    """Return rows of two classes, all numbers positive, so that whoever counts or takes roots can be fitted, too."""
    numbers, classes = make_blobs(n_samples=ROWS, centers=2, n_features=4, random_state=0)
    return numbers - numbers.min() + 0.5, classes


def instances_of(name: str, kind: type) -> Iterator[Any]:
    """Give estimators of one kind with the settings to try."""
    if name != "FrozenEstimator":
        yield from _construct_instances(kind)
    yield from further(name)


def fit(name: str, estimator: Any) -> tuple[Any, Any]:
    """Return a fitted estimator, and the rows to ask it about; what draws lots draws the same ones each time."""
    set_random_state(estimator, 0)
    if name in OWN_ROWS:
        return estimator.fit(OWN_ROWS[name]), OWN_ROWS[name]
    numbers, classes = rows()
    if getattr(estimator, "metric", "") == "haversine":
        numbers = numbers[:, :2] / numbers.max()
    if is_regressor(estimator):
        classes = classes + 1.0
    numbers = _enforce_estimator_tags_X(estimator, numbers.copy())
    return estimator.fit(numbers, _enforce_estimator_tags_y(estimator, classes.copy())), numbers


def difference(before: Any, after: Any, asked: Any) -> str:
    """Say what an estimator that came back answers otherwise, or nothing."""
    for method in ANSWERS:
        if not hasattr(before, method):
            continue
        first, again, back = (_plain(_ask(one, method, asked)) for one in (before, before, after))
        # What draws lots answers otherwise each time, and is compared by what it has learned.
        if _is_same(first, again) and not _is_same(first, back):
            return f"{method} gives something else after it came back"
    learned = [name for name in vars(before) if name.endswith("_") and not name.startswith("_")]
    lost = [name for name in learned if not hasattr(after, name)]
    if lost:
        return f"{lost[0]} is lost"
    changed = [name for name in learned if not _is_same(_plain(getattr(before, name)), _plain(getattr(after, name)))]
    return f"{changed[0]} has changed after it came back" if changed else ""


def _ask(estimator: Any, method: str, asked: Any) -> Any:
    try:
        return getattr(estimator, method)(asked)
    except (ValueError, AttributeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def _plain(value: Any) -> Any:
    return value.toarray() if hasattr(value, "toarray") else value


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and first.dtype.kind in "fc":
        # Arrays may come back in another order in memory, and sums of them differ in the last digit.
        return first.shape == second.shape and np.allclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True)
    if isinstance(first, np.ndarray) and first.dtype.kind != "O":
        return np.array_equal(first, second)
    # What is no array of numbers (trees, kernels, estimators inside) shows in the answers.
    return type(first) is type(second)


def review(name: str, kind: type, *, trusted: set[str]) -> tuple[set[str], str]:
    """Keep an estimator in each of its settings, and compare.

    Returns:
        The types that its files need beside those that skops trusts by itself; and why it is refused, or nothing.
    """
    needed: set[str] = set()
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for estimator in instances_of(name, kind):
            fitted, asked = fit(name, estimator)
            try:
                content = skops.io.dumps(fitted)
            except skops.io.exceptions.UnsupportedTypeException as error:
                return set(), f"skops cannot write it: {str(error).rstrip('.')}"
            types = set(skops.io.get_untrusted_types(data=content))
            needed |= types & trusted
            if types - trusted:
                return set(), f"it holds types that nobody has reviewed: {', '.join(sorted(types - trusted))}"
            rewritten = estimators.reproducible_skops(content)
            problem = difference(fitted, skops.io.loads(rewritten, trusted=sorted(types)), asked)
            if problem:
                return set(), problem
    return needed, ""


def make(version: str) -> str:
    """Return the table of the installed version as text; what is trusted stands in the present table already."""
    known = tables.reviewed_versions()
    table = tables.read_table(version if version in known else known[-1])
    trusted = {name: reason for name, reason in table.trusted.items() if is_there(name)}
    kept: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for name, kind in all_estimators():
        needed, reason = review(name, kind, trusted=set(trusted))
        if reason:
            refused[name] = reason
        else:
            kept[name] = sorted(needed)
    return render(version, trusted, kept=kept, refused=refused)


def is_there(name: str) -> bool:
    """Tell whether the installed libraries have a type or function of this name."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False


def render(version: str, trusted: dict[str, str], *, kept: dict[str, list[str]], refused: dict[str, str]) -> str:
    """Return a table as TOML."""
    lines = [
        f"# What files of models of scikit-learn {version} may hold. Types and reasons under [trusted] are written by",
        "# hand, after reading what the type does when it is rebuilt from a file; the rest is written by a program",
        "# that fits, keeps and compares each estimator: python -m tests.trust_tables",
        "",
        "[trusted]",
        *(f"{json.dumps(name)} = {json.dumps(trusted[name])}" for name in sorted(trusted)),
        "",
        "[refused]",
        *(f"{name} = {json.dumps(refused[name])}" for name in sorted(refused)),
        "",
        "[kept]",
        *(f"{name} = {json.dumps(kept[name])}" for name in sorted(kept)),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the table of the installed version; 1 where an estimator is refused for a type that nobody reviewed."""
    version = tables.installed_version()
    tables.table_path(version).write_text(make(version), encoding="utf-8")
    tables.read_table.cache_clear()
    refused = tables.installed_table().refused
    for name, reason in refused.items():
        sys.stdout.write(f"{name}: {reason}\n")
    return int(any("nobody has reviewed" in reason for reason in refused.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RatchetError as error:
        sys.exit(str(error))
