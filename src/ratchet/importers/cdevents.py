"""CDEvents that are sent to us: runs, tasks, test suites, services, artifacts, changes, incidents, approvals.

Invariant: what a message says about itself can only weaken what its sender's token shows; a start that nobody names
is unknown.

Source: CDEvents specification, versions 0.4 to 0.6, with its binding to CloudEvents.
"""

import re
from collections.abc import Callable
from typing import Any

from ratchet.errors import EventInvalid
from ratchet.importers.messages import named_by_sender, read_object
from ratchet.importers.readings import Place, Sections, Witness, initiator_id, read
from ratchet.importers.refusals import RecordInvalid
from ratchet.importers.tables import kinds
from ratchet.importers.templates import look_up
from ratchet.records import Actor, Event, digest_of

SYSTEM = "cdevents"
PREFIX = "dev.cdevents."
_TYPE = re.compile(r"dev\.cdevents\.(?P<family>[a-z]+)\.(?P<predicate>[a-z]+)\.\d+\.\d+\.\d+(-[\w.]+)?")
_VERSION = re.compile(r"0\.[4-6](\.|$)")
# The words of the specification for what set a test run off, and ours.
_TRIGGERS = {
    "manual": "ui",
    "schedule": "schedule",
    "event": "custom",
    "pipeline": "operator",
    "ui": "ui",
    "cli": "ui",
    "rerun": "rerun",
    "code": "code",
    "data": "data",
    "custom": "custom",
}
TAKEN = {
    "pipelinerun": ("queued", "started", "finished"),
    "taskrun": ("queued", "started", "finished"),
    "testsuiterun": ("queued", "started", "finished"),
    "service": ("deployed", "upgraded", "rolledback", "removed"),
    "artifact": ("published",),
    "change": ("merged",),
    "incident": ("detected", "reported", "resolved"),
    "approval": ("created", "updated", "closed"),
}


def receive(
    body: bytes,
    *,
    type_: str,
    sections: Sections,
    witness: Witness,
    trigger: str = "",
    cause: str = "",
    is_declared: bool = False,
    began: Callable[[str, str], str] = lambda _source, _subject: "",
) -> tuple[Event, ...]:
    """Return the events that a CDEvent stands for; none where it says nothing that we record.

    Args:
        body: The payload of the CloudEvent, byte for byte.
        type_: The type of the CloudEvent.
        sections: ``[import.cdevents]``.
        witness: Who sent it.
        trigger: The CloudEvents extension of that name.
        cause: The CloudEvents extension ``causationid``.
        is_declared: Whether the sender's token was declared with the system that holds it.
        began: Gives the id of the first event of a source about a subject, ``""`` where there is none.

    Raises:
        EventInvalid: It is none of those that are taken, or lacks something.
    """
    family, predicate = _kind(type_)
    message = _message(body, type_)
    kind = kinds(SYSTEM)[family]
    content = look_up(message, "subject.content")
    joined = message | {
        "predicate": predicate,
        "trigger": _trigger(message, trigger),
        "cause": cause or _linked(message),
        "is_declared": is_declared,
        "subject_content": content if isinstance(content, dict) else {},
        "change": look_up(message, "subject.id"),
        "approval_target": look_up(message, "customData.target|subject.content.resourceTargetUrl"),
        "approval_decision": _decision(look_up(message, "subject.content.decision|subject.content.status")),
    }
    source, subject = str(look_up(message, "context.source") or ""), str(look_up(message, "subject.id") or "")
    run = look_up(message, "subject.content.pipelineRun.id")
    joined["whole"] = initiator_id(source, f"pipelinerun/{run}") if run else ""
    joined["artifact"] = look_up(message, "customData.artifactId") or f"run:{run or subject}"
    joined["began"] = began(source, subject) if family in ("incident", "approval") else ""
    place = Place(file=type_, number=1)
    try:
        found = read(
            {family: kind},
            family,
            joined,
            place=place,
            sections=sections,
            witness=_speaking_for(witness, look_up(message, "subject.content.responder|subject.content.requestor")),
        )
    except RecordInvalid as error:
        raise EventInvalid(field=f"data.{error.field}", problem=error.problem, remedy=error.remedy) from error
    return named_by_sender(found, str(look_up(message, "context.id")), digest_of(message))


def _kind(type_: str) -> tuple[str, str]:
    found = _TYPE.fullmatch(type_)
    if found is None or found["predicate"] not in TAKEN.get(found["family"], ()):
        known = "; ".join(f"{family}.{'|'.join(predicates)}" for family, predicates in TAKEN.items())
        raise EventInvalid(
            field="type", problem=f"is '{type_}', which is not taken in", remedy=f"CDEvents that are: {known}."
        )
    return found["family"], found["predicate"]


def _message(body: bytes, type_: str) -> dict[str, Any]:
    remedy = "Send the CDEvent as JSON: context, subject, customData."
    message = read_object(body, field="data", remedy=remedy)
    version = str(look_up(message, "context.version|context.specversion") or "")
    if not _VERSION.match(version):
        remedy = "Versions 0.4 to 0.6 of the specification are read."
        raise EventInvalid(field="data.context.version", problem=f"is '{version}'", remedy=remedy)
    if look_up(message, "context.type") != type_:
        remedy = "Both are the same in the binding to CloudEvents."
        raise EventInvalid(field="data.context.type", problem="is not the type of the CloudEvent", remedy=remedy)
    return message


def _trigger(message: dict[str, Any], extension: str) -> str:
    said = extension or look_up(message, "subject.content.trigger.type|customData.trigger")
    return _TRIGGERS.get(str(said).casefold(), "")


def _linked(message: dict[str, Any]) -> str:
    """Return the id of the message that led to this one: the end of a path, else what is said to have triggered it."""
    said = look_up(message, "context.links") or []
    if not isinstance(said, list):
        raise EventInvalid(field="data.context.links", problem="is no list", remedy="Send a list of links.")
    links = [link for link in said if isinstance(link, dict)]
    for path, kind in (("from.contextId", "PATH"), ("from.contextId", "END"), ("target.contextId", "RELATION")):
        for link in links:
            is_meant = str(link.get("linkType", "")).upper() == kind
            if is_meant and (kind != "RELATION" or str(link.get("linkKind", "")).upper() == "TRIGGER"):
                return str(look_up(link, path) or "")
    return ""


def _decision(said: Any) -> Any:
    return {"approve": "approved", "reject": "rejected"}.get(str(said).casefold(), said)


def _speaking_for(witness: Witness, person: Any) -> Witness:
    """Return the witness of an approval: a system that passes on what somebody decided acts on that one's behalf."""
    if person is None or witness.sender is None:
        return witness
    claims = witness.sender.claims | {"on_behalf_of": witness.pseudonym(str(person))}
    sender = Actor(authtype=witness.sender.authtype, authid=witness.sender.authid, claims=claims)
    return Witness(evidence=witness.evidence, pseudonym=witness.pseudonym, sender=sender)
