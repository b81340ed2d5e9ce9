"""The interface: what is taken, what is refused and how it is said, and that nothing counts twice."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pandas as pd
import pytest

from ratchet import clock
from ratchet.errors import RatchetError
from ratchet.loop import feedback
from ratchet.loop.credentials import Kind
from ratchet.loop.frames import write_parquet
from ratchet.store import schema
from ratchet.web import api
from ratchet.web.cloudevents import OPEN_TYPES
from tests.unit.web.conftest import Site

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def _event(**changes: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": clock.new_id(),
        "source": "https://ci.example.org",
        "type": "custom.emitted",
        "subject": "go",
        "data": {"name": "go"},
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


def _send(site: Site, event: Any, *, kind: Kind = "person", **headers: str) -> httpx.Response:
    content = event if isinstance(event, bytes | str) else json.dumps(event)
    return site.caller(kind).post("/api/v1/events", content=content, headers=STRUCTURED | headers)


# ---- events that are taken


def test_an_event_is_taken_with_its_exact_bytes(site: Site) -> None:
    """The payload is kept byte for byte, and who sent it is what the token says, whatever the body claims."""
    body = (
        b'{"specversion":"1.0","id":"exact","source":"https://ci.example.org","type":"dev.ratchet.code.pushed.v1",'
        b'"authtype":"system","authid":"engine","evidence":"native",'
        b'"subject":"flights","pipeline":"flight-delay","data": {"sha":  "a\\u00e9",\n "repo": "flights" } }'
    )
    reply = _send(site, body, kind="undeclared")
    assert reply.status_code == 201, reply.text
    shown = reply.json()
    stored = site.workspace.ledger.get("exact", source="https://ci.example.org")
    assert stored is not None
    with site.workspace.database.read() as connection:
        query = schema.payload.select().where(schema.payload.c.seq == stored.seq)
        kept = connection.execute(query).one().body
    assert kept == b'{"sha":  "a\\u00e9",\n "repo": "flights" }'
    assert (stored.authtype, stored.actor_class, stored.evidence) == ("service_account", "unknown", "attested")
    assert (stored.type, stored.trigger, shown["type"]) == ("code.pushed", "code", "dev.ratchet.code.pushed.v1")


def test_a_redelivery_changes_nothing(site: Site) -> None:
    """The same event again gives 200 and the stored one; another body under its key gives 409."""
    event = _event()
    first, again = _send(site, event), _send(site, event)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["seq"] == first.json()["seq"]
    other = _send(site, event | {"data": {"name": "stop"}})
    assert other.status_code == 409
    assert "with another body" in other.json()["error"]
    assert _send(site, event | {"type": "code.pushed"}).status_code == 409


def test_headers_carry_an_event_too(site: Site) -> None:
    """Binary mode: attributes in headers, percent-decoded, the payload as the body."""
    headers = {
        "Content-Type": "application/json",
        "ce-id": "binary",
        "ce-source": "https://ci.example.org",
        "ce-specversion": "1.0",
        "ce-type": "custom.emitted",
        "ce-subject": "caf%C3%A9",
    }
    content = b'{"name": "go", "declared_signal": false}'
    reply = site.caller().post("/api/v1/events", content=content, headers=headers)
    assert reply.status_code == 201, reply.text
    assert reply.json()["subject"] == "café"
    assert reply.json()["data"] == {"name": "go", "declared_signal": False}


def test_a_batch_is_all_or_nothing_when_one_is_wrong(site: Site) -> None:
    """A wrong event keeps out the whole batch and is named; a right batch goes in, in order."""
    before = site.workspace.ledger.last_seq()
    wrong = json.dumps([_event(), _event(type="rule.fired")])
    assert site.caller().post("/api/v1/events", content=wrong, headers=BATCH).status_code == 403
    wrong = json.dumps([_event(), _event(id=None)])
    reply = site.caller().post("/api/v1/events", content=wrong, headers=BATCH)
    assert (reply.status_code, "'[1].id' is missing" in reply.json()["error"]) == (400, True)
    assert site.workspace.ledger.last_seq() == before
    right = [_event() for _ in range(3)]
    reply = site.caller().post("/api/v1/events", content=json.dumps(right), headers=BATCH)
    assert [one["id"] for one in reply.json()["events"]] == [one["id"] for one in right]


def test_a_chain_in_one_message_stays_one(site: Site) -> None:
    """Each event is caused by the one before it, which is not in the ledger yet, or came with the hundred before."""
    first = _event()
    sent = [first]
    for _ in range(120):
        sent.append(_event(type="incident.resolved", data={}, causationid=sent[-1]["id"]))
    reply = site.caller().post("/api/v1/events", content=json.dumps(sent), headers=BATCH)
    assert reply.status_code == 201, reply.text
    assert {one["correlationid"] for one in reply.json()["events"]} == {first["id"]}


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        ("person", None, False),
        ("person", True, False),
        ("undeclared", True, False),
        ("system", None, True),
        ("system", True, True),
        ("system", False, False),
    ],
)
def test_nobody_declares_his_own_signal(site: Site, kind: Kind, sent: bool | None, stored: bool) -> None:
    """Only what a declared system sends is a declared signal; all else is a person's button."""
    data = {"name": "go"} | ({} if sent is None else {"declared_signal": sent})
    reply = _send(site, _event(data=data), kind=kind)
    assert reply.json()["data"]["declared_signal"] is stored


def test_an_event_joins_the_chain_of_its_cause(site: Site) -> None:
    """What follows from an earlier event of the sender has its correlation."""
    first = _send(site, _event(type="incident.detected", data={})).json()
    second = _send(site, _event(type="incident.resolved", data={}, causationid=first["id"])).json()
    assert second["correlationid"] == first["correlationid"]


# ---- events that are refused

BAD_EVENTS: list[tuple[Any, int, str]] = [
    (b"", 400, "is no JSON"),
    (b"{", 400, "is no JSON"),
    (b"\xff", 400, "is no JSON"),
    (b"[]", 400, "is wrong: Expected `object`"),
    (b"null", 400, "is wrong"),
    (b'{"id":"\\ud800"}', 400, "is no JSON"),
    (_event(id=None), 400, "'id' is missing"),
    (_event(id=7), 400, "'id' is wrong: Expected `str`"),
    (_event(id=""), 400, "'id' is empty"),
    (_event(id="a\x00b"), 400, "control characters"),
    (_event(id="x" * 513), 400, "too long"),
    (_event(source=None), 400, "'source' is missing"),
    (_event(source=""), 400, "'source' is empty"),
    (_event(source="ratchet"), 400, "which is this platform"),
    (_event(specversion=None), 400, "'specversion' is missing"),
    (_event(specversion="0.3"), 400, "'specversion' is '0.3'"),
    (_event(type=None), 400, "'type' is missing"),
    (_event(type="custom.emited"), 400, "Did you mean 'custom.emitted'"),
    (_event(type="dev.ratchet.code.push.v1"), 400, "Did you mean 'code.pushed'"),
    (_event(type="rule.fired"), 403, "Ratchet appends it itself"),
    (_event(type="traffic.shifted"), 403, "Ratchet appends it itself"),
    (_event(type="command.issued"), 403, "Ratchet appends it itself"),
    (_event(type="gate.evaluated"), 403, "Ratchet appends it itself"),
    (_event(type="incident.resolved"), 400, "'causationid' is missing"),
    (_event(time="tomorrow"), 400, "'time' is 'tomorrow'"),
    (_event(time="2013-01-01T00:00:00"), 400, "has no time zone"),
    (_event(time="2999-01-01T00:00:00Z"), 400, "in the future"),
    (_event(time="0001-01-01T00:00:00+14:00"), 400, "'time' is"),
    (_event(time=5), 400, "'time' is wrong"),
    (_event(trigger="magic"), 400, "'trigger' is 'magic'"),
    (_event(data=None), 400, "'data.name' is missing"),
    (_event(data=[1]), 400, "'data' is no JSON object"),
    (_event(data="x"), 400, "'data' is no JSON object"),
    (_event(data={}), 400, "'data.name' is missing"),
    (_event(data={"name": 5}), 400, "'data.name' is missing"),
    (_event(data={"name": "x", "n": 2**64}), 400, "which 64 bits cannot"),
    (_event(data=None, data_base64="eA=="), 400, "is not JSON"),
    (_event(datacontenttype="text/xml"), 400, "is not JSON"),
    (json.dumps(_event()).replace('"go"}', f'"go","x":{"[" * 40}{"]" * 40}}}'), 400, "nested deeper"),
    (
        json.dumps(_event()).replace('"go"}', f'"go","x":{"[" * 100_000}{"]" * 100_000}}}'),
        400,
        "maximum recursion depth",
    ),
    (_event(data={"name": "x", "long": "y" * api.BODY_LIMIT_BYTES}), 413, "at most 1048576 are allowed"),
]


@pytest.mark.parametrize(("event", "status", "words"), BAD_EVENTS, ids=[str(n) for n in range(len(BAD_EVENTS))])
def test_bad_events_are_refused_and_told_why(site: Site, event: Any, status: int, words: str) -> None:
    """What cannot be an event is refused with the field and a remedy, and leaves nothing behind."""
    before = site.workspace.ledger.last_seq()
    reply = _send(site, event)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text
    assert site.workspace.ledger.last_seq() == before


@pytest.mark.parametrize("media", ["", "text/plain", "application/json", "multipart/form-data"])
def test_other_kinds_of_bodies_are_refused(site: Site, media: str) -> None:
    """A body that does not say that it is a CloudEvent is not read."""
    reply = site.caller().post("/api/v1/events", content=json.dumps(_event()), headers={"Content-Type": media})
    assert (reply.status_code, "application/cloudevents+json" in reply.json()["error"]) == (415, True)


@pytest.mark.parametrize("missing", ["ce-id", "ce-source", "ce-type", "ce-specversion"])
def test_binary_events_need_their_headers(site: Site, missing: str) -> None:
    """A header that is missing is named."""
    headers = {"ce-id": "b", "ce-source": "s", "ce-type": "code.pushed", "ce-specversion": "1.0"}
    del headers[missing]
    reply = site.caller().post("/api/v1/events", content=b"{}", headers={"Content-Type": "application/json", **headers})
    assert reply.status_code in (400, 415)
    assert missing in reply.json()["error"] or "ce-*" in reply.json()["error"]


def test_a_batch_has_an_end(site: Site) -> None:
    """More than a thousand events at a time are too many; what is no array is no batch."""
    for content, words in ((json.dumps([{}] * 1001), "has 1001 events"), ("{}", "is no batch"), ("[", "is no batch")):
        reply = site.caller().post("/api/v1/events", content=content, headers=BATCH)
        assert (reply.status_code, words in reply.json()["error"]) == (400, True)


def test_open_types_are_in_the_catalogue() -> None:
    """Whatever may come from outside is a type that the ledger knows."""
    from ratchet.catalogue import EVENT_TYPES

    assert set(EVENT_TYPES) >= OPEN_TYPES


# ---- reading


def test_events_are_read_in_pages(site: Site) -> None:
    """Going on after the last one gives each event once, in order."""
    client = site.caller()
    found: list[int] = []
    after = 0
    while True:
        page = client.get(f"/api/v1/events?after={after}&limit=400").json()
        if not page["events"]:
            break
        found += [event["seq"] for event in page["events"]]
        after = page["next_after"]
    assert found == list(range(1, site.workspace.ledger.last_seq() + 1))


def test_what_waits_is_told(site: Site) -> None:
    """By kind, with the oldest; only to who may ask."""
    assert site.stranger().get("/api/v1/status").status_code == 401
    with site.workspace.database.write() as transaction:
        site.workspace.runs.enqueue(transaction, "dispatch", "dispatch:waits", {})
    try:
        found = site.caller().get("/api/v1/status").json()
    finally:
        site.workspace.runs.cancel("dispatch:waits")
    assert (found["is_running"], found["last_seq"]) == (False, site.workspace.ledger.last_seq())
    (waiting,) = [one for one in found["backlog"]["kinds"] if one["kind"] == "dispatch"]
    assert (waiting["waiting"], waiting["oldest"]) == (1, "dispatch:waits")
    assert found["backlog"]["warnings"] == []


def test_events_are_filtered(site: Site) -> None:
    """By type, short or long, and by pipeline."""
    client = site.caller()
    reply = client.get("/api/v1/events?type=dev.ratchet.traffic.shifted.v1&pipeline=flight-delay&limit=3").json()
    assert [event["type"] for event in reply["events"]] == ["dev.ratchet.traffic.shifted.v1"] * 3


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("events?limit=5000", 400, "from 0 to 1000"),
        ("events?after=-1", 400, "whole number"),
        ("events?after=1e3", 400, "whole number"),
        ("events?type=nothing", 400, "Did you mean"),
        ("pipelines/none/level", 404, "No pipeline named 'none'"),
        ("pipelines/flight-delay/level?policy=none", 404, "No level policy named 'none'"),
        ("commands/none", 404, "No command named 'none'"),
        ("commands/flight-delay-E00002", 404, "No command named"),
        ("nothing", 404, "No address named"),
        ("feedback/flight-delay", 405, "does not take GET. Use POST"),
    ],
)
def test_bad_questions_are_told_so(site: Site, path: str, status: int, words: str) -> None:
    """Unknown names give 404, senseless parameters 400, a wrong method 405, each with words."""
    reply = site.caller().get(f"/api/v1/{path}")
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text


def test_levels_come_with_their_evidence(site: Site) -> None:
    """A level names its criteria and the events that count."""
    client = site.caller()
    (line,) = [one for one in client.get("/api/v1/pipelines").json()["pipelines"] if one["name"] == "flight-delay"]
    level = client.get("/api/v1/pipelines/flight-delay/level?policy=standard").json()
    assert level["level"] == line["level"] == 4
    assert (line["label"], line["level_name"], line["blocking"]) == (level["label"], level["name"], None)
    counted = level["levels"][0]["results"][0]["counted"]
    assert site.workspace.ledger.find(counted[0]) is not None


# ---- feedback


@pytest.fixture(scope="module")
def predicted(site: Site) -> list[str]:
    """Ids of three predictions that are in the log."""
    ids = ["p-1", "p-2", "p-3"]
    table = pd.DataFrame(
        {
            "prediction_id": ids,
            "request_id": ids,
            "version": "flight-delay@v1",
            "traffic_id": "t",
            "caller": "tower",
            "time": pd.Timestamp(clock.now()),
            "latency_us": 100,
            "status": 200,
            "score": [0.1, 0.5, 0.9],
        }
    )
    folder = site.workspace.resources.folder / "predictions" / "flight-delay" / "open" / f"{clock.now():%Y-%m-%d}"
    folder.mkdir(parents=True)
    write_parquet(folder / "frames.parquet", table)
    return ids


def _feedback(site: Site, body: Any, *, endpoint: str = "flight-delay", key: str = "") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    headers = {"Idempotency-Key": key} if key else {}
    return site.caller("system").post(f"/api/v1/feedback/{endpoint}", content=content, headers=headers)


def test_outcomes_are_taken_once(site: Site, predicted: list[str]) -> None:
    """The same request again, with its key or without, is one batch; another body under the key is refused."""
    body = {"outcomes": [{"prediction_id": one, "value": 1.0, "fields": {"late_minutes": 20}} for one in predicted]}
    replies = [_feedback(site, body, key=key) for key in ("k1", "k1", "", "")]
    assert [reply.status_code for reply in replies] == [202] * 4, replies[0].text
    batches = feedback.batches(site.workspace.resources, "flight-delay")
    assert len(batches) == 2
    assert batches[0].sender.actor_class == "automation"
    other = {"outcomes": [{"prediction_id": "p-1", "value": 0.0}]}
    reply = _feedback(site, other, key="k1")
    assert (reply.status_code, "was used already" in reply.json()["error"]) == (409, True)


def _outcome(**changes: Any) -> dict[str, Any]:
    return {"outcomes": [{"prediction_id": "p-1", "value": 1.0} | changes]}


BAD_FEEDBACK: list[tuple[Any, int, str]] = [
    (b"", 400, "is no JSON"),
    (b"{", 400, "is no JSON"),
    ([], 400, "is wrong"),
    ({}, 400, "missing required field `outcomes`"),
    ({"outcomes": []}, 400, "is empty"),
    ({"outcomes": [{}]}, 400, "missing required field"),
    (_outcome(value="1"), 400, "Expected `float`"),
    (_outcome(value=None), 400, "Expected `float`"),
    (_outcome(extra=1), 400, "unknown field"),
    (_outcome(prediction_id="nowhere"), 404, "'nowhere'"),
    ({"outcomes": [_outcome()["outcomes"][0]] * 2}, 400, "is there twice"),
    (_outcome(fields={"a": [1]}), 400, "cannot be stored"),
    (_outcome(fields={"a": 2**70}), 400, "cannot be stored"),
    (_outcome(fields={'a"; DROP': 1}), 400, "cannot be stored"),
    (
        {"outcomes": [{"prediction_id": f"p-{n}", "value": 1, "fields": {"a": [1, "x"][n]}} for n in range(2)]},
        400,
        "one kind of value",
    ),
    (b'{"outcomes":[{"prediction_id":"p-1","value":1e999}]}', 400, ""),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD_FEEDBACK, ids=[str(n) for n in range(len(BAD_FEEDBACK))])
def test_bad_outcomes_are_refused_and_told_why(
    site: Site, predicted: list[str], body: Any, status: int, words: str
) -> None:
    """None of a wrong request is taken, and the field or the prediction is named."""
    before = feedback.batches(site.workspace.resources, "flight-delay")
    reply = _feedback(site, body)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text
    assert feedback.batches(site.workspace.resources, "flight-delay") == before


@pytest.mark.parametrize("endpoint", ["none", "..", "../../etc", "%2e%2e"])
def test_outcomes_need_an_endpoint(site: Site, endpoint: str) -> None:
    """An endpoint that nobody declared is not known, whatever its name looks like."""
    reply = _feedback(site, _outcome(), endpoint=endpoint.replace("..", "%2e%2e"))
    assert reply.status_code in (404, 405)
    assert "error" in reply.json()


# ---- commands


def _command(site: Site, body: Any, *, key: str = "", kind: Kind = "person") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    headers = {"Idempotency-Key": key} if key else {}
    return site.caller(kind).post("/api/v1/commands", content=content, headers=headers)


def test_a_command_is_taken_once(site: Site) -> None:
    """It is in the ledger under its sender, with its job; repeated it is the same one, changed it is refused."""
    body = {"action": "start_run", "parameters": {"pipeline": "flight-delay", "learning_rate": 0.2}}
    first, again = _command(site, body, key="c1"), _command(site, body, key="c1")
    assert (first.status_code, first.json()) == (202, again.json())
    issued = site.workspace.ledger.get(first.json()["id"])
    assert issued is not None
    assert (issued.actor_class, issued.trigger, issued.pipeline) == ("human", "api", "flight-delay")
    status = site.caller().get(f"/api/v1/commands/{issued.id}").json()
    assert (status["action"], status["status"]) == ("start_run", "waiting")
    other = body | {"parameters": {"pipeline": "flight-delay"}}
    assert _command(site, other, key="c1").status_code == 409
    assert _command(site, body, key="c1", kind="system").json()["id"] != issued.id


BAD_COMMANDS: list[tuple[Any, str, int, str]] = [
    (b"", "k", 400, "is no JSON"),
    ({}, "k", 400, "missing required field `action`"),
    ({"action": "start_run", "parameters": []}, "k", 400, "Expected `object`"),
    ({"action": "start_run", "who": "me"}, "k", 400, "unknown field"),
    ({"action": "explode"}, "k", 404, "No action named 'explode'"),
    ({"action": "start_run"}, "k", 400, "parameters.pipeline is missing"),
    ({"action": "start_run", "parameters": {"pipeline": 5}}, "k", 400, "parameters.pipeline is missing"),
    ({"action": "start_run", "parameters": {"pipeline": "none"}}, "k", 404, "No pipeline named 'none'"),
    ({"action": "promote", "parameters": {"version": "flight-delay@v999"}}, "k", 404, "No model version named"),
    ({"action": "rollback", "parameters": {"endpoint": "none"}}, "k", 404, "No endpoint named"),
    ({"action": "cancel_run", "parameters": {"run": "none"}}, "k", 404, "No run named"),
    ({"action": "start_run", "parameters": {"pipeline": "flight-delay"}}, "", 400, "Idempotency-Key is missing"),
    ({"action": "start_run", "parameters": {"pipeline": "flight-delay"}}, "k" * 256, 400, "too long"),
]


@pytest.mark.parametrize(
    ("body", "key", "status", "words"), BAD_COMMANDS, ids=[str(n) for n in range(len(BAD_COMMANDS))]
)
def test_bad_commands_are_refused_and_told_why(site: Site, body: Any, key: str, status: int, words: str) -> None:
    """What cannot be done is said at once, and nothing is put into the ledger."""
    before = site.workspace.ledger.last_seq()
    reply = _command(site, body, key=key)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text
    assert site.workspace.ledger.last_seq() == before


@pytest.mark.parametrize("kind", ["system", "undeclared"])
def test_no_machine_goes_past_a_gate(site: Site, kind: Kind) -> None:
    """Only a person's token may bypass: the ledger must name who took the responsibility."""
    body = {"action": "promote", "parameters": {"version": "flight-delay@v1", "bypass": "urgent"}}
    reply = _command(site, body, key="b1", kind=kind)
    assert (reply.status_code, "Only a named person" in reply.json()["error"]) == (403, True)


# ---- the table


def test_every_error_has_a_status() -> None:
    """Each error of ours has one status, its own or that of the class above it; what is nobody's fault is 500."""
    import ratchet.errors
    import ratchet.web.refusals

    kinds = {
        kind
        for module in (ratchet.errors, ratchet.web.refusals)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, RatchetError)
    }
    assert kinds >= set(api.STATUS)
    assert set(api.STATUS.values()) <= set(range(400, 600))


def test_the_future_begins_after_five_minutes(site: Site) -> None:
    """A clock that is a little ahead is forgiven."""
    soon = (clock.now() + timedelta(minutes=4)).isoformat()
    late = (clock.now() + timedelta(minutes=6)).isoformat()
    assert _send(site, _event(time=soon)).status_code == 201
    assert _send(site, _event(time=late)).status_code == 400


# ---- KPIs and the report


def test_the_report_is_told_as_figures(site: Site) -> None:
    """All of them as of now, or of a day and a part; asking publishes nothing."""
    caller = site.caller()
    last = caller.get("/api/v1/events").json()
    found = caller.get("/api/v1/report").json()
    assert (found["policy"], len(found["ten"])) == ("standard", 10)
    part = caller.get("/api/v1/report", params={"for": "model:flight-delay", "policy": "strict"}).json()
    assert (part["policy"], part["scope"]) == ("strict", "model:flight-delay")
    early = caller.get("/api/v1/report", params={"as_of": "2020-01-01"}).json()
    assert (early["months"], early["numbers"]["ten/new_models"]["value"]) == ([], None)
    assert caller.get("/api/v1/report", params={"policy": "mine"}).status_code == 404
    assert caller.get("/api/v1/events").json() == last


def test_kpis_are_told_with_their_events(site: Site) -> None:
    """All of them, one of them, one part of the whole, each part along a dimension, an earlier day."""
    caller = site.caller()
    everything = caller.get("/api/v1/kpis").json()["kpis"]
    assert everything[0]["name"] == "time_to_deployment"
    one = caller.get("/api/v1/kpis/models_in_production").json()
    assert (one["value"], one["status"], len(one["digest"])) == (1, "ok", 64)
    assert one["events"]
    part = caller.get("/api/v1/kpis/models_in_production", params={"for": "model:flight-delay"}).json()
    assert part["scope"] == {"kind": "model", "name": "flight-delay"}
    parts = caller.get("/api/v1/kpis/models_in_production", params={"by": "pipeline"}).json()["parts"]
    assert parts["flight-delay"]["value"] == 1
    early = caller.get("/api/v1/kpis/models_in_production", params={"as_of": "2020-01-01"}).json()
    assert (early["status"], early["value"]) == ("no evidence", None)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/kpis/speed", 404, "No KPI named 'speed'. Known: "),
        ("/api/v1/kpis/cost?by=weekday", 400, "Send one of: team, department"),
        ("/api/v1/kpis/cost?for=nothing", 404, "No part named 'nothing'. Known: "),
        ("/api/v1/kpis?as_of=yesterday", 400, "Send a day such as 2026-03-31"),
        ("/api/v1/kpis?as_of=9999-12-31", 400, "Send a day such as 2026-03-31"),
    ],
)
def test_questions_of_kpis_that_mean_nothing_are_refused(site: Site, path: str, status: int, said: str) -> None:
    """The reply says what would mean something."""
    reply = site.caller().get(path)
    assert reply.status_code == status
    assert said in reply.json()["error"]
