"""Pipelines by level, month after month."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ratchet.measure.activity import Activity
from ratchet.measure.distribution import Distribution, distribution, distributions, ends_of_months
from ratchet.measure.policies import shipped
from ratchet.measure.standings import Standing

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
LEVELS = {"a": 3, "b": 1, "c": 0, "d": 0, "old": 4, "asleep": 2}


def stand_at(_at: datetime, names: Sequence[str]) -> list[Standing]:
    """Return fixed levels."""
    return [
        Standing(pipeline=name, level=LEVELS[name], suffix="", name="", blocking=None, is_insufficient=name == "d")
        for name in names
    ]


def pipelines() -> list[Activity]:
    """Return four active pipelines, an archived and a dormant one."""
    recent = (AT - timedelta(days=60), AT - timedelta(days=1))
    gone = ((AT - timedelta(days=2), None),)
    return [
        *(Activity(pipeline=name, moments=recent) for name in "abcd"),
        Activity(pipeline="old", moments=recent, archived=gone),
        Activity(pipeline="asleep", moments=(AT - timedelta(days=200),)),
        Activity(pipeline="future", moments=(AT + timedelta(days=1),)),
    ]


def now() -> Distribution:
    """Return the distribution at the moment."""
    return distribution(pipelines(), shipped("standard"), at=AT, month="2026-03", stand_at=stand_at)


def test_each_active_pipeline_is_in_one_bucket() -> None:
    """Insufficient is a bucket of its own; archived and dormant pipelines are listed and not counted."""
    found = now()
    assert found.buckets == {"0": 1, "1": 1, "2": 0, "3": 1, "4": 0, "insufficient": 1}
    assert (found.active, found.archived, found.dormant) == (4, ("old",), ("asleep",))
    assert found.pipelines["insufficient"] == ("d",)


def test_share_of_a_level_is_of_active_pipelines() -> None:
    """Those with too little evidence have reached no level, and still weigh."""
    assert [now().share_at_least(level) for level in (0, 1, 2, 4)] == [0.75, 0.5, 0.25, 0.0]
    nobody = distribution([], shipped("standard"), at=AT, month="2026-03", stand_at=stand_at)
    assert (nobody.active, nobody.share_at_least(1)) == (0, None)


def test_a_scale_may_have_any_number_of_levels() -> None:
    """The buckets are those of the policy."""
    found = distribution([], shipped("google-0-2"), at=AT, month="m", stand_at=stand_at)
    assert list(found.buckets) == ["0", "1", "2", "insufficient"]


def test_months_are_those_of_the_time_zone() -> None:
    """A month ends when it is over where the organisation is, summer time or not; the last ends now."""
    found = ends_of_months(
        datetime(2024, 2, 1, 3, tzinfo=UTC), datetime(2024, 4, 2, tzinfo=UTC), zone="America/New_York"
    )
    assert [month for month, _ in found] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    ends = [end + timedelta(microseconds=1) for _, end in found[:-1]]
    assert ends == [
        datetime(2024, 2, 1, 5, tzinfo=UTC),
        datetime(2024, 3, 1, 5, tzinfo=UTC),
        datetime(2024, 4, 1, 4, tzinfo=UTC),
    ]
    assert found[-1][1] == datetime(2024, 4, 2, tzinfo=UTC)


def test_a_series_runs_from_the_first_event_to_now() -> None:
    """Without a limit it begins with the month of the first event; with one it has the last months."""
    policy = shipped("standard")
    found = distributions(pipelines(), policy, until=AT, zone="UTC", stand_at=stand_at)
    assert [one.month for one in found] == [*(f"2025-{n:02d}" for n in range(8, 13)), "2026-01", "2026-02", "2026-03"]
    assert found[-1].at == AT
    assert (found[0].active, found[4].active) == (1, 0)
    last = distributions(pipelines(), policy, until=AT, zone="UTC", stand_at=stand_at, months=2)
    assert last == found[-2:]
    assert distributions([], policy, until=AT, zone="UTC", stand_at=stand_at) == []
