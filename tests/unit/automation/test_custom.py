"""Rules in Python: the function decides in a child process, the parent acts once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratchet import config
from ratchet.automation import rules
from ratchet.automation.custom import Loop
from ratchet.loop import projects as declared
from ratchet.records import Event
from tests import projects
from tests.loops import BrokenOff, Stage, once

CODE = """import ratchet as rt


@rt.rule(on="monitor.alert.raised", when="event.data.score > 0.1")
def react(event: rt.Event, loop: rt.Loop) -> None:
{0}
"""


class FakeChild:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, action: str, parameters: dict[str, Any]) -> str:
        """Take a call and return the id of an event."""
        self.asked.append((action, parameters))
        return f"E{len(self.asked)}"


@pytest.fixture
def make(make_stage: Callable[..., Stage]) -> Callable[[str], Stage]:
    """Make a stage with a rule in Python, its body given."""

    def make(body: str) -> Stage:
        stage = make_stage(reacts=True)
        projects.write_project(stage.resources.project)
        (stage.resources.project / "rules.py").write_text(CODE.format("    " + body.replace("\n", "\n    ")))
        _, project = declared.current(stage.resources)
        found = rules.read(stage.resources.config, project, path=stage.resources.project / config.FILE_NAME)
        with stage.command("put"):
            declared.declare(stage.resources, project)
            rules.put_in_force(stage.resources, found)
        return stage

    return make


def alert(stage: Stage, score: float = 0.3) -> Event:
    """Append an alert."""
    with stage.command("alert"):
        return stage.ledger.record(
            Event(type="monitor.alert.raised", subject="churn/drift", pipeline="churn", data={"score": score})
        )[0]


def types(stage: Stage, event: Event) -> list[str]:
    """Return the types of what followed."""
    return stage.types(after=event.seq)


def test_the_loop_asks_for_actions_by_name() -> None:
    """Where no pipeline is named it is the rule's own; each call returns the id of an event."""
    child = FakeChild()
    loop = Loop(child, "churn")  # type: ignore[arg-type]
    assert loop.start_run(strength=0.5, because="drift") == "E1"
    loop.start_run("value")
    loop.promote("churn@v1", bypass="why")
    loop.rollback("churn")
    for name in ("monitor", "take_sample", "join_feedback", "build_dataset"):
        getattr(loop, name)()
    assert child.asked == [
        ("start_run", {"pipeline": "churn", "because": "drift", "strength": 0.5}),
        ("start_run", {"pipeline": "value", "because": ""}),
        ("promote", {"version": "churn@v1", "bypass": "why"}),
        ("rollback", {"endpoint": "churn"}),
        ("monitor", {"pipeline": "churn"}),
        ("take_sample", {"pipeline": "churn"}),
        ("join_feedback", {"pipeline": "churn"}),
        ("build_dataset", {"pipeline": "churn"}),
    ]


def test_a_rule_fires_when_it_acts(make: Callable[[str], Stage]) -> None:
    """The run that it asked for follows from the firing, with its parameters."""
    stage = make('loop.start_run(strength=0.5, because="drift")')
    event = alert(stage)
    stage.runs.work("dispatch", "act")
    assert types(stage, event) == ["rule.fired", "dataset.version.published", "run.queued", "rule.action.succeeded"]
    fired, queued = stage.events("rule.fired", "run.queued")
    assert (fired.subject, fired.data["origin"]) == ("react", "user")
    assert queued.causationid == fired.id
    assert queued.data["parameters"] == {"strength": 0.5}


def test_a_rule_that_does_not_act_has_not_fired(make: Callable[[str], Stage]) -> None:
    """It looked and decided against it: nothing happened."""
    stage = make("if event.data['score'] > 0.9:\n    loop.start_run()")
    event = alert(stage)
    stage.runs.work("dispatch", "act")
    assert types(stage, event) == []


def test_a_condition_is_looked_at_first(make: Callable[[str], Stage]) -> None:
    """Where it is false no child is started."""
    stage = make("loop.start_run()")
    alert(stage, 0.05)
    assert stage.runs.work("dispatch", "act") == [next(iter(stage.runs.jobs))]


def test_a_rule_that_raises_is_a_failure(make: Callable[[str], Stage]) -> None:
    """With the error as Python has it."""
    stage = make('raise RuntimeError("no luck")')
    event = alert(stage)
    stage.runs.work("dispatch", "act")
    assert types(stage, event) == ["rule.fired", "rule.action.failed"]
    (failed,) = stage.events("rule.action.failed")
    assert failed.data["action"] == "body"
    assert "RuntimeError: no luck" in failed.data["error"]


def test_an_action_that_fails_ends_the_function(make: Callable[[str], Stage]) -> None:
    """What the action said is what the ledger says, once."""
    stage = make('loop.promote("churn@v9")\nloop.start_run()')
    event = alert(stage)
    jobs = stage.runs.work("dispatch", "act")
    assert types(stage, event) == ["rule.fired", "rule.action.failed"]
    (failed,) = stage.events("rule.action.failed")
    assert "No model version named 'churn@v9'" in failed.data["error"]
    assert "churn@v9" in stage.runs.jobs[jobs[-1]].result["error"]


def test_the_function_may_go_on_after_a_failed_action(make: Callable[[str], Stage]) -> None:
    """It is Python: what it catches is its affair."""
    stage = make('try:\n    loop.rollback("churn")\nexcept Exception:\n    loop.start_run()')
    event = alert(stage)
    stage.runs.work("dispatch", "act")
    kinds = types(stage, event)
    assert kinds[:2] == ["rule.fired", "rule.action.failed"]
    assert kinds[-2:] == ["run.queued", "rule.action.succeeded"]


def test_events_that_come_at_once_fire_no_more_often_than_the_rule_says(make: Callable[[str], Stage]) -> None:
    """All were looked at before the first of them acted; the rule is asked again when it does."""
    stage = make("loop.start_run()")
    stage.configure(projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 1\n")
    with stage.command("alerts"):
        for number in range(3):
            data = {"score": 0.3}
            event = Event(type="monitor.alert.raised", subject=f"churn/{number}", pipeline="churn", data=data)
            stage.ledger.record(event)
    stage.runs.work("dispatch")
    assert len(stage.runs.pending()) == 3
    stage.runs.work("dispatch", "act")
    assert len(stage.events("rule.fired")) == 1
    assert len(stage.events("run.queued")) == 1
    assert stage.events("rule.action.failed") == []
    (told,) = stage.events("rule.suppressed")
    assert told.data["reason"] == "it fired 1 times within the hour, at most 1 may be"


@pytest.mark.parametrize("step", ["fire", "0 start_run", "1 start_run"])
def test_what_broke_off_is_not_done_twice(make: Callable[[str], Stage], step: str) -> None:
    """The function runs again from its beginning, each action is carried out once."""
    stage = make("loop.start_run(strength=1.0)\nloop.start_run(strength=2.0)")
    event = alert(stage)
    with pytest.raises(BrokenOff):
        stage.runs.work("dispatch", "act", break_off=once(step))
    stage.runs.work("dispatch", "act")
    queued = stage.events("run.queued")
    assert [one.data["parameters"]["strength"] for one in queued] == [1.0, 2.0]
    assert queued[1].causationid == queued[0].id
    assert types(stage, event).count("rule.fired") == 1
    assert types(stage, event).count("rule.action.succeeded") == 2


def test_a_function_that_dies_before_it_is_where_it_was_keeps_what_was_done(
    make: Callable[[str], Stage], tmp_path: Path
) -> None:
    """An action that an earlier attempt recorded counts once, and the failure comes after it."""
    die = tmp_path / "die"
    dies = f"import os, pathlib\nif pathlib.Path({str(die)!r}).exists():\n    os._exit(3)\n"
    stage = make(f"{dies}loop.start_run(strength=1.0)\nloop.start_run(strength=2.0)")
    event = alert(stage)
    with pytest.raises(BrokenOff):
        stage.runs.work("dispatch", "act", break_off=once("1 start_run"))
    die.touch()
    stage.runs.work("dispatch", "act")
    found = types(stage, event)
    assert (found.count("rule.fired"), found.count("rule.action.failed")) == (1, 1)
    (failed,) = stage.events("rule.action.failed")
    assert (failed.data["position"], "exit code 3" in failed.data["error"]) == (1, True)
