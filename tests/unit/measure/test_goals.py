"""How far goals are."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ratchet.measure.distribution import Distribution
from ratchet.measure.goals import Goal, Progress, end_of_day, progress, read_goals
from tests.ledgers import PERSON, LedgerBuilder

SET = datetime(2026, 1, 1, tzinfo=UTC)


def month(number: int, *, reached: int, active: int = 4) -> Distribution:
    """Return a month at whose end so many of the active pipelines were at level 2."""
    names = [f"p{n}" for n in range(active)]
    pipelines = {"0": (), "1": tuple(names[reached:]), "2": tuple(names[:reached]), "insufficient": ()}
    at = SET + timedelta(days=30 * number)
    buckets = {name: len(found) for name, found in pipelines.items()}
    return Distribution(
        month=f"2026-{number + 1:02d}", at=at, buckets=buckets, pipelines=pipelines, archived=(), dormant=()
    )


def goal(**changed: object) -> Goal:
    """Return a goal: three quarters at level 2 within a year."""
    values = {
        "name": "g",
        "owner": "person-1",
        "share": 0.75,
        "level": 2,
        "by": date(2026, 12, 31),
        "policy": "standard",
        "set_at": SET,
        "event_id": "E",
    }
    return Goal(**(values | changed))  # type: ignore[arg-type]  # the values are of their fields' kinds


def found(*reached: int, **changed: object) -> Progress:
    """Return how far the goal is after some months."""
    return progress(goal(**changed), [month(n, reached=count) for n, count in enumerate(reached)], zone="UTC")


@pytest.mark.parametrize(
    ("reached", "changed", "status"),
    [
        ((0, 0, 3), {}, "met"),
        ((0, 0, 1), {}, "on the way"),
        ((0, 0, 0), {}, "behind"),
        ((0, 0, 1), {"by": date(2026, 2, 1)}, "missed"),
        ((0, 0, 3), {"by": date(2026, 2, 1)}, "met"),
    ],
)
def test_status_of_a_goal(reached: tuple[int, ...], changed: dict[str, object], status: str) -> None:
    """A goal is met, on the way, behind the straight line to it, or missed once its day is over."""
    assert found(*reached, **changed).status == status


def test_who_is_behind_and_how_many_are_needed() -> None:
    """Those below the level are named, and how many of them have to reach it."""
    result = found(0, 1)
    assert (result.behind, result.needed, result.share) == (("p1", "p2", "p3"), 2, 0.25)
    assert found(0, 4).needed == 0


def test_burn_up_begins_where_the_goal_was_set() -> None:
    """Each month has its share; the line to the goal begins when it was set and ends on its day."""
    result = found(1, 2, 3, set_at=SET + timedelta(days=15))
    assert [point.share for point in result.series] == [0.25, 0.5, 0.75]
    assert result.series[0].planned is None
    planned = result.series[1].planned
    assert planned is not None
    assert 0.25 < planned < 0.3
    late = found(0, 0, by=date(2026, 1, 10))
    assert late.series[-1].planned == 0.75


def test_no_active_pipeline_is_no_share() -> None:
    """Where nothing is active, nothing is said to be reached."""
    result = progress(goal(), [month(0, reached=0, active=0)], zone="UTC")
    assert (result.share, result.status, result.needed) == (None, "behind", 0)


def test_goals_are_read_from_events() -> None:
    """The last word on a goal counts; one that was withdrawn, or that names no share or day, is none."""
    ledger = LedgerBuilder()
    about = {"share": 0.5, "level": 2, "by": "2026-12-31", "policy": "strict", "owner": "person-2"}
    for name, data in (
        ("half", about),
        ("half", {**about, "share": 0.6}),
        ("gone", about),
        ("gone", {"withdrawn": True}),
        ("no day", {**about, "by": "soon"}),
        ("no share", {"level": 2, "by": "2026-12-31"}),
    ):
        ledger.add("goal.set", name, data, actor=PERSON, pipeline="")
    (only,) = read_goals(ledger.history().as_of(ledger.now))
    assert (only.name, only.share, only.level, only.policy, only.owner) == ("half", 0.6, 2, "strict", "person-2")
    assert only.by == date(2026, 12, 31)


def test_a_day_ends_where_the_organisation_is() -> None:
    """The last moment of a day is the one of the time zone."""
    end = end_of_day(date(2024, 3, 10), zone="America/New_York")
    assert end + timedelta(microseconds=1) == datetime(2024, 3, 11, 4, tzinfo=UTC)
