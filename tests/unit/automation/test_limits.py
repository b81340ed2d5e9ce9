"""What holds rules back: limits of depth and number, and one event for many times."""

from datetime import UTC, datetime, timedelta

import pytest

from ratchet.automation.limits import Held, begin_or_count, bursts, firings_needed, held_back, parse_at_most, spans
from ratchet.config import LimitSection
from tests.loops import Stage

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIMITS = LimitSection(rule_depth=4, rule_fires_per_hour=3)


def held(at_most: str = "", *, depth: int = 0, ago: tuple[timedelta, ...] = ()) -> str:
    """Return why a rule is held back that fired so long ago."""
    found = held_back(at_most, LIMITS, depth=depth, firings=[NOW - one for one in ago], now=NOW)
    return found.reason if found else ""


def test_nothing_holds_back_a_rule_that_is_new() -> None:
    """Neither by number nor by depth."""
    assert held() == ""
    assert held("1/day", depth=3) == ""


def test_each_limit_says_its_number() -> None:
    """What was found, and what may be."""
    minutes = tuple(timedelta(minutes=number) for number in range(3))
    assert held(depth=4) == "4 rules have driven one another already, at most 4 may"
    assert held(ago=minutes) == "it fired 3 times within the hour, at most 3 may be"
    assert held("1/day", ago=(timedelta(hours=5),)) == "it fired once already, and at_most is '1/day'"
    assert held("2 / week", ago=(timedelta(days=1), timedelta(days=6))) == (
        "it fired 2 times already, and at_most is '2 / week'"
    )


def test_a_span_goes_back_from_now() -> None:
    """A day is 24 hours, not the day of the calendar."""
    assert held("1/day", ago=(timedelta(hours=24),)) == ""
    assert held("1/day", ago=(timedelta(hours=23, minutes=59),)) != ""
    assert held("1/minute", ago=(timedelta(seconds=60),)) == ""
    assert firings_needed("500/week", LIMITS) == 500
    assert firings_needed("1/week", LIMITS) == 3
    assert spans("", LIMITS) == [(3, timedelta(hours=1))]
    assert spans("500/week", LIMITS) == [(3, timedelta(hours=1)), (500, timedelta(weeks=1))]


@pytest.mark.parametrize("text", ["1", "0/day", "1/year", "day", "-1/day", "1/days", "1.5/day", "once a day"])
def test_a_limit_that_means_nothing_is_refused(text: str) -> None:
    """With the spans that there are."""
    with pytest.raises(ValueError, match="spans are minute, hour, day, week"):
        parse_at_most(text)


def test_a_burst_is_told_once_and_counted(stage: Stage) -> None:
    """The next one says how many times there was no event; each kind of limit is a burst of its own."""
    rate, deep = Held(kind="rate", reason="3 times"), Held(kind="depth", reason="4 rules")
    with stage.database.write() as transaction:
        assert begin_or_count(transaction, "d", rate, now=NOW) == 0
        for second in range(500):
            later = Held(kind="rate", reason=f"{second} times")
            assert begin_or_count(transaction, "d", later, now=NOW + timedelta(seconds=second)) is None
        assert begin_or_count(transaction, "d", deep, now=NOW) == 0
        assert begin_or_count(transaction, "other", rate, now=NOW) == 0
        assert bursts(transaction, "d")["rate"]["more"] == 500
        assert begin_or_count(transaction, "d", rate, now=NOW + timedelta(hours=1)) == 500
        assert begin_or_count(transaction, "d", rate, now=NOW + timedelta(hours=2)) == 0


def test_reasons_that_differ_each_time_cannot_fill_the_ledger(stage: Stage) -> None:
    """Twenty different ones are told, all others as one."""
    with stage.database.write() as transaction:
        told = [
            begin_or_count(transaction, "d", Held(kind="condition", reason=f"value {number}"), now=NOW)
            for number in range(100)
        ]
    assert told.count(0) == 21
    assert told.count(None) == 79
