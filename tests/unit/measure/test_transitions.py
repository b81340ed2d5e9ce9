"""The record of a transition."""

from typing import Any

import pytest
from msgspec.structs import replace

from ratchet.measure.traffic import shifts
from ratchet.measure.transitions import is_preceded_by_gate, transitions
from ratchet.records import Actor
from tests.ledgers import PIPELINE, LedgerBuilder


def test_transition_says_where_it_comes_from() -> None:
    """A transition names its place in the ledger, its root, its rule and its evidence."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    finished = next(event for event in ledger.events if event.type == "run.finished")
    ticked = next(event for event in ledger.events if event.type == "clock.ticked")
    (training,) = transitions(ledger.history().as_of(ledger.now), PIPELINE, "train")
    assert (training.seq, training.event_id, training.subject) == (finished.seq, finished.id, "run-1")
    assert (training.root_event, training.rule_id) == (ticked.id, "retrain weekly")
    assert (training.evidence, training.outcome, training.at) == ("native", "success", finished.at)


def test_transitions_of_another_pipeline_are_not_mixed_in() -> None:
    """Each pipeline has its own transitions."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    assert transitions(ledger.history().as_of(ledger.now), "other", "train") == []


def test_gate_of_the_same_instant_is_ordered_by_the_ledger() -> None:
    """Where a simulated clock stands still, the gate that comes first in the ledger precedes the deployment."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    shift = ledger.deploy(ledger.command(), gate)
    ledger.events[gate.seq - 1] = replace(gate, time=shift.time, recordedtime=shift.recordedtime)
    snapshot = ledger.history().as_of(ledger.now)
    assert is_preceded_by_gate(snapshot, shifts(snapshot, PIPELINE)[0])


def test_later_verdict_counts() -> None:
    """An artifact that passed once and failed afterwards has not passed its gate."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    ledger.add("gate.evaluated", gate.subject, {**gate.data, "decision": "fail"}, cause=gate)
    ledger.deploy(ledger.command(), gate)
    snapshot = ledger.history().as_of(ledger.now)
    assert not is_preceded_by_gate(snapshot, shifts(snapshot, PIPELINE)[0])


@pytest.mark.parametrize(("run_by", "expected"), [("schedule", True), ("unknown", False), ("", False)])
def test_gate_that_another_run_set_off_is_judged_by_its_parent(run_by: str, expected: bool) -> None:
    """An imported gate behind an operator counts as far as the start of the run that set it off is known."""
    ledger = LedgerBuilder()
    told: dict[str, Any] = {"source": "airflow", "evidence": "imported"}
    tick = ledger.add("clock.ticked", "nightly", actor=Actor(), trigger=run_by, **told) if run_by else None
    data = {"run_id": "r", "version": "v", "artifact_digest": "d", "decision": "pass", "suites": ["checks"]}
    gate = ledger.add("gate.evaluated", "v", data, cause=tick, actor=Actor(), trigger="operator", **told)
    ledger.deploy(ledger.command(), gate)
    snapshot = ledger.history().as_of(ledger.now)
    assert is_preceded_by_gate(snapshot, shifts(snapshot, PIPELINE)[0]) is expected
