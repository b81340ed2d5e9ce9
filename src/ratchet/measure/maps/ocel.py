"""The map and its evidence as an object-centric event log, OCEL 2.0 in JSON, for tools of process mining.

Invariant: every type that occurs is declared with its attributes, and every relationship names an object of the file.

Source: A. Berti et al., OCEL (Object-Centric Event Log) 2.0 Specification (2024), section on the JSON format.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ratchet.measure.history import History, Snapshot, moment_of
from ratchet.measure.maps.measured import Measured, bound_pipelines, found_changes
from ratchet.measure.maps.process_maps import Node, ProcessMap
from ratchet.measure.transitions import read

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_PROCESS = ("name", "phase", "purpose", "how", "owner", "degree", "measured degree", "reason")
_CASE = ("mode", "actor class", "evidence", "outcome", "event")
EVENTS_AT_MOST = 50_000


def to_ocel(
    process_map: ProcessMap,
    *,
    measured: dict[str, Measured] | None = None,
    history: History | None = None,
    as_of: datetime | None = None,
) -> dict[str, Any]:
    """Return the log as JSON values: processes, roles, artifacts and subjects as objects, completed cases as events.

    Args:
        process_map: Whose nodes are the event types.
        measured: What the ledger says about its nodes.
        history: Where the events come from; without one there are none.
        as_of: The moment up to which they count (UTC); now if not given.
    """
    artifacts = list(dict.fromkeys(edge.artifact for edge in process_map.edges if edge.artifact))
    roles = list(dict.fromkeys(role for node in process_map.nodes for role in node.roles))
    events = _events(process_map, history, as_of) if history is not None else []
    subjects = dict.fromkeys(
        one["objectId"] for event in events for one in event["relationships"] if one["qualifier"] == "changed"
    )
    objects = [_process(process_map, node, (measured or {}).get(node.id)) for node in process_map.nodes]
    objects += [_object(f"role:{role}", "role", {"name": role}) for role in roles]
    objects += [_object(f"artifact:{name}", "artifact", {"name": name}) for name in artifacts]
    objects += [_object(name, "subject", {"name": name.removeprefix("subject:")}) for name in subjects]
    return {
        "objectTypes": [
            _type("process", _PROCESS),
            *(_type(name, ("name",)) for name in ("role", "artifact", "subject")),
        ],
        "eventTypes": [_type(node.id, _CASE) for node in process_map.nodes],
        "objects": objects,
        "events": events,
    }


def _type(name: str, attributes: Iterable[str]) -> dict[str, Any]:
    return {"name": name, "attributes": [{"name": one, "type": "string"} for one in attributes]}


def _object(
    name: str, kind: str, attributes: dict[str, str], relationships: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    at = _ALWAYS.isoformat().replace("+00:00", "Z")
    return {
        "id": name,
        "type": kind,
        "attributes": [{"name": key, "time": at, "value": value} for key, value in attributes.items() if value],
        "relationships": relationships or [],
    }


def _process(process_map: ProcessMap, node: Node, measured: Measured | None) -> dict[str, Any]:
    relationships = [{"objectId": f"role:{role}", "qualifier": "carried by"} for role in node.roles]
    for edge in process_map.edges:
        if edge.source == node.id and edge.kind == "control":
            how = "followed again by" if edge.loop else "followed by"
            relationships.append({"objectId": f"process:{edge.target}", "qualifier": how})
        elif edge.source == node.id:
            relationships.append({"objectId": f"artifact:{edge.artifact}", "qualifier": "gives"})
        if edge.target == node.id and edge.kind == "data":
            relationships.append({"objectId": f"artifact:{edge.artifact}", "qualifier": "takes"})
    known = {key: str(getattr(node, key)) for key in ("name", "phase", "purpose", "how", "owner", "degree")}
    if measured is not None:
        known |= {"measured degree": measured.degree, "reason": measured.reason}
    return _object(f"process:{node.id}", "process", known, relationships)


def _events(process_map: ProcessMap, history: History, as_of: datetime | None) -> list[dict[str, Any]]:
    """Return the completed cases of all bound nodes, the latest ones where there are too many."""
    snapshot = history.as_of(as_of)
    found = [
        (moment_of(change.event), event)
        for node in process_map.nodes
        for change, event in _cases(history, snapshot, node)
    ]
    found.sort(key=lambda one: (one[0], one[1]["id"]))
    return [event for _, event in found[-EVENTS_AT_MOST:]]


def _cases(history: History, snapshot: Snapshot, node: Node) -> Iterable[tuple[Any, dict[str, Any]]]:
    if node.bound_to is None:
        return
    for pipeline in bound_pipelines(history, snapshot, node.bound_to):
        for change in found_changes(snapshot, node.bound_to, pipeline):
            transition = read(snapshot, change)
            values = (
                transition.mode,
                transition.root_class,
                transition.evidence,
                transition.outcome,
                change.event.type,
            )
            at = moment_of(change.event).astimezone(UTC)
            yield (
                change,
                {
                    # One event of the ledger may complete a case of several processes.
                    "id": f"{node.id}:{change.event.id}",
                    "type": node.id,
                    "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "attributes": [{"name": k, "value": str(v)} for k, v in zip(_CASE, values, strict=True)],
                    "relationships": [
                        {"objectId": f"process:{node.id}", "qualifier": "case of"},
                        {"objectId": f"subject:{change.event.subject}", "qualifier": "changed"},
                    ],
                },
            )
