"""The record of a transition."""

from ratchet.measure.transitions import transitions
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
