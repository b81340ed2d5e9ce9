"""Degrees read off the ledger, each from a ledger that shows it."""

import pytest

from ratchet.catalogue import EVENT_TYPES
from ratchet.measure.changes import STAGES
from ratchet.measure.maps.degrees import Degree
from ratchet.measure.maps.measured import Measured, disagreements, measure_degrees
from ratchet.measure.maps.process_maps import Binding
from tests.ledgers import LAPTOP, PIPELINE, LedgerBuilder
from tests.maps import node, process_map


def measured(ledger: LedgerBuilder, **binding: str) -> Measured:
    """Return what a ledger says about one process."""
    made = process_map(node("x", bound_to=Binding(**binding)))
    return measure_degrees(ledger.history(), made, as_of=ledger.now)["x"]


def test_what_is_bound_to_nothing_is_unmeasured() -> None:
    """Nobody can look it up."""
    found = measure_degrees(LedgerBuilder().history(), process_map(node("x")))["x"]
    assert (found.degree, found.reason) == ("unmeasured", "It is not bound to anything in the ledger.")


def test_what_no_source_tells_of_is_unmeasured() -> None:
    """An unknown pipeline is not an absent process."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    found = measured(ledger, pipeline="other", stage="train")
    assert (found.degree, found.reason) == ("unmeasured", "The ledger knows nothing of the pipeline other.")
    assert measured(LedgerBuilder(), stage="train").reason == "The ledger knows nothing of any pipeline."


def test_a_button_counts_as_automated() -> None:
    """Four trainings that a person starts and nobody touches: a button or a line of code at most."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.train(ledger.command())
        ledger.wait(days=7)
    found = measured(ledger, pipeline=PIPELINE, stage="train")
    assert (found.degree, found.modes) == ("automated", {"assisted": 4})
    assert found.reason == "4 of the last 4 ran without a hand in them once started."
    assert len(found.cases) == 4


def test_triggers_of_several_kinds_are_one_way_of_doing_it() -> None:
    """Schedule, command, drift: what happens once it has begun is the same."""
    ledger = LedgerBuilder()
    drift = ledger.rule("on drift", leads_to=["train"], on="monitor.alert.raised", origin="template")
    for _ in range(2):
        ledger.train(ledger.tick(ledger.weekly()))
        ledger.train(ledger.command())
        alert = ledger.add("monitor.alert.raised", "drift")
        ledger.train(ledger.fire(drift, alert))
        ledger.wait(days=7)
    assert measured(ledger, stage="train").degree == "automated"


def test_too_few_cases_say_nothing() -> None:
    """Two are fewer than three."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    found = measured(ledger, stage="train")
    assert (found.degree, found.reason) == ("unmeasured", "Only 2 of the 3 cases that are needed to say anything.")


def test_hands_make_it_semi_automated_and_are_named() -> None:
    """Two of four with an edit of parameters."""
    ledger = LedgerBuilder()
    for number in range(4):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        if number % 2:
            finished = next(e for e in reversed(ledger.events) if e.type == "run.finished")
            touch = ledger.touch(finished.subject, "param_edit")
            ledger.events[touch.seq - 1] = _at(touch, finished)
        ledger.wait(days=7)
        assert gate.type == "gate.evaluated"
    found = measured(ledger, stage="train")
    assert found.degree == "semi-automated"
    assert found.reason == "Only 2 of the last 4 ran without a hand in them: an edit of parameters in 2."


def _at(touch: object, end: object) -> object:
    from msgspec.structs import replace

    return replace(touch, time=end.time, recordedtime=end.recordedtime)  # type: ignore[type-var, attr-defined]


def test_each_time_another_way_is_non_repeatable() -> None:
    """Of four trainings no two went through the same steps."""
    ledger = LedgerBuilder()
    for number in range(4):
        ledger.train(ledger.command())
        finished = next(e for e in reversed(ledger.events) if e.type == "run.finished")
        for step in range(number):
            data = {"run_id": finished.subject, "step": f"try {step}", "resource": "cpu_seconds"}
            ledger.add("cost.recorded", finished.subject, data, cause=finished)
        ledger.wait(days=7)
    found = measured(ledger, stage="train")
    assert found.degree == "non-repeatable"
    assert "covers only 1 of the last 4" in found.reason


def test_work_by_hand_is_exceptionally_manual() -> None:
    """Two of four sets of data had no run that produced them."""
    ledger = LedgerBuilder()
    for number in range(4):
        data = {"digest": f"d{number}", "execution": "manual" if number % 2 else "run"}
        ledger.add("dataset.version.published", "flights", data, cause=ledger.command())
    found = measured(ledger, stage="data")
    assert found.degree == "exceptionally manual"
    assert found.reason == "2 of the last 4 were made by hand or are only declared."


def test_what_is_only_declared_counts_as_done_by_hand() -> None:
    """Nobody but a person says that it happened."""
    ledger = LedgerBuilder()
    for number in range(3):
        ledger.add("dataset.version.published", "flights", {"digest": f"d{number}"}, evidence="declared")
    assert measured(ledger, stage="data").degree == "exceptionally manual"


def test_unknown_actors_are_no_automation_and_no_person() -> None:
    """A token of nobody in particular shows nothing about how it was done."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.train(ledger.command(actor=LAPTOP))
        ledger.wait(days=7)
    found = measured(ledger, stage="train")
    assert (found.degree, found.reason) == ("unmeasured", "Who did 4 of the last 4 is unknown.")


def test_absent_needs_a_complete_record_and_no_rule() -> None:
    """What was never seen where all is recorded, and to which nothing leads."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    assert measured(ledger, stage="deploy").degree == "absent"
    ledger.release_rule()
    found = measured(ledger, stage="deploy")
    assert (found.degree, found.reason) == ("unmeasured", "Never seen, but the rule 'deploy on pass' leads to it.")


def test_absent_needs_all_that_was_imported() -> None:
    """A source that claims more than was brought in hides what is missing."""
    ledger = LedgerBuilder()
    ledger.add("run.finished", "r1", {"outcome": "failed"}, source="airflow", evidence="imported")
    assert "not all of" in measured(ledger, stage="deploy").reason
    ledger.add("source.cursor", "airflow", {"source": "airflow", "count": 5, "imported": 4}, pipeline="")
    assert measured(ledger, stage="deploy").degree == "unmeasured"
    ledger.add("source.cursor", "airflow", {"source": "airflow", "count": 5, "imported": 5}, pipeline="")
    assert measured(ledger, stage="deploy").degree == "absent"


def test_long_ago_is_not_absent() -> None:
    """What was seen before the window was not seen in it."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    ledger.wait(days=400)
    found = measured(ledger, stage="train")
    assert (found.degree, found.reason) == ("unmeasured", "Not in this window: it was last seen on 2026-01-19.")


def test_a_slow_cadence_widens_the_window() -> None:
    """Who trains each half year is measured over two years."""
    ledger = LedgerBuilder()
    ledger.declare(cadence_days=180)
    for _ in range(4):
        ledger.train(ledger.tick(ledger.weekly()))
        ledger.wait(days=150)
    assert measured(ledger, stage="train").degree == "automated"


def test_a_binding_to_an_event_counts_that_event() -> None:
    """Versions that were registered, and a type that nothing sends."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    assert measured(ledger, event="model.version.registered").degree == "automated"
    unsent = next(kind.name for kind in EVENT_TYPES.values() if kind.awaits)
    found = measured(ledger, event=unsent)
    assert (found.degree, found.reason) == ("unmeasured", f"Nothing that is connected sends {unsent}.")


def test_a_stage_that_nothing_can_complete_is_not_absent() -> None:
    """Where no source of its events exists yet, not seeing one means nothing."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    unsent = [stage for stage in STAGES if all(one.awaits for one in EVENT_TYPES.values() if one.stage == stage)]
    for stage in unsent:
        assert measured(ledger, stage=stage).reason.startswith("Nothing that is connected sends what completes")
    assert measured(ledger, stage="deploy").degree == "absent"


def test_only_what_was_known_then_counts() -> None:
    """A moment in the past gives what was to be seen then."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    then = ledger.now
    ledger.scheduled_training(weeks=3)
    made = process_map(node("x", bound_to=Binding(stage="train")))
    assert measure_degrees(ledger.history(), made, as_of=then)["x"].degree == "unmeasured"
    assert measure_degrees(ledger.history(), made, as_of=ledger.now)["x"].degree == "automated"


@pytest.mark.parametrize(
    ("declared", "seen", "steps"),
    [("automated", "exceptionally manual", 3), ("absent", "automated", -4), ("automated", "automated", None)],
)
def test_disagreements_are_listed_where_both_know(declared: Degree, seen: Degree, steps: int | None) -> None:
    """With how far apart they are; what one of both does not know is no disagreement."""
    made = process_map(node("x", degree=declared, benefit="b"), node("y", degree="unmeasured"), node("z"))
    says = {
        "x": Measured(node="x", degree=seen, reason="so"),
        "y": Measured(node="y", degree="automated", reason="so"),
        "z": Measured(node="z", degree="unmeasured", reason="so"),
    }
    assert [(one.node, one.steps) for one in disagreements(made, says)] == ([] if steps is None else [("x", steps)])
