"""Estimators of scikit-learn as skops files, without pickle.

Invariant: nothing of a file is built before each type in it was found on the table of the installed version; the same
model gives the same bytes.
"""

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Set
from itertools import count
from pathlib import Path
from typing import Any

from ratchet.errors import UntrustedModel
from ratchet.store.formats.archives import FIXED_DATE
from ratchet.store.formats.refusals import EstimatorRefused, ForeignPart, ModelRefused
from ratchet.store.trust import tables

FOREIGN_LIBRARIES = frozenset({"xgboost", "lightgbm", "catboost"})


def is_estimator(value: Any) -> bool:
    """Tell whether a value can be fitted and has parameters, as estimators of scikit-learn do."""
    return callable(getattr(value, "fit", None)) and callable(getattr(value, "get_params", None))


def last_step(model: Any) -> Any:
    """Return the last step of a Pipeline, or the model itself."""
    while _is_pipeline(model) and model.steps:
        model = model.steps[-1][1]
    return model


def replace_last_step(model: Any, last: Any) -> Any:
    """Return a Pipeline with another last step, or that step itself; the given one stays as it is."""
    if not _is_pipeline(model):
        return last
    replaced = copy.copy(model)
    name, inner = model.steps[-1]
    replaced.steps = [*model.steps[:-1], (name, replace_last_step(inner, last))]
    return replaced


def _is_pipeline(model: Any) -> bool:
    return (type(model).__module__, type(model).__qualname__) == ("sklearn.pipeline", "Pipeline")


def dump(model: Any, *, also: Set[str] = frozenset()) -> bytes:
    """Return an estimator as a skops file.

    Args:
        model: A fitted estimator.
        also: Types that are trusted beside those of the table.

    Raises:
        EstimatorRefused: It would not come back as it was.
        UntrustedModel: A part of it is not on the table.
        UnreviewedLibrary: The installed scikit-learn has no table.
    """
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        content = reproducible_skops(skops.io.dumps(model))
    except UnsupportedTypeException as error:
        reason = str(error).rstrip(".") or "skops does not know how to write it"
        raise EstimatorRefused(estimator=type(model).__name__, reason=reason[:1].lower() + reason[1:]) from error
    _refuse_estimators(content)
    _refuse_untrusted(content, also=also)
    return content


def load(content: bytes, *, also: Set[str] = frozenset()) -> Any:
    """Return the estimator of a skops file.

    Raises:
        EstimatorRefused, UntrustedModel, UnreviewedLibrary: As for ``dump``.
    """
    import skops.io

    _refuse_estimators(content)
    return skops.io.loads(content, trusted=_refuse_untrusted(content, also=also))


def _refuse_estimators(content: bytes) -> None:
    """Refuse a file that names an estimator, at any place, that does not come back as it was."""
    refused = tables.installed_table().refused
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelRefused(format="skops", reason=f"its file is damaged: {type(error).__name__}: {error}") from error
    for name in _estimator_names(schema):
        if name in refused:
            raise EstimatorRefused(estimator=name, reason=refused[name])


def _estimator_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if str(node.get("__module__", "")).startswith("sklearn."):
            yield str(node.get("__class__", ""))
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _estimator_names(item)


def _refuse_untrusted(content: bytes, *, also: Set[str]) -> list[str]:
    """Return the types in a model file that need our trust."""
    import skops.io

    table = tables.installed_table()
    found = skops.io.get_untrusted_types(data=content)
    unknown = sorted(set(found) - table.trusted.keys() - also)
    foreign = [name for name in unknown if name.partition(".")[0] in FOREIGN_LIBRARIES]
    if foreign:
        raise ForeignPart(types=", ".join(foreign))
    if unknown:
        raise UntrustedModel(types=", ".join(unknown))
    return list(found)


def reproducible_skops(content: bytes) -> bytes:
    """Rewrite a skops file so that the same model gives the same bytes.

    skops names parts after memory addresses and stamps them with the time; parts are numbered in the order of the
    schema instead, arrays are named after their content, and the time is a fixed one.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: _without_padding(name, archive.read(name)) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    renamed: dict[str, bytes] = {}
    _number_parts(schema, counter=count(1), members=members, renamed=renamed)
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, FIXED_DATE), renamed[name], zipfile.ZIP_DEFLATED)
        text = json.dumps(schema, separators=(",", ":"))
        archive.writestr(zipfile.ZipInfo("schema.json", FIXED_DATE), text, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def _without_padding(name: str, content: bytes) -> bytes:
    """Return an array's file with zeros between its fields: there lies whatever the memory held."""
    if not name.endswith(".npy"):
        return content
    import numpy as np

    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)  # not zeros_like, which leaves the gaps as they are
    for field in array.dtype.names:
        clean[field] = array[field]
    buffer = io.BytesIO()
    # Not np.save: it copies through a buffer that has gaps of its own.
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(clean))
    buffer.write(clean.tobytes())
    return buffer.getvalue()


def _number_parts(node: Any, *, counter: Iterator[int], members: dict[str, bytes], renamed: dict[str, bytes]) -> None:
    if isinstance(node, list):
        for item in node:
            _number_parts(item, counter=counter, members=members, renamed=renamed)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("__id__"), int):
        # Each part gets a number of its own: which parts are one object in memory differs once a model was loaded.
        node["__id__"] = next(counter)
    name = node.get("file")
    if isinstance(name, str) and name in members:
        node["file"] = f"{hashlib.sha256(members[name]).hexdigest()[:32]}{Path(name).suffix}"
        renamed[node["file"]] = members[name]
    for key, value in node.items():
        if key not in ("__id__", "file"):
            _number_parts(value, counter=counter, members=members, renamed=renamed)
