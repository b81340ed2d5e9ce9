"""Goals: which share of the pipelines is to reach which level by when, how far that is, and who is behind.

Invariant: a goal is what an event says that somebody set; whether it is met follows from measured levels alone.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ratchet.measure.distribution import Distribution
from ratchet.measure.history import Snapshot, moment_of
from ratchet.records import Record


class Goal(Record, frozen=True):
    """What somebody wants to be reached.

    Attributes:
        name: What it is called; setting it again changes it.
        owner: Who answers for it.
        share: Share of the active pipelines, above 0 and up to 1.
        level: The level that they are to reach, or more.
        by: The last day on which it may be reached.
        policy: By whose levels.
        set_at: When it was set, or last changed.
        event_id: The event that says so.
    """

    name: str
    owner: str
    share: float
    level: int
    by: date
    policy: str
    set_at: datetime
    event_id: str


class BurnUp(Record, frozen=True):
    """One point of the way to a goal: the share that was reached, and the one on a straight line to the goal."""

    month: str
    share: float | None
    planned: float | None


class Progress(Record, frozen=True):
    """How far a goal is.

    Attributes:
        goal: The goal.
        share: The share that is reached now; ``None`` without active pipelines.
        status: ``met``, ``on the way``, ``behind`` (of a straight line) or ``missed`` (its day is over).
        series: The way so far, month by month.
        behind: The active pipelines below the level.
        needed: How many of them have to reach it still.
    """

    goal: Goal
    share: float | None
    status: str
    series: tuple[BurnUp, ...]
    behind: tuple[str, ...]
    needed: int


def read_goals(snapshot: Snapshot) -> list[Goal]:
    """Return the goals that are set, in the order in which they were; one without a share or a day is left out."""
    found: dict[str, Goal] = {}
    for event in snapshot.all("goal.set"):
        data = event.data
        if data.get("withdrawn"):
            found.pop(event.subject, None)
            continue
        try:
            found[event.subject] = Goal(
                name=event.subject,
                owner=str(data.get("owner") or ""),
                share=float(data["share"]),
                level=int(data["level"]),
                by=date.fromisoformat(str(data["by"])),
                policy=str(data.get("policy") or "standard"),
                set_at=moment_of(event),
                event_id=event.id,
            )
        except (KeyError, TypeError, ValueError):
            continue
    return list(found.values())


def progress(goal: Goal, months: Sequence[Distribution], *, zone: str) -> Progress:
    """Return how far a goal is.

    Args:
        goal: The goal.
        months: The distributions by its policy, the last of them now.
        zone: The time zone of its day.
    """
    now = months[-1]
    share = now.share_at_least(goal.level)
    due = end_of_day(goal.by, zone=zone)
    start = next((one for one in reversed(months) if one.at <= goal.set_at), None)
    began = (start.share_at_least(goal.level) if start else None) or 0.0
    planned = _planned(goal, began, due, now.at)
    below = [
        name
        for bucket, names in now.pipelines.items()
        if not bucket.isdigit() or int(bucket) < goal.level
        for name in names
    ]
    return Progress(
        goal=goal,
        share=share,
        status=_status(goal, share, planned=planned, is_over=now.at > due),
        series=tuple(
            BurnUp(
                month=one.month,
                share=one.share_at_least(goal.level),
                planned=_planned(goal, began, due, one.at) if one.at >= goal.set_at else None,
            )
            for one in months
        ),
        behind=tuple(sorted(below)),
        needed=max(0, _pipelines_for(goal.share, now.active) - (now.active - len(below))),
    )


def end_of_day(day: date, *, zone: str) -> datetime:
    """Return the last moment of a day in a time zone (UTC)."""
    following = datetime.combine(day + timedelta(days=1), time(), tzinfo=ZoneInfo(zone))
    return following.astimezone(ZoneInfo("UTC")) - timedelta(microseconds=1)


def _planned(goal: Goal, began: float, due: datetime, at: datetime) -> float:
    """Return the share on a straight line from when the goal was set to its day."""
    whole = (due - goal.set_at).total_seconds()
    gone = (at - goal.set_at).total_seconds()
    part = 1.0 if whole <= 0 else min(1.0, max(0.0, gone / whole))
    return began + (goal.share - began) * part


def _status(goal: Goal, share: float | None, *, planned: float, is_over: bool) -> str:
    if share is not None and share >= goal.share:
        return "met"
    if is_over:
        return "missed"
    return "on the way" if share is not None and share >= planned else "behind"


def _pipelines_for(share: float, active: int) -> int:
    """Return how many pipelines make up a share, without what binary fractions add."""
    whole = int(share * active + 1e-9)
    return whole if whole >= share * active - 1e-9 else whole + 1
