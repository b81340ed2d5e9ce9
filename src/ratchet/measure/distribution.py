"""How many pipelines stand at which level, month after month.

Invariant: each active pipeline is in exactly one bucket; too little evidence is a bucket of its own; archived and
dormant pipelines are listed, never counted.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ratchet.measure.activity import Activity
from ratchet.measure.policies import Policy
from ratchet.measure.standings import Standing
from ratchet.records import Record

INSUFFICIENT = "insufficient"
StandAt = Callable[[datetime, Sequence[str]], Sequence[Standing]]


class Distribution(Record, frozen=True):
    """How many pipelines stood where at one moment.

    Attributes:
        month: The month that ended with the moment, such as ``2026-03``.
        at: The moment (UTC).
        buckets: Number of active pipelines at each level, and those with too little evidence.
        pipelines: The active pipelines in each bucket.
        archived: Pipelines that were archived.
        dormant: Pipelines to which nothing happened in the ninety days before.
    """

    month: str
    at: datetime
    buckets: dict[str, int]
    pipelines: dict[str, tuple[str, ...]]
    archived: tuple[str, ...]
    dormant: tuple[str, ...]

    @property
    def active(self) -> int:
        """Return the number of active pipelines."""
        return sum(self.buckets.values())

    def share_at_least(self, level: int) -> float | None:
        """Return the share of active pipelines at a level or above; ``None`` without active pipelines."""
        reached = sum(
            count for bucket, count in self.buckets.items() if bucket != INSUFFICIENT and int(bucket) >= level
        )
        return reached / self.active if self.active else None


def distribution(
    activities: Sequence[Activity], policy: Policy, *, at: datetime, month: str, stand_at: StandAt
) -> Distribution:
    """Return how many pipelines stand where at a moment.

    Args:
        activities: All pipelines that there were.
        policy: By whose levels.
        at: The moment (UTC).
        month: What to call it.
        stand_at: Gives where pipelines stood at a moment.
    """
    known = [one for one in activities if one.moments and one.moments[0] <= at]
    active = [one.pipeline for one in known if one.is_active(at)]
    archived = tuple(one.pipeline for one in known if one.is_archived(at))
    found: dict[str, list[str]] = {}
    for standing in stand_at(at, active):
        found.setdefault(standing.bucket, []).append(standing.pipeline)
    names = [str(level.id) for level in policy.levels] or ["0"]
    names = [*dict.fromkeys(["0", *names]), INSUFFICIENT]
    counts = Counter({bucket: len(pipelines) for bucket, pipelines in found.items()})
    return Distribution(
        month=month,
        at=at,
        buckets={name: counts[name] for name in names},
        pipelines={name: tuple(sorted(found.get(name, ()))) for name in names},
        archived=archived,
        dormant=tuple(one.pipeline for one in known if one.pipeline not in {*active, *archived}),
    )


def distributions(
    activities: Sequence[Activity],
    policy: Policy,
    *,
    until: datetime,
    zone: str,
    stand_at: StandAt,
    months: int | None = None,
) -> list[Distribution]:
    """Return the distribution at the end of each month since the first event, and at the last moment.

    Args:
        activities: All pipelines that there were.
        policy: By whose levels.
        until: The last moment (UTC).
        zone: The time zone whose months they are.
        stand_at: Gives where pipelines stood at a moment.
        months: Only the last so many, where given.
    """
    first = min((one.moments[0] for one in activities if one.moments), default=None)
    if first is None:
        return []
    ends = ends_of_months(first, until, zone=zone)
    chosen = ends[-months:] if months else ends
    return [distribution(activities, policy, at=at, month=month, stand_at=stand_at) for month, at in chosen]


def ends_of_months(first: datetime, last: datetime, *, zone: str) -> list[tuple[str, datetime]]:
    """Return the months from one moment to another, each with the last microsecond of it; the last ends with ``last``.

    Args:
        first: Somewhere in the first month (UTC).
        last: Somewhere in the last month (UTC).
        zone: The time zone whose months they are.
    """
    local = ZoneInfo(zone)
    start = first.astimezone(local).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    found: list[tuple[str, datetime]] = []
    while start.astimezone(last.tzinfo) <= last:
        following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        end = following.astimezone(last.tzinfo) - timedelta(microseconds=1)
        found.append((f"{start:%Y-%m}", min(end, last)))
        start = following
    return found
