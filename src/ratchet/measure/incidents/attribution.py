"""Which change an incident came from, how sure that is, and what people say about it.

Invariant: the first of four kinds of evidence that holds decides, always in the same order; weights of the candidates
add up to 1 or there are none; what people say is kept beside it and changes nothing that was computed.
"""

from datetime import timedelta
from typing import Literal

from ratchet.config import IncidentSection
from ratchet.measure.history import Snapshot
from ratchet.measure.incidents.candidates import DEFAULTS, Candidate, Ground
from ratchet.measure.incidents.conduct import HUMAN_CLASSES, HUMAN_MODES, Conduct, act, omission
from ratchet.measure.incidents.outages import Incident, hours_between, incidents
from ratchet.measure.initiators import Mode
from ratchet.records import Event, Record

Verdict = Literal["proven", "likely", "ambiguous", "not change-induced"]
BLAMED: tuple[Verdict, ...] = ("proven", "likely")


class Reason(Record, frozen=True):
    """One step of an attribution.

    Attributes:
        step: ``remedy``, ``canary``, ``candidates``, ``conduct`` or ``people``.
        holds: Whether it decided anything.
        sentence: What was found.
        events: Ids of the events behind it.
    """

    step: str
    holds: bool
    sentence: str
    events: tuple[str, ...] = ()


class Adjudication(Record, frozen=True):
    """What people say an incident came from.

    Attributes:
        cause: Id of the event that they name; ``""`` where no change was the cause.
        verdict: How sure they are.
        kind: The class of a person's act; ``""`` where nobody was at fault.
        reference: Where it is written down, such as the minutes of a review.
        event: Id of the event that says so.
    """

    cause: str
    verdict: str
    kind: str
    reference: str
    event: str


class Attribution(Record, frozen=True):
    """What an incident came from.

    Attributes:
        incident: Which one.
        candidates: Ids of the changes near its onset, in the order of time.
        verdict: How sure the cause is.
        weights: The share of each change in it, 0 to 1.
        mode: In which mode the one cause was made; ``None`` unless there is one.
        conduct: What a person did; ``None`` where no person's act was found.
        reasons: How it came to this, step by step.
        said: What people say; ``None`` where they said nothing.
    """

    incident: Incident
    candidates: tuple[str, ...]
    verdict: Verdict
    weights: dict[str, float]
    mode: Mode | None
    conduct: Conduct | None
    reasons: tuple[Reason, ...]
    said: Adjudication | None

    @property
    def cause(self) -> str | None:
        """Return the id of the one change that it came from; ``None`` where there is not one."""
        return next(iter(self.weights)) if len(self.weights) == 1 else None

    @property
    def is_human_induced(self) -> bool:
        """Tell whether what a person did, or left undone, was at fault."""
        return self.conduct is not None and self.conduct.kind != "gate-gap"

    @property
    def blamed(self) -> tuple[str, ...]:
        """Return the changes that it counts against: proven or likely ones."""
        return tuple(self.weights) if self.verdict in BLAMED else ()

    @property
    def is_disputed(self) -> bool:
        """Tell whether people name another cause or verdict than what was computed."""
        said = self.said
        return said is not None and ((said.cause or None), said.verdict) != (self.cause, self.verdict)


def attributions(snapshot: Snapshot, *, settings: IncidentSection = DEFAULTS) -> list[Attribution]:
    """Return what each incident came from, in the order of their onsets."""
    ground = Ground(snapshot, settings=settings)
    return [attribute(ground, incident) for incident in incidents(snapshot)]


def attribute(ground: Ground, incident: Incident) -> Attribution:
    """Return what an incident came from.

    In this order: a remedy that took a candidate back, a canary that had been judged worse, a candidate that is the
    only one, several, none.
    """
    near = ground.candidates(incident)
    remedied, by_remedy = _remedied(ground, incident, near)
    worse, by_canary = _worse(ground, near)
    verdict: Verdict
    if remedied or worse:
        causes, verdict = (remedied or worse)[-1:], "proven"
    elif near:
        causes, verdict = near, "likely" if len(near) == 1 else "ambiguous"
    else:
        causes, verdict = [], "not change-induced"
    mode = ground.mode(causes[0]) if len(causes) == 1 else None
    conduct = _conduct(ground, incident, causes, mode)
    counted = Reason(
        step="candidates",
        holds=not (remedied or worse),
        sentence=_count(ground, incident, near),
        events=tuple(one.event.id for one in near),
    )
    said = _said(incident)
    reasons = [by_remedy, by_canary, counted, *_about_people(conduct, causes, mode, said)]
    return Attribution(
        incident=incident,
        candidates=tuple(one.event.id for one in near),
        verdict=verdict,
        weights={one.event.id: 1 / len(causes) for one in causes},
        mode=mode,
        conduct=conduct,
        reasons=tuple(reasons),
        said=said,
    )


# ---- evidence


def _remedied(ground: Ground, incident: Incident, near: list[Candidate]) -> tuple[list[Candidate], Reason]:
    """Return the candidates that the restoring action took back, if the service was back in bounds soon after."""
    remedy = _remedy(ground, incident)
    if remedy is None:
        return [], Reason(step="remedy", holds=False, sentence="No restoring action is named.")
    found = [one for one in near if _takes_back(ground, remedy, one)]
    if not found:
        sentence = f"The restoring action ({remedy.type}) took none of the candidates back."
        return [], Reason(step="remedy", holds=False, sentence=sentence, events=(remedy.id,))
    limit_hours = ground.settings.remedy_hours
    if incident.back is None or incident.back > remedy.at + timedelta(hours=limit_hours):
        sentence = f"A candidate was taken back, but {incident.service} was not in bounds within {limit_hours:g} h."
        return [], Reason(step="remedy", holds=False, sentence=sentence, events=(remedy.id,))
    after = hours_between(remedy.at, incident.back)
    sentence = (
        f"The restoring action took the candidate back, and {after:.1f} h later {incident.service} was in bounds."
    )
    return found, Reason(step="remedy", holds=True, sentence=sentence, events=(found[-1].event.id, remedy.id))


def _remedy(ground: Ground, incident: Incident) -> Event | None:
    """Return the restoring action that was named; a rollback stands for the shift of traffic that led to it."""
    name = str(incident.mitigated.data.get("remedy") or "") if incident.mitigated else ""
    if not name or incident.mitigated is None:
        return None
    named = ground.snapshot.find(name, source=incident.mitigated.source)
    if named is not None and named.type == "deployment.rolledback":
        cause = ground.snapshot.cause(named)
        return cause if cause is not None and cause.type == "traffic.shifted" else named
    return named


def _takes_back(ground: Ground, remedy: Event, candidate: Candidate) -> bool:
    """Tell whether an action undoes a change: the opposite of a shift, a setting or data as they were before."""
    event = candidate.event
    if remedy.id == event.id or remedy.at < event.at or remedy.type != event.type:
        return False
    if remedy.type == "config.changed":
        is_same = remedy.data.get("target") == event.data.get("target")
        return is_same and remedy.data.get("new_digest") == event.data.get("old_digest")
    if remedy.type == "dataset.version.published":
        earlier = ground.earlier_version(event)
        digest = earlier.data.get("digest") if earlier else None
        return digest is not None and earlier is not None and remedy.data.get("digest") == digest
    shift = ground.shifts.get(remedy.id)
    if shift is None or candidate.shift is None or shift.endpoint != candidate.shift.endpoint:
        return False
    made_live = candidate.shift.newly_live
    return bool(made_live) and made_live <= shift.before and not made_live & shift.after


def _worse(ground: Ground, near: list[Candidate]) -> tuple[list[Candidate], Reason]:
    """Return the candidates whose canary had been judged worse than what served before."""
    found = [one for one in near if one.deployment in ground.worse_canaries]
    if not found:
        return [], Reason(step="canary", holds=False, sentence="No canary of a candidate was judged worse.")
    verdicts = tuple(ground.worse_canaries[one.deployment].id for one in found[-1:])
    sentence = "The canary of the deployment was judged worse than what served before."
    return found, Reason(step="canary", holds=True, sentence=sentence, events=(found[-1].event.id, *verdicts))


def _count(ground: Ground, incident: Incident, near: list[Candidate]) -> str:
    settings = ground.settings
    spans = f"{settings.deploy_window_hours:g} h before the onset, {settings.data_window_days:g} days for data"
    if not near:
        return f"Nothing changed near {incident.service} ({spans})."
    if len(near) == 1:
        return f"One change near {incident.service} ({spans})."
    return f"{len(near)} changes near {incident.service} ({spans}); without better evidence 1/{len(near)} each."


# ---- people


def _conduct(ground: Ground, incident: Incident, causes: list[Candidate], mode: Mode | None) -> Conduct | None:
    if mode in HUMAN_MODES:
        return act(ground, causes[0])
    return None if causes else omission(ground, incident)


def _about_people(
    conduct: Conduct | None, causes: list[Candidate], mode: Mode | None, said: Adjudication | None
) -> list[Reason]:
    if conduct is not None:
        sentence = f"{conduct.kind}: {conduct.sentence}"
        first = Reason(step="conduct", holds=conduct.kind != "gate-gap", sentence=sentence, events=conduct.events)
    else:
        nobody = "Several changes could be the cause, so no person's act is."
        if len(causes) == 1:
            nobody = f"The change was made in the mode '{mode}', so no person's act is the cause."
        elif not causes:
            nobody = "No page about it was left unanswered."
        first = Reason(step="conduct", holds=False, sentence=nobody)
    if said is None:
        return [first]
    named = f"{said.verdict}{f', {said.kind}' if said.kind else ''} ({said.reference})"
    return [first, Reason(step="people", holds=True, sentence=f"{named[:1].upper()}{named[1:]}.", events=(said.event,))]


def _said(incident: Incident) -> Adjudication | None:
    if incident.said is None:
        return None
    data = incident.said.data
    kind = str(data.get("class") or "")
    return Adjudication(
        cause=str(data.get("cause") or ""),
        verdict=str(data.get("verdict") or ""),
        kind=kind if kind in HUMAN_CLASSES else "",
        reference=str(data["reference"]),
        event=incident.said.id,
    )
