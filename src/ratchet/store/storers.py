"""How values become bytes and back: data frames, series, arrays, JSON, and models of all formats. No pickle.

Invariant: the same value gives the same bytes, so that what is content-addressed can be compared; and loading never
runs code that is neither on our own list of trusted types nor the project's own, as a run has run it.
"""

import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ratchet.errors import NoStorer
from ratchet.store.disk_errors import disk_errors
from ratchet.store.formats import boosting, catboost, estimators, extras, networks, objects, onnx

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Storer:
    """How values of one kind are stored.

    Attributes:
        name: Stands beside the digest wherever a value is referred to.
        accepts: Whether a value is of this kind.
        dump: Value to bytes.
        load: Bytes to value.
        describes: The kind in words, for error messages.
        open: Bytes to a model that predicts from data frames; ``load`` where the value is one by itself.
        libraries: What has to be importable to store or load it, beside what Ratchet brings.
        extra: The extra of Ratchet that brings them.
    """

    name: str
    accepts: Callable[[Any], bool]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    describes: str
    open: Callable[[bytes], Any] | None = None
    libraries: tuple[str, ...] = ()
    extra: str = ""


def _module_of(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_frame(value: Any) -> bool:
    return _module_of(value) == "pandas" and type(value).__name__ == "DataFrame"


def _is_series(value: Any) -> bool:
    is_named = getattr(value, "name", None) is None or isinstance(value.name, str)
    return _module_of(value) == "pandas" and type(value).__name__ == "Series" and is_named


def _is_array(value: Any) -> bool:
    return _module_of(value) == "numpy" and type(value).__name__ == "ndarray" and value.dtype.kind in "biufSUmM"


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
        with disk_errors(path):
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
        # Else moments with a zone would come back in the machine's own.
        connection.execute("SET TimeZone = 'UTC'")
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


def _storer_of_boosters(library: boosting.Library, *, distribution: str) -> Storer:
    return Storer(
        library.name,
        library.accepts,
        library.dump,
        library.load,
        f"model of {distribution}",
        open=library.open,
        libraries=(library.name, "skops"),
        extra=library.name,
    )


# Asked in this order. Models of other libraries can be fitted, too: they are asked before scikit-learn.
_STORERS: list[Storer] = [
    Storer(
        "frame", _is_frame, _dump_frame, _load_frame, "pandas.DataFrame", libraries=("pandas",), extra=extras.FRAMES
    ),
    Storer(
        "series", _is_series, _dump_series, _load_series, "pandas.Series", libraries=("pandas",), extra=extras.FRAMES
    ),
    Storer("array", _is_array, _dump_array, _load_array, "numpy.ndarray of numbers or text"),
    Storer(
        networks.NAME,
        networks.accepts,
        networks.dump,
        networks.load,
        "module of PyTorch whose class is the project's own",
        open=networks.open_module,
        libraries=("torch", "safetensors"),
        extra="torch",
    ),
    Storer(
        objects.NAME,
        objects.accepts,
        lambda value: objects.dump(value, keep=dump),
        lambda content: objects.load(content, fetch=load),
        "object of the project's own classes with 'predict'",
        # To keep it takes nothing, to ask it a data frame.
        extra=extras.FRAMES,
    ),
    _storer_of_boosters(boosting.XGBOOST, distribution="XGBoost"),
    _storer_of_boosters(boosting.LIGHTGBM, distribution="LightGBM"),
    Storer(
        catboost.NAME,
        catboost.accepts,
        catboost.dump,
        catboost.load,
        "classifier or regression of CatBoost",
        libraries=("catboost", "skops"),
        extra="catboost",
    ),
    Storer(
        onnx.NAME,
        onnx.is_graph,
        onnx.dump,
        onnx.load,
        "onnx.ModelProto",
        open=onnx.open_graph,
        libraries=("onnx", "onnxruntime"),
        extra="onnx",
    ),
    Storer(
        "onnx-file",
        onnx.is_file,
        onnx.dump_file,
        onnx.load_file,
        "content of an ONNX file",
        open=onnx.open_graph,
        libraries=("onnx", "onnxruntime"),
        extra="onnx",
    ),
    Storer(
        "skops",
        estimators.is_estimator,
        estimators.dump,
        estimators.load,
        "scikit-learn estimator",
        libraries=("skops", "sklearn"),
        extra=extras.FRAMES,
    ),
    Storer("json", _is_json, msgspec.json.encode, msgspec.json.decode, "JSON value (dict, list, str, number, None)"),
]


def register(storer: Storer) -> None:
    """Add a storer; it is asked before those that are there."""
    _STORERS.insert(0, storer)


def dump(value: Any) -> tuple[str, bytes]:
    """Return the name of the storer that takes a value, and its bytes.

    Raises:
        NoStorer: None takes it.
        LibraryMissing: A library that is needed to store it is not installed.
        UntrustedModel: An estimator with parts that are not on our list.
    """
    for storer in _STORERS:
        if storer.accepts(value):
            return storer.name, _ready(storer).dump(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NoStorer(type=kind, known="; ".join(storer.describes for storer in _STORERS))


def load(name: str, content: bytes) -> Any:
    """Return the value that a storer made bytes of.

    Raises:
        NoStorer: No storer has this name.
        LibraryMissing: A library that it needs is not installed.
        UntrustedModel: A model with parts that are not on our list.
    """
    return _ready(find(name)).load(content)


def open_model(name: str, content: bytes) -> Any:
    """Return the model that a storer made bytes of, as one that predicts from data frames.

    It has ``predict``, or ``predict_proba`` where it gives probabilities of classes; ``feature_names_in_`` where it
    knows the names of its columns, and ``classes_`` where it knows its classes.

    Raises:
        NoStorer, LibraryMissing, UntrustedModel: As for ``load``.
    """
    storer = _ready(find(name))
    return storer.load(content) if storer.open is None else storer.open(content)


def known() -> tuple[Storer, ...]:
    """Return all storers, in the order in which they are asked."""
    return tuple(_STORERS)


def find(name: str) -> Storer:
    """Return the storer of this name.

    Raises:
        NoStorer: There is none.
    """
    for storer in _STORERS:
        if storer.name == name:
            return storer
    raise NoStorer(type=name, known="; ".join(storer.describes for storer in _STORERS))


def column_names(model: Any) -> tuple[str, ...]:
    """Return the names of the columns that a model was fitted on, or nothing where it was fitted on a matrix."""
    found: Any = ()
    for attribute in ("feature_names_in_", "feature_names_", "feature_names", "feature_name"):
        found = getattr(model, attribute, None)
        found = found() if callable(found) else found
        if found is not None:
            break
    names = tuple(map(str, () if found is None else found))
    # Libraries number the columns of a matrix, each in its way.
    numbered = [tuple(form.format(place) for place in range(len(names))) for form in ("{}", "Column_{}", "f{}")]
    return () if names in numbered else names


def _ready(storer: Storer) -> Storer:
    """Return a storer whose libraries are all there."""
    for library in storer.libraries:
        if not extras.is_installed(library):
            what = f"The format '{storer.name}'"
            raise extras.missing(library, what=what, extra=storer.extra or storer.name)
    return storer


def fingerprint(content: bytes) -> str:
    """Return the sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
