"""Slots of schedules: each once, rising, none lost, whatever is done to the clocks of a zone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.automation.schedules import first_slots, latest_slot, next_slot, problem_of, slots

# North and south, a whole hour and half of one, at midnight, with a day left out, at other times each year, and none.
ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "America/Santiago",
    "America/Havana",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kolkata",
    "UTC",
)
START, END = datetime(2010, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@cache
def days(zone: ZoneInfo) -> list[date]:
    """Return the days that there were in a zone, its first and last left out."""
    found = {(START + 8 * HOUR * number).astimezone(zone).date() for number in range(int((END - START) / HOUR / 8))}
    return sorted(found)[1:-1]


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return the days in which the clocks were changed."""
    noons = [START + 24 * HOUR * number for number in range(int((END - START) / HOUR / 24))]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    return [noon for noon, (one, other) in zip(noons, pairwise(offsets), strict=False) if one != other]


def inside(cron: str, name: str) -> list[datetime]:
    """Return the slots of the ten years, whole days only."""
    known = days(ZoneInfo(name))
    found = list(slots(cron, name, after=START - timedelta(days=2), until=END + timedelta(days=2)))
    utc = [slot.astimezone(UTC) for slot in found]
    assert all(one < other for one, other in pairwise(utc)), "strictly rising"
    return [slot for slot in found if known[0] <= slot.date() <= known[-1]]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at", ["0 0", "30 2"])
def test_each_day_has_its_slot_once(zone: str, at: str) -> None:
    """For ten years, also on days of 23 and 25 hours; at its time unless that was left out, and then an hour late."""
    minute, hour = map(int, at.split())
    found = inside(f"{at} * * *", zone)
    per_day = Counter(slot.date() for slot in found)
    odd = [day for day in days(ZoneInfo(zone)) if per_day[day] != 1]
    # Where midnight is left out, what was to come before it and cannot comes on the next day; no zone here does that.
    assert odd == []
    for slot in found:
        wanted = slot.replace(hour=hour, minute=minute, fold=0)
        exists = wanted.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wanted.replace(tzinfo=None)
        assert slot.astimezone(UTC) == wanted.astimezone(UTC)
        assert exists or slot.replace(tzinfo=None) - wanted.replace(tzinfo=None) in (HOUR, HOUR / 2)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("minute", [0, 15, 45])
def test_each_hour_has_its_slot(zone: str, minute: int) -> None:
    """An hour apart, always; only half an hour that a zone is moved by can bring two nearer or further apart."""
    found = changes(ZoneInfo(zone)) or [START]
    assert (len(found) > 10) == (zone not in ("UTC", "Asia/Kolkata"))
    gaps: Counter[timedelta] = Counter()
    for day in found:
        utc = [*slots(f"{minute} * * * *", zone, after=day - 30 * HOUR, until=day + 60 * HOUR)]
        gaps.update(later - earlier for earlier, later in pairwise(slot.astimezone(UTC) for slot in utc))
    is_half = zone == "Australia/Lord_Howe"
    assert set(gaps) <= ({HOUR, HOUR / 2, 3 * HOUR / 2} if is_half else {HOUR})
    assert gaps[HOUR] >= 85 * len(found)


@pytest.mark.parametrize("zone", ZONES)
def test_each_week_has_its_slot_once(zone: str) -> None:
    """On the Sunday on which clocks are changed, in the hour in which they are; Samoa once had a week of six days."""
    per_week = Counter(slot.isocalendar()[:2] for slot in inside("30 2 * * SUN", zone))
    assert set(per_week.values()) == {1}
    assert len(per_week) in (521, 522)


@pytest.mark.parametrize(
    ("zone", "day", "cron", "expected"),
    [
        ("America/New_York", date(2026, 3, 8), "30 2 * * *", ["03:30-0400"]),
        ("America/New_York", date(2026, 3, 8), "*/30 2,3 * * *", ["03:00-0400", "03:30-0400"]),
        ("America/New_York", date(2026, 11, 1), "30 1 * * *", ["01:30-0400"]),
        ("Australia/Sydney", date(2026, 10, 4), "30 2 * * *", ["03:30+1100"]),
        ("Australia/Sydney", date(2026, 4, 5), "30 2 * * *", ["02:30+1100"]),
        ("Australia/Lord_Howe", date(2026, 10, 4), "15 2 * * *", ["02:45+1100"]),
        ("Australia/Lord_Howe", date(2026, 4, 5), "45 1 * * *", ["01:45+1100"]),
        ("America/Santiago", date(2026, 9, 6), "0 0 * * *", ["01:00-0300"]),
        ("America/Havana", date(2026, 11, 1), "30 0 * * *", ["00:30-0400"]),
    ],
)
def test_what_is_left_out_comes_later_and_what_comes_twice_comes_first(
    zone: str, day: date, cron: str, expected: list[str]
) -> None:
    """As much later as the clocks were put forward, so that rules keep their order; and never a second time."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) - HOUR / 2
    found = [slot for slot in slots(cron, zone, after=start, until=start + timedelta(days=2)) if slot.date() == day]
    assert [f"{slot:%H:%M%z}" for slot in found] == expected


def test_rules_one_behind_the_other_keep_their_order() -> None:
    """Ten minutes apart in the hour that is left out: ten minutes apart all the same."""
    start = datetime(2026, 3, 8, 5, tzinfo=UTC)
    found = [next_slot(f"{minute} 2 * * *", "America/New_York", after=start) for minute in (10, 20, 30)]
    assert [slot and f"{slot:%H:%M}" for slot in found] == ["03:10", "03:20", "03:30"]


def test_every_second_hour_is_not_every_hour() -> None:
    """It has twelve slots on a day of 25 hours; one that names all hours has 25, however it writes them."""
    start = datetime(2026, 11, 1, 4, tzinfo=UTC) - timedelta(minutes=1)
    end = start + timedelta(hours=25)
    for cron, count in (
        ("0 */2 * * *", 12),
        ("0 * * * *", 25),
        ("0 0-23 * * *", 25),
        ("@hourly", 25),
        ("0 0 * * *", 1),
    ):
        assert len(list(slots(cron, "America/New_York", after=start, until=end))) == count


@settings(max_examples=40)
@given(
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(["*/10 * * * *", "0 * * * *", "30 2 * * *", "*/20 1-3 * * *", "30 2 * * SUN", "0 0 1 * *"]),
    year=st.integers(2010, 2019),
    change=st.sampled_from([(3, 8), (3, 29), (4, 5), (9, 6), (10, 4), (10, 25), (11, 1), (12, 30)]),
    minutes=st.lists(st.integers(0, 5 * 24 * 60), min_size=3, max_size=3),
)
def test_whoever_looks_when_sees_the_same_slots(
    zone: str, cron: str, year: int, change: tuple[int, int], minutes: list[int]
) -> None:
    """Two looks see what one look over both spans sees; the latest is the last, the next is the first."""
    start = datetime(year, *change, tzinfo=UTC) - timedelta(days=2)
    first, middle, last = (start + timedelta(minutes=one) for one in sorted(minutes))
    whole = list(slots(cron, zone, after=first, until=last))
    assert whole == [*slots(cron, zone, after=first, until=middle), *slots(cron, zone, after=middle, until=last)]
    assert latest_slot(cron, zone, after=first, until=last) == (whole[-1] if whole else None)
    assert first_slots(cron, zone, after=first, until=last, limit=2) == whole[:2]
    following = next_slot(cron, zone, after=first)
    assert following is not None
    assert following == whole[0] if whole else following > last


def test_the_last_slot_lies_in_the_half_open_interval() -> None:
    """After the last look, up to and including now; a long pause changes nothing."""
    three = datetime(2026, 1, 5, 3, tzinfo=UTC)
    assert latest_slot("0 3 * * *", "UTC", after=three, until=three + timedelta(hours=5)) is None
    assert latest_slot("0 3 * * *", "UTC", after=three - timedelta(seconds=1), until=three) == three
    seconds = three + timedelta(seconds=30)
    assert latest_slot("0 3 * * *", "UTC", after=three - timedelta(hours=1), until=seconds) == three
    assert latest_slot("0 3 * * *", "UTC", after=three - timedelta(days=4000), until=seconds) == three
    assert next_slot("0 3 * * *", "UTC", after=three) == three + timedelta(days=1)


@pytest.mark.parametrize("cron", ["0 3 29 2 *", "0 0 31 * *", "@yearly"])
def test_rare_slots_are_found(cron: str) -> None:
    """A schedule may wait for years."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = next_slot(cron, "UTC", after=start)
    assert found is not None
    assert start < found < start + timedelta(days=800)
    assert problem_of(cron) == ""


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("61 * * * *", "is no schedule"),
        ("* * * *", "is no schedule"),
        ("* * * * * *", "is no schedule"),
        ("@reboot", "is no schedule"),
        ("R 3 * * *", "is no schedule"),
        ("0 3 * * 1,R", "is no schedule"),
        ("0 0 30 2 *", "never comes"),
    ],
)
def test_what_means_no_moment_is_refused(cron: str, problem: str) -> None:
    """Also what would be another moment in each process, and the thirtieth of February."""
    assert problem in problem_of(cron)
    assert next_slot("0 0 30 2 *", "UTC", after=START) is None
