"""What counts as a transition, and what adds nothing."""

from datetime import timedelta

from ratchet.measure.changes import changes, left_out
from ratchet.measure.transitions import transitions
from tests.ledgers import PIPELINE, LedgerBuilder


def count(ledger: LedgerBuilder, stage: str) -> int:
    """Return the number of transitions of a stage at the ledger's present."""
    return len(changes(ledger.history().as_of(ledger.now), PIPELINE, stage))


def test_only_candidates_that_went_to_a_gate_count() -> None:
    """Experiments, failed runs, and candidates that no gate has seen are no trainings."""
    ledger = LedgerBuilder()
    for _ in range(20):
        ledger.train(ledger.command(), candidate=False)
    ledger.add("run.finished", "r1", {"run_id": "r1", "outcome": "success", "candidate": True})
    ledger.add("run.finished", "r2", {"run_id": "r2", "outcome": "failed", "candidate": True})
    ledger.add("gate.evaluated", "m@v1", {"run_id": "r2", "decision": "pass", "suites": ["data"]})
    assert count(ledger, "train") == 0
    ledger.scheduled_training()
    assert count(ledger, "train") == 1


def test_what_does_not_count_is_told_apart() -> None:
    """Each run that is no training says why, and what is too old is named before it; what counts is not."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    ledger.wait(days=200)
    ledger.train(ledger.command(), candidate=False)
    ledger.train(ledger.command(), inputs=["same"])
    ledger.train(ledger.tick(ledger.weekly()), inputs=["same"])
    ledger.add("run.finished", "r1", {"run_id": "r1", "outcome": "success", "candidate": True})
    ledger.add("run.finished", "r2", {"run_id": "r2", "outcome": "failed", "candidate": True})
    snapshot = ledger.history().as_of(ledger.now).over(timedelta(days=180))
    assert left_out(snapshot, PIPELINE, "train") == {
        "of more than 180 days ago": 1,
        "without a candidate": 1,
        "that repeated earlier work": 1,
        "whose candidate no gate judged": 1,
        "that did not end well": 1,
    }
    assert left_out(snapshot, PIPELINE, "monitor") == {}


def test_imported_runs_that_nobody_mapped_are_named() -> None:
    """Whoever imports first and maps later learns why nothing counts, however old the records are."""
    ledger = LedgerBuilder()
    pushed = ledger.add("code.pushed", "us/churn", evidence="imported", source="github/us")
    data = {"run_id": "17", "outcome": "success", "candidate": True}
    ledger.add("run.finished", "17", data, cause=pushed, stage="unknown", evidence="imported", source="github/us")
    ledger.wait(days=300)
    snapshot = ledger.history().as_of(ledger.now).over(timedelta(days=180))
    assert left_out(snapshot, PIPELINE, "train") == {"whose name is mapped to no stage": 1}


def test_gate_is_looked_for_as_of_the_moment() -> None:
    """A run counts from when its gate was evaluated, not before."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    snapshot = ledger.history().as_of(next(e.at for e in ledger.events if e.type == "run.finished"))
    assert changes(snapshot, PIPELINE, "train") == []


def test_a_hundred_trivial_retrainings_are_one() -> None:
    """Runs on the same inputs, code and parameters are one training, the earliest."""
    ledger = LedgerBuilder()
    ledger.train(ledger.command(), inputs=["same"])
    for _ in range(100):
        ledger.train(ledger.tick(ledger.weekly()), inputs=["same"])
    found = transitions(ledger.history().as_of(ledger.now), PIPELINE, "train")
    assert [transition.mode for transition in found] == ["assisted"]


def test_verdict_on_nothing_is_no_evaluation() -> None:
    """A gate that looked at no suite evaluated nothing."""
    ledger = LedgerBuilder()
    ledger.add("gate.evaluated", "m@v1", {"decision": "pass", "suites": []})
    assert count(ledger, "evaluate") == 0


def test_ramp_counts_once_and_rollback_counts() -> None:
    """A version that gets more traffic stays live; going back to an earlier one makes that live again."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.shift({"v1": 1.0}, cause=cause)
    ledger.shift({"v1": 0.9, "v2": 0.1}, cause=cause)
    ledger.shift({"v1": 0.5, "v2": 0.5}, cause=cause)
    ledger.shift({"v2": 1.0, "v1": 0.0}, cause=cause)
    ledger.shift({"v1": 1.0}, cause=cause)
    assert count(ledger, "deploy") == 3


def test_shadow_and_staging_do_not_count() -> None:
    """Only live production traffic makes a deployment."""
    ledger = LedgerBuilder()
    for change in ({"role": "shadow"}, {"env": "staging"}):
        data = {"endpoint": "delays", "env": "production", "role": "live", "weights": {"v1": 1.0}, **change}
        ledger.add("traffic.shifted", "delays", data)
    assert count(ledger, "deploy") == 0


def test_ping_pong_counts_once_each_way() -> None:
    """Deploying and rolling back the same two versions for ever adds nothing."""
    ledger = LedgerBuilder()
    cause = ledger.tick(ledger.release_rule())
    for _ in range(50):
        ledger.shift({"v1": 1.0}, cause=cause)
        ledger.shift({"v2": 1.0}, cause=cause)
    assert count(ledger, "deploy") == 3


def test_monitors_of_one_window_and_root_are_one_round() -> None:
    """Two monitors that look at one window because of one slot are one transition; another slot is another."""
    ledger = LedgerBuilder()
    rule = ledger.rule("watch", leads_to=["monitor"], cron="0 4 * * *")
    ledger.monitor(ledger.tick(rule), kinds=("drift",))
    assert count(ledger, "monitor") == 1
    first = ledger.events[-1]
    again = {**first.data, "monitor": "performance"}
    ledger.add("monitor.evaluated", "performance", again, causationid=first.causationid)
    assert count(ledger, "monitor") == 1
    ledger.monitor(ledger.tick(rule))
    assert count(ledger, "monitor") == 2


def test_nothing_joined_is_no_labelling() -> None:
    """A join that found no outcome, and a sample of no row, changed nothing."""
    ledger = LedgerBuilder()
    ledger.add("feedback.joined", "delays", {"rows": 0, "senders": []})
    ledger.add("sample.taken", "delays", {"rows": 0})
    assert (count(ledger, "label"), count(ledger, "sample")) == (0, 0)


def test_generated_versions_belong_to_stage_dataset() -> None:
    """A generated dataset is one transition of stage dataset, and none of stage data."""
    ledger = LedgerBuilder()
    ledger.dataset(ledger.command())
    ledger.add("dataset.version.published", "flights@v2", {"digest": "d"})
    assert (count(ledger, "dataset"), count(ledger, "data")) == (1, 1)


def test_backdating_changes_no_order() -> None:
    """A transition that claims to be older than an hour is ordered by when it was recorded."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    ledger.add("sample.taken", "first", {"rows": 1}, cause=cause)
    ledger.add("sample.taken", "second", {"rows": 1}, cause=cause, time=ledger.now - timedelta(hours=2))
    ledger.add("sample.taken", "third", {"rows": 1}, cause=cause, time=ledger.now - timedelta(minutes=30))
    found = transitions(ledger.history().as_of(ledger.now), PIPELINE, "sample")
    assert [(t.subject, t.is_backdated) for t in found] == [("third", False), ("first", False), ("second", True)]
