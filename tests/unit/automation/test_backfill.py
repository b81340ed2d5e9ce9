"""Rules fired by hand for the past: once each, and counted as a person's doing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ratchet import clock, origin
from ratchet.automation.actions import ACTIONS, Action
from ratchet.automation.backfill import Backfill
from ratchet.automation.clockwork import Clockwork
from ratchet.errors import RuleNotInForce
from ratchet.loop.resources import Resources
from ratchet.measure.closures import own_rules_at_work
from ratchet.measure.initiators import trace
from ratchet.records import Event
from tests import projects
from tests.loops import BrokenOff, Stage, once
from tests.unit.automation.past import alert, history_of, later, put, rehearse, rule

TELL = rule("tell", '{ note = "hello" }')
PYTHON = """import ratchet as rt


@rt.rule(on="monitor.alert.raised", at_most="1/week")
def react(event: rt.Event, loop: rt.Loop) -> None:
    if event.data["score"] > 0.5:
        loop.start_run()
"""


def _note(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    return resources.ledger.record(Event(type="run.queued", subject="note", pipeline=event.pipeline))[0]


@pytest.fixture
def stage(make_stage: Callable[..., Stage], simulated: None, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage on which rules listen, with an action that leaves a note."""
    made = Action(name="note", stage="train", main="text", perform=_note, about="For tests.")
    monkeypatch.setitem(ACTIONS, "note", made)
    return make_stage(reacts=True)


def backfill(stage: Stage, name: str = "tell", *, key: str = "backfill") -> list[str]:
    """Backfill a rule from the beginning on and return the subjects of the events."""

    @contextmanager
    def by_command(_action: str, _parameters: dict[str, Any], *, subject: str) -> Iterator[Event]:
        with stage.command(key) as source:
            command = stage.ledger.get(source.cause)
            assert command is not None
            yield command

    filling = Backfill(stage.resources, by_command=by_command)
    rehearsal = rehearse(stage, name)
    expected = [case.event for case in filling.open_cases(rehearsal)]
    done = filling.carry_out(rehearsal)
    assert [case.event for case in done] == expected
    return [case.subject for case in done]


def test_what_came_before_the_rule_is_made_up_for_once(stage: Stage) -> None:
    """Not what it fired for itself; a second time nothing is left and nothing is appended."""
    for number in range(3):
        alert(stage, f"a{number}")
        later(hours=1)
    put(stage, TELL, key="put")
    alert(stage, "own")
    stage.runs.work()
    assert backfill(stage) == ["churn/a0", "churn/a1", "churn/a2"]
    stage.runs.work()
    assert len(stage.events("run.queued")) == 4
    before = stage.ledger.last_seq()
    assert backfill(stage, key="again") == []
    assert stage.runs.work() == []
    assert stage.ledger.last_seq() == before


def test_it_is_done_in_the_name_of_who_asked(stage: Stage) -> None:
    """The firing follows from the command, and what it causes says that it was a backfill."""
    event = alert(stage, "a0")
    put(stage, TELL, key="put")
    backfill(stage)
    stage.runs.work()
    (fired,), (note,) = stage.events("rule.fired"), stage.events("run.queued")
    (succeeded,) = stage.events("rule.action.succeeded")
    command = stage.ledger.get(fired.causationid)
    assert command is not None
    assert command.type == "command.issued"
    assert fired.data["trigger_event"] == event.id
    assert note.causationid == succeeded.causationid == fired.id
    assert {(one.trigger, one.authid) for one in (fired, note, succeeded)} == {("backfill", "anna")}


def test_it_counts_as_a_persons_doing(stage: Stage) -> None:
    """Neither does it start anything by automation, nor is it a rule at work; what the rule does itself is."""
    for number in range(4):
        alert(stage, f"a{number}")
    put(stage, TELL, key="put")
    backfill(stage)
    stage.runs.work()
    snapshot = history_of(stage).as_of(clock.now())
    classes = {trace(snapshot, event, stage="train").actor_class for event in stage.events("run.queued")}
    assert classes == {"human"}
    assert own_rules_at_work(snapshot, "churn", fires=1) == {}
    for number in range(2):
        alert(stage, f"later {number}")
    stage.runs.work()
    snapshot = history_of(stage).as_of(clock.now())
    assert trace(snapshot, stage.events("run.queued")[-1], stage="train").actor_class == "automation"
    assert own_rules_at_work(snapshot, "churn", fires=1) == {"tell": 2}


def test_what_waits_for_its_turn_is_not_done_a_second_time(stage: Stage) -> None:
    """The event was appended, its dispatch has not run yet: the firing is one, whoever comes first."""
    put(stage, TELL, key="put")
    alert(stage, "waits")
    assert backfill(stage) == ["churn/waits"]
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 1
    assert len(stage.events("run.queued")) == 1


def test_it_does_not_count_towards_limits(stage: Stage) -> None:
    """After many events of the past were made up for, the next one of the present is not held back."""
    for number in range(5):
        alert(stage, f"a{number}")
        later(days=1)
    put(stage, rule("tell", '{ note = "hello" }', more='at_most = "1/hour"'), key="put")
    assert len(backfill(stage)) == 5
    stage.runs.work()
    alert(stage, "own")
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 6
    assert stage.events("rule.suppressed") == []


def test_slots_that_nothing_ran_for_tick_by_hand(stage: Stage) -> None:
    """Each once; the schedule goes on as if nothing had been."""
    put(stage, rule("nightly", '{ note = "night" }', on="clock.ticked", more='cron = "0 3 * * *"'), key="put")
    Clockwork(stage.resources).tick(clock.now())
    later(days=3, hours=4)
    Clockwork(stage.resources).tick(clock.now())
    stage.runs.work()
    assert len(stage.events("run.queued")) == 1
    assert backfill(stage, "nightly") == ["nightly"] * 3
    stage.runs.work()
    assert [one.data["slot"][:10] for one in stage.events("clock.ticked")] == [
        "2026-01-08",
        "2026-01-05",
        "2026-01-06",
        "2026-01-07",
    ]
    assert len(stage.events("rule.fired")) == len(stage.events("run.queued")) == 4
    snapshot = history_of(stage).as_of(clock.now())
    classes = [trace(snapshot, event, stage="train").actor_class for event in stage.events("run.queued")]
    assert classes.count("human") >= 3
    assert backfill(stage, "nightly", key="again") == []


def test_a_rule_in_python_is_backfilled_where_it_would_act(stage: Stage) -> None:
    """Its function runs again, for those events for which it asks for something; its limit counts days of then."""
    projects.write_project(stage.resources.project)
    (stage.resources.project / "rules.py").write_text(PYTHON)
    for number, score in enumerate((0.9, 0.1, 0.8)):
        alert(stage, f"a{number}", score=score)
        later(days=8)
    put(stage, "", key="put")
    assert backfill(stage, "react") == ["churn/a0", "churn/a2"]
    stage.runs.work("dispatch", "act")
    assert len(stage.events("run.queued")) == 2
    assert {one.trigger for one in stage.events("rule.fired", "run.queued")} == {"backfill"}
    assert backfill(stage, "react", key="again") == []


@pytest.mark.parametrize("step", ["fire", "0 note"])
def test_what_breaks_off_is_done_once(stage: Stage, step: str) -> None:
    """Killed behind any step: the chain is the same."""
    alert(stage, "a0")
    put(stage, TELL, key="put")
    backfill(stage)
    with pytest.raises(BrokenOff):
        stage.runs.work(break_off=once(step))
    stage.runs.work()
    assert len(stage.events("run.queued")) == len(stage.events("rule.action.succeeded")) == 1


def test_only_a_rule_in_force_is_backfilled(stage: Stage) -> None:
    """One that is off, or in the file only, is refused with what to do; nothing is appended."""
    alert(stage, "a0")
    put(stage, rule("tell", '{ note = "hello" }', more="enabled = false"), key="put")
    before = stage.ledger.last_seq()
    with pytest.raises(RuleNotInForce, match="switch it on: ratchet rules enable 'tell'"):
        backfill(stage)
    projects.write_project(stage.resources.project)
    with pytest.raises(RuleNotInForce, match="a preset, not in force"):
        backfill(stage, "train-on-drift", key="other")
    assert stage.ledger.last_seq() == before
    assert origin.current() is None
