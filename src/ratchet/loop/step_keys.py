"""The key under which a step's result is kept, and whether it may be kept at all; in the child that carries it out.

Invariant: a result is kept only where nothing was seen that another run could find changed; in doubt it is computed
again.
"""

import platform
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.errors import NoStorer
from ratchet.loop.datasets import Dataset
from ratchet.loop.step_code import OutOfReach, digest_of_code, installed_libraries
from ratchet.loop.step_reads import Reads, watched
from ratchet.records import digest_of
from ratchet.store import storers

FORM = 1  # raise it when what is kept under a key would have to be another

# Columns of these types come back from a file as they were.
_PLAIN_TYPES = {
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float32", "float64", "datetime64[ns]", "datetime64[us]", "datetime64[ms]"),
}


class Keeping:
    """Whether the result of one call of a step may be kept, and under which key.

    Args:
        name: The step's.
        function: What it carries out.
        arguments: Values by name.
        references: What stands for them, by content.
        seed: The run's: steps may draw chance, so it is part of the key.
        own: Folders whose files are named by their content.
        folder: The project's modules, as the run imports them.
        wish: What the step says of itself: ``False`` for never, ``True`` for also where it reads the world.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        references: dict[str, Any],
        *,
        seed: int,
        own: tuple[Path, ...] = (),
        folder: Path | None = None,
        wish: bool | None = None,
    ) -> None:
        self._function, self._arguments, self._own, self._folder = function, arguments, own, folder
        self._is_trusted = wish is True
        self._reads = Reads(own)
        self._code = ""
        self._states: dict[str, Any] = {}
        self.key, self.why = "", ""
        if wish is False:
            self.why = "it says cache=False"
            return
        try:
            self._code = self._digest()
            self._states = self._states_now()
        except OutOfReach as error:
            self.why = str(error)
        except Exception as error:  # noqa: BLE001, values of the user's code answer here: a key is never worth a run
            self.why = f"no key could be made: {type(error).__name__}: {error}"
        else:
            self.key = digest_of(
                {
                    "form": FORM,
                    "step": name,
                    "code": self._code,
                    "arguments": references,
                    "forms": {one: _form_of(value) for one, value in arguments.items()},
                    "seed": seed,
                    "machine": [platform.machine(), platform.python_version(), *installed_libraries()],
                }
            )

    @property
    def asked(self) -> dict[str, str]:
        """Return what the parent is told before the step: a key, or why there is none."""
        return {"key": self.key} if self.key else {"why": self.why}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See what the step opens while the context lasts."""
        with watched(self._own) as self._reads:
            yield

    def note(self, result: Any, load: Callable[[], Any]) -> dict[str, Any]:
        """Return what the parent is told after the step: under which key to keep its result, or why not.

        Args:
            result: What it returned.
            load: Reads it back from where it was stored.
        """
        if not self.key:
            return {}
        try:
            why = self._why_not(result, load)
        except Exception as error:  # noqa: BLE001, as above
            why = f"it could not be checked: {type(error).__name__}: {error}"
        return {"why": why} if why else {"keep": self.key}

    def _why_not(self, result: Any, load: Callable[[], Any]) -> str:
        if self._reads.first and not self._is_trusted:
            return self._reads.first
        after = self._states_now()
        for name, state in self._states.items():
            if after[name] != state:
                return f"it changes its argument '{name}'"
        if self._digest() != self._code:
            return "it changes values that steps share"
        return "" if _comes_back(result, load) else "what it returns is not the same when it is read again"

    def _digest(self) -> str:
        return digest_of_code(self._function, folder=self._folder, is_trusted=self._is_trusted)

    def _states_now(self) -> dict[str, Any]:
        return {name: [state_of(value), _form_of(value)] for name, value in self._arguments.items()}


def as_kept(value: Any) -> Any:
    """Return a step's result as it comes back: of frames and series the index is not kept, only the order of rows."""
    if type(value) in (list, tuple):
        return type(value)(as_kept(item) for item in value)
    return value.reset_index(drop=True) if _is_table(value) and not _has_plain_index(value) else value


def state_of(value: Any) -> Any:
    """Return something that changes when a value is changed in place: a frame, an array, an estimator, JSON."""
    if isinstance(value, dict | list | tuple):
        try:
            return zlib.crc32(storers.dump(value)[1])
        except NoStorer:
            return [state_of(item) for item in value]
    kind = type(value).__name__
    if kind == "Series":
        value, kind = value.to_frame("values"), "DataFrame"
    if kind == "DataFrame":
        return [list(map(str, value.columns)), [_crc_of_column(value.iloc[:, one]) for one in range(value.shape[1])]]
    if kind == "ndarray":
        return zlib.crc32(value.tobytes())
    return 0 if isinstance(value, Dataset) else zlib.crc32(storers.dump(value)[1])


def _crc_of_column(column: Any) -> int:
    if getattr(column.dtype, "tz", None) is not None:
        # Moments with a zone would come as one Python object each, which takes longer than many a step.
        column = column.dt.tz_convert(None)
    values = column.to_numpy()
    if values.dtype.hasobject:
        # The bytes of such an array are addresses.
        import pandas as pd

        return zlib.crc32(pd.util.hash_array(values, categorize=False).tobytes())
    return zlib.crc32(values.tobytes())


def _form_of(value: Any) -> Any:
    """Return what a step may see of a value and its reference does not say: type, index, names of versions."""
    if isinstance(value, Dataset):
        return ["dataset", value.name]
    if isinstance(value, list | tuple):
        forms = [_form_of(item) for item in value]
        return [type(value).__qualname__, forms if any(one not in _USUAL for one in forms) else []]
    if isinstance(value, dict):
        return [type(value).__qualname__, [_form_of(item) for item in value.values()]]
    if not _is_table(value):
        return type(value).__qualname__
    dtypes = [str(dtype) for dtype in value.dtypes] if hasattr(value, "columns") else [str(value.dtype)]
    index = "" if _has_plain_index(value) else digest_of([str(value.index.dtype), *map(str, value.index)])
    return [type(value).__qualname__, dtypes, index, repr(value.attrs)]


_USUAL = ("int", "float", "str", "bool", "NoneType")


def _is_table(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ in ("DataFrame", "Series")


def _has_plain_index(value: Any) -> bool:
    return type(value.index).__name__ == "RangeIndex" and (value.index.start, value.index.step) == (0, 1)


def _comes_back(result: Any, load: Callable[[], Any]) -> bool:
    """Tell whether a value is the same when it is read again; of estimators and arrays, that is known."""
    if isinstance(result, list | tuple | dict) or _is_table(result):
        return _is_same(result, None if _is_plain_table(result) else load())
    return not isinstance(result, int | float | str) or type(result) in (bool, int, float, str)


def _is_plain_table(value: Any) -> bool:
    if not hasattr(value, "columns"):
        return False
    return all(str(dtype) in _PLAIN_TYPES for dtype in value.dtypes)


def _is_same(value: Any, back: Any) -> bool:
    if _is_table(value):
        return _has_plain_index(value) and not value.attrs and (back is None or _is_same_table(value, back))
    if type(value) is not type(back):
        return False
    if isinstance(value, dict):
        return list(value) == list(back) and all(map(_is_same, value.values(), back.values()))
    if isinstance(value, list | tuple):
        return len(value) == len(back) and all(map(_is_same, value, back))
    return True


def _is_same_table(value: Any, back: Any) -> bool:
    if not hasattr(value, "columns"):
        return _is_same_column(value, back)
    numbers = range(value.shape[1])
    return all(_is_same_column(value.iloc[:, one], back.iloc[:, one]) for one in numbers)


def _is_same_column(one: Any, other: Any) -> bool:
    if str(one.dtype) != str(other.dtype):
        return False
    return str(one.dtype) != "object" or all(type(a) is type(b) for a, b in zip(one, other, strict=True))
