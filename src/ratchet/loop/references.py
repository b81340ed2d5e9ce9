"""What stands for a value between a body and its parent: a reference by content, and back.

Invariant: a reference names the same bytes for ever; a value that was changed in place gets another one.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ratchet.errors import NoStorer
from ratchet.loop import datasets
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts

# Several values in one, each with a reference of its own.
_PARTS: dict[str, Callable[[Iterable[Any]], Any]] = {"tuple": tuple, "list": list}
# A value that a reference may hold itself instead of naming an artifact.
_INLINE_BYTES = 1024


class References:
    """The values that one process works with, and what stands for them.

    Args:
        artifacts: Where results are stored.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._references: dict[int, tuple[Any, dict[str, Any], int]] = {}

    def refer(self, value: Any, *, is_stored: bool = False) -> dict[str, Any]:
        """Return what stands for a value: the same at every replay, another one when the value was changed.

        Args:
            is_stored: Whether another process must be able to load it.
        """
        known = self._references.get(id(value))
        if known is not None and known[0] is value and known[2] == _fingerprint(value):
            return known[1]
        if isinstance(value, datasets.Dataset):
            return {"dataset": value.digest}
        try:
            storer, content = storers.dump(value)
        except NoStorer:
            if not isinstance(value, list | tuple):
                raise
            return {_kind_of(value): [self.refer(item, is_stored=is_stored) for item in value]}
        if storer == "json" and len(content) <= _INLINE_BYTES:
            return {"value": msgspec.json.decode(content)}
        digest = self._artifacts.write(content) if is_stored else storers.fingerprint(content)
        return {"storer": storer, "sha256": digest}

    def store(self, value: Any) -> dict[str, Any]:
        """Store a value, unless a step has done so already, and return what stands for it."""
        known = self._references.get(id(value))
        if known is not None and known[0] is value and known[2] == _fingerprint(value) and "sha256" in known[1]:
            return known[1]
        return self._store_one(value)

    def keep(self, result: Any) -> Any:
        """Store what a step returned, each part of a tuple for itself, and return what stands for it."""
        if isinstance(result, tuple):
            return {"tuple": [self.keep(item) for item in result]}
        try:
            return self._store_one(result)
        except NoStorer:
            if not isinstance(result, list):
                raise
            return {"list": [self.keep(item) for item in result]}

    def _store_one(self, value: Any) -> dict[str, Any]:
        storer, content = storers.dump(value)
        return {"storer": storer, "sha256": self._artifacts.write(content)}

    def given(self, reference: dict[str, Any], names: dict[str, str]) -> Any:
        """Return the value that stands behind an argument of a step that is carried out here for another process."""
        for kind in _PARTS:
            if kind in reference:
                return _PARTS[kind](self.given(item, names) for item in reference[kind])
        if "value" in reference:
            return reference["value"]
        if "dataset" in reference:
            digest = reference["dataset"]
            return datasets.open_version(digest, name=names[digest], artifacts=self._artifacts)
        return self.load(reference)

    def load(self, reference: dict[str, Any]) -> Any:
        """Return what a step returned, from where it was stored."""
        for kind in _PARTS:
            if kind in reference:
                return _PARTS[kind](self.load(item) for item in reference[kind])
        return storers.load(reference["storer"], self._artifacts.read(reference["sha256"]))

    def remember(self, value: Any, reference: dict[str, Any]) -> None:
        """Let a value be known by what stands for it, until it is changed in place."""
        kind = _kind_of(value)
        if kind in reference:
            for item, own in zip(value, reference[kind], strict=True):
                self.remember(item, own)
            return
        # The value is kept, so that its id cannot become another value's.
        self._references[id(value)] = (value, reference, _fingerprint(value))


def dataset_names(values: Iterable[Any]) -> dict[str, str]:
    """Return the names of the dataset versions among some values, by digest: a reference holds the digest only."""
    return {value.digest: value.name for value in _flat(values) if isinstance(value, datasets.Dataset)}


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _kind_of(value: Any) -> str:
    return "list" if isinstance(value, list) else "tuple" if isinstance(value, tuple) else ""


def _fingerprint(value: Any) -> int:
    """Return a number that changes when a frame, an array, a list or a dictionary is changed in place.

    Cheap enough for each step; so estimators get 0: storing one takes longer than most steps.
    """
    if isinstance(value, dict | list):
        return zlib.crc32(storers.dump(value)[1])
    kind = type(value).__name__
    if kind == "Series":
        value, kind = value.to_frame("values"), "DataFrame"
    if kind == "DataFrame":
        total = zlib.crc32(repr([*map(str, value.columns), len(value)]).encode())
        for position in range(value.shape[1]):
            column = value.iloc[:, position]
            if getattr(column.dtype, "tz", None) is not None:
                # Moments with a zone would come as one Python object each, which takes longer than many a step.
                column = column.dt.tz_convert(None)
            total = zlib.crc32(column.to_numpy().tobytes(), total)
        return total
    if kind == "ndarray":
        return zlib.crc32(value.tobytes())
    return 0
