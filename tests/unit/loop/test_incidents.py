"""What Ratchet itself takes for an incident: told once for each onset, over when the same signal says so."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from ratchet import clock, origin
from ratchet.loop import incidents, releases
from ratchet.loop.incidents import Watch
from ratchet.loop.serving.claim import Claim
from ratchet.measure.history import History
from ratchet.measure.incidents.attribution import attributions
from ratchet.records import Actor, Event, ModelVersion, actor_class
from tests import projects
from tests.loops import PERSON, Stage
from tests.unit.loop.endpoints import endpoint
from tests.waiting import PATIENCE_SECONDS

QUICK = projects.SETTINGS + "\n[incidents]\nunready_seconds = 0.001\n"
KINDS = ("incident.detected", "incident.mitigated", "incident.resolved")


class Answering(http.server.BaseHTTPRequestHandler):
    """Says of each endpoint whether it is ready, as a test wants."""

    protocol_version = "HTTP/1.1"
    ready: bool = True
    asked: list[str] = []  # noqa: RUF012, one test at a time

    def do_GET(self) -> None:
        """Answer about one endpoint."""
        self.asked.append(self.path)
        self.send_response(200 if type(self).ready else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no slow machine for an endpoint that does not answer."""
    monkeypatch.setattr(incidents, "_ANSWER_SECONDS", PATIENCE_SECONDS)


@contextmanager
def process(stage: Stage) -> Iterator[type[Answering]]:
    """Let an endpoint process hold the serving folder and answer for a while."""
    Answering.ready, Answering.asked = True, []
    claim = Claim(stage.resources.serving)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        claim.describe(host="127.0.0.1", port=server.server_port)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield Answering
        finally:
            server.shutdown()
            claim.release()


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves, in a workspace where a thousandth of a second is long."""
    stage.configure(QUICK)
    made = stage.add_version()
    stage.make_live(made)
    return made


def pass_time(watch: Watch, *, minutes: float = 1) -> None:
    """Look, let time pass by both clocks, and look again."""
    watch.look()
    clock.sleep(0.002)
    clock.advance(clock.now() + timedelta(minutes=minutes))
    watch.look()


def told(stage: Stage) -> list[str]:
    """Return what was told of incidents, in order."""
    return [event.type.partition(".")[2] for event in stage.events(*KINDS)]


def test_an_endpoint_that_is_gone_is_one_incident(stage: Stage, version: ModelVersion) -> None:
    """Told once, with the first bad moment as its onset, by automation, because of what let the version serve."""
    watch = Watch(stage.resources)
    onset = clock.now()
    for _ in range(3):
        pass_time(watch)
    (event,) = stage.events("incident.detected")
    assert datetime.fromisoformat(event.data["onset"]) == onset
    assert (event.data["service"], event.data["signal"], event.pipeline) == ("churn", "unready", "churn")
    assert event.at == onset + timedelta(minutes=1)
    assert event.causationid == stage.events("traffic.shifted")[0].id
    assert actor_class(event.authtype, event.authclaims) == "automation"


def test_an_endpoint_that_lives_and_is_not_ready_is_one_too(stage: Stage, version: ModelVersion) -> None:
    """A process that answers 503 serves nobody; one that is ready is asked by its endpoint's name."""
    watch = Watch(stage.resources)
    with process(stage) as answering:
        pass_time(watch)
        assert told(stage) == []
        assert set(answering.asked) == {"/v2/models/churn/ready"}
        answering.ready = False
        pass_time(watch)
    assert told(stage) == ["detected"]


@pytest.mark.parametrize(("limit", "minutes"), [("3600", 600), ("0.001", 0)])
def test_a_short_outage_is_none(stage: Stage, version: ModelVersion, limit: str, minutes: int) -> None:
    """It must be long by both clocks: simulated time jumps over nights, and a machine may have slept."""
    stage.configure(QUICK.replace("0.001", limit))
    pass_time(Watch(stage.resources), minutes=minutes)
    assert told(stage) == []


def test_what_was_well_in_between_begins_anew(stage: Stage, version: ModelVersion) -> None:
    """Only an outage in one piece counts."""
    stage.configure(QUICK.replace("0.001", "100000"))
    watch = Watch(stage.resources)
    pass_time(watch)
    with process(stage):
        pass_time(watch)
    stage.configure(QUICK)
    watch.look()
    assert told(stage) == []


def test_it_is_over_when_it_was_well_for_some_time(stage: Stage, version: ModelVersion) -> None:
    """The end is the first good moment, however much later that is told."""
    watch = Watch(stage.resources)
    pass_time(watch)
    with process(stage):
        back = clock.now()
        pass_time(watch, minutes=29)
        assert told(stage) == ["detected"]
        pass_time(watch, minutes=2)
        pass_time(watch, minutes=60)
    assert told(stage) == ["detected", "resolved"]
    detected, resolved = stage.events("incident.detected", "incident.resolved")
    assert datetime.fromisoformat(resolved.data["back_in_bounds"]) == back
    assert (resolved.causationid, resolved.data["incident"]) == (detected.id, detected.data["incident"])


def test_what_comes_back_within_the_time_for_flapping_is_the_same(stage: Stage, version: ModelVersion) -> None:
    """Down, up, down and up again is one incident, which ends with the last of it; later it is another."""
    watch = Watch(stage.resources)
    for _ in range(2):
        pass_time(watch)
        back = clock.now()
        with process(stage):
            pass_time(watch, minutes=20)
    assert told(stage) == ["detected"]
    with process(stage):
        pass_time(watch, minutes=31)
    assert told(stage) == ["detected", "resolved"]
    assert stage.events("incident.resolved")[0].data["back_in_bounds"] == back.isoformat()
    pass_time(watch)
    assert told(stage) == ["detected", "resolved", "detected"]
    names = [event.data["incident"] for event in stage.events("incident.detected")]
    assert len(set(names)) == 2


def test_the_time_for_flapping_is_a_setting(stage: Stage, version: ModelVersion) -> None:
    """With one minute, what comes back after five is another incident."""
    stage.configure(QUICK + "flapping_minutes = 1\n")
    watch = Watch(stage.resources)
    for _ in range(2):
        pass_time(watch)
        with process(stage):
            pass_time(watch, minutes=5)
    assert told(stage) == ["detected", "resolved", "detected", "resolved"]


def test_another_executor_goes_on_with_what_is_open(stage: Stage, version: ModelVersion) -> None:
    """A killed executor had told of it: the next one does not tell again, and tells of its end."""
    pass_time(Watch(stage.resources))
    pass_time(Watch(stage.resources))
    with process(stage):
        pass_time(Watch(stage.resources), minutes=31)
    assert told(stage) == ["detected", "resolved"]


def test_where_a_person_said_that_it_is_over_it_begins_anew(stage: Stage, version: ModelVersion) -> None:
    """What is still bad after that is told as another incident."""
    watch = Watch(stage.resources)
    pass_time(watch)
    (event,) = stage.events("incident.detected")
    with stage.command("over"):
        stage.ledger.record(Event(type="incident.resolved", subject=event.subject, data={"incident": event.subject}))
    with process(stage):
        watch.look()
    pass_time(watch)
    assert told(stage) == ["detected", "resolved", "detected"]


def test_where_nothing_is_live_nothing_is_missed(stage: Stage, simulated: None) -> None:
    """No release, no promise."""
    stage.configure(QUICK)
    pass_time(Watch(stage.resources))
    assert told(stage) == []


# ---- rollbacks


@pytest.fixture
def twice(stage: Stage, simulated: None) -> Iterator[Stage]:
    """A workspace in which a second version took the place of a first."""
    with endpoint(stage.resources.serving):
        for _ in range(2):
            version = stage.add_version()
            with stage.command(f"promote {version.name}"):
                releases.promote(stage.resources, version.name)
        clock.advance(clock.now() + timedelta(hours=1))
        yield stage


def roll_back(stage: Stage, seen: Event, *, actor: Actor = origin.RULE) -> None:
    """Roll back upon an event; done again after a kill, it tells nothing twice."""
    for _ in range(2):
        with origin.use(origin.following(seen, actor=actor, key="rule")):
            releases.rollback(stage.resources, "churn", because_of=seen.id)


def signal(stage: Stage, type_: str = "custom.emitted", **fields: str) -> Event:
    """Append what something noticed, an hour before now."""
    moment = clock.now()
    clock.advance(moment + timedelta(hours=1))
    with stage.command("signal"):
        event = Event(type=type_, subject="errors", data={"incident": "INC-9", "service": "churn"}, time=moment)
        machine = {"authtype": "service_account", "authid": "probe", "authclaims": {"system": "probe"}}
        return stage.ledger.record(Event(**{**_fields(event), **machine, **fields}))[0]


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_rule_that_rolls_back_tells_of_an_incident(twice: Stage) -> None:
    """From what the rule saw until the rollback; the deployment that was taken back is its proven cause."""
    seen = signal(twice)
    roll_back(twice, seen)
    assert told(twice) == ["detected", "mitigated", "resolved"]
    detected, mitigated, _ = twice.events(*KINDS)
    assert (detected.causationid, detected.data["onset"]) == (seen.id, seen.at.isoformat())
    (rolledback,) = twice.events("deployment.rolledback")
    assert mitigated.data["remedy"] == mitigated.causationid == rolledback.id
    history = History()
    for event in twice.ledger.read():
        history.add(event)
    (found,) = attributions(history.as_of(clock.now()))
    assert found.incident.back == rolledback.at
    assert (found.verdict, found.cause) == ("proven", twice.events("traffic.shifted")[1].id)


def test_a_person_who_rolls_back_is_asked_to_report(twice: Stage) -> None:
    """Why a person took a version back is not known: it may have been no incident at all."""
    roll_back(twice, signal(twice), actor=PERSON)
    assert told(twice) == []


def test_a_button_in_disguise_is_a_person_too(twice: Stage) -> None:
    """A rule that rolls back upon a person's signal saw nothing itself."""
    roll_back(twice, signal(twice, authtype="user", authid="anna"))
    assert told(twice) == []


def test_the_hour_of_the_day_is_no_sign(twice: Stage) -> None:
    """A rule that rolls back by schedule saw nothing wrong."""
    roll_back(twice, signal(twice, type="clock.ticked"))
    assert told(twice) == []


def test_a_rollback_is_the_remedy_of_an_incident_that_somebody_else_told_of(twice: Stage) -> None:
    """A pager's incident is mitigated, under its name; no second one is told of, and its end is the pager's."""
    roll_back(twice, signal(twice, type_="incident.detected"))
    (detected, mitigated) = twice.events(*KINDS)
    assert mitigated.data["incident"] == detected.data["incident"] == "INC-9"


def test_a_rollback_is_the_remedy_of_what_is_open(twice: Stage) -> None:
    """Also a person's rollback; it is over when the endpoint answers again."""
    twice.configure(QUICK)
    pass_time(Watch(twice.resources))
    roll_back(twice, signal(twice), actor=PERSON)
    assert told(twice) == ["detected", "mitigated"]
    with twice.database.read() as connection:
        known = incidents.find_open(twice.resources, connection, "churn", "unready")
    assert known is not None
