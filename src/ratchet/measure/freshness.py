"""How old the models in production are, and how often people had to act.

Invariant: an age that the ledger cannot tell is unknown, never 0.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from ratchet.measure.history import History, Snapshot, moment_of
from ratchet.measure.initiators import acting_class
from ratchet.measure.traffic import Shift, live_now, shifts
from ratchet.records import Event, Record

_DAY_SECONDS = 86400.0


class VersionFreshness(Record, frozen=True):
    """The three ages of a version that serves production.

    Attributes:
        endpoint: Where it serves.
        version: Which one.
        share: Its share of the endpoint's traffic, 0 to 1.
        data_age_days: Days since the newest data that it learned from; ``None`` if unknown.
        train_age_days: Days since it was trained; ``None`` if unknown.
        serving_age_days: Days since it first went live.
    """

    endpoint: str
    version: str
    share: float
    data_age_days: float | None
    train_age_days: float | None
    serving_age_days: float


class Freshness(Record, frozen=True):
    """The ages of a pipeline's live versions at one moment.

    Attributes:
        pipeline: Whose versions.
        at: The moment (UTC).
        versions: One for each live version on each endpoint; empty where nothing serves.
    """

    pipeline: str
    at: datetime
    versions: tuple[VersionFreshness, ...]

    @property
    def data_age_days(self) -> float | None:
        """Return the data age, weighted by traffic; ``None`` if it is unknown for any version."""
        return self._weighted(lambda version: version.data_age_days)

    @property
    def train_age_days(self) -> float | None:
        """Return the train age, weighted by traffic; ``None`` if it is unknown for any version."""
        return self._weighted(lambda version: version.train_age_days)

    @property
    def serving_age_days(self) -> float | None:
        """Return the serving age, weighted by traffic; ``None`` if nothing serves."""
        return self._weighted(lambda version: version.serving_age_days)

    def _weighted(self, age_of: Callable[[VersionFreshness], float | None]) -> float | None:
        total = sum(version.share for version in self.versions)
        weighted = 0.0
        for version in self.versions:
            age = age_of(version)
            if age is None:
                return None
            weighted += version.share * age
        return weighted / total if total else None


def freshness(history: History, pipeline: str, *, as_of: datetime | None = None) -> Freshness:
    """Return how old a pipeline's live versions were at a moment; now if none is given."""
    return read_freshness(history.as_of(as_of), pipeline)


def read_freshness(snapshot: Snapshot, pipeline: str) -> Freshness:
    """Return how old a pipeline's live versions are in a snapshot."""
    all_shifts = shifts(snapshot, pipeline)
    first_live: dict[tuple[str, str], datetime] = {}
    for shift in all_shifts:
        for version in shift.newly_live:
            first_live.setdefault((shift.endpoint, version), moment_of(shift.event))
    registered = {_version(event): event for event in snapshot.events("model.version.registered", pipeline)}
    trained = {_run(event): event for event in snapshot.events("run.finished", pipeline)}
    # What was trained elsewhere may be registered nowhere; then the gate that looked at it says which run made it.
    made_by = {_version(event): str(event.data.get("run_id")) for event in snapshot.events("gate.evaluated", pipeline)}
    made_by |= {version: str(event.data.get("run_id")) for version, event in registered.items()}
    ages = [
        _ages(
            shift,
            version,
            at=snapshot.at,
            registered=registered.get(version),
            run=trained.get(made_by.get(version, "")),
            first_live=first_live[(endpoint, version)],
        )
        for endpoint, shift in live_now(all_shifts).items()
        for version in sorted(shift.shares)
    ]
    return Freshness(pipeline=pipeline, at=snapshot.at, versions=tuple(ages))


def human_actions(history: History, pipeline: str | None = None, *, as_of: datetime | None = None) -> dict[str, int]:
    """Count what people commanded, by month.

    Args:
        history: The events.
        pipeline: Only commands about this one; all if not given.
        as_of: Up to when (UTC); now if not given.

    Returns:
        Number of commands by month, such as ``{"2026-01": 12}``, from the month of the first event on, with the
        months in which nobody commanded anything.
    """
    snapshot = history.as_of(as_of)
    commands = [event for event in snapshot.all("command.issued") if pipeline is None or event.pipeline == pipeline]
    counts = Counter(_month(moment_of(event)) for event in commands if acting_class(event) == "human")
    first = snapshot.first(pipeline)
    months = _months(moment_of(first), snapshot.at) if first is not None else []
    return {month: counts[month] for month in months}


def _ages(
    shift: Shift,
    version: str,
    *,
    at: datetime,
    registered: Event | None,
    run: Event | None,
    first_live: datetime,
) -> VersionFreshness:
    return VersionFreshness(
        endpoint=shift.endpoint,
        version=version,
        share=shift.shares[version] / sum(shift.shares.values()),
        data_age_days=_days(at, _data_until(registered)),
        train_age_days=_days(at, moment_of(run) if run else None),
        serving_age_days=(at - first_live).total_seconds() / _DAY_SECONDS,
    )


def _days(until: datetime, since: datetime | None) -> float | None:
    return None if since is None else (until - since).total_seconds() / _DAY_SECONDS


def _data_until(registered: Event | None) -> datetime | None:
    """Return the newest moment of the data that a version learned from; a time without zone is read as UTC."""
    text = registered.data.get("data_until") if registered else None
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment


def _version(event: Event) -> str:
    return str(event.data.get("version") or event.subject)


def _run(event: Event) -> str:
    return str(event.data.get("run_id") or event.subject)


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def _months(first: datetime, last: datetime) -> list[str]:
    """Return all months from one moment to another, both included."""
    count = (last.year - first.year) * 12 + last.month - first.month
    places = [(first.month - 1 + step) for step in range(count + 1)]
    return [f"{first.year + place // 12:04d}-{place % 12 + 1:02d}" for place in places]
