"""CloudEvents from outside: read, checked, and turned into events of the ledger.

Invariant: who sent an event is what its token says, never what its body says; what only Ratchet itself can know, such
as a shift of traffic or a rule that fired, is never taken from outside.

Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding; JSON batch format.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import msgspec

from ratchet import clock
from ratchet.catalogue import event_type
from ratchet.errors import EventInvalid
from ratchet.importers.messages import read_object
from ratchet.importers.readings import EARLIEST
from ratchet.loop.credentials import Credential
from ratchet.records import NATIVE_SOURCE, Actor, Event, Record, to_utc
from ratchet.store.ledger import check_names
from ratchet.web.refusals import MediaTypeUnsupported, NotPermitted

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BATCH_LIMIT = 1000
AHEAD = timedelta(minutes=5)
TEXT_LIMIT = 512

# What may come from outside. All other types are appended by Ratchet itself, at the moment when it does what they say.
OPEN_TYPES = frozenset(
    {
        "custom.emitted",
        "code.pushed",
        "dataset.version.published",
        "dataset.check.finished",
        "feature_view.published",
        "design.signed",
        "incident.detected",
        "incident.reported",
        "incident.mitigated",
        "incident.resolved",
        "incident.attributed",
        "touch.recorded",
        "page.sent",
        "page.acknowledged",
        "page.escalated",
        "module.used",
        "cost.recorded",
        "bill.imported",
    }
)
_TRIGGERS = ("schedule", "data", "code", "metric", "custom", "api", "ui", "cli", "rerun", "operator", "unknown")
_USUAL_TRIGGER = {"custom.emitted": "custom", "code.pushed": "code", "dataset.version.published": "data"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


class Message(Record, frozen=True):
    """A CloudEvent as it was sent; attributes that we do not know are left aside, as the specification asks.

    Attributes:
        data: The payload, byte for byte.
    """

    id: str
    source: str
    type: str
    specversion: str
    subject: str = ""
    time: str = ""
    datacontenttype: str = "application/json"
    causationid: str = ""
    correlationid: str = ""
    pipeline: str = ""
    stage: str = ""
    team: str = ""
    env: str = ""
    trigger: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    data_base64: str = ""


class Received(Record, frozen=True):
    """An event that is fit for the ledger.

    Attributes:
        body: The exact bytes of its payload.
    """

    event: Event
    body: bytes


def read_messages(headers: Mapping[str, str], body: bytes) -> list[Message]:
    """Return the CloudEvents in a request: one, or those of a batch.

    Raises:
        MediaTypeUnsupported: The body is no CloudEvent, and the headers hold none.
        EventInvalid: One of them lacks something.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == STRUCTURED:
        return [_decode(body, "")]
    if media == BATCH:
        return _decode_batch(body)
    if "ce-id" in headers or "ce-specversion" in headers:
        return [_binary(headers, body, media=media)]
    raise MediaTypeUnsupported(
        found=media or "(none)", known=f"{STRUCTURED}, {BATCH}, or application/json with headers ce-*"
    )


def receive(message: Message, *, credential: Credential, actor: Actor) -> Received:
    """Return the event of the ledger that a message stands for.

    Args:
        message: As it was sent.
        credential: What the sender's token stands for.
        actor: Who that is.

    Raises:
        UnknownEventType: Its type is not in the catalogue.
        NotPermitted: It is, and only Ratchet itself appends such events.
        EventInvalid: It says something impossible.
    """
    kind = event_type(message.type)
    if kind.name not in OPEN_TYPES:
        raise NotPermitted(
            what=f"an event of type '{kind.name}' from outside",
            reason="Ratchet appends it itself, when it happens.",
            remedy=f"Open types are: {', '.join(sorted(OPEN_TYPES))}.",
        )
    check_attributes(message)
    if not kind.is_root and not message.causationid:
        remedy = "Name the id of the event that led to it."
        raise EventInvalid(field="causationid", problem=f"is missing, and '{kind.name}' needs a cause", remedy=remedy)
    data, body = _payload(message, kind.name, credential)
    event = Event(
        type=kind.name,
        subject=message.subject or str(data.get("name") or ""),
        data=data,
        id=message.id,
        source=message.source,
        time=_moment(message.time),
        causationid=message.causationid,
        correlationid=message.correlationid,
        authtype=actor.authtype,
        authid=actor.authid,
        authclaims=actor.claims,
        pipeline=message.pipeline,
        stage=message.stage,
        team=message.team or credential.team,
        env=message.env,
        evidence="attested",
        trigger=message.trigger or _USUAL_TRIGGER.get(kind.name, "api"),
    )
    check_names(event)
    return Received(event=event, body=body)


# ---- reading


def _decode(content: bytes, where: str) -> Message:
    try:
        return msgspec.json.decode(content, type=Message)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$.")
        missing = re.search(r"required field `(\w+)`", problem)
        field = missing[1] if missing else at.rstrip("`") or "event"
        text = "is missing" if missing else f"is wrong: {problem}"
        remedy = "A CloudEvent has id, source, type and specversion, all texts."
        raise EventInvalid(field=where + field, problem=text, remedy=remedy) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventInvalid(field=f"{where}body", problem=f"is no JSON: {error}", remedy="Send UTF-8 JSON.") from error


def _decode_batch(body: bytes) -> list[Message]:
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        remedy = "A batch is a JSON array of CloudEvents."
        raise EventInvalid(field="body", problem=f"is no batch: {error}", remedy=remedy) from error
    if len(parts) > BATCH_LIMIT:
        remedy = f"Send at most {BATCH_LIMIT} at a time."
        raise EventInvalid(field="body", problem=f"has {len(parts)} events", remedy=remedy)
    return [_decode(bytes(part), f"[{number}].") for number, part in enumerate(parts)]


def _binary(headers: Mapping[str, str], body: bytes, *, media: str) -> Message:
    """Read attributes from headers ``ce-*``, percent-decoded, and the payload from the body."""
    known = set(Message.__struct_fields__) - {"data", "data_base64", "datacontenttype"}
    found = {
        name[3:]: unquote(value, errors="replace")
        for name, value in headers.items()
        if name.startswith("ce-") and name[3:] in known
    }
    for name in ("id", "source", "type", "specversion"):
        if name not in found:
            raise EventInvalid(field=f"ce-{name}", problem="is missing", remedy="Send it as a header.")
    return Message(**found, datacontenttype=media or "application/json", data=msgspec.Raw(body or b"{}"))


# ---- checking


def check_attributes(message: Message) -> None:
    """Refuse a message whose attributes say something impossible.

    Raises:
        EventInvalid: One of them does.
    """
    if message.specversion != "1.0":
        raise EventInvalid(field="specversion", problem=f"is '{message.specversion}'", remedy="Send '1.0'.")
    for name in ("id", "source"):
        if not getattr(message, name):
            raise EventInvalid(field=name, problem="is empty", remedy="It tells this event from all others.")
    for name in Message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, str) and name != "data_base64" and (len(value) > TEXT_LIMIT or _CONTROL.search(value)):
            problem = "is too long or has control characters"
            raise EventInvalid(field=name, problem=problem, remedy=f"Send at most {TEXT_LIMIT} printable characters.")
    if message.source == NATIVE_SOURCE:
        remedy = "Name your own system, such as https://ci.example.org/flights."
        raise EventInvalid(field="source", problem=f"is '{NATIVE_SOURCE}', which is this platform", remedy=remedy)
    if message.trigger and message.trigger not in _TRIGGERS:
        remedy = f"Use one of {', '.join(_TRIGGERS)}."
        raise EventInvalid(field="trigger", problem=f"is '{message.trigger}'", remedy=remedy)
    if message.data_base64 or not _JSON.fullmatch(message.datacontenttype.partition(";")[0].strip()):
        remedy = "Send a JSON object as 'data'."
        raise EventInvalid(field="data", problem="is not JSON", remedy=remedy)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    remedy = "Write it as 2013-02-04T03:00:00Z, or leave it out for now."
    try:
        moment = to_utc(msgspec.convert(text, datetime))
    except (ValueError, OverflowError) as error:
        raise EventInvalid(field="time", problem=f"is '{text}': {error}", remedy=remedy) from error
    if moment < EARLIEST:
        problem = f"is '{text}', before {EARLIEST.year}"
        raise EventInvalid(field="time", problem=problem, remedy="Set the clock that is wrong right.")
    if moment > clock.now() + AHEAD:
        raise EventInvalid(field="time", problem=f"is '{text}', in the future", remedy=remedy)
    return moment


def _payload(message: Message, kind: str, credential: Credential) -> tuple[dict[str, Any], bytes]:
    """Return the payload and its bytes: those received, unless we have to say whether a signal is declared."""
    body = bytes(message.data)
    data = read_object(body, field="data", remedy="Send a JSON object.")
    if kind != "custom.emitted":
        return data, body
    if not isinstance(data.get("name"), str) or not data["name"]:
        raise EventInvalid(field="data.name", problem="is missing", remedy="Say which signal this is.")
    # Nobody can declare signals yet, so only a system that was declared with its token sends declared ones.
    is_declared = credential.kind == "system" and data.get("declared_signal", True) is True
    if data.get("declared_signal") is is_declared:
        return data, body
    data["declared_signal"] = is_declared
    return data, msgspec.json.encode(data)
