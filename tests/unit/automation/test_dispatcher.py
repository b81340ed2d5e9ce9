"""From an event to the actions that rules want: once, in order, with a chain of causes that ends at the event."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy

from ratchet import clock, config, origin
from ratchet.automation import conditions, dispatcher, limits, rules
from ratchet.automation.actions import ACTIONS, Action
from ratchet.errors import NothingToRollBack
from ratchet.loop import projects as declared
from ratchet.loop.resources import Resources
from ratchet.records import Event
from tests import projects
from tests.loops import BrokenOff, Stage, once

Make = Callable[..., Stage]


def _note(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    subject = str(parameters.get("text", "note"))
    return resources.ledger.record(Event(type="custom.emitted", subject=subject, pipeline=event.pipeline))[0]


def _fail(_resources: Resources, _event: Event, _parameters: dict[str, Any]) -> Event:
    raise NothingToRollBack(endpoint="churn")


def _crash(_resources: Resources, _event: Event, _parameters: dict[str, Any]) -> Event:
    message = "a fault of ours"
    raise ValueError(message)


def _last_write(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    """Note a text in a write that is known to be the last one; it fails at its commit where the text says so."""
    with resources.database.write() as transaction:
        said = Event(type="custom.emitted", subject=str(parameters["text"]), pipeline=event.pipeline)
        (noted,) = resources.ledger.append(transaction, said)
        resources.database.conclude(transaction)
        if noted.subject == "fails":
            raise NothingToRollBack(endpoint="churn")
    return noted


@pytest.fixture(autouse=True)
def _actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add actions that leave a note, do nothing, fail, and crash."""
    added = {"note": _note, "last": _last_write, "nothing": lambda *_: None, "fail": _fail, "crash": _crash}
    for name, perform in added.items():
        made = Action(name=name, stage="train", main="text", perform=perform, about="For tests.")
        monkeypatch.setitem(ACTIONS, name, made)


@pytest.fixture
def ruled(make_stage: Make, simulated: None) -> Callable[..., Stage]:
    """Make a stage on which rules are in force."""

    def make(text: str, *, settings: str = projects.SETTINGS) -> Stage:
        stage = make_stage(settings=settings + text, reacts=True)
        put(stage)
        return stage

    return make


def put(stage: Stage, *, key: str = "put") -> None:
    """Put the rules of the settings in force, and those in Python."""
    projects_found = declared.current(stage.resources)[1]
    path = stage.resources.project / config.FILE_NAME
    found = rules.read(stage.resources.config, projects_found, path=path)
    with stage.command(key):
        rules.put_in_force(stage.resources, found)


def rule(name: str, do: str, *, on: str = "monitor.alert.raised", when: str = "") -> str:
    """Return the text of a rule."""
    condition = f'when = "{when}"\n' if when else ""
    return f'\n[[rule]]\nname = "{name}"\non = "{on}"\n{condition}do = {do}\n'


def alert(stage: Stage, key: str = "alert", **data: Any) -> Event:
    """Append an alert, caused by a command."""
    with stage.command(key):
        return stage.ledger.record(
            Event(type="monitor.alert.raised", subject="churn/drift", pipeline="churn", data={"score": 0.3, **data})
        )[0]


def since(stage: Stage, event: Event) -> list[Event]:
    """Return what was appended after an event."""
    return list(stage.ledger.read(after=event.seq))


def test_a_rule_fires_and_its_action_is_done(ruled: Callable[..., Stage]) -> None:
    """The firing follows from the event, what the action does from the firing; all done by the rule."""
    stage = ruled(rule("tell", '{ note = "hello" }'))
    event = alert(stage)
    stage.runs.work()
    fired, note, succeeded = since(stage, event)
    assert (fired.type, fired.subject, fired.causationid) == ("rule.fired", "tell", event.id)
    assert fired.data["trigger_event"] == event.id
    assert (note.subject, note.causationid) == ("hello", fired.id)
    assert (succeeded.type, succeeded.causationid) == ("rule.action.succeeded", fired.id)
    assert (succeeded.data["action"], succeeded.data["position"]) == ("note", 0)
    assert {one.actor_class for one in (fired, note, succeeded)} == {"automation"}
    assert {one.correlationid for one in (fired, note, succeeded)} == {event.correlationid}
    assert fired.trigger == note.trigger == "metric"


def test_nobody_reacts_to_what_no_rule_listens_to(ruled: Callable[..., Stage]) -> None:
    """No job is enqueued for it; nor for a rule that is switched off."""
    stage = ruled(rule("off", '"note"') + "enabled = false\n" + rule("other", '"note"', on="run.finished"))
    alert(stage)
    assert stage.runs.jobs == {}


def test_a_condition_that_is_false_leaves_no_trace(ruled: Callable[..., Stage]) -> None:
    """Only what happens is in the ledger."""
    stage = ruled(rule("tell", '"note"', when="event.data.score > 0.5"))
    event = alert(stage)
    stage.runs.work()
    assert since(stage, event) == []


def test_a_condition_that_breaks_suppresses_its_rule_only(ruled: Callable[..., Stage]) -> None:
    """The reason is in the ledger, and the next rule fires."""
    stage = ruled(
        rule("broken", '"note"', when="event.data.missing > 1")
        + rule("divides", '"note"', when="1 / 0 > 1")
        + rule("whole", '"note"')
    )
    event = alert(stage)
    stage.runs.work()
    suppressed = stage.events("rule.suppressed")
    assert [one.subject for one in suppressed] == ["broken", "divides"]
    assert "missing" in suppressed[0].data["reason"]
    assert suppressed[0].data["condition_result"] is False
    assert suppressed[0].causationid == event.id
    assert [one.subject for one in stage.events("rule.fired")] == ["whole"]


def test_a_fault_of_ours_suppresses_one_rule_only(ruled: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is not lost for the other rules, and the fault is in the ledger."""
    stage = ruled(rule("aged", '"note"', when="kpi.train_age_days > 2.0") + rule("whole", '"note"'))

    def broken(*_args: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(conditions, "ages", broken)
    alert(stage)
    stage.runs.work()
    assert [one.data["reason"] for one in stage.events("rule.suppressed")] == ["MemoryError: none left"]
    assert [one.subject for one in stage.events("rule.fired")] == ["whole"]


def test_a_condition_sees_the_age_of_what_serves(ruled: Callable[..., Stage]) -> None:
    """The numbers are those of the event's pipeline."""
    stage = ruled(rule("old", '"note"', when="kpi.train_age_days > 2.0"))
    stage.declare()
    stage.make_live(stage.add_version())
    alert(stage, "fresh")
    stage.runs.work()
    assert stage.events("rule.fired") == []
    clock.advance(clock.now() + timedelta(days=3))
    alert(stage, "later")
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 1


def test_redelivery_does_nothing_twice(ruled: Callable[..., Stage]) -> None:
    """A pruned job that runs again finds everything done."""
    stage = ruled(rule("tell", '[{ note = "one" }, { note = "two" }]'))
    alert(stage)
    done = stage.runs.work()
    before = stage.ledger.last_seq()
    for job in done:
        stage.runs.again(job)
    assert stage.ledger.last_seq() == before
    assert stage.runs.pending() == []


def test_a_rule_that_listens_alone_needs_no_job_of_its_own(ruled: Callable[..., Stage]) -> None:
    """Its actions are carried out by the job that decides; those of several rules do not wait for one another."""
    alone = ruled(rule("tell", '{ note = "one" }'))
    alert(alone)
    assert [name.partition(":")[0] for name in alone.runs.work()] == ["dispatch"]
    assert len(alone.events("rule.action.succeeded")) == 1
    alone.configure(projects.SETTINGS + rule("tell", '{ note = "one" }') + rule("too", '{ note = "two" }'))
    put(alone, key="again")
    alert(alone, "later")
    assert [name.partition(":")[0] for name in alone.runs.work()] == ["dispatch", "act", "act"]
    assert len(alone.events("rule.action.succeeded")) == 3


def test_an_event_is_held_against_the_rules_of_its_time(ruled: Callable[..., Stage]) -> None:
    """Also where rules were changed before its job came, and events of both times wait in turn."""
    stage = ruled(rule("tell", '{ note = "old" }'))
    texts = {"old": rule("tell", '{ note = "old" }'), "new": rule("tell", '{ note = "new" }')}
    for number, name in enumerate(["old", "new", "old", "new"]):
        stage.configure(projects.SETTINGS + texts[name])
        put(stage, key=f"put {number}")
        alert(stage, f"alert {number}")
    stage.runs.work()
    assert [event.subject for event in stage.events("custom.emitted")] == ["old", "new", "old", "new"]


@pytest.mark.parametrize("has_recorded", [True, False], ids=["decided", "broken off"])
def test_what_an_older_version_has_decided_is_carried_out_once(ruled: Callable[..., Stage], has_recorded: bool) -> None:
    """It enqueued the actions of each rule, recorded how many fired, and may have been killed in between."""
    stage = ruled(rule("tell", '{ note = "one" }'))
    event = alert(stage)
    with stage.database.read() as connection:
        chosen = rules.in_force(connection)
    found = chosen.rules[0]
    job = dispatcher.act_job(found, event)
    with origin.use(dispatcher._origin(event, key=job)), stage.database.write() as transaction:
        stage.ledger.append(transaction, dispatcher.rule_event("rule.fired", found, event))
        stage.runs.enqueue(transaction, "act", job, dispatcher.act_spec(found, event, rules_digest=chosen.digest))
    waiting = stage.runs.pending()
    if has_recorded:
        stage.runs.jobs[waiting[0]].recorded.append(("decide", 1))
    assert stage.runs.work() == waiting
    assert [len(stage.events(kind)) for kind in ("rule.fired", "custom.emitted", "rule.action.succeeded")] == [1, 1, 1]
    assert stage.runs.jobs[waiting[0]].result == 1


@pytest.mark.parametrize(("action", "writes"), [("note", 3), ("last", 2)])
def test_what_an_action_writes_last_says_that_it_was_done(
    ruled: Callable[..., Stage], action: str, writes: int
) -> None:
    """Where the action knows its last write, its success stands in it; else in one of its own; once in either case."""
    stage = ruled(rule("tell", f'{{ {action} = "one" }}'))
    event = alert(stage)
    begun: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("BEGIN"):
            begun.append(statement)

    sqlalchemy.event.listen(stage.database.engine, "before_cursor_execute", note)
    stage.runs.work()
    assert len(begun) == writes
    fired, acted, succeeded = since(stage, event)
    assert [one.type for one in (fired, acted, succeeded)] == ["rule.fired", "custom.emitted", "rule.action.succeeded"]
    assert (acted.causationid, succeeded.causationid) == (fired.id, fired.id)


def test_a_last_write_that_does_not_happen_is_no_success(ruled: Callable[..., Stage]) -> None:
    """What was to be written with it is gone with it, and the failure is recorded."""
    stage = ruled(rule("tell", '{ last = "fails" }'))
    event = alert(stage)
    stage.runs.work()
    assert [one.type for one in since(stage, event)] == ["rule.fired", "rule.action.failed"]


ANOTHER = rule("another", '{ note = "never" }', when="event.data.score > 1")


@pytest.mark.parametrize(
    ("step", "more"),
    [("decide", ""), ("0 note", ""), ("1 last", "")]
    + [(step, ANOTHER) for step in ("decide", "fire", "0 note", "1 last")],
)
def test_whatever_breaks_off_the_chain_is_the_same(ruled: Callable[..., Stage], step: str, more: str) -> None:
    """Killed behind any step, before it is recorded; whether one rule listens, or another one as well."""
    stage = ruled(rule("tell", '[{ note = "one" }, { last = "two" }]') + more)
    event = alert(stage)
    with pytest.raises(BrokenOff):
        stage.runs.work(break_off=once(step))
    stage.runs.work()
    found = since(stage, event)
    assert [one.type for one in found] == [
        "rule.fired",
        "custom.emitted",
        "rule.action.succeeded",
        "custom.emitted",
        "rule.action.succeeded",
    ]
    assert found[3].causationid == found[1].id


def test_a_decision_that_is_made_again_stays(ruled: Callable[..., Stage]) -> None:
    """Killed behind the decision that just reached the limit: it has fired, so it is not suppressed as well."""
    settings = projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 1\n"
    stage = ruled(rule("tell", '"note"'), settings=settings)
    alert(stage)
    with pytest.raises(BrokenOff):
        stage.runs.work(break_off=once("decide"))
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 1
    assert stage.events("rule.suppressed") == []
    assert len(stage.events("custom.emitted")) == 1


def test_rules_of_other_systems_do_not_silence_ours(ruled: Callable[..., Stage]) -> None:
    """What another system reports of a rule with our rule's name does not count towards our limit."""
    settings = projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 1\n"
    stage = ruled(rule("tell", '"note"'), settings=settings)
    with stage.command("someone"):
        foreign = {"source": "elsewhere", "pipeline": "theirs", "evidence": "attested"}
        stage.ledger.record(Event(type="rule.fired", subject="tell", **foreign))
    alert(stage)
    stage.runs.work()
    assert [event.source for event in stage.events("rule.fired")] == ["elsewhere", "ratchet"]


def test_rules_cannot_fire_without_end(ruled: Callable[..., Stage]) -> None:
    """More often than the limit within an hour is held back, told once with number and limit; the next is another."""
    settings = projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 3\n"
    stage = ruled(rule("tell", '"note"'), settings=settings)
    for number in range(5):
        alert(stage, f"alert {number}")
        stage.runs.work()
    assert len(stage.events("rule.fired")) == 3
    reasons = [one.data["reason"] for one in stage.events("rule.suppressed")]
    assert reasons == ["it fired 3 times within the hour, at most 3 may be"]
    assert stage.events("rule.suppressed")[0].data["condition_result"] is True
    clock.advance(clock.now() + timedelta(hours=2))
    alert(stage, "next hour")
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 4


def test_rules_that_drive_one_another_come_to_an_end(ruled: Callable[..., Stage]) -> None:
    """A rule that reacts to its own doing stops at the limit of depth."""
    settings = projects.SETTINGS + "\n[limits]\nrule_depth = 4\n"
    stage = ruled(rule("echo", '{ note = "again" }', on="custom.emitted"), settings=settings)
    with stage.command("first"):
        stage.ledger.record(Event(type="custom.emitted", subject="first"))
    stage.runs.work()
    assert len(stage.events("rule.fired")) == 4
    (suppressed,) = stage.events("rule.suppressed")
    assert suppressed.data["reason"] == "4 rules have driven one another already, at most 4 may"


def test_a_rule_fires_no_more_often_than_it_says(ruled: Callable[..., Stage]) -> None:
    """Once a day: the next day is another, and the first event of it says how often it was held back before."""
    stage = ruled(rule("tell", '"note"') + 'at_most = "1/day"\n')
    for day in range(3):
        for number in range(4):
            alert(stage, f"alert {day} {number}")
            stage.runs.work()
        clock.advance(clock.now() + timedelta(days=1))
    assert len(stage.events("rule.fired")) == 3
    told = stage.events("rule.suppressed")
    assert [one.data["reason"] for one in told] == ["it fired once already, and at_most is '1/day'"] * 3
    assert [one.data.get("more", 0) for one in told] == [0, 2, 2]
    assert {one.data["condition_result"] for one in told} == {True}


def _fan_out(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    """Leave five events of the type that the rule listens to."""
    events = [Event(type="custom.emitted", subject=f"{event.id}/{number}") for number in range(5)]
    return resources.ledger.record(*events)[0]


def test_a_rule_that_multiplies_itself_is_stopped_and_the_rest_goes_on(
    ruled: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty firings leave a hundred events: one of them is told as held back, the others are counted."""
    made = Action(name="fan_out", stage="train", main="text", perform=_fan_out, about="For tests.")
    monkeypatch.setitem(ACTIONS, "fan_out", made)
    settings = projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 20\n"
    explode = rule("explode", '"fan_out"', on="custom.emitted")
    stage = ruled(explode + rule("honest", "{ note = 'fine' }"), settings=settings)
    with stage.command("first"):
        stage.ledger.record(Event(type="custom.emitted", subject="first"))
    stage.runs.work("dispatch", "act")
    fired = [one.subject for one in stage.events("rule.fired")]
    assert fired.count("explode") == 20
    (told,) = stage.events("rule.suppressed")
    assert told.data["reason"] == "it fired 20 times within the hour, at most 20 may be"
    with stage.database.read() as connection:
        (burst,) = limits.bursts(connection, told.data["digest"]).values()
    assert burst["more"] == 1 + 100 - 20 - 1
    alert(stage)
    stage.runs.work()
    assert [one.subject for one in stage.events("rule.fired")][-1] == "honest"
    assert [one.subject for one in stage.events("custom.emitted")][-1] == "fine"


def test_being_held_back_is_nothing_to_react_to_for_the_same_rule(ruled: Callable[..., Stage]) -> None:
    """A rule that cannot be evaluated listens to just that: one event, no endless row of them."""
    stage = ruled(rule("echo", '"note"', on="rule.suppressed", when="event.data.missing > 1") + rule("a", '"note"'))
    stage.configure(projects.SETTINGS + "\n[limits]\nrule_fires_per_hour = 1\n" + projects_text(stage))
    alert(stage)
    alert(stage, "second")
    done = stage.runs.work("dispatch", "act")
    assert [one.subject for one in stage.events("rule.suppressed")] == ["a", "echo"]
    assert len(done) == 4


def projects_text(stage: Stage) -> str:
    """Return the rules of the settings."""
    text = (stage.resources.project / config.FILE_NAME).read_text()
    return text[text.index("\n[[rule]]") :]


def test_actions_of_a_list_follow_one_another(ruled: Callable[..., Stage]) -> None:
    """Each is caused by the last event of the one before; one that did nothing is passed over."""
    stage = ruled(rule("tell", '[{ note = "one" }, "nothing", { note = "two" }]'))
    event = alert(stage)
    stage.runs.work()
    fired, one, _, nothing, two, last = since(stage, event)
    assert (nothing.type, nothing.data["action"], nothing.data["position"]) == ("rule.action.succeeded", "nothing", 1)
    assert (one.causationid, two.causationid) == (fired.id, one.id)
    assert last.causationid == fired.id


@pytest.mark.parametrize(
    ("bad", "reason"), [("fail", "has no earlier release"), ("crash", "ValueError: a fault of ours")]
)
def test_a_list_stops_at_a_failure(ruled: Callable[..., Stage], bad: str, reason: str) -> None:
    """What was to follow is not done; the reason is in the ledger, and the job is over."""
    stage = ruled(rule("tell", f'[{{ note = "one" }}, "{bad}", {{ note = "two" }}]'))
    event = alert(stage)
    stage.runs.work()
    assert [one.type for one in since(stage, event)] == [
        "rule.fired",
        "custom.emitted",
        "rule.action.succeeded",
        "rule.action.failed",
    ]
    (failed,) = stage.events("rule.action.failed")
    assert reason in failed.data["error"]
    assert failed.data["position"] == 1


def test_the_rules_that_count_are_those_at_the_time_of_the_event(ruled: Callable[..., Stage]) -> None:
    """An event that waited while rules were changed is for the old ones."""
    stage = ruled(rule("old", '{ note = "old" }'))
    alert(stage)
    stage.configure(projects.SETTINGS + rule("new", '{ note = "new" }'))
    put(stage, key="change")
    stage.runs.work()
    assert [one.subject for one in stage.events("custom.emitted")] == ["old"]
    alert(stage, "second")
    stage.runs.work()
    assert [one.subject for one in stage.events("custom.emitted")] == ["old", "new"]


def test_a_tick_is_a_schedule_and_a_dataset_is_data(ruled: Callable[..., Stage]) -> None:
    """What set a chain off is carried along."""
    stage = ruled(rule("tell", '"note"', on="dataset.version.published"))
    stage.ledger.record(Event(type="dataset.version.published", subject="customers@v1"))
    stage.runs.work()
    assert stage.events("rule.fired")[0].trigger == "data"
    tick = '\n[[rule]]\nname = "nightly"\non = "clock.ticked"\ncron = "0 3 * * *"\ndo = "note"\n'
    stage.configure(projects.SETTINGS + tick)
    put(stage, key="change")
    stage.ledger.record(Event(type="clock.ticked", subject="nightly"))
    stage.runs.work()
    assert stage.events("rule.fired")[1].trigger == "schedule"


# ---- commands


def issue(stage: Stage, *calls: tuple[str, dict[str, Any]]) -> Event:
    """Give a command as the workspace does: the event and its job."""
    with stage.command("do") as source:
        command = stage.ledger.get(source.cause)
    assert command is not None
    spec = {
        "source": command.source,
        "id": command.id,
        "calls": [{"action": name, "parameters": parameters} for name, parameters in calls],
        "job": f"act:{command.id}",
    }
    with stage.database.write() as transaction:
        stage.runs.enqueue(transaction, "act", f"act:{command.id}", spec)
    return command


def test_a_command_is_done_in_the_name_of_who_gave_it(ruled: Callable[..., Stage]) -> None:
    """What follows from it is a person's doing."""
    stage = ruled("")
    command = issue(stage, ("note", {"text": "one"}), ("note", {"text": "two"}))
    stage.runs.work()
    one, two = stage.events("custom.emitted")
    assert (one.causationid, two.causationid) == (command.id, one.id)
    assert one.actor_class == "human"
    assert stage.runs.jobs[f"act:{command.id}"].result == {"event": two.id, "error": ""}


def test_a_command_that_fails_says_why(ruled: Callable[..., Stage]) -> None:
    """And does not go on."""
    stage = ruled("")
    command = issue(stage, ("fail", {}), ("note", {}))
    stage.runs.work()
    assert "has no earlier release" in stage.runs.jobs[f"act:{command.id}"].result["error"]
    assert stage.events("custom.emitted") == []


def test_an_unknown_action_is_named(ruled: Callable[..., Stage]) -> None:
    """As an error of the command."""
    stage = ruled("")
    command = issue(stage, ("dance", {}))
    stage.runs.work()
    assert "No action named 'dance'. Known: start_run" in stage.runs.jobs[f"act:{command.id}"].result["error"]
