"""CloudEvents: the sender's words and the sender's place are told apart."""

from typing import Any

import msgspec
import pytest

from ratchet.errors import EventInvalid
from ratchet.loop.credentials import Credential
from ratchet.web.cloudevents import Message, Received, read_messages, receive

PERSON = Credential(name="anna", kind="person", team="tower")


def _receive(message: Message) -> Received:
    return receive(message, credential=PERSON, actor=PERSON.actor("pseudonym"))


def _message(**changes: Any) -> Message:
    values = {"id": "1", "source": "s", "type": "code.pushed", "specversion": "1.0", "data": msgspec.Raw(b'{"a": 1}')}
    return Message(**values | changes)


def test_the_actor_is_the_tokens() -> None:
    """Whoever sends an event did it, and pays for it unless it says who does."""
    event = _receive(_message()).event
    assert (event.authtype, event.authid, event.actor_class, event.evidence) == (
        "api_key",
        "pseudonym",
        "human",
        "attested",
    )
    assert (event.team, _receive(_message(team="other")).event.team) == ("tower", "other")


def test_unknown_attributes_are_left_aside() -> None:
    """Extensions that we do not know do not hinder, and do not pass for ours."""
    body = (
        b'{"id":"1","source":"s","type":"code.pushed","specversion":"1.0","traceparent":"x","seq":7,"authid":"engine"}'
    )
    (message,) = read_messages({"content-type": "application/cloudevents+json; charset=utf-8"}, body)
    received = _receive(message)
    assert (received.event.authid, received.event.seq, received.body) == ("pseudonym", 0, b"{}")


def test_a_payload_of_another_kind_is_refused() -> None:
    """Only JSON objects are payloads."""
    for data in (b"[1]", b"1", b'"x"', b"null"):
        with pytest.raises(EventInvalid, match="no JSON object"):
            _receive(_message(data=msgspec.Raw(data)))


def test_a_signal_is_named_in_its_subject() -> None:
    """Without a subject of its own, an event is about what its payload names."""
    message = _message(type="custom.emitted", data=msgspec.Raw(b'{"name": "go"}'))
    received = _receive(message)
    assert (received.event.subject, received.event.trigger) == ("go", "custom")
    assert msgspec.json.decode(received.body) == {"name": "go", "declared_signal": False}
