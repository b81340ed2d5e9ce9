"""A model artifact, loaded, checked and warm, that turns columns into scores.

Invariant: a model answers callers only after its bytes had the registered sha256, its columns were compared with its
schema, and it has predicted once.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ratchet.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactsUnreachable,
    ModelUnusable,
    PredictionFailed,
    RatchetError,
)
from ratchet.loop.serving.routes import ModelSchema, ReleaseRoute
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts
from ratchet.store.formats import extras

# What models of the usual storers import; done before the first request and not in it.
_HEAVY_LIBRARIES = ("pandas", "sklearn.pipeline", "skops.io")
_DTYPES = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "INT32": np.int32}
_CLASSES = 2


def preload_libraries() -> None:
    """Import what models need, as far as it is installed."""
    for name in _HEAVY_LIBRARIES:
        with suppress(ImportError):
            import_module(name)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A release with its model in memory.

    Attributes:
        release: The release as the route table names it.
        estimator: The model.
        order: Its columns in the order in which it was trained.
    """

    release: ReleaseRoute
    estimator: Any
    order: tuple[str, ...]

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Score rows.

        Args:
            columns: Values by column, each of shape ``(rows,)``; None is missing.

        Returns:
            The probability of the second class, or the predicted number, shape ``(rows,)``.

        Raises:
            PredictionFailed: The model raised, or gave something that is not one finite number for each row.
        """
        rows = len(columns[self.order[0]])
        try:
            scores = self._score(build_frame(columns, schema=self.release.schema, order=self.order))
        except Exception as error:
            # The model is not our code: whatever it raises becomes a reply.
            reason = f"{type(error).__name__}: {error}".rstrip(".")
            raise PredictionFailed(version=self.release.version, reason=reason) from error
        if scores.shape != (rows,) or not np.isfinite(scores).all():
            reason = f"it gave scores of shape {scores.shape} for {rows} rows, or some that are not finite numbers"
            raise PredictionFailed(version=self.release.version, reason=reason)
        return scores.tolist()  # type: ignore[no-any-return]

    def _score(self, frame: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        if self.release.schema.output == "probability":
            return np.asarray(self.estimator.predict_proba(frame)[:, 1], dtype=np.float64)
        return np.asarray(self.estimator.predict(frame), dtype=np.float64)


def load_model(release: ReleaseRoute, *, artifacts: Artifacts) -> LoadedModel:
    """Load a release's model, check it and let it predict once; seconds for a large one, so keep it off the event loop.

    Raises:
        ArtifactMissing: The artifact is not there.
        ArtifactCorrupt: Its bytes are not those that were registered.
        ArtifactsUnreachable: The store does not answer.
        ModelUnusable: The bytes are right and still make no model that fits the schema.
    """
    try:
        # Whatever its format, it is asked with a data frame.
        extras.require("pandas", what="A model that answers")
        content = artifacts.read(release.model.sha256)
        estimator = storers.open_model(release.model.storer, content)
    except (ArtifactMissing, ArtifactCorrupt, ArtifactsUnreachable):
        raise
    except RatchetError as error:
        raise ModelUnusable(version=release.version, reason=str(error).rstrip(".")) from error
    except Exception as error:
        # Strange bytes may raise anything, and the old model must go on.
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        raise ModelUnusable(version=release.version, reason=reason) from error
    _check_estimator(estimator, release=release)
    model = LoadedModel(release=release, estimator=estimator, order=_training_order(estimator, release=release))
    _warm_up(model)
    return model


def build_frame(columns: Mapping[str, Sequence[Any]], *, schema: ModelSchema, order: Sequence[str]) -> Any:
    """Return rows as a pandas data frame whose types are those of a frame with these datatypes.

    Args:
        columns: Values by column, each of shape ``(rows,)``; None is missing.
        schema: Gives the datatypes.
        order: The columns of the result.
    """
    # Imported here, because the protocol and the log are used by programs that never predict.
    import pandas as pd

    datatypes = {column.name: column.datatype for column in schema.inputs}
    return pd.DataFrame({name: _to_array(columns[name], datatype=datatypes[name]) for name in order}, copy=False)


def _to_array(values: Sequence[Any], *, datatype: str) -> np.ndarray[Any, Any]:
    if datatype in {"FP64", "FP32"}:
        return np.array(values, dtype=_DTYPES[datatype])
    has_missing = None in values
    if datatype in {"INT64", "INT32"}:
        return np.array(values, dtype=np.float64 if has_missing else _DTYPES[datatype])
    if datatype == "BOOL" and not has_missing:
        return np.array(values, dtype=np.bool_)
    # NaN and not None: it is what pandas gives for a missing text, so it is what encoders have seen in training.
    return np.array([np.nan if value is None else value for value in values] if has_missing else values, dtype=object)


def _check_estimator(estimator: Any, *, release: ReleaseRoute) -> None:
    method = "predict_proba" if release.schema.output == "probability" else "predict"
    if not callable(getattr(estimator, method, None)):
        reason = f"a {type(estimator).__name__} has no {method}, which the output '{release.schema.output}' needs"
        raise ModelUnusable(version=release.version, reason=reason)
    classes = getattr(estimator, "classes_", None)
    if release.schema.output == "probability" and classes is not None and len(classes) != _CLASSES:
        reason = f"it knows {len(classes)} classes, and the output 'probability' needs {_CLASSES}"
        raise ModelUnusable(version=release.version, reason=reason)


def _training_order(estimator: Any, *, release: ReleaseRoute) -> tuple[str, ...]:
    declared = tuple(column.name for column in release.schema.inputs)
    trained = storers.column_names(estimator)
    if not trained:
        return declared
    if set(trained) != set(declared):
        reason = f"it was trained on {', '.join(trained)}, and its schema names {', '.join(declared)}"
        raise ModelUnusable(version=release.version, reason=reason)
    return trained


def _warm_up(model: LoadedModel) -> None:
    """Predict one row, of missing values or else of zeros, so that the first caller does not wait for lazy imports."""
    zeros: dict[str, Any] = {"BYTES": "", "BOOL": False}
    inputs = model.release.schema.inputs
    try:
        model.predict({column.name: [None] for column in inputs})
    except PredictionFailed:
        # A model may rightly refuse both rows, such as an encoder that takes known categories only: its columns were
        # compared already, so that is no reason to refuse it.
        with suppress(PredictionFailed):
            model.predict({column.name: [zeros.get(column.datatype, 0)] for column in inputs})
