"""The slots of a schedule: the moments that five fields of cron mean in a time zone, over all changes of its clocks.

Invariant: slots rise strictly, and each local time that the fields name gives one: where clocks are put forward it
comes as much later as they were, and where they are put back it comes at the first of the two times of its name. Only a
schedule for every hour comes at both, because time passes between them.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_FIELDS = 5
# croniter takes a field that it fills in by chance; such a schedule would not be the same in two processes.
_BY_CHANCE = re.compile(r"(^|[\s,])R", re.IGNORECASE)
_HOURS = 24
# More than any zone was ever moved: Samoa left out a whole day.
_LONGEST_MOVE = timedelta(hours=26)
_FIRST_LOOK = timedelta(hours=2)
_LOOK_GROWS = 8
_SEARCH_YEARS = 50
_SEARCH = timedelta(days=366 * _SEARCH_YEARS)


def problem_of(cron: str) -> str:
    """Say why a text is no schedule; ``""`` where it is one."""
    fields = cron.split()
    if cron.strip() not in _ALIASES and (len(fields) != _FIELDS or _BY_CHANCE.search(cron)):
        return f"'{cron}' is no schedule."
    try:
        if not croniter.is_valid(cron):
            return f"'{cron}' is no schedule."
        # From a leap year's eve on, so that what comes every fourth year comes soon.
        next(croniter(cron, datetime(2024, 1, 1), max_years_between_matches=_SEARCH_YEARS))  # noqa: DTZ001, a local time
    except (CroniterError, ValueError, KeyError):
        return f"'{cron}' never comes."
    return ""


def slots(cron: str, time_zone: str, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the slots of a schedule in ``(after, until]``, in its time zone.

    Source: RFC 5545, section 3.3.5, on local times that do not occur or occur twice; P. Vixie, cron(8), on schedules
    that a change of the clocks must not repeat.
    """
    zone = ZoneInfo(time_zone)
    is_every_hour = len(_hours(cron)) == _HOURS
    # Local times near a change of the clocks come out of order, so a few are held back and sorted.
    held: list[datetime] = []
    last = after.astimezone(UTC)
    for local in _local_times(cron, zone, after=after, until=until):
        held += _moments(local, zone, is_every_hour=is_every_hour)
        held.sort()
        safe = _earliest(local, zone)
        while held and held[0] < safe:
            moment = held.pop(0)
            if last < moment <= until:
                last = moment
                yield moment.astimezone(zone)
    for moment in held:
        if last < moment <= until:
            last = moment
            yield moment.astimezone(zone)


def latest_slot(cron: str, time_zone: str, *, after: datetime, until: datetime) -> datetime | None:
    """Return the last slot of a schedule in ``(after, until]``, in its time zone, or ``None``."""
    look = _FIRST_LOOK
    while True:
        since = max(after, until - look)
        found = list(slots(cron, time_zone, after=since, until=until))
        if found or since == after:
            return found[-1] if found else None
        look *= _LOOK_GROWS


def next_slot(cron: str, time_zone: str, *, after: datetime) -> datetime | None:
    """Return the first slot of a schedule after a moment, in its time zone; ``None`` where it never comes."""
    look = _FIRST_LOOK
    while look < _SEARCH:
        # The slots are made one by one, so a far end costs nothing where the next one is near.
        found = next(slots(cron, time_zone, after=after, until=after + look), None)
        if found is not None:
            return found
        look *= _LOOK_GROWS
    return None


def first_slots(cron: str, time_zone: str, *, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the first slots in ``(after, until]``, at most so many."""
    return list(islice(slots(cron, time_zone, after=after, until=until), limit))


def _hours(cron: str) -> list[object]:
    hours: list[object] = croniter.expand(cron)[0][1]
    return list(range(_HOURS)) if "*" in hours else hours


def _local_times(cron: str, zone: ZoneInfo, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the local times, without a zone, that may give a slot in ``(after, until]``."""
    start, end = _local(after, zone), _local(until, zone)
    # Only where the clocks were changed nearby can a local time of further off give a slot of the period.
    start -= _LONGEST_MOVE if _is_near_change(after, zone) else timedelta()
    end += _LONGEST_MOVE if _is_near_change(until, zone) else timedelta()
    times = croniter(cron, start - timedelta(seconds=1), max_years_between_matches=_SEARCH_YEARS)
    while True:
        try:
            local: datetime = times.get_next(datetime)
        except CroniterError:
            return
        if local > end:
            return
        yield local


def _is_near_change(moment: datetime, zone: ZoneInfo) -> bool:
    nearby = (moment - _LONGEST_MOVE, moment, moment + _LONGEST_MOVE)
    return len({one.astimezone(zone).utcoffset() for one in nearby}) > 1


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _moments(local: datetime, zone: ZoneInfo, *, is_every_hour: bool) -> list[datetime]:
    """Return when a local time is; one that does not occur is read with the offset from before the change."""
    first = local.replace(tzinfo=zone)
    second = first.replace(fold=1)
    moments = [first.astimezone(UTC)]
    if is_every_hour and second.astimezone(UTC) > moments[0]:
        moments.append(second.astimezone(UTC))
    return moments


def _earliest(local: datetime, zone: ZoneInfo) -> datetime:
    """Return a moment that no later local time can give a slot before."""
    aware = local.replace(tzinfo=zone)
    return min(aware.astimezone(UTC), aware.replace(fold=1).astimezone(UTC))
