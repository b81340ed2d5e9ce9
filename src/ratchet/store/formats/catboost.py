"""Models of CatBoost: the library's own file, and what lies before it in a Pipeline as skops.

Invariant: nothing of a file runs as code; the same model gives the same bytes, without the time of its training.
"""

import tempfile
from pathlib import Path
from typing import Any

from ratchet.store.formats import archives, estimators
from ratchet.store.formats.refusals import ModelRefused

NAME = "catboost"
_TREES = "model.cbm"
_SHELL = "before.skops"
_KINDS = ("CatBoostClassifier", "CatBoostRegressor")
# What CatBoost writes into each file anew.
_VARYING = ("train_finish_time", "model_guid")


def accepts(value: Any) -> bool:
    """Tell whether a value is a classifier or a regression of CatBoost, or a Pipeline that ends with one."""
    return _kind(estimators.last_step(value)) in _KINDS


def dump(model: Any) -> bytes:
    """Return a model's bytes.

    Raises:
        ModelRefused: It is not fitted.
        UntrustedModel: A step before it is not on the table.
    """
    last = estimators.last_step(model)
    if not last.is_fitted():
        raise ModelRefused(format=NAME, reason=f"the {type(last).__name__} is not fitted")
    members = {_TREES: _write(last), _kind(last): b""}
    if last is not model:
        members[_SHELL] = estimators.dump(estimators.replace_last_step(model, "passthrough"))
    return archives.pack(members)


def load(content: bytes) -> Any:
    """Return the model of these bytes.

    Raises:
        ModelRefused: They are no model of CatBoost.
        UntrustedModel: A step before it is not on the table.
    """
    members = archives.unpack(content, format=NAME)
    shell = members.pop(_SHELL, None)
    kinds = [name for name in members if name in _KINDS]
    if len(kinds) != 1 or set(members) != {_TREES, *kinds}:
        raise ModelRefused(format=NAME, reason=f"its file holds {', '.join(sorted(members)) or 'nothing'}")
    model = _read(members[_TREES], kind=kinds[0])
    return model if shell is None else estimators.replace_last_step(estimators.load(shell), model)


def _kind(value: Any) -> str:
    return type(value).__qualname__ if type(value).__module__ == "catboost.core" else ""


def _write(model: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        path = str(Path(folder) / _TREES)
        model.save_model(path, format="cbm")
        # Read once: what is written of a model that was read is always the same, whichever way it came about.
        written = _read(Path(path).read_bytes(), kind=_kind(model))
        notes = written.get_metadata()
        for name in _VARYING:
            if name in notes:
                notes[name] = ""
        written.save_model(path, format="cbm")
        return Path(path).read_bytes()


def _read(content: bytes, *, kind: str) -> Any:
    import catboost

    try:
        return getattr(catboost, kind)().load_model(blob=content, format="cbm")
    except catboost.CatBoostError as error:
        raise ModelRefused(format=NAME, reason=f"CatBoost does not read it: {error}".rstrip(".")) from error
