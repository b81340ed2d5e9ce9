"""Columns that only grow."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from ratchet.clock import to_us
from ratchet.measure.kpis.logs import (
    Column,
    Log,
    Words,
    first_of_each,
    hours_between,
    last_of_each,
)
from ratchet.measure.kpis.questions import hours
from ratchet.records import Event

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Sight:
    """What a view sees."""

    recorded_seq: int
    seq: int
    at_us: int


def test_a_column_grows_and_what_was_handed_out_stays() -> None:
    """What is appended is seen once it is settled, and changes no array that somebody holds."""
    column = Column(np.int64)
    column.append(1)
    assert (len(column), column.values.tolist()) == (1, [])
    column.settle()
    held = column.values
    for number in range(2, 3000):
        column.append(number)
    column.settle()
    assert held.tolist() == [1]
    assert column.values.tolist() == list(range(1, 3000))


def test_a_text_has_one_number() -> None:
    """The same text has the same number; the empty one is 0, and what never came has none."""
    words = Words()
    assert [words.code(text) for text in ("a", "b", "a", "")] == [1, 2, 1, 0]
    assert (words.known("b"), words.known("c"), len(words)) == (2, -1, 3)
    assert words.of(np.array([2, 0, 1])) == ["b", "", "a"]


def test_a_view_sees_the_beginning_and_what_was_imported_of_that_time() -> None:
    """In the order of their own time; what was recorded later and not imported is not seen, nor what was later."""
    log = Log(size=np.int64)
    told = [(1, 5, "native"), (2, 1, "native"), (4, 3, "imported"), (6, 2, "native"), (7, 9, "imported")]
    for seq, day, evidence in told:
        event = Event(type="x", subject="x", id=f"E{seq}", seq=seq, evidence=evidence)
        log.add(event, to_us(START + timedelta(days=day)), {"size": 10 * seq})
    log.settle()
    moment = to_us(START + timedelta(days=4))
    seen = log.seen(Sight(recorded_seq=2, seq=7, at_us=moment))
    assert (seen.ids(), seen["size"].tolist()) == (["E2", "E4", "E1"], [20, 40, 10])
    assert seen.is_later.tolist() == [False, True, False]
    assert log.seen(Sight(recorded_seq=2, seq=2, at_us=moment)).ids() == ["E2", "E1"]
    assert log.seen(Sight(recorded_seq=7, seq=7, at_us=moment)).ids() == ["E2", "E6", "E4", "E1", "E7"]
    assert (seen.ids(np.array([2])), seen.id(0)) == (["E1"], "E2")


def test_the_first_and_the_last_of_each() -> None:
    """Each code has its first and its last place, and none where it did not come."""
    codes = np.array([2, 0, 2, 0, 3])
    assert first_of_each(codes, 5).tolist() == [1, -1, 0, 4, -1]
    assert last_of_each(codes, 5).tolist() == [3, -1, 2, 4, -1]
    assert first_of_each(codes[:0], 2).tolist() == [-1, -1]


def test_hours_are_those_of_moments() -> None:
    """Not a bit differs from what two moments give."""
    later = [START + timedelta(microseconds=7**step) for step in range(18)]
    found = hours_between(np.full(18, to_us(START)), np.array([to_us(one) for one in later]))
    assert found.tolist() == [hours(START, one) for one in later]
