"""What a person did where an incident came from a person's change, or from a page that nobody answered.

Invariant: whoever released what had passed its gate is not at fault; the gate was: that is a class of its own and
never counts as an error made by a person.
"""

from datetime import timedelta
from typing import Literal, get_args

from ratchet.measure.history import order
from ratchet.measure.incidents.candidates import Candidate, Ground
from ratchet.measure.incidents.outages import Incident
from ratchet.measure.initiators import Mode
from ratchet.records import Event, Record

HumanClass = Literal["slip", "bypass", "edit", "omission", "approval-of-failing", "gate-gap"]
HUMAN_CLASSES: tuple[HumanClass, ...] = get_args(HumanClass)
HUMAN_INDUCED = tuple(one for one in HUMAN_CLASSES if one != "gate-gap")
HUMAN_MODES: tuple[Mode, ...] = ("assisted", "semi", "overridden", "manual")
EDITS = ("param_edit", "data_fix", "manual_upload")


class Conduct(Record, frozen=True):
    """What a person did, or did not do.

    Attributes:
        kind: The class of it.
        sentence: Why it is that class.
        events: Ids of the events that show it.
    """

    kind: HumanClass
    sentence: str
    events: tuple[str, ...] = ()


def act(ground: Ground, cause: Candidate) -> Conduct:
    """Return what a person did in a change that led to an incident: the first class that holds."""
    if cause.shift is None:
        return _conduct("slip", f"A person made the change by hand ({cause.event.type}).", cause.event)
    verdicts = _last_verdicts(ground, cause)
    found = _past_the_gate(ground, cause, verdicts) or _edited(ground, cause)
    if found is not None:
        return found
    if verdicts:
        sentence = "It had passed its gate: the gate let something through that it should have stopped."
        return _conduct("gate-gap", sentence, *verdicts)
    return _conduct("slip", "A person released what no gate had looked at.", cause.event)


def omission(ground: Ground, incident: Incident) -> Conduct | None:
    """Return the page about the service that nobody answered in time before the onset; ``None`` where there is none."""
    limit_minutes = ground.settings.acknowledge_minutes
    for page in ground.pages.get(incident.service, ()):
        if not incident.onset - ground.deploy_window <= page.at <= incident.onset:
            continue
        answer = ground.answers.get(page.id)
        if (answer.at if answer else ground.snapshot.at) > page.at + timedelta(minutes=limit_minutes):
            sentence = (
                f"A page about {incident.service} before the onset was not answered within {limit_minutes:g} minutes."
            )
            return _conduct("omission", sentence, page, *([answer] if answer else []))
    return None


def _conduct(kind: HumanClass, sentence: str, *events: Event) -> Conduct:
    return Conduct(kind=kind, sentence=sentence, events=tuple(event.id for event in events))


def _past_the_gate(ground: Ground, cause: Candidate, verdicts: list[Event]) -> Conduct | None:
    """Return how a deployment came past a gate that had not let it through; ``None`` where it did not."""
    passed_by = _bypass(ground, cause)
    if passed_by is not None:
        return _conduct("bypass", "Somebody went past the gate of this deployment.", passed_by)
    failed = next((verdict for verdict in verdicts if verdict.data.get("decision") == "fail"), None)
    if failed is None:
        return None
    approval = _approval(ground, cause)
    if approval is None:
        return _conduct("bypass", "The gate had turned it back, and it was released all the same.", failed)
    return _conduct("approval-of-failing", "The gate had turned it back, and a person approved.", failed, approval)


def _bypass(ground: Ground, cause: Candidate) -> Event | None:
    named = ground.bypasses.get(f"deployment {cause.deployment}") if cause.deployment else None
    if named is not None:
        return named
    digests = sorted(_digests(cause))
    found = [ground.bypasses[f"bytes {digest}"] for digest in digests if f"bytes {digest}" in ground.bypasses]
    return next((event for event in found if order(event) < order(cause.event)), None)


def _digests(cause: Candidate) -> set[str]:
    assert cause.shift is not None, "only deployments have bytes"
    named = str(cause.event.data.get("artifact_digest") or "")
    return ({*cause.shift.digests.values()} or {named}) - {""}


def _last_verdicts(ground: Ground, cause: Candidate) -> list[Event]:
    """Return the last verdict before a deployment on each artifact that it made live."""
    found = []
    for digest in sorted(_digests(cause)):
        before = [gate for gate in ground.verdicts.get(digest, ()) if gate.at <= cause.event.at]
        found += before[-1:]
    return found


def _approval(ground: Ground, cause: Candidate) -> Event | None:
    about = ground.snapshot.about(cause.deployment) if cause.deployment else []
    decided = [one for one in about if one.type == "approval.decided"]
    return next((one for one in decided if one.data.get("decision", "approved") in ("approved", "pass")), None)


def _edited(ground: Ground, cause: Candidate) -> Conduct | None:
    """Return what a person changed by hand on the way of a deployment."""
    about = ground.snapshot.about(cause.deployment) if cause.deployment else []
    touches = [one for one in about if one.type == "touch.recorded" and one.data.get("kind") in EDITS]
    if touches:
        return _conduct("edit", f"A person's hand was in it ({touches[0].data['kind']}).", touches[0])
    if cause.event.data.get("execution") == "manual":
        return _conduct("edit", "A person made it by hand, without a run.", cause.event)
    return None
