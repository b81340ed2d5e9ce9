"""Models of XGBoost, LightGBM and CatBoost: the library's own file, and what lies around it as skops.

A booster is kept as the file that its library writes. An estimator of the library, or a Pipeline that ends with one, is
kept as an archive of two members: that file, and the estimator without its booster, as a skops file.

Invariant: nothing of a file runs as code, neither pickle nor functions; the same model gives the same bytes.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ratchet.store.formats import archives, estimators
from ratchet.store.formats.refusals import ModelRefused

_SHELL = "estimator.skops"
_CLASSES = 2


@dataclass(frozen=True)
class Library:
    """A library of boosted trees.

    Attributes:
        name: Of the library, the format and the extra.
        member: The library's own file inside an archive.
        own: Its estimators; their names are trusted in a file of this format.
        booster: The class of the trees by themselves.
        slot: The attribute of an estimator that holds them.
        write: Trees to the library's own file.
        read: The way back.
        score: Trees by themselves and a data frame to scores.
        is_classifier: Whether trees by themselves give probabilities of a second class.
        columns: The names of the columns that trees were trained on, where they had names.
    """

    name: str
    member: str
    own: frozenset[str]
    booster: str
    slot: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    score: Callable[[Any, Any], Any]
    is_classifier: Callable[[Any], bool]
    columns: Callable[[Any], list[str] | None]

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is a model of this library, or a Pipeline that ends with one."""
        return self._is_own(estimators.last_step(value))

    def dump(self, model: Any) -> bytes:
        """Return a model's bytes.

        Raises:
            ModelRefused: It is not fitted.
            UntrustedModel: It holds a function or a type that is not on the table.
        """
        last = estimators.last_step(model)
        if _name_of(last) == self.booster:
            return self.write(last)
        trees = vars(last).get(self.slot)
        if trees is None:
            raise ModelRefused(format=self.name, reason=f"the {type(last).__name__} is not fitted")
        shell = estimators.dump(estimators.replace_last_step(model, self._without_trees(last)), also=self.own)
        return archives.pack({_SHELL: shell, self.member: self.write(trees)})

    def load(self, content: bytes) -> Any:
        """Return the model of these bytes.

        Raises:
            ModelRefused: They are no model of this library.
            UntrustedModel: They name a type that is not on the table.
        """
        if not content.startswith(b"PK"):
            return self._read(content)
        members = archives.unpack(content, format=self.name)
        if set(members) != {_SHELL, self.member}:
            raise ModelRefused(format=self.name, reason=f"its file holds {', '.join(sorted(members)) or 'nothing'}")
        model = estimators.load(members[_SHELL], also=self.own)
        last = estimators.last_step(model)
        if not self._is_own(last):
            raise ModelRefused(format=self.name, reason=f"its file holds a {type(last).__name__}")
        vars(last)[self.slot] = self._read(members[self.member])
        return model

    def open(self, content: bytes) -> Any:
        """Return the model of these bytes as one that predicts from data frames."""
        model = self.load(content)
        if _name_of(model) != self.booster:
            return model
        return (BoosterClassifier if self.is_classifier(model) else Booster)(model, library=self)

    def _read(self, content: bytes) -> Any:
        try:
            return self.read(content)
        except Exception as error:
            # Each library has errors of its own for a file that is none of its own.
            raise ModelRefused(format=self.name, reason=f"{type(error).__name__}: {error}".rstrip(".")) from error

    def _is_own(self, value: Any) -> bool:
        name = _name_of(value)
        return name == self.booster or name in self.own

    def _without_trees(self, estimator: Any) -> Any:
        shell = copy.copy(estimator)
        for name, value in vars(estimator).items():
            # Tallies of what was measured while fitting: dictionaries with a default, which is a function.
            vars(shell)[name] = _plain_dictionary(value)
        vars(shell)[self.slot] = None
        return shell


class Booster:
    """Trees by themselves, as a model that predicts numbers from data frames."""

    def __init__(self, trees: Any, *, library: Library) -> None:
        self._trees = trees
        self._library = library
        columns = library.columns(trees)
        if columns:
            self.feature_names_in_ = tuple(columns)

    def predict(self, rows: Any) -> Any:
        """Return a number for each row of a data frame, shape ``(rows,)``."""
        return self._library.score(self._trees, rows)


class BoosterClassifier(Booster):
    """Trees by themselves that give the probability of a second class."""

    classes_ = (0, 1)

    def predict_proba(self, rows: Any) -> Any:
        """Return the probabilities of both classes, shape ``(rows, 2)``."""
        import numpy as np

        second = np.asarray(self._library.score(self._trees, rows), dtype=float)
        return np.stack([1 - second, second], axis=1)

    def predict(self, rows: Any) -> Any:
        """Return the likelier class of each row, shape ``(rows,)``."""
        return (self.predict_proba(rows)[:, 1] > 1 / _CLASSES).astype(int)


def _name_of(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _plain_dictionary(value: Any) -> Any:
    return {key: _plain_dictionary(one) for key, one in value.items()} if isinstance(value, dict) else value


# ---- XGBoost


def _write_xgboost(trees: Any) -> bytes:
    return bytes(trees.save_raw("ubj"))


def _read_xgboost(content: bytes) -> Any:
    import xgboost

    return xgboost.Booster(model_file=bytearray(content))


def _score_xgboost(trees: Any, rows: Any) -> Any:
    import xgboost

    return trees.predict(xgboost.DMatrix(rows))


def _is_xgboost_classifier(trees: Any) -> bool:
    name = json.loads(trees.save_config())["learner"]["objective"]["name"]
    return str(name) == "binary:logistic"


XGBOOST = Library(
    name="xgboost",
    member="model.ubj",
    own=frozenset(
        f"xgboost.sklearn.{name}"
        for name in ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
    ),
    booster="xgboost.core.Booster",
    slot="_Booster",
    write=_write_xgboost,
    read=_read_xgboost,
    score=_score_xgboost,
    is_classifier=_is_xgboost_classifier,
    columns=lambda trees: trees.feature_names,
)


# ---- LightGBM


def _write_lightgbm(trees: Any) -> bytes:
    # Up to the best tree where fitting was stopped early: the file does not say which one that was, and what is read
    # from it predicts with all that it holds.
    return str(trees.model_to_string()).encode()


def _read_lightgbm(content: bytes) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=content.decode())


def _is_lightgbm_classifier(trees: Any) -> bool:
    lines = str(trees.model_to_string(num_iteration=1)).splitlines()
    return any(line.startswith("objective=binary") for line in lines)


LIGHTGBM = Library(
    name="lightgbm",
    member="model.txt",
    own=frozenset(f"lightgbm.sklearn.{name}" for name in ("LGBMClassifier", "LGBMRegressor", "LGBMRanker")),
    booster="lightgbm.basic.Booster",
    slot="_Booster",
    write=_write_lightgbm,
    read=_read_lightgbm,
    score=lambda trees, rows: trees.predict(rows),
    is_classifier=_is_lightgbm_classifier,
    columns=lambda trees: list(trees.feature_name()),
)
