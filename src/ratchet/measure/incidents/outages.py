"""Incidents as the ledger tells them: from the first bad moment until the service was back in bounds.

Invariant: the onset is what a monitor or a service level saw; the time of a ticket stands in for it only where nothing
did, and is marked; an incident without an end is open, never finished now.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from msgspec.structs import replace

from ratchet.measure.history import Snapshot
from ratchet.records import Event, Record, to_utc

OnsetFrom = Literal["monitor", "slo", "ticket"]
FLAP = timedelta(minutes=30)
EVIDENCE_WINDOW = timedelta(hours=24)
_LONG_HOURS, _DAY_HOURS = 72, 24
STEPS = ("incident.mitigated", "incident.resolved", "incident.attributed")


class Incident(Record, frozen=True):
    """One time that a service was out of bounds.

    Attributes:
        name: What people call it, such as ``INC-07``.
        service: What was out of bounds; the name of an endpoint where it is one.
        upstreams: Services that it depends on.
        pipeline: Whose service it is; ``""`` where nothing says.
        title: What was said about it.
        event: The event that told of it first: ``incident.detected`` or ``incident.reported``.
        onset: The first bad moment that is known (UTC).
        onset_from: What saw it: a monitor, a service level, or only a person's ticket.
        onset_event: Id of the event that the onset stands in.
        detected: When it was noticed (UTC).
        mitigated: The event that says that the harm had stopped; ``None`` where none does.
        resolved: The event that says that it was over; ``None`` while it is open.
        back: When the service was back in bounds (UTC); ``None`` while the incident is open.
        said: The last ``incident.attributed`` with a reference; ``None`` where people said nothing about its cause.
        names: The names of all flaps that are one incident here, the first one's first.
    """

    name: str
    service: str
    upstreams: tuple[str, ...]
    pipeline: str
    title: str
    event: Event
    onset: datetime
    onset_from: OnsetFrom
    onset_event: str
    detected: datetime
    mitigated: Event | None
    resolved: Event | None
    back: datetime | None
    said: Event | None
    names: tuple[str, ...]

    @property
    def is_ticket(self) -> bool:
        """Tell whether its times are those of a ticket."""
        return self.onset_from == "ticket"

    @property
    def services(self) -> tuple[str, ...]:
        """Return the service and its upstreams."""
        return (self.service, *self.upstreams)

    @property
    def lasted(self) -> str:
        """Return how long it lasted, in words."""
        if self.hours is None:
            return "open"
        return f"{self.hours:.1f} h" if self.hours < _LONG_HOURS else f"{self.hours / _DAY_HOURS:.0f} d"

    @property
    def hours(self) -> float | None:
        """Return the hours from the onset until it was back in bounds; ``None`` while it is open."""
        return None if self.back is None else hours_between(self.onset, self.back)


class _Bad(Record, frozen=True):
    """A stretch in which something measured a service to be out of bounds."""

    since: datetime
    until: datetime | None
    seen_by: OnsetFrom
    event_id: str


def incidents(snapshot: Snapshot) -> list[Incident]:
    """Return all incidents, in the order of their onsets; each name once."""
    told: dict[str, list[Event]] = defaultdict(list)
    for type_ in ("incident.detected", "incident.reported"):
        for event in snapshot.all(type_):
            told[name_of(event)].append(event)
    steps: dict[str, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for type_ in STEPS:
        for event in snapshot.all(type_):
            steps[name_of(event)][type_].append(event)
    evidence = _Evidence(snapshot)
    found = [_incident(events, steps[name], evidence) for name, events in told.items()]
    return sorted(found, key=lambda one: (one.onset, one.event.seq))


def merged(found: Iterable[Incident], *, within: timedelta = FLAP) -> list[Incident]:
    """Return incidents, those of a service that came back soon after the last had ended as one.

    Args:
        found: Incidents in any order.
        within: How soon after an end the next onset still belongs to it.

    Returns:
        In the order of service and onset; the first of several gives onset, detection and mitigation, the last end
        among them the end.
    """
    made: list[Incident] = []
    for one in sorted(found, key=lambda incident: (incident.service, incident.onset, incident.event.seq)):
        last = made[-1] if made else None
        if last and last.service == one.service and last.back and one.onset - last.back <= within:
            back = max(one.back, last.back) if one.back else None
            made[-1] = replace(last, back=back, resolved=one.resolved, names=(*last.names, *one.names))
        else:
            made.append(one)
    return made


def hours_between(since: datetime, until: datetime) -> float:
    """Return the hours from one moment to another."""
    return (until - since).total_seconds() / 3600


def name_of(event: Event) -> str:
    """Return the name of the incident that an event is about."""
    return str(event.data.get("incident") or event.subject)


def moment_in(event: Event, *fields: str) -> datetime | None:
    """Return the first of some fields that says a moment (UTC); ``None`` where none does: others may write anything."""
    for field in fields:
        try:
            return to_utc(datetime.fromisoformat(str(event.data.get(field) or "")))
        except ValueError:
            continue
    return None


def _incident(told: list[Event], steps: dict[str, list[Event]], evidence: "_Evidence") -> Incident:
    """Return one incident from all that was said about it; what a monitor saw comes before what a person reports."""
    first = told[0]
    resolved = next(iter(steps["incident.resolved"]), None)
    service = str(first.data.get("service") or first.subject)
    pipeline = next((event.pipeline for event in told if event.pipeline), "") or evidence.pipeline_of.get(service, "")
    onset, seen_by, onset_event, measured = _onset(told, evidence, service, pipeline)
    back = moment_in(resolved, "back_in_bounds") if resolved else None
    if resolved and back is None:
        back = measured if measured and onset <= measured <= resolved.at else resolved.at
    said = [event for event in steps["incident.attributed"] if str(event.data.get("reference") or "").strip()]
    return Incident(
        name=name_of(first),
        service=service,
        upstreams=tuple(str(name) for name in first.data.get("upstreams") or ()),
        pipeline=pipeline,
        title=str(first.data.get("title") or ""),
        event=first,
        onset=onset,
        onset_from=seen_by,
        onset_event=onset_event,
        detected=min(event.at for event in told),
        mitigated=next(iter(steps["incident.mitigated"]), None),
        resolved=resolved,
        back=back,
        said=said[-1] if said else None,
        names=(name_of(first),),
    )


def _onset(
    told: list[Event], evidence: "_Evidence", service: str, pipeline: str
) -> tuple[datetime, OnsetFrom, str, datetime | None]:
    """Return the onset, what saw it, the event that it stands in, and when that was over if something measured it."""
    for event in told:
        onset = moment_in(event, "onset")
        if event.type == "incident.detected" and event.data.get("onset_from") != "ticket":
            seen_by: OnsetFrom = "slo" if event.data.get("onset_from") == "slo" else "monitor"
            return onset or event.at, seen_by, event.id, None
    ticket = told[0]
    opened = moment_in(ticket, "onset", "opened_at") or ticket.at
    bad = evidence.before(opened, service, pipeline)
    if bad is None:
        return opened, "ticket", ticket.id, None
    return bad.since, bad.seen_by, bad.event_id, bad.until


class _Evidence:
    """What monitors and service levels saw of each service, for incidents that only a person told of."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def before(self, opened: datetime, service: str, pipeline: str) -> _Bad | None:
        """Return the first bad stretch that went on when a ticket was opened, or had begun within the day before."""
        near = [*self._windows.get(service, ()), *self._alerts.get(f"service {service}", ())]
        near += self._alerts.get(f"pipeline {pipeline}", ()) if pipeline else ()
        going_on = [
            bad
            for bad in near
            if opened - EVIDENCE_WINDOW <= bad.since <= opened and (bad.until is None or bad.until >= opened)
        ]
        return min(going_on, key=lambda bad: bad.since, default=None)

    @cached_property
    def pipeline_of(self) -> dict[str, str]:
        """Return the pipeline behind each endpoint."""
        shifted = self._snapshot.all("traffic.shifted")
        return {str(event.data.get("endpoint") or event.subject): event.pipeline for event in shifted}

    @cached_property
    def _alerts(self) -> dict[str, list[_Bad]]:
        found: dict[str, list[_Bad]] = defaultdict(list)
        cleared: dict[str, list[datetime]] = defaultdict(list)
        for event in self._snapshot.all("monitor.alert.cleared"):
            cleared[event.subject].append(event.at)
        for ends in cleared.values():
            ends.sort()
        for event in self._snapshot.all("monitor.alert.raised"):
            ends = cleared.get(event.subject, [])
            place = bisect_left(ends, event.at)
            until = ends[place] if place < len(ends) else None
            bad = _Bad(since=event.at, until=until, seen_by="monitor", event_id=event.id)
            service = event.data.get("service")
            found[f"service {service}" if service else f"pipeline {event.pipeline}"].append(bad)
        return found

    @cached_property
    def _windows(self) -> dict[str, list[_Bad]]:
        """Return the stretches of windows one after another that were worse than promised, by service."""
        found: dict[str, list[_Bad]] = defaultdict(list)
        for event in sorted(self._snapshot.all("slo.window.closed"), key=_window):
            since, until = _window(event)
            if not _is_broken(event):
                continue
            service = str(event.data.get("service") or event.subject)
            last = found[service][-1] if found[service] else None
            if last and last.until is not None and since <= last.until:
                found[service][-1] = replace(last, until=max(last.until, until))
            else:
                found[service].append(_Bad(since=since, until=until, seen_by="slo", event_id=event.id))
        return found


def _window(event: Event) -> tuple[datetime, datetime]:
    return moment_in(event, "from") or event.at, moment_in(event, "until") or event.at


def _is_broken(event: Event) -> bool:
    """Tell whether a window was worse than its target allows; requests without an answer to it say nothing."""
    good, total, missing, target = (
        value if isinstance(value := event.data.get(name), int | float) else 0
        for name in ("good", "total", "missing", "target")
    )
    known = total - missing
    return known > 0 and (known - good) / known > 1 - target + 1e-12
