"""OpenLineage run events that are sent to us, and the dataset versions that they say were written.

Invariant: OpenLineage knows no initiator; without our run facet or the word of a scheduler's integration, who started a
run is unknown.

Source: OpenLineage specification, RunEvent 2-0-2 with the facets parent, version, outputStatistics.
"""

from typing import Any

import msgspec

from ratchet.errors import EventInvalid
from ratchet.importers.messages import read_object
from ratchet.importers.readings import Place, Reading, Sections, Witness, initiator_id, read
from ratchet.importers.refusals import RecordInvalid
from ratchet.importers.tables import kinds
from ratchet.importers.templates import look_up
from ratchet.records import Event, derive_id, digest_of

SYSTEM = "openlineage"
FACET = "ratchet_initiator"
# The words of our facet, of CDEvents, and of Airflow's integration.
_TRIGGERS = {
    "schedule": "schedule",
    "scheduled": "schedule",
    "manual": "ui",
    "ui": "ui",
    "cli": "ui",
    "rerun": "rerun",
    "code": "code",
    "data": "data",
    "asset_triggered": "data",
    "dataset_triggered": "data",
    "custom": "custom",
}
_SAID_BY = f"run.facets.{FACET}.trigger|run.facets.airflowDagRun.dagRun.run_type|run.facets.airflow.dagRun.run_type"
_IGNORED = ("RUNNING", "OTHER")


def receive(body: bytes, *, sections: Sections, witness: Witness, is_declared: bool = False) -> tuple[Event, ...]:
    """Return the events that a run event stands for; none where it says nothing that we record.

    Args:
        body: The request's body.
        sections: ``[import.openlineage]``.
        witness: Who sent it.
        is_declared: Whether the sender's token was declared with the system that holds it.

    Raises:
        EventInvalid: It is no run event, or lacks something.
    """
    message = read_object(body, field="body", remedy="Send a RunEvent.")
    if "run" not in message and ("dataset" in message or "job" in message):
        # Events about a dataset or a job alone have no run, and so no place in a pipeline.
        return ()
    joined = message | {
        "trigger": _TRIGGERS.get(str(look_up(message, _SAID_BY)).casefold(), ""),
        "whole": _parent(message),
        "input_versions": [one[1] for one in _versions(message, "inputs")] or None,
        "is_declared": is_declared,
    }
    place = Place(file="lineage", number=1)
    try:
        found = read(kinds(SYSTEM), "run", joined, place=place, sections=sections, witness=witness)
    except RecordInvalid as error:
        raise EventInvalid(field=error.field, problem=error.problem, remedy=error.remedy) from error
    if found.outcome != "success":
        return found.events if str(message["eventType"]).upper() not in _IGNORED else ()
    return (*found.events, *_published(message, found))


def _parent(message: dict[str, Any]) -> str:
    parent = look_up(message, "run.facets.parent")
    run, namespace, job = (look_up(parent, path) for path in ("run.runId", "job.namespace", "job.name"))
    if not (run and namespace and job):
        return ""
    return initiator_id(f"{SYSTEM}/{namespace}", f"{namespace}/{job}/{run}")


def _versions(message: dict[str, Any], side: str) -> list[tuple[dict[str, Any], str]]:
    """Return the datasets on one side that have a version, each with its full name."""
    found = []
    said = message.get(side) or []
    if not isinstance(said, list):
        raise EventInvalid(field=side, problem="is no list", remedy="Send a list of datasets.")
    for dataset in said:
        version = look_up(dataset, "facets.version.datasetVersion")
        if version is not None:
            found.append((dataset, f"{dataset.get('namespace', '')}/{dataset.get('name', '')}@{version}"))
    return found


def _published(message: dict[str, Any], run: Reading) -> list[Event]:
    """Return the versions of datasets that a run wrote; one without a version facet is not known to be a new one."""
    ended = next((event for event in reversed(run.events) if event.id != run.cause), None)
    if ended is None:
        return []
    events = []
    for dataset, name in _versions(message, "outputs"):
        data = {
            "dataset": name.rpartition("@")[0],
            "version": name,
            "digest": digest_of(name),
            "run_id": look_up(message, "run.runId"),
            "row_count": look_up(dataset, "outputFacets.outputStatistics.rowCount"),
            "parents": [one[1] for one in _versions(message, "inputs")],
            "generated": False,
        }
        data = {field: value for field, value in data.items() if value is not None}
        identity = derive_id(run.source, run.key, "dataset.version.published", name)
        changes = {"type": "dataset.version.published", "subject": name, "id": identity, "data": data, "stage": ""}
        events.append(msgspec.structs.replace(ended, causationid=ended.id, **changes))
    return events
