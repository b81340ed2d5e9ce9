"""What must not come in by the web, on SQLite and on PostgreSQL: refused in words, and nothing of it is written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.config import ImportSection
from ratchet.loop import credentials
from ratchet.loop.credentials import Credential
from ratchet.web.app import create_app
from ratchet.workspace import Workspace
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.unit.web.clients import Client

CLOUDEVENT = "application/cloudevents+json"
MILLION = "x" * 1_000_000
# As many characters as are allowed, and four bytes each: no index of PostgreSQL holds two of them.
BROAD = "\U0001f600" * 500
PAGES = ("/api/v1/pipelines", "/api/v1/kpis", "/api/v1/incidents", "/api/v1/report", "/api/v1/events")


def own(**changes: Any) -> dict[str, Any]:
    """Return a CloudEvent of our own words."""
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "custom.emitted", "data": {"name": "go"}}
    return event | changes


def cdevent(**changes: Any) -> dict[str, Any]:
    """Return a CDEvent that says that a mapped run has ended; changes are of its data, by path."""
    kind = "dev.cdevents.pipelinerun.finished.0.2.0"
    at = "2026-01-02T03:04:05Z"
    data: dict[str, Any] = {
        "context": {"version": "0.4.1", "id": "1", "source": "/ci", "type": kind, "timestamp": at},
        "subject": {"id": "run-1", "content": {"pipelineName": "retrain", "outcome": "success"}},
        "customData": {"sha": "a" * 40, "inputs": ["orders@1"]},
    }
    return {"specversion": "1.0", "id": "1", "source": "/ci", "type": kind, "data": _changed(data, changes)}


def lineage(**changes: Any) -> dict[str, Any]:
    """Return a run event that says that a mapped job has ended."""
    dataset = {"namespace": "n", "name": "orders", "facets": {"version": {"datasetVersion": "1"}}}
    event: dict[str, Any] = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-02T03:04:05Z",
        "run": {"runId": "r1", "facets": {}},
        "job": {"namespace": "n", "name": "retrain", "facets": {}},
        "inputs": [dataset],
        "outputs": [dataset],
    }
    return _changed(event, changes)


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for path, value in changes.items():
        *way, last = path.split("__")
        place = values
        for name in way:
            place = place[name]
        place[last] = value
    return values


def nested(depth: int) -> Any:
    """Return a list in a list, so often."""
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


REFUSED: list[tuple[Any, str]] = [
    # the character NUL, which PostgreSQL's texts do not hold
    (own(id="a\0b"), "'id' is too long or has control"),
    (own(data={"name": "a\0b"}), "'data' holds the character NUL"),
    (own(data={"name": "go", "a\0b": 1}), "'data' holds the character NUL"),
    (cdevent(subject__id="a\0b"), "'data' holds the character NUL"),
    (cdevent(context__id="a\0b"), "'data' holds the character NUL"),
    (cdevent(customData__sha={"\0": 1}), "'data' holds the character NUL"),
    (lineage(job__name="a\0b"), "'body' holds the character NUL"),
    (lineage(run__runId="\0"), "'body' holds the character NUL"),
    # long names
    (own(id=MILLION[:900_000]), "'id' is too long"),
    (own(source=BROAD, id=BROAD), "has more than 1024 bytes"),
    (own(data={"name": MILLION[:900_000]}), "'subject' has more than 1024 bytes"),
    (cdevent(context__id=MILLION[:900_000]), "has more than 1024 bytes"),
    (cdevent(context__source=MILLION[:900_000]), "'source' has more than 1024 bytes"),
    (cdevent(subject__id=BROAD), "has more than 1024 bytes"),
    (lineage(job__namespace=BROAD), "'source' has more than 1024 bytes"),
    (lineage(run__runId=MILLION[:900_000]), "has more than 1024 bytes"),
    # ten megabytes
    (own(data={"name": "go", "more": MILLION * 10}), "bytes"),
    (cdevent(customData__more=MILLION * 10), "bytes"),
    (lineage(producer=MILLION * 10), "bytes"),
    # deep nesting
    (own(data={"name": "go", "more": nested(40)}), "'data' is nested deeper than 32"),
    (cdevent(customData__more=nested(40)), "'data' is nested deeper than 32"),
    (lineage(producer=nested(40)), "'body' is nested deeper than 32"),
    # moments that no calendar here goes on from
    (own(time="0000-01-01T00:00:00Z"), "'time' is"),
    (own(time="0001-01-01T00:00:00Z"), "before 1970"),
    (own(time="9999-12-31T23:59:59Z"), "in the future"),
    (cdevent(context__timestamp="0000-01-01T00:00:00Z"), "no moment"),
    (cdevent(context__timestamp="0001-01-01T00:00:00Z"), "before 1970"),
    (cdevent(context__timestamp="9999-12-31T23:59:59Z"), "in the future"),
    (cdevent(context__timestamp="9999-12-31T23:59:59-14:00"), "no moment"),
    (lineage(eventTime="0001-01-01T00:00:00+14:00"), "no moment"),
    (lineage(eventTime="0001-01-01T00:00:00Z"), "before 1970"),
    (lineage(eventTime="9999-12-31T23:59:59Z"), "in the future"),
    # values of another kind
    (own(data={"name": "go", "n": 2**64}), "64 bits"),
    (cdevent(customData__n=-(2**64)), "64 bits"),
    (lineage(producer=10**30), "64 bits"),
    (cdevent(customData__inputs=True), "a list of texts is expected"),
    (cdevent(customData__inputs=["a", 1]), "a list of texts is expected"),
    (cdevent(context__links=1), "'data.context.links' is no list"),
    (lineage(inputs=True), "'inputs' is no list"),
    (lineage(outputs=1.5), "'outputs' is no list"),
]
# What JSON itself does not know, in place of "?".
RAW = ["1e400", "NaN", "-Infinity", '"\\ud800"', '"\\udc00x"', '"\xff"', "[" * 100_000]
TAKEN: list[Any] = [
    own(id="kept", data={"name": "go", "more": ["\U0001f600", "\u2028", 2**63 - 1, 1e308, nested(25)]}),
    cdevent(context__timestamp="1970-01-01T00:00:00Z", context__id="kept", customData__sha={"a": [1]}),
    cdevent(context__id="kept-2", subject__id="run-2", customData__inputs=[], context__links=[1, {"linkType": 5}]),
    lineage(eventTime="1970-01-01T00:00:00Z", run__runId="kept", inputs=[1, {}, None]),
    lineage(run__runId="kept-2", outputs=[{"name": 5, "facets": {"version": {"datasetVersion": [1]}}}]),
]


class IntakeContract:
    """What is refused; a subclass says on which database."""

    @pytest.fixture
    def workspace(self, url: str, tmp_path: Path) -> Iterator[Workspace]:
        """Open a workspace that has mapped what the messages name."""
        (tmp_path / "ratchet.toml").write_text(f'[project]\nname = "flights"\ndatabase = "{url}"\n')
        with Workspace(tmp_path) as workspace:
            section = ImportSection(pipeline="churn", stages=("train", "evaluate"))
            workspace.config.imports["cdevents"] = {"retrain": section}
            workspace.config.imports["openlineage"] = {"retrain": section}
            yield workspace

    @pytest.fixture
    def client(self, workspace: Workspace) -> Client:
        """Give a client with the token of a declared system."""
        credential = Credential(name="ci", kind="system", system="ci")
        with workspace.by_command("issue_token", {"name": "ci"}, subject="ci"):
            token = credentials.issue(workspace.resources, credential)
        client = Client(create_app(workspace))
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    def send(self, client: Client, message: Any, body: bytes = b"") -> Any:
        """Send a message to where its kind belongs."""
        path = "/api/v1/lineage" if "eventType" in message else "/api/v1/events"
        content = body or json.dumps(message).encode()
        return client.post(path, content=content, headers={"Content-Type": CLOUDEVENT})

    def test_each_is_refused_in_words(self, workspace: Workspace, client: Client) -> None:
        """A status of 4xx, what is wrong with which field, and not one entry more."""
        last = workspace.ledger.last_seq()
        for message, words in REFUSED:
            reply = self.send(client, message)
            about = f"{str(message)[:300]}: {reply.text[:200]}"
            assert reply.status_code in (400, 413), about
            assert words in reply.json()["error"], about
            assert workspace.ledger.last_seq() == last, about

    @pytest.mark.parametrize("message", [own(data={"name": "?"}), cdevent(customData__n="?"), lineage(producer="?")])
    def test_what_is_no_json_is_refused(self, workspace: Workspace, client: Client, message: Any) -> None:
        """Numbers that are none, halves of characters, bytes that are no UTF-8, brackets without an end."""
        last = workspace.ledger.last_seq()
        for value in RAW:
            text = json.dumps(message).replace('"?"', value)
            reply = self.send(client, message, text.encode("latin-1"))
            assert (reply.status_code, workspace.ledger.last_seq()) == (400, last), f"{value[:20]}: {reply.text[:200]}"

    def test_of_a_batch_nothing_is_written_where_one_is_refused(self, workspace: Workspace, client: Client) -> None:
        """Also where it is only a column that could not hold it."""
        last = workspace.ledger.last_seq()
        batch = json.dumps([own(id="first"), own(source=BROAD, id=BROAD)]).encode()
        reply = client.post(
            "/api/v1/events", content=batch, headers={"Content-Type": "application/cloudevents-batch+json"}
        )
        assert (reply.status_code, workspace.ledger.last_seq()) == (400, last)

    def test_questions_and_commands_are_refused_as_well(self, workspace: Workspace, client: Client) -> None:
        """NUL in an address, escaped or in a body: PostgreSQL would take no question about it."""
        last = workspace.ledger.last_seq()
        for address in ("events?pipeline=%00", "commands/%00", "pipelines/a%00/level", "kpis?for=%00"):
            reply = client.get(f"/api/v1/{address}")
            assert (reply.status_code, "the address holds the character NUL" in reply.text) == (400, True), reply.text
        assert client.get("/events?pipeline=%00").status_code == 400
        for asked in ('{"action": "cancel_run", "parameters": {"run": "\\u0000"}}', '{"action": "\\u0000"}'):
            reply = client.post("/api/v1/commands", content=asked, headers={"Idempotency-Key": "key"})
            assert (reply.status_code, "holds the character NUL" in reply.text) == (400, True), reply.text
        written = client.post("/api/v1/commands", content=r'{"action": "\\u0000"}', headers={"Idempotency-Key": "key"})
        assert "NUL" not in written.text
        assert workspace.ledger.last_seq() == last

    def test_of_a_field_that_is_there_twice_the_last_counts(self, workspace: Workspace, client: Client) -> None:
        """As JSON's readers do it; the message is taken once."""
        body = json.dumps(own(id="one")).replace('"id": "one"', '"id": "one", "id": "two"').encode()
        assert self.send(client, own(), body).status_code == 201
        assert [workspace.ledger.get(name, source="s") is not None for name in ("one", "two")] == [False, True]

    def test_what_is_odd_and_right_is_taken_in_and_counted(self, workspace: Workspace, client: Client) -> None:
        """The first second that counts, large numbers, lists of anything: pages and figures can be made of it."""
        for message in TAKEN:
            reply = self.send(client, message)
            assert reply.status_code == 201, reply.text
        for page in PAGES:
            assert client.get(page).status_code == 200, page
        assert workspace.level("churn").profile["train"].modes


class TestIntakeOnSQLite(OnSQLite, IntakeContract):
    """What is refused with SQLite."""


class TestIntakeOnPostgreSQL(OnPostgreSQL, IntakeContract):
    """What is refused with PostgreSQL."""
