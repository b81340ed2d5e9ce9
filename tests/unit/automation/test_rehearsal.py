"""Rules held against the past: what would have fired, beside what did, and nothing is done."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import clock, origin
from ratchet.automation.clockwork import Clockwork
from ratchet.automation.rehearsal import Rehearsing
from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.records import Event
from tests import projects
from tests.loops import Stage
from tests.unit.automation.past import alert, later, put, rehearse, rule

Make = Callable[..., Stage]
CODE = """import ratchet as rt

seen = []

@rt.rule(on="monitor.alert.raised", when="event.data.score > 0.1")
def react(event: rt.Event, loop: rt.Loop) -> None:
    if event.data["score"] > 0.8:
        raise RuntimeError("too much")
    if event.data["score"] > 0.4:
        loop.start_run(because=loop.monitor())
"""


@pytest.fixture
def stage(make_stage: Make, simulated: None) -> Stage:
    """A stage on which rules listen."""
    return make_stage(reacts=True)


def state(stage: Stage) -> Any:
    """Return all that a test of a rule must leave alone."""
    return list(stage.ledger.read()), {name: msgspec.to_builtins(job.spec) for name, job in stage.runs.jobs.items()}


def test_a_rule_is_held_against_each_past_event(stage: Stage) -> None:
    """True, false and broken conditions, beside what happened; the ledger and the jobs are as they were."""
    alert(stage, "early", score=0.9)
    put(stage, rule("tell", more="when = 'event.data.score > 0.5'"), key="put")
    for number, score in enumerate((0.6, 0.2, "high", 0.7)):
        alert(stage, f"a{number}", score=score)
        later(days=1)
    stage.runs.work()
    before = state(stage)
    found = rehearse(stage, "tell")
    assert state(stage) == before
    assert [case.would for case in found.cases] == ["fire", "fire", "not", "error", "fire"]
    assert [case.really.deed for case in found.cases] == ["not there yet", "failed", "nothing", "held back", "failed"]
    assert found.cases[3].why.startswith("the condition ")
    assert found.place == "in force"
    assert [call.action for call in found.cases[1].asked] == ["cancel_run"]
    assert (found.count("fire"), found.count("error", "not")) == (3, 2)


def test_only_the_span_is_looked_at(stage: Stage) -> None:
    """From after its beginning up to its end."""
    put(stage, rule("tell"), key="put")
    for day in range(4):
        alert(stage, f"a{day}")
        later(days=1)
    found = rehearse(stage, "tell", since=projects.START + timedelta(days=1), until=projects.START + timedelta(days=2))
    assert [case.subject for case in found.cases] == ["churn/a1", "churn/a2"]


def test_limits_count_what_would_have_fired(stage: Stage) -> None:
    """Not what did: a rule that is new is held back by its own firings of then."""
    for number in range(5):
        alert(stage, f"a{number}")
        later(hours=10)
    put(stage, rule("tell", more='at_most = "1/day"'), key="put")
    found = rehearse(stage, "tell")
    assert [case.would for case in found.cases] == ["fire", "hold back", "hold back", "fire", "hold back"]
    assert found.cases[1].why == "it fired once already, and at_most is '1/day'"


def test_depth_is_that_of_the_ledger(stage: Stage) -> None:
    """An event behind as many rules as may drive one another sets off no other."""
    with stage.command("chain") as source:
        cause = source.cause
        for number in range(12):
            fired = Event(type="rule.fired", subject=f"r{number}", causationid=cause, id=f"F{number}")
            cause = stage.ledger.record(fired)[0].id
    with origin.use(origin.Origin(actor=origin.RULE, cause=cause)):
        stage.ledger.record(Event(type="monitor.alert.raised", subject="deep", pipeline="churn"))
    put(stage, rule("tell"), key="put")
    (case,) = rehearse(stage, "tell").cases
    assert (case.would, case.why) == ("hold back", "12 rules have driven one another already, at most 12 may")


def test_imported_events_set_off_no_rule(stage: Stage) -> None:
    """They are counted apart; what was sent to the interface is news, and is looked at."""
    with stage.command("others"):
        for evidence in ("imported", "attested"):
            stage.ledger.record(
                Event(type="monitor.alert.raised", subject=evidence, source="theirs", evidence=evidence)  # type: ignore[arg-type]
            )
    put(stage, rule("tell"), key="put")
    found = rehearse(stage, "tell")
    assert [case.subject for case in found.cases] == ["attested"]
    assert found.imported == 1


def test_a_schedule_has_its_slots(stage: Stage) -> None:
    """Those that ticked, those before the rule was there, and those that nothing ran for."""
    nightly = rule("nightly", on="clock.ticked", more='cron = "0 3 * * *"')
    later(days=2)
    put(stage, nightly, key="put")
    clockwork = Clockwork(stage.resources)
    clockwork.tick(clock.now())
    later(days=1, hours=4)
    clockwork.tick(clock.now())
    later(days=3)
    clockwork.tick(clock.now())
    stage.runs.work()
    before = state(stage)
    found = rehearse(stage, "nightly")
    assert state(stage) == before
    assert {case.would for case in found.cases} == {"fire"}
    deeds = [case.really.deed for case in found.cases]
    assert deeds == ["not there yet", "not there yet", "missed", "failed", "missed", "missed", "failed"]


def test_a_rule_in_python_runs_and_only_notes(stage: Stage) -> None:
    """Each action that it asks for, and how it fails; nothing is asked of the loop."""
    projects.write_project(stage.resources.project)
    (stage.resources.project / "rules.py").write_text(CODE)
    for number, score in enumerate((0.05, 0.3, 0.5, 0.9)):
        alert(stage, f"a{number}", score=score)
    before = state(stage)
    found = rehearse(stage, "react")
    assert state(stage) == before
    assert found.place == "in rules.py, not in force"
    assert [case.would for case in found.cases] == ["not", "not", "fire", "error"]
    assert [case.why for case in found.cases] == [
        "the condition is false",
        "the function asks for nothing",
        "",
        "RuntimeError: too much",
    ]
    asked = [(call.action, call.parameters) for call in found.cases[2].asked]
    assert asked == [
        ("monitor", {"pipeline": "churn"}),
        ("start_run", {"pipeline": "churn", "because": "rehearsed-1"}),
    ]
    assert "ran today" in found.notes[0]


def test_a_rule_is_found_wherever_it_stands(stage: Stage, tmp_path: Path) -> None:
    """In force, in the file only, in force only, in another file, or as a preset; an unknown one names all."""
    projects.write_project(stage.resources.project)
    put(stage, rule("kept") + rule("dropped"), key="put")
    stage.configure(projects.SETTINGS + rule("kept") + rule("new"))
    rehearsing = Rehearsing(stage.resources, numbers=lambda *_: {})
    other = tmp_path / "other.toml"
    other.write_text(rule("elsewhere", more='at_most = "1/day"'))
    assert rehearsing.find("kept")[1] == "in force"
    assert rehearsing.find("new")[1] == "in ratchet.toml, not in force"
    assert rehearsing.find("dropped")[1] == "in force, no longer in the files"
    found, place = rehearsing.find("elsewhere", file=other)
    assert (found.at_most, place) == ("1/day", f"in {other}")
    preset, place = rehearsing.find("train-on-drift")
    assert (preset.on, preset.pipeline, place) == ("monitor.alert.raised", "churn", "a preset, not in force")
    with pytest.raises(UnknownName, match=r"No rule named 'nope'. Known: 'kept', 'dropped', 'new', train-daily"):
        rehearsing.find("nope")
    with pytest.raises(UnknownName, match=r"No rule named 'kept'\. Known: 'elsewhere'"):
        rehearsing.find("kept", file=other)
    with pytest.raises(UnknownName, match="No pipeline named 'value'"):
        rehearsing.find("train-on-drift", pipeline="value")


def test_another_file_is_checked_like_the_projects_own(stage: Stage, tmp_path: Path) -> None:
    """With its own lines; a time zone that it does not say is the project's."""
    stage.configure(projects.SETTINGS.replace('owner = "growth"', 'owner = "growth"\ntime_zone = "Asia/Tokyo"'))
    rehearsing = Rehearsing(stage.resources, numbers=lambda *_: {})
    other = tmp_path / "other.toml"
    other.write_text(rule("nightly", on="clock.ticked", more='cron = "0 3 * * *"'))
    assert rehearsing.find("nightly", file=other)[0].time_zone == "Asia/Tokyo"
    other.write_text(rule("bad", on="monitor.alert.risen"))
    with pytest.raises(ConfigInvalid, match=r"other\.toml:4: unknown event type 'monitor.alert.risen'"):
        rehearsing.find("bad", file=other)


def test_a_rule_held_against_its_own_past_fires_where_it_fired(stage: Stage) -> None:
    """With the numbers of then, however much has changed since."""
    put(stage, rule("tell", more="when = 'kpi.level >= 7.0'"), key="put")
    for day in range(4):
        alert(stage, f"a{day}")
        later(days=1)
    found = rehearse(stage, "tell")
    # The level of these tests is the day of the month just before the event; it begins on the fifth.
    assert [case.numbers["level"] for case in found.cases] == [4.0, 5.0, 6.0, 7.0]
    assert [case.would for case in found.cases] == ["not", "not", "not", "fire"]
    assert found.notes == ("kpi.level is worked out by today's text of the policy 'standard'.",)


def test_a_rule_hears_nothing_of_its_own_being_held_back(stage: Stage) -> None:
    """As the dispatcher has it."""
    put(stage, rule("echo", on="rule.suppressed"), key="put")
    with stage.command("one"):
        for name in ("echo", "other"):
            stage.ledger.record(Event(type="rule.suppressed", subject=name, data={"rule_id": name}))
    assert [case.would for case in rehearse(stage, "echo").cases] == ["not", "fire"]
