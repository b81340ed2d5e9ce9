"""CDEvents: types, versions, links and words; what comes of them in the ledger is tested through the door."""

import json
from typing import Any

import pytest

from ratchet.errors import EventInvalid
from ratchet.importers import cdevents
from ratchet.importers.readings import Witness
from ratchet.importers.tables import kinds
from ratchet.records import Actor, Event
from tests.unit.importers.shapes import at

SYSTEM = Actor(authtype="service_account", authid="jenkins", claims={"system": "jenkins"})
WITNESS = Witness(evidence="attested", pseudonym=lambda name: f"<{len(name)}>", sender=SYSTEM)


def _receive(kind: str, version: str = "0.5.0", *, links: Any = None, **content: Any) -> tuple[Event, ...]:
    type_ = f"dev.cdevents.{kind}.0.3.0-draft"
    context = {"specversion": version, "id": "e1", "source": "s", "type": type_, "timestamp": at(0), "links": links}
    body = {"context": context, "subject": {"id": "x", "content": content}}
    return cdevents.receive(json.dumps(body).encode(), type_=type_, sections={}, witness=WITNESS)


def test_each_family_that_is_taken_has_its_table() -> None:
    """No family without rows, and no rows without a family."""
    assert set(kinds("cdevents")) == set(cdevents.TAKEN)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (f"{family}.{predicate}", {"environment": {"id": "prod"}, "outcome": "pass"})
        for family, predicates in cdevents.TAKEN.items()
        for predicate in predicates
        if (family, predicate) not in (("testsuiterun", "queued"), ("testsuiterun", "started"))
    ],
)
def test_each_type_that_is_taken_becomes_something(kind: str, content: dict[str, Any]) -> None:
    """The main event has the id of the message."""
    assert "e1" in {event.id for event in _receive(kind, **content)}


@pytest.mark.parametrize(
    ("version", "is_read"), [("0.4.1", True), ("0.6.0", True), ("0.3.0", False), ("0.40.0", False), ("", False)]
)
def test_versions(version: str, is_read: bool) -> None:
    """Those that were read are read, and no others."""
    if is_read:
        assert _receive("pipelinerun.started", version)
    else:
        with pytest.raises(EventInvalid, match=r"Versions 0\.4 to 0\.6"):
            _receive("pipelinerun.started", version)


@pytest.mark.parametrize(
    ("links", "cause"),
    [
        ([{"linkType": "PATH", "from": {"contextId": "p"}}, {"linkType": "END", "from": {"contextId": "q"}}], "p"),
        ([{"linkType": "RELATION", "linkKind": "TRIGGER", "target": {"contextId": "t"}}], "t"),
        ([{"linkType": "RELATION", "linkKind": "RELATED", "target": {"contextId": "t"}}], None),
        ([{"linkType": "START"}, "nonsense"], None),
    ],
)
def test_a_link_is_a_cause(links: Any, cause: str | None) -> None:
    """A path comes before a relation; other relations are none."""
    (event,) = _receive("pipelinerun.started", links=links)
    assert (event.causationid == cause) is (cause is not None)


def test_a_responder_is_a_pseudonym_behind_the_sender() -> None:
    """A system that passes on a decision acts on a person's behalf: human."""
    (event,) = _receive("approval.closed", "0.6.0", responder="urn:person:2", decision="reject", status="rejected")
    assert (event.actor_class, event.authclaims["on_behalf_of"], event.data["decision"]) == (
        "human",
        "<12>",
        "rejected",
    )
