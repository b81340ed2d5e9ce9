"""What people tell of incidents, as events: that there is one, that it is over, what it came from.

Invariant: an event is made only if it agrees with what the ledger says already; whoever appends it gives it its cause.
"""

from collections.abc import Mapping
from datetime import datetime

from ratchet.errors import UnknownName
from ratchet.measure.incidents.attribution import Attribution
from ratchet.measure.incidents.candidates import Ground
from ratchet.measure.incidents.conduct import HUMAN_CLASSES
from ratchet.measure.incidents.outages import Incident, incidents
from ratchet.measure.incidents.refusals import (
    CauseRefused,
    IncidentMomentInvalid,
    IncidentNameTaken,
    IncidentOver,
    ReferenceMissing,
)
from ratchet.records import Event

NO_CAUSE = "none"
VERDICTS = ("proven", "likely", "ambiguous", "not change-induced")
_NAME_DIGITS = 2
_SHOWN_NAMES = 20


def reported(
    ground: Ground, service: str, *, name: str = "", opened_at: datetime, title: str = "", is_elsewhere: bool = False
) -> Event:
    """Return the event that a person reports an incident.

    Args:
        ground: The ledger as it stands.
        service: What is out of bounds: an endpoint, or another service that changes are known of.
        name: What to call it; the next free number if not given.
        opened_at: Since when, as far as the person knows (UTC).
        title: What is wrong, in a few words.
        is_elsewhere: Take a service that the ledger knows nothing of.

    Raises:
        UnknownName: The ledger knows nothing of the service.
        IncidentNameTaken: There is one of this name.
        IncidentMomentInvalid: It is to begin in the future.
    """
    known = incidents(ground.snapshot)
    taken = {one.name: one for one in known}
    if name in taken:
        raise IncidentNameTaken(name=name, onset=taken[name].onset.isoformat(timespec="minutes"))
    services = ground.services
    if service not in services and not is_elsewhere:
        names = ", ".join(sorted(services)[:_SHOWN_NAMES]) or "none yet"
        raise UnknownName(kind="service", name=service, known=names)
    chosen = name or _next_name(set(taken))
    _check_past(ground, chosen, "the beginning", opened_at)
    data = {"incident": chosen, "service": service, "opened_at": opened_at.isoformat(), "onset_from": "ticket"}
    if title:
        data["title"] = title
    pipeline = services.get(service, "")
    return Event(type="incident.reported", subject=chosen, pipeline=pipeline, data=data)


def resolved(ground: Ground, name: str, *, back_in_bounds: datetime, remedy: str = "") -> list[Event]:
    """Return the events that an incident is over: its mitigation, where an action is named that did it, and its end.

    Args:
        ground: The ledger as it stands.
        name: Which incident.
        back_in_bounds: Since when the service is as it should be (UTC).
        remedy: Id of the event of the restoring action, such as the rollback.

    Raises:
        UnknownName: There is no such incident.
        IncidentOver: It is over already.
        IncidentMomentInvalid: The end lies before the onset or in the future.
        CauseRefused: The remedy is no known event, or was before the onset.
    """
    incident = incident_named(ground, name)
    if incident.back is not None:
        raise IncidentOver(name=name, back=incident.back.isoformat(timespec="minutes"))
    _check_past(ground, name, "the end", back_in_bounds)
    if back_in_bounds < incident.onset:
        onset = incident.onset.isoformat(timespec="minutes")
        value, problem = back_in_bounds.isoformat(timespec="minutes"), f"lies before its onset, {onset}"
        raise IncidentMomentInvalid(name=name, moment="the end", value=value, problem=problem)
    over = _step(incident, "incident.resolved", {"back_in_bounds": back_in_bounds.isoformat()})
    if not remedy or incident.mitigated is not None:
        return [over]
    action = _known(ground, name, remedy)
    if action.at < incident.onset:
        advice = "Name what restored the service after that."
        raise CauseRefused(name=name, event=action.id, problem="happened before the onset", remedy=advice)
    return [_step(incident, "incident.mitigated", {"remedy": action.id}, time=action.at), over]


def adjudicated(
    ground: Ground, found: Attribution, *, cause: str, reference: str, kind: str = "", verdict: str = ""
) -> Event:
    """Return the event that people name the cause of an incident; the computed one stays beside it.

    Args:
        ground: The ledger as it stands.
        found: The incident with what was computed.
        cause: Id of the event that they name; ``none`` where no change was the cause.
        reference: Where it is written down.
        kind: The class of a person's act; ``""`` where nobody was at fault.
        verdict: How sure they are; if not given, as sure as computed where they agree, else proven.

    Raises:
        ReferenceMissing: The reference is empty.
        UnknownName: There is no such class or verdict.
        CauseRefused: The cause is no known event, was after the onset, or does not go with the class or verdict.
    """
    name = found.incident.name
    if not reference.strip():
        raise ReferenceMissing(name=name)
    _check_known("class", kind, HUMAN_CLASSES)
    _check_known("verdict", verdict, VERDICTS)
    if cause == NO_CAUSE:
        return _told(found, cause="", verdict=_without_cause(name, kind, verdict), kind=kind, reference=reference)
    event = _known(ground, name, cause)
    if event.at > found.incident.onset:
        advice = "A cause comes first; name one that did, or none."
        raise CauseRefused(name=name, event=event.id, problem="happened after the onset", remedy=advice)
    if verdict == "not change-induced" or kind == "omission":
        advice = f"With {verdict or kind} name no cause: --cause {NO_CAUSE}"
        raise CauseRefused(name=name, event=event.id, problem="is a change", remedy=advice)
    sure = verdict or (found.verdict if event.id == found.cause else "proven")
    return _told(found, cause=event.id, verdict=sure, kind=kind, reference=reference)


def incident_named(ground: Ground, name: str) -> Incident:
    """Return an incident by its name.

    Raises:
        UnknownName: There is none.
    """
    known = {one.name: one for one in incidents(ground.snapshot)}
    if name not in known:
        names = ", ".join(list(known)[-_SHOWN_NAMES:]) or "none yet"
        raise UnknownName(kind="incident", name=name, known=names)
    return known[name]


def _without_cause(name: str, kind: str, verdict: str) -> str:
    """Return the verdict where no change was the cause."""
    if kind not in ("", "omission"):
        advice = "Name the change, or leave the class out."
        problem = f"cannot be a person's {kind} without a change"
        raise CauseRefused(name=name, event=NO_CAUSE, problem=problem, remedy=advice)
    if verdict not in ("", "not change-induced"):
        advice = "Name the change, or leave the verdict out."
        raise CauseRefused(name=name, event=NO_CAUSE, problem=f"cannot be {verdict}", remedy=advice)
    return "not change-induced"


def _told(found: Attribution, *, cause: str, verdict: str, kind: str, reference: str) -> Event:
    data: dict[str, object] = {
        "cause": cause,
        "verdict": verdict,
        "class": kind,
        "reference": reference.strip(),
        "computed": {"cause": found.cause or "", "verdict": found.verdict},
    }
    return _step(found.incident, "incident.attributed", data)


def _step(incident: Incident, type_: str, data: Mapping[str, object], *, time: datetime | None = None) -> Event:
    values = {"incident": incident.name, **data}
    return Event(type=type_, subject=incident.name, pipeline=incident.pipeline, time=time, data=values)


def _check_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name and name not in known:
        raise UnknownName(kind=what, name=name, known=", ".join(known))


def _check_past(ground: Ground, name: str, what: str, moment: datetime) -> None:
    if moment > ground.snapshot.at:
        value = moment.isoformat(timespec="minutes")
        raise IncidentMomentInvalid(name=name, moment=what, value=value, problem="lies in the future")


def _known(ground: Ground, name: str, event_id: str) -> Event:
    found = ground.snapshot.find(event_id)
    if found is None:
        advice = "Look for it with: ratchet events"
        raise CauseRefused(name=name, event=event_id, problem="is not in the ledger", remedy=advice)
    return found


def _next_name(taken: set[str]) -> str:
    number = len(taken) + 1
    while (name := f"INC-{number:0{_NAME_DIGITS}d}") in taken:
        number += 1
    return name
