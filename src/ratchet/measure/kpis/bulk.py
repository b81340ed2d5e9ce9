"""Columns of the events that come by the million: numbers and words, one place for each event.

Invariant: rows stand in the order of the ledger, so what was known at a moment is the beginning of each column.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ratchet.clock import from_us, to_us
from ratchet.records import Event

_ENVELOPE = ("pipeline", "team")


class Table:
    """The events of one type, by column.

    Args:
        type: Which type.
        words: Fields with few different texts, and what an event without one means by that.
        numbers: Fields with numbers, and what an event without one means by that.
    """

    def __init__(self, type: str, *, words: Mapping[str, str], numbers: Mapping[str, float]) -> None:  # noqa: A002, the field's word
        self.type = type
        self._words = {**dict.fromkeys(_ENVELOPE, ""), **words}
        self._numbers = dict(numbers)
        self.ids: list[str] = []
        self._seqs = array("q")
        self._times = array("q")
        self._vocabulary: dict[str, dict[str, int]] = {name: {} for name in self._words}
        self._codes = {name: array("i") for name in self._words}
        self._values = {name: array("d") for name in numbers}

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, event: Event) -> None:
        """Take in one event, in the order of the ledger."""
        self.ids.append(event.id)
        self._seqs.append(event.seq)
        self._times.append(to_us(event.at))
        data = event.data
        for name, missing in self._words.items():
            word = str((getattr(event, name) if name in _ENVELOPE else data.get(name)) or missing)
            known = self._vocabulary[name]
            self._codes[name].append(known.setdefault(word, len(known)))
        for name, default in self._numbers.items():
            self._values[name].append(_number(data.get(name), default))

    def up_to(self, seq: int) -> "Rows":
        """Return the rows up to a place in the ledger."""
        return Rows(self, bisect_right(self._seqs, seq))


class Rows:
    """The first rows of a table, as arrays of shape ``(rows,)``."""

    def __init__(self, table: Table, count: int) -> None:
        """Look at the beginning of a table; ``Table.up_to`` makes these."""
        self._table = table
        self._count = count
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return self._count

    @cached_property
    def time_us(self) -> npt.NDArray[np.int64]:
        """Return when each event happened, in microseconds since 1970, UTC."""
        return np.array(self._table._times[: self._count], dtype=np.int64)

    def number(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column of numbers."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self._table._values[name][: self._count], dtype=np.float64)
        return self._arrays[name]

    def code(self, name: str) -> npt.NDArray[np.int32]:
        """Return a column of words as places in ``words``."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self._table._codes[name][: self._count], dtype=np.int32)
        return self._arrays[name]

    def words(self, name: str) -> list[str]:
        """Return the different words of a column, in order of appearance, those of later rows too."""
        return list(self._table._vocabulary[name])

    def equals(self, name: str, word: str) -> npt.NDArray[np.bool_]:
        """Return for each row whether its word is this one."""
        place = self._table._vocabulary[name].get(word, -1)
        return np.equal(self.code(name), place)

    def moment(self, place: int) -> datetime:
        """Return when the event in a row happened (UTC)."""
        return from_us(self._table._times[place])

    def id(self, place: int) -> str:
        """Return the id of the event in a row."""
        return self._table.ids[place]


def _number(value: object, default: float) -> float:
    """Return a number of a payload; what is no number counts as missing."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
