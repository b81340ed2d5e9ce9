"""Columns of the events of one kind, which only grow: numbers, and texts as numbers.

Invariant: rows stand in the order of the ledger and never change, so what was known at a moment is the beginning of
each column, and what was imported of that time later; what was handed out stays as it is while rows are added.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ratchet.records import Event

Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
# A moment that nobody knows, among microseconds since 1970.
NEVER = np.iinfo(np.int64).min
_ROOM = 1024


class Column:
    """Numbers that only grow.

    Args:
        kind: What numbers.
    """

    def __init__(self, kind: type[np.generic]) -> None:
        self._values: npt.NDArray[Any] = np.empty(_ROOM, dtype=kind)
        self._count = 0
        self._new: list[Any] = []
        self.append = self._new.append

    def __len__(self) -> int:
        return self._count + len(self._new)

    @property
    def values(self) -> npt.NDArray[Any]:
        """Return what was settled, shape ``(rows,)``."""
        return self._values[: self._count]

    def settle(self) -> None:
        """Let what was appended be seen; whoever appends calls it, and nobody else."""
        if not self._new:
            return
        count = self._count + len(self._new)
        if count > len(self._values):
            grown = np.empty(max(count, 2 * len(self._values)), dtype=self._values.dtype)
            grown[: self._count] = self._values[: self._count]
            self._values = grown
        self._values[self._count : count] = self._new
        self._count = count
        self._new.clear()


class Words:
    """Texts as numbers, each text once; 0 is the empty one."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": 0}
        self.texts: list[str] = [""]

    def __len__(self) -> int:
        return len(self.texts)

    def code(self, text: str) -> int:
        """Return the number of a text; a new one gets the next."""
        found = self._codes.get(text)
        if found is None:
            # The list first: whoever reads meanwhile finds the text of each code that it meets.
            self.texts.append(text)
            found = self._codes[text] = len(self.texts) - 1
        return found

    def known(self, text: str) -> int:
        """Return the number of a text; -1 where it never came."""
        return self._codes.get(text, -1)

    def of(self, codes: npt.NDArray[Any]) -> list[str]:
        """Return the texts of some numbers."""
        texts = self.texts
        return [texts[code] for code in codes.tolist()]


class Sight(Protocol):
    """What a view sees: all up to one place in the ledger, and what was imported until another of the time before."""

    @property
    def recorded_seq(self) -> int:
        """Return the place up to which all is seen."""

    @property
    def seq(self) -> int:
        """Return the place up to which something is seen."""

    @property
    def at_us(self) -> int:
        """Return the moment, in microseconds since 1970, UTC."""


class Log:
    """The events of one kind, by column.

    Args:
        columns: What is kept of each, beside its place, its own time and its id.
    """

    def __init__(self, **columns: type[np.generic]) -> None:
        self.ids: list[str] = []
        self._seq, self._time_us, self._is_imported = Column(np.int64), Column(np.int64), Column(np.bool_)
        self._columns = {name: Column(kind) for name, kind in columns.items()}

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, event: Event, time_us: int, values: Mapping[str, Any]) -> None:
        """Take in one event, in the order of the ledger, with a value for each column."""
        self.ids.append(event.id)
        self._seq.append(event.seq)
        self._time_us.append(time_us)
        self._is_imported.append(event.evidence == "imported")
        for name, column in self._columns.items():
            column.append(values[name])

    def settle(self) -> None:
        """Let what was added be seen."""
        for column in (self._seq, self._time_us, self._is_imported, *self._columns.values()):
            column.settle()

    def seen(self, sight: Sight) -> "Seen":
        """Return what a view sees of it, by the events' own time."""
        seqs = self._seq.values
        count = int(np.searchsorted(seqs, sight.recorded_seq, side="right"))
        rows = np.arange(count, dtype=np.intp)
        if sight.seq > sight.recorded_seq:
            last = int(np.searchsorted(seqs, sight.seq, side="right"))
            is_seen = self._is_imported.values[count:last] & (self._time_us.values[count:last] <= sight.at_us)
            rows = np.concatenate([rows, count + np.flatnonzero(is_seen)])
        times = self._time_us.values[rows]
        if len(times) and bool((times[1:] < times[:-1]).any()):
            # Stable: those of one moment keep the order of the ledger.
            rows = rows[np.argsort(times, kind="stable")]
        return Seen(self, rows, recorded_seq=sight.recorded_seq)


class Seen:
    """Rows of a log by the events' own time, those of one moment in the order of the ledger."""

    def __init__(self, log: Log, rows: Places, *, recorded_seq: int) -> None:
        """Look at some rows; ``Log.seen`` makes these."""
        self._log = log
        self.rows = rows
        self.seq: Whole = log._seq.values[rows]
        self.time_us: Whole = log._time_us.values[rows]
        # What was imported after the moment: what led to it need not be seen although it came before.
        self.is_later: Mask = self.seq > recorded_seq
        self._found: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column, shape ``(rows,)``."""
        if name not in self._found:
            self._found[name] = self._log._columns[name].values[self.rows]
        return self._found[name]

    def ids(self, places: Places | None = None) -> list[str]:
        """Return the ids of the events in some places, in all if none are given."""
        known = self._log.ids
        rows = self.rows if places is None else self.rows[places]
        return [known[row] for row in rows.tolist()]

    def id(self, place: int) -> str:
        """Return the id of the event in one place."""
        return self._log.ids[int(self.rows[place])]


def last_of_each(codes: npt.NDArray[Any], size: int) -> Places:
    """Return the last place of each code, -1 where it is not among them, shape ``(size,)``."""
    found = np.full(size, -1, dtype=np.intp)
    found[codes] = np.arange(len(codes))
    return found


def first_of_each(codes: npt.NDArray[Any], size: int) -> Places:
    """Return the first place of each code, -1 where it is not among them, shape ``(size,)``."""
    found = np.full(size, -1, dtype=np.intp)
    found[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return found


def hours_between(since_us: npt.NDArray[Any], until_us: npt.NDArray[Any]) -> Floats:
    """Return the hours from some moments to others, as ``questions.hours`` gives them."""
    found: Floats = (until_us - since_us).astype(np.float64) / 1e6 / 3600
    return found


def where_any(masks: Iterable[Mask], size: int) -> Mask:
    """Return where any of some masks holds."""
    found = np.zeros(size, dtype=np.bool_)
    for mask in masks:
        found |= mask
    return found
