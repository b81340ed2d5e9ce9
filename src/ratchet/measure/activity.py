"""When something happened to a pipeline, and when it was archived.

Invariant: a pipeline is active by what happened to it, never by what is said of it.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from ratchet.measure.history import Snapshot, moment_of
from ratchet.records import Record

ACTIVE_WITHIN = timedelta(days=90)


class Activity(Record, frozen=True):
    """When something happened to a pipeline.

    Attributes:
        pipeline: Which one.
        moments: When each of its events counts as having happened, in order.
        archived: When it was archived, each with when it was declared again; the last may be open.
    """

    pipeline: str
    moments: tuple[datetime, ...]
    archived: tuple[tuple[datetime, datetime | None], ...] = ()

    def is_archived(self, at: datetime) -> bool:
        """Tell whether it was archived at a moment."""
        return any(since <= at and (until is None or at < until) for since, until in self.archived)

    def is_active(self, at: datetime) -> bool:
        """Tell whether something happened to it in the ninety days before a moment, and it was not archived then."""
        recent = any(at - ACTIVE_WITHIN <= moment <= at for moment in reversed(self.moments))
        return recent and not self.is_archived(at)

    def by_day(self) -> "Activity":
        """Return the same with the first and the last moment of each day (UTC) alone."""
        days: dict[date, list[datetime]] = {}
        for moment in self.moments:
            days.setdefault(moment.astimezone(UTC).date(), []).append(moment)
        return Activity(
            pipeline=self.pipeline,
            moments=tuple(sorted({moment for found in days.values() for moment in (found[0], found[-1])})),
            archived=self.archived,
        )


def activity(snapshot: Snapshot, pipeline: str, *, others: Iterable[datetime] = ()) -> Activity:
    """Return when something happened to a pipeline.

    Args:
        snapshot: The events.
        pipeline: Which one.
        others: When events happened that are not among them.
    """
    events = snapshot.of_pipeline(pipeline)
    archived: list[tuple[datetime, datetime | None]] = []
    for event in events:
        if event.type == "pipeline.archived":
            archived.append((moment_of(event), None))
        elif event.type == "pipeline.declared" and archived and archived[-1][1] is None:
            archived[-1] = (archived[-1][0], moment_of(event))
    return Activity(
        pipeline=pipeline,
        moments=tuple(sorted([*(moment_of(event) for event in events), *others])),
        archived=tuple(archived),
    )
