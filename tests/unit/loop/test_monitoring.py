"""Monitors: enough rows or no verdict, k of the last n windows, one alert until it is cleared."""

from datetime import timedelta

import numpy as np
import pytest

from ratchet import clock
from ratchet.loop import feedback, monitoring, predictions
from ratchet.loop.feedback import Outcome
from ratchet.records import Actor, Event, ModelVersion
from tests import projects
from tests.loops import Stage

SHOP = Actor(authtype="service_account", authid="shop", claims={"system": "shop"})
SETTINGS = projects.SETTINGS.replace(
    "minimum_rows = 20",
    'ignore = ["spend", "plan"]\nminimum_rows = 20\nwindows = 3\nwindows_over = 2\nwindow_days = 2\n'
    "performance_drop = 0.1",
)


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves and showed 0.8 at its gate."""
    stage.configure(SETTINGS)
    stage.declare()
    made = stage.add_version(metrics={"roc_auc": 0.8})
    stage.make_live(made)
    return made


def window(stage: Stage, version: ModelVersion, key: str, *, moved: bool, count: int = 40) -> list[Event]:
    """Let two days pass with requests in them, and evaluate."""
    visits = np.full(count, 30.0) if moved else same_as_in_training()[:count]
    stage.answer(version, at=clock.now() + timedelta(hours=1), count=count, request=key, visits=visits)
    clock.advance(clock.now() + timedelta(days=2))
    predictions.tend(stage.resources)
    with stage.command(key):
        return monitoring.evaluate(stage.resources, "churn")


def same_as_in_training() -> np.ndarray:
    """Return forty values that are spread as those of the reference."""
    return np.sort(projects.customers(200)["visits"].to_numpy())[2::5]


def drift(events: list[Event]) -> Event:
    """Return the evaluation of drift."""
    return next(event for event in events if event.subject == "churn/drift")


def alerts(stage: Stage) -> list[str]:
    """Return the alerts so far, in order."""
    return [event.type for event in stage.events("monitor.alert.raised", "monitor.alert.cleared")]


def test_where_nothing_serves_there_is_nothing_to_monitor(stage: Stage) -> None:
    """Neither a verdict nor an event."""
    stage.declare()
    with stage.command("one"):
        assert monitoring.evaluate(stage.resources, "churn") == []


def test_too_few_rows_are_no_verdict(stage: Stage, version: ModelVersion) -> None:
    """However far they have moved: insufficient, and never an alert."""
    for number in range(4):
        found = drift(window(stage, version, f"w{number}", moved=True, count=5))
        assert found.data["status"] == "insufficient"
        assert found.data["over"] is False
    assert alerts(stage) == []


def test_windows_of_another_system_raise_no_alert(stage: Stage, version: ModelVersion) -> None:
    """What comes from outside under our monitor's name is no window of ours."""
    name = drift(window(stage, version, "w1", moved=False)).subject
    with stage.command("someone"):
        foreign = {"source": "elsewhere", "pipeline": "theirs", "evidence": "attested"}
        stage.ledger.record(Event(type="monitor.evaluated", subject=name, data={"over": True}, **foreign))
    assert drift(window(stage, version, "w2", moved=True)).data["status"] == "ok"
    assert alerts(stage) == []


def test_no_rows_are_no_verdict_either(stage: Stage, version: ModelVersion) -> None:
    """A window without a request has no value at all."""
    clock.advance(clock.now() + timedelta(days=30))
    with stage.command("one"):
        found = monitoring.evaluate(stage.resources, "churn")
    assert [(event.data["status"], event.data["value"]) for event in found] == [("insufficient", None)] * 2


def test_an_alert_needs_k_of_n_windows_and_is_raised_once(stage: Stage, version: ModelVersion) -> None:
    """One window over the threshold is noise, two of three are an alert; it is cleared when it is over."""
    first = drift(window(stage, version, "w1", moved=True))
    assert (first.data["status"], first.data["over"], first.data["column"]) == ("ok", True, "visits")
    assert alerts(stage) == []
    second = window(stage, version, "w2", moved=True)
    assert drift(second).data["status"] == "alert"
    assert alerts(stage) == ["monitor.alert.raised"]
    window(stage, version, "w3", moved=True)
    assert alerts(stage) == ["monitor.alert.raised"]
    window(stage, version, "w4", moved=False, count=5)
    assert alerts(stage) == ["monitor.alert.raised"]
    assert drift(window(stage, version, "w5", moved=False)).data["status"] == "ok"
    assert alerts(stage) == ["monitor.alert.raised", "monitor.alert.cleared"]


def test_an_alert_says_what_it_stands_on(stage: Stage, version: ModelVersion) -> None:
    """It follows from the evaluation, and has kind, score, threshold, column and number of windows."""
    for key in ("w1", "w2"):
        events = window(stage, version, key, moved=True)
    raised = next(event for event in events if event.type == "monitor.alert.raised")
    assert raised.causationid == drift(events).id
    assert raised.trigger == "metric"
    assert raised.data["kind"] == "drift"
    assert raised.data["score"] > raised.data["threshold"] == 0.2
    assert (raised.data["column"], raised.data["windows"]) == ("visits", 2)


def test_an_evaluation_that_is_done_again_counts_once(stage: Stage, version: ModelVersion) -> None:
    """Killed behind the commit: its own window is not taken for one before it, which would raise an alert."""
    first = window(stage, version, "w1", moved=True)
    with stage.command("w1"):
        again = monitoring.evaluate(stage.resources, "churn")
    assert again == first
    assert alerts(stage) == []
    second = window(stage, version, "w2", moved=True)
    with stage.command("w2"):
        assert monitoring.evaluate(stage.resources, "churn") == second
    assert alerts(stage) == ["monitor.alert.raised"]


def test_an_input_can_be_ignored(stage: Stage, version: ModelVersion) -> None:
    """What is known to move with the season is left out."""
    stage.configure(SETTINGS.replace('["spend", "plan"]', '["visits"]'))
    found = drift(window(stage, version, "w1", moved=True))
    assert set(found.data["columns"]) == {"spend", "plan"}
    assert found.data["column"] != "visits"


def test_each_version_is_compared_with_its_own_training(stage: Stage, version: ModelVersion) -> None:
    """After a release the window has rows of two versions; the index is their mean by rows."""
    stage.answer(version, at=clock.now(), count=20, request="a", visits=[30.0] * 20)
    second = stage.add_version(metrics={"roc_auc": 0.8})
    stage.make_live(second)
    stage.answer(second, at=clock.now(), count=20, request="b", visits=same_as_in_training()[::2])
    clock.advance(clock.now() + timedelta(days=1, hours=1))
    predictions.tend(stage.resources)
    (segment,) = predictions.segments(stage.resources, "churn")
    assert segment.versions == {"churn@v1": 20, "churn@v2": 20}
    with stage.command("one"):
        found = drift(monitoring.evaluate(stage.resources, "churn"))
    assert found.data["rows"] == 40
    assert found.data["value"] == pytest.approx(_mean_index(stage, segment.counts), abs=1e-3)


def _mean_index(stage: Stage, counts: dict[str, dict[str, list[int]]]) -> float:
    """Return the index of ``visits``, each version with half of the rows."""
    from ratchet.loop.profiles import population_stability_index

    total = 0.0
    for name, columns in counts.items():
        reference = next(one for one in predictions.profile_of(stage.resources, name).columns if one.name == "visits")
        total += population_stability_index(reference.counts, columns["visits"]) / 2
    return total


def test_a_fall_of_the_metric_is_seen(stage: Stage, version: ModelVersion) -> None:
    """The live metric is compared with what the version showed at its gate."""
    for key in ("w1", "w2"):
        ids = stage.answer(version, at=clock.now() + timedelta(hours=1), count=40, request=key)
        outcomes = [Outcome(prediction_id=one, value=number % 2) for number, one in enumerate(ids)]
        feedback.receive(stage.resources, "churn", outcomes, sender=SHOP, key=key)
        clock.advance(clock.now() + timedelta(days=2))
        with stage.command(key):
            events = monitoring.evaluate(stage.resources, "churn")
    found = next(event for event in events if event.subject == "churn/performance")
    assert found.data["live"] == pytest.approx(0.5, abs=0.05)
    assert found.data["value"] == pytest.approx(0.8 - found.data["live"], abs=1e-3)
    assert found.data["status"] == "alert"
    raised = stage.events("monitor.alert.raised")
    assert [event.data["kind"] for event in raised] == ["performance"]


def judged(stage: Stage, version: ModelVersion, key: str, *, is_right: bool, count: int = 40) -> list[Event]:
    """Let two days pass with requests whose outcomes agree with the scores, or say the contrary; and evaluate."""
    ids = stage.answer(version, at=clock.now() + timedelta(hours=1), count=count, request=key)
    outcomes = [
        Outcome(prediction_id=one, value=int((number >= count / 2) == is_right)) for number, one in enumerate(ids)
    ]
    feedback.receive(stage.resources, "churn", outcomes, sender=SHOP, key=key)
    clock.advance(clock.now() + timedelta(days=2))
    with stage.command(key):
        return monitoring.evaluate(stage.resources, "churn")


def incidents_of(stage: Stage) -> list[str]:
    """Return what was told of incidents, in order."""
    return [event.type for event in stage.events("incident.detected", "incident.resolved")]


def test_a_metric_below_the_gate_is_an_incident(stage: Stage, version: ModelVersion) -> None:
    """What the gate would not let in serves: told once, since the first bad window, until one is good again."""
    first = judged(stage, version, "a", is_right=False)[1]
    assert (first.data["floor"], first.data["below_floor"]) == (0.6, True)
    assert incidents_of(stage) == [], "one window of three is noise"
    second = judged(stage, version, "b", is_right=False)[1]
    with stage.command("b"):
        monitoring.evaluate(stage.resources, "churn")
    judged(stage, version, "c", is_right=False)
    (event,) = stage.events("incident.detected")
    assert (event.causationid, event.data["signal"], event.trigger) == (second.id, "metric", "metric")
    assert event.data["onset"] == first.at.isoformat()
    judged(stage, version, "d", is_right=True, count=5)
    assert incidents_of(stage) == ["incident.detected"], "too few rows say nothing"
    last = judged(stage, version, "e", is_right=True)[1]
    assert incidents_of(stage) == ["incident.detected", "incident.resolved"]
    assert stage.events("incident.resolved")[0].data["back_in_bounds"] == last.at.isoformat()


def test_a_fall_that_the_gate_would_still_let_in_is_none(stage: Stage, version: ModelVersion) -> None:
    """An alert asks for a new model; an incident is that the present one would not be let in."""
    stage.configure(SETTINGS.replace("at_least = 0.6", "at_most = 2.0"))
    for key in ("a", "b"):
        found = judged(stage, version, key, is_right=False)[1]
    assert (found.data["status"], found.data["below_floor"]) == ("alert", None)
    assert incidents_of(stage) == []
