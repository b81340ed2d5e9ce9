"""What a question asks of columns: which rows fall into which local month, and which belong to a part.

Invariant: a row is in the month and in the part that the slow way, one event at a time, would have put it in.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ratchet.clock import MICROSECOND, from_us, to_us
from ratchet.measure.kpis.questions import Question, month_end, months_between

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]


def months(times_us: npt.NDArray[np.int64], zone: ZoneInfo) -> tuple[list[str], Codes]:
    """Return the local months of some moments.

    Args:
        times_us: Microseconds since 1970, UTC, shape ``(rows,)``.
        zone: Where months begin and end.

    Returns:
        Names such as ``2024-03``, in order and without gaps, and each row's place among them, shape ``(rows,)``.
    """
    if not len(times_us):
        return [], np.zeros(0, dtype=np.intp)
    first, last = from_us(int(times_us.min())), from_us(int(times_us.max()))
    names = list(months_between(first, last + MICROSECOND, zone))
    ends = np.array([to_us(month_end(name, zone)) for name in names], dtype=np.int64)
    return names, np.searchsorted(ends, times_us, side="right")


def days_of_change(question: Question) -> npt.NDArray[np.int64]:
    """Return when the organisation changed: local midnights in microseconds since 1970, in order."""
    days = sorted({section.since for section in question.settings.team})
    return np.array([to_us(datetime.combine(day, time(), question.zone)) for day in days], dtype=np.int64)


def eras(question: Question, times_us: npt.NDArray[np.int64]) -> Iterator[tuple[datetime, Mask]]:
    """Yield each stretch in which the organisation stayed the same: a moment in it, and the rows that fall into it."""
    changes = days_of_change(question)
    if not len(changes):
        yield question.as_of, np.ones(len(times_us), dtype=np.bool_)
        return
    codes = np.searchsorted(changes, times_us, side="right")
    for code in np.unique(codes).tolist():
        yield from_us(int(changes[code - 1] if code else changes[0] - 1)), codes == code


def of_node(
    question: Question, times_us: npt.NDArray[np.int64], *, names: Sequence[str], codes: npt.NDArray[Any]
) -> Mask:
    """Return which rows belong to the node that is asked about.

    Args:
        question: Its scope is a node.
        times_us: When, shape ``(rows,)``.
        names: Teams.
        codes: The place of each row's team among the names, shape ``(rows,)``.
    """
    found = np.zeros(len(times_us), dtype=np.bool_)
    for moment, rows in eras(question, times_us):
        belongs = np.array([question.covers_team(name, moment) for name in names], dtype=np.bool_)
        found[rows] = belongs[codes[rows]]
    return found


def dated(
    words: Sequence[str],
    codes: npt.NDArray[Any],
    times_us: npt.NDArray[np.int64],
    timeline: Callable[[str], Sequence[tuple[datetime, str]]],
) -> tuple[list[str], Codes]:
    """Return what each row's word stood for at its time.

    Args:
        words: What the codes stand for.
        codes: Shape ``(rows,)``.
        times_us: When, shape ``(rows,)``.
        timeline: Gives for a word since when it stood for what, in order; before the first it stood for the first.
            Where this is empty, the word stands for itself.

    Returns:
        Names, each once, and the place of each row's among them, shape ``(rows,)``.
    """
    names: dict[str, int] = {}
    found = np.zeros(len(codes), dtype=np.intp)
    order = np.lexsort((times_us, codes))
    edges = np.searchsorted(codes[order], np.arange(len(words) + 1))
    for code, word in enumerate(words):
        rows = order[edges[code] : edges[code + 1]]
        if not len(rows):
            continue
        entries = timeline(word) or [(from_us(0), word)]
        known = np.array([names.setdefault(name, len(names)) for _, name in entries], dtype=np.intp)
        later = np.array([to_us(since) for since, _ in entries[1:]], dtype=np.int64)
        found[rows] = known[np.searchsorted(later, times_us[rows], side="right")]
    return list(names), found


def sums_by(names: Sequence[str], codes: npt.NDArray[Any], amounts: npt.NDArray[Any]) -> dict[str, float]:
    """Return the sum of the amounts of each name that occurs, sorted by name.

    Args:
        names: What the codes stand for; a name may be there more than once.
        codes: Shape ``(rows,)``.
        amounts: Shape ``(rows,)``.
    """
    sums = np.bincount(codes, weights=amounts, minlength=len(names))
    seen = np.bincount(codes, minlength=len(names))
    found: dict[str, float] = {}
    for name, total, count in zip(names, sums.tolist(), seen.tolist(), strict=True):
        if count:
            found[name] = found.get(name, 0.0) + total
    return dict(sorted(found.items()))
