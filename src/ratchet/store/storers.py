"""How values become bytes and back: data frames, series, arrays, trusted estimators, JSON. No pickle.

Invariant: the same value gives the same bytes, so that what is content-addressed can be compared; and loading never
runs code that is not on our own list of trusted types.
"""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ratchet.errors import NoStorer, UntrustedModel

if TYPE_CHECKING:
    import pandas as pd

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)

# Reviewed by us: what scikit-learn's trees keep besides arrays. A model file cannot add to this list.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn.tree._tree.Tree",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.utils.validation.check_array",
        # A partial is as harmless as the function in it, which is checked by its own name.
        "functools.partial",
        "numpy.dtype",
        "numpy.random.mtrand.RandomState",
        "numpy.random._mt19937.MT19937",
    }
)


@dataclass(frozen=True)
class Storer:
    """How values of one kind are stored.

    Attributes:
        name: Stands beside the digest wherever a value is referred to.
        accepts: Whether a value is of this kind.
        dump: Value to bytes.
        load: Bytes to value.
        describes: The kind in words, for error messages.
    """

    name: str
    accepts: Callable[[Any], bool]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    describes: str


def _module_of(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_frame(value: Any) -> bool:
    return _module_of(value) == "pandas" and type(value).__name__ == "DataFrame"


def _is_series(value: Any) -> bool:
    is_named = getattr(value, "name", None) is None or isinstance(value.name, str)
    return _module_of(value) == "pandas" and type(value).__name__ == "Series" and is_named


def _is_array(value: Any) -> bool:
    return _module_of(value) == "numpy" and type(value).__name__ == "ndarray" and value.dtype.kind in "biufSUmM"


def _is_estimator(value: Any) -> bool:
    return callable(getattr(value, "fit", None)) and callable(getattr(value, "get_params", None))


def _is_json(value: Any) -> bool:
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value)) == value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return False


def _dump_frame(frame: "pd.DataFrame") -> bytes:
    import duckdb

    problem = _why_not_parquet(frame)
    if problem:
        raise NoStorer(type=f"pandas.DataFrame with {problem}", known=_KNOWN_FRAMES)

    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder, duckdb.connect() as connection:
        path = Path(folder) / "frame.parquet"
        connection.execute("SET threads = 1")
        connection.from_df(frame).write_parquet(str(path), compression="zstd")
        return path.read_bytes()


_KNOWN_FRAMES = (
    "a data frame with a plain index (reset_index), names of text that differ by more than case, and columns of "
    "numbers, truth values, times or text"
)


def _why_not_parquet(frame: "pd.DataFrame") -> str:
    """Say what of a frame would come back changed, or nothing."""
    import pandas as pd

    if frame.index.name is not None or frame.columns.name is not None or isinstance(frame.index, pd.MultiIndex):
        return "a named index"
    names = list(frame.columns)
    strange = [name for name in names if not isinstance(name, str)]
    if not names or strange:
        return f"a column named {strange[0]!r}, which is no text" if strange else "no columns"
    if len({name.casefold() for name in names}) < len(names):
        return "two columns of one name"
    return next((problem for name in names if (problem := _why_not_column(frame[name]))), "")


def _why_not_column(column: "pd.Series") -> str:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) or getattr(column.dtype, "kind", "O") == "c":
        return f"column '{column.name}' of type {column.dtype}"
    if pd.api.types.is_object_dtype(column.dtype) and len({type(value) for value in column.dropna()}) > 1:
        return f"column '{column.name}' of mixed types"
    return ""


def _load_frame(content: bytes) -> "pd.DataFrame":
    import duckdb

    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder, duckdb.connect() as connection:
        path = Path(folder) / "frame.parquet"
        path.write_bytes(content)
        return connection.read_parquet(str(path)).df()


def _dump_series(series: "pd.Series") -> bytes:
    # A line with its name, which may be none, and then its values as the one column of a frame.
    return msgspec.json.encode(series.name) + b"\n" + _dump_frame(series.to_frame("values"))


def _load_series(content: bytes) -> "pd.Series":
    name, _, rest = content.partition(b"\n")
    return _load_frame(rest)["values"].rename(msgspec.json.decode(name))


def _dump_array(value: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def _load_array(content: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(content), allow_pickle=False)


def _dump_estimator(model: Any) -> bytes:
    import skops.io

    content = reproducible_skops(skops.io.dumps(model))
    _refuse_untrusted(content)
    return content


def _load_estimator(content: bytes) -> Any:
    import skops.io

    return skops.io.loads(content, trusted=_refuse_untrusted(content))


def _refuse_untrusted(content: bytes) -> list[str]:
    """Return the types in a model file that need our trust.

    Raises:
        UntrustedModel: One of them is not on our list.
    """
    import skops.io

    found = skops.io.get_untrusted_types(data=content)
    foreign = sorted(set(found) - TRUSTED_TYPES)
    if foreign:
        raise UntrustedModel(types=", ".join(foreign))
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
            archive.writestr(zipfile.ZipInfo(name, _FIXED_DATE), renamed[name], zipfile.ZIP_DEFLATED)
        text = json.dumps(schema, separators=(",", ":"))
        archive.writestr(zipfile.ZipInfo("schema.json", _FIXED_DATE), text, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def _without_padding(name: str, content: bytes) -> bytes:
    """Return an array's file with zeros between its fields: there lies whatever the memory held."""
    if not name.endswith(".npy"):
        return content
    import numpy as np

    array = _load_array(content)
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
        node["file"] = f"{fingerprint(members[name])[:32]}{Path(name).suffix}"
        renamed[node["file"]] = members[name]
    for key, value in node.items():
        if key not in ("__id__", "file"):
            _number_parts(value, counter=counter, members=members, renamed=renamed)


_STORERS: list[Storer] = [
    Storer("frame", _is_frame, _dump_frame, _load_frame, "pandas.DataFrame"),
    Storer("series", _is_series, _dump_series, _load_series, "pandas.Series"),
    Storer("array", _is_array, _dump_array, _load_array, "numpy.ndarray of numbers or text"),
    Storer("skops", _is_estimator, _dump_estimator, _load_estimator, "scikit-learn estimator"),
    Storer("json", _is_json, msgspec.json.encode, msgspec.json.decode, "JSON value (dict, list, str, number, None)"),
]


def register(storer: Storer) -> None:
    """Add a storer; it is asked before those that are there."""
    _STORERS.insert(0, storer)


def dump(value: Any) -> tuple[str, bytes]:
    """Return the name of the storer that takes a value, and its bytes.

    Raises:
        NoStorer: None takes it.
        UntrustedModel: An estimator with parts that are not on our list.
    """
    for storer in _STORERS:
        if storer.accepts(value):
            return storer.name, storer.dump(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NoStorer(type=kind, known="; ".join(storer.describes for storer in _STORERS))


def load(name: str, content: bytes) -> Any:
    """Return the value that a storer made bytes of.

    Raises:
        NoStorer: No storer has this name.
        UntrustedModel: A model with parts that are not on our list.
    """
    for storer in _STORERS:
        if storer.name == name:
            return storer.load(content)
    raise NoStorer(type=name, known="; ".join(storer.describes for storer in _STORERS))


def fingerprint(content: bytes) -> str:
    """Return the sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
