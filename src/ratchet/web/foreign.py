"""What other systems send in the words of a standard: CDEvents and OpenLineage, taken in like all else.

Invariant: nobody can speak for a pipeline that runs here, unless its owner has mapped the sender's name to it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ratchet.config import ImportSystem
from ratchet.importers import cdevents, messages, openlineage
from ratchet.importers.readings import Witness
from ratchet.loop import credentials
from ratchet.loop.credentials import Credential
from ratchet.records import Actor, Event
from ratchet.store.ledger import check_names
from ratchet.web.cloudevents import Message
from ratchet.web.refusals import NotPermitted

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

Taken = list[tuple[Event, bool]]


def is_cdevent(message: Message) -> bool:
    """Tell whether a CloudEvent is a CDEvent."""
    return message.type.startswith(cdevents.PREFIX)


def read_cdevent(
    workspace: "Workspace", message: Message, *, credential: Credential, actor: Actor
) -> tuple[Event, ...]:
    """Return the events that a CDEvent stands for.

    Raises:
        EventInvalid: It is none that is taken, lacks something, or has a name that no column holds.
        NotPermitted: It speaks for a pipeline that runs here.
    """

    def began(source: str, subject: str) -> str:
        kinds = ("incident.detected", "incident.reported", "approval.requested")
        found = workspace.ledger.read(types=kinds, subject=subject)
        return next((event.id for event in found if event.source == source and event.id != message.id), "")

    events = cdevents.receive(
        bytes(message.data),
        type_=message.type,
        sections=workspace.config.imports.get("cdevents", {}),
        witness=_witness(workspace, actor),
        trigger=message.trigger,
        cause=message.causationid,
        is_declared=credential.kind == "system",
        began=began,
    )
    return _permitted(workspace, "cdevents", events)


def read_lineage(workspace: "Workspace", body: bytes, *, credential: Credential, actor: Actor) -> tuple[Event, ...]:
    """Return the events that an OpenLineage run event stands for.

    Raises:
        EventInvalid: It is no run event, lacks something, or has a name that no column holds.
        NotPermitted: It speaks for a pipeline that runs here.
    """
    events = openlineage.receive(
        body,
        sections=workspace.config.imports.get("openlineage", {}),
        witness=_witness(workspace, actor),
        is_declared=credential.kind == "system",
    )
    return _permitted(workspace, "openlineage", events)


def deliver(workspace: "Workspace", events: Sequence[Event]) -> Taken:
    """Append the events of a message, all or none; each with whether it is new.

    Raises:
        LedgerConflict: One is there with another body.
    """
    return messages.deliver(workspace.database, workspace.ledger, events) if events else []


def _witness(workspace: "Workspace", actor: Actor) -> Witness:
    return Witness(
        evidence="attested", pseudonym=lambda name: credentials.pseudonym(workspace.resources, name), sender=actor
    )


def _permitted(workspace: "Workspace", system: ImportSystem, events: tuple[Event, ...]) -> tuple[Event, ...]:
    mapped = {section.pipeline for section in workspace.config.imports.get(system, {}).values()}
    declared = set(workspace.pipelines())
    for event in events:
        check_names(event)
        if event.pipeline in declared - mapped:
            raise NotPermitted(
                what=f"an event about the pipeline '{event.pipeline}' from outside",
                reason="It runs here, and Ratchet records itself what happens to it.",
                remedy=f"If the other system does a part of it, map its name under [import.{system}] in ratchet.toml.",
            )
    return events
