"""What rules and commands can do: each name leads to a function of the loop, with sensible defaults."""

from datetime import timedelta
from typing import Any

import pytest

from ratchet import clock
from ratchet.automation.actions import ACTIONS, action
from ratchet.catalogue import EVENT_TYPES
from ratchet.errors import GateNotPassed, NoData, NothingToRollBack, UnknownName
from ratchet.loop import predictions
from ratchet.records import Event
from tests import projects
from tests.loops import Stage

EVENT = Event(type="gate.evaluated", subject="churn@v1", id="E1", pipeline="churn", data={"version": "churn@v1"})


def perform(stage: Stage, name: str, parameters: dict[str, Any], event: Event = EVENT) -> Event | None:
    """Do an action by a command."""
    with stage.command(f"{name}/{sorted(parameters)}/{clock.now()}"):
        return action(name).perform(stage.resources, event, parameters)


def test_every_action_belongs_to_a_stage_and_says_what_it_does() -> None:
    """The stage is one of the catalogue's; the sentence ends."""
    stages = {kind.stage for kind in EVENT_TYPES.values()}
    for name, one in ACTIONS.items():
        assert one.name == name
        assert one.stage in stages
        assert one.main
        assert one.about.endswith(".")


def test_an_unknown_action_names_those_that_there_are() -> None:
    """All of them."""
    with pytest.raises(UnknownName, match=r"No action named 'strat_run'. Known: start_run, promote"):
        action("strat_run")


def test_a_run_is_of_the_events_pipeline_by_default(stage: Stage) -> None:
    """A rule may say ``start_run`` alone."""
    projects.write_project(stage.resources.project)
    queued = perform(stage, "start_run", {"because": "a reason", "strength": 3.0})
    assert queued is not None
    assert (queued.type, queued.pipeline) == ("run.queued", "churn")
    assert queued.data["parameters"] == {"strength": 3.0}
    with pytest.raises(UnknownName, match="'value'"):
        perform(stage, "start_run", {"pipeline": "value"})


def test_the_version_is_the_events_by_default(stage: Stage) -> None:
    """A rule on ``gate.evaluated`` promotes what passed."""
    stage.add_version(gate="fail")
    with pytest.raises(GateNotPassed, match="churn@v1"):
        perform(stage, "promote", {})
    with pytest.raises(UnknownName, match=r"say which: \{ promote = 'MODEL@vN' \}"):
        perform(stage, "promote", {}, Event(type="clock.ticked", subject="x"))


def test_the_endpoint_is_the_events_by_default(stage: Stage) -> None:
    """Named in the payload, or what the event is about."""
    for event in (
        Event(type="traffic.shifted", subject="churn"),
        Event(type="monitor.alert.raised", subject="x", data={"endpoint": "churn"}),
    ):
        with pytest.raises(NothingToRollBack, match="'churn'"):
            perform(stage, "rollback", {}, event)
    with pytest.raises(NothingToRollBack, match="'value'"):
        perform(stage, "rollback", {"endpoint": "value"})


def test_monitor_sample_join_and_build_are_of_the_events_pipeline(stage: Stage, simulated: None) -> None:
    """Where nothing is to be done they do nothing, and say so with no event."""
    stage.declare()
    for name in ("monitor", "take_sample", "join_feedback", "build_dataset"):
        assert perform(stage, name, {}) is None
        with pytest.raises(UnknownName, match="'value'"):
            perform(stage, name, {"pipeline": "value"})


def test_an_action_returns_the_last_event_that_it_caused(stage: Stage, simulated: None) -> None:
    """It is the cause of the next action in a list."""
    stage.declare()
    version = stage.add_version()
    stage.make_live(version)
    stage.answer(version, at=projects.START, count=5)
    clock.advance(projects.START + timedelta(days=2))
    predictions.tend(stage.resources)
    taken = perform(stage, "take_sample", {})
    evaluated = perform(stage, "monitor", {})
    assert taken is not None
    assert evaluated is not None
    assert (taken.type, evaluated.type) == ("sample.taken", "monitor.evaluated")
    assert stage.events("monitor.evaluated")[-1] == evaluated


def test_a_run_that_is_over_cannot_be_cancelled(stage: Stage) -> None:
    """The action finds it by the beginning of its id."""
    projects.write_project(stage.resources.project)
    queued = perform(stage, "start_run", {})
    assert queued is not None
    finished = perform(stage, "cancel_run", {"run": queued.subject[:8]})
    assert finished is not None
    assert finished.data["outcome"] == "cancelled"
    with pytest.raises(UnknownName):
        perform(stage, "cancel_run", {"run": "XXXX"})


def test_without_data_a_run_is_refused(stage: Stage) -> None:
    """The error is the loop's own."""
    projects.write_project(stage.resources.project)
    (stage.resources.project / "data" / "2026-01.parquet").unlink()
    with pytest.raises(NoData):
        perform(stage, "start_run", {})
