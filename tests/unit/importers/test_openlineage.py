"""OpenLineage: what a run event becomes; who started it is tested through the door."""

import json
from typing import Any

import pytest

from ratchet.config import ImportSection
from ratchet.importers import openlineage
from ratchet.records import Event
from tests.unit.importers.shapes import WITNESS, at, types_of

SECTIONS = {"retrain": ImportSection(pipeline="churn", stages=("train",))}


def _receive(state: str, **more: Any) -> tuple[Event, ...]:
    message = {
        "eventType": state,
        "eventTime": at(0),
        "run": {"runId": "r"},
        "job": {"namespace": "n", "name": "retrain"},
        **more,
    }
    return openlineage.receive(json.dumps(message).encode(), sections=SECTIONS, witness=WITNESS)


@pytest.mark.parametrize(
    ("state", "types"),
    [
        ("START", ["run.started"]),
        ("start", ["run.started"]),
        ("RUNNING", []),
        ("OTHER", []),
        ("COMPLETE", ["run.finished"]),
        ("FAIL", ["run.finished"]),
        ("ABORT", ["run.finished"]),
    ],
)
def test_states_are_steps_of_a_run(state: str, types: list[str]) -> None:
    """What only adds facets is no step."""
    assert types_of(_receive(state)) == types


def test_outputs_with_a_version_are_dataset_versions() -> None:
    """Those without one are not known to be new; the run is what led to them."""
    versioned = {"namespace": "n", "name": "a", "facets": {"version": {"datasetVersion": "2"}}}
    finished, published = _receive("COMPLETE", outputs=[versioned, {"namespace": "n", "name": "b"}])
    assert (published.type, published.subject, published.causationid) == (
        "dataset.version.published",
        "n/a@2",
        finished.id,
    )
    assert "row_count" not in published.data
    assert types_of(_receive("FAIL", outputs=[versioned])) == ["run.finished"]


def test_events_without_a_run_are_left_aside() -> None:
    """Static lineage of datasets and jobs has no place in a pipeline."""
    for kind in ("dataset", "job"):
        assert openlineage.receive(json.dumps({kind: {"name": "x"}}).encode(), sections={}, witness=WITNESS) == ()
