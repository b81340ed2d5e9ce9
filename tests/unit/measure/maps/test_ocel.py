"""The object-centric log, checked against what OCEL 2.0 asks for."""

import json
from datetime import datetime
from typing import Any

import pytest

from ratchet.measure.maps.measured import measure_degrees
from ratchet.measure.maps.ocel import to_ocel
from ratchet.measure.maps.process_maps import Edge
from tests.maps import process_map
from tests.unit.measure.maps.drawn import MAP, SEEN
from tests.unit.measure.maps.test_follows import NODES, released

EDGES = (
    Edge(source="train", target="evaluate"),
    Edge(source="deploy", target="train", loop=True),
    Edge(source="train", target="deploy", kind="data", artifact="model"),
)


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    """The log of three weeks of releases, as a program reads it."""
    ledger = released(3)
    made = process_map(*NODES, edges=EDGES)
    seen = measure_degrees(ledger.history(), made, as_of=ledger.now)
    values = to_ocel(made, measured=seen, history=ledger.history(), as_of=ledger.now)
    read: dict[str, Any] = json.loads(json.dumps(values))
    return read


def test_types_declare_what_occurs(log: dict[str, Any]) -> None:
    """Each object and event has a declared type, and no attribute that its type lacks."""
    assert list(log) == ["objectTypes", "eventTypes", "objects", "events"]
    for things, types in (("objects", "objectTypes"), ("events", "eventTypes")):
        declared = {one["name"]: {a["name"] for a in one["attributes"]} for one in log[types]}
        assert len(declared) == len(log[types])
        for one in log[things]:
            assert {a["name"] for a in one["attributes"]} <= declared[one["type"]]
            assert all(isinstance(a["value"], str) for a in one["attributes"])
        assert len({one["id"] for one in log[things]}) == len(log[things])


def test_relationships_name_objects_of_the_log(log: dict[str, Any]) -> None:
    """None leads nowhere, and each says what it means."""
    ids = {one["id"] for one in log["objects"]}
    for one in [*log["objects"], *log["events"]]:
        for relationship in one["relationships"]:
            assert set(relationship) == {"objectId", "qualifier"}
            assert relationship["objectId"] in ids
    train = next(one for one in log["objects"] if one["id"] == "process:train")
    assert [(one["objectId"], one["qualifier"]) for one in train["relationships"]] == [
        ("role:ML engineer", "carried by"),
        ("process:evaluate", "followed by"),
        ("artifact:model", "gives"),
    ]


def test_each_completed_case_is_an_event(log: dict[str, Any]) -> None:
    """With its moment, its mode and what it changed."""
    assert [one["type"] for one in log["events"]] == ["train", "evaluate", "deploy"] * 3
    times = [datetime.fromisoformat(one["time"]) for one in log["events"]]
    assert times == sorted(times)
    assert all(one["time"].endswith("Z") for one in log["events"])
    attributes = {one["name"]: one["value"] for one in log["events"][0]["attributes"]}
    assert attributes == {
        "mode": "auto",
        "actor class": "automation",
        "evidence": "native",
        "outcome": "success",
        "event": "run.finished",
    }


def test_without_a_ledger_there_are_objects_and_no_events() -> None:
    """What people declare is there all the same."""
    values = to_ocel(MAP, measured=SEEN)
    assert values["events"] == []
    assert len([one for one in values["objects"] if one["type"] == "process"]) == len(MAP.nodes)
    assert {a["name"] for a in values["objects"][-1]["attributes"]} == {"name"}
