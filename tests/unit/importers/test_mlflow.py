"""MLflow: answers that a real server gave (``make proof-mlflow`` recorded them), asked for over real HTTP."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ratchet import clock
from ratchet.config import ImportSection
from ratchet.importers import mlflow, pulls
from ratchet.importers.refusals import RecordInvalid, SourceUnreachable
from ratchet.measure.transitions import transitions
from tests.unit.importers.shapes import WITNESS, YOU, Desk

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "mlflow-3.17.2.json").read_text())
SECTIONS = {
    "churn-training": ImportSection(pipeline="churn", stages=("train",)),
    "models:/churn": ImportSection(pipeline="churn", stages=("evaluate",)),
    "models:/churn@champion": ImportSection(pipeline="churn", stages=("deploy",)),
}


class Tracking(ThreadingHTTPServer):
    """Answers as the recorded server did at one point of the session, or as the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.part = "runs"
        self.status = 200
        self.body: bytes | None = None
        self.fails_at = ""
        self.asked: list[tuple[str, str]] = []
        self.authorised: list[str] = []

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, token: str) -> Any:
        """Return the recorded answer to a question; the pages after the first by their token."""
        recorded = RECORDED[self.part]
        name = {
            "experiments": "experiments",
            "runs": "runs",
            "model-versions": "versions",
            "registered-models": "models",
        }
        found = recorded[name[path.split("/")[-2]]]
        if isinstance(found, dict):
            return found
        place = next((n + 1 for n, one in enumerate(found) if token and one.get("next_page_token") == token), 0)
        return found[place]


class _Handler(BaseHTTPRequestHandler):
    server: Tracking

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._reply(urlsplit(self.path).path, query.get("page_token", [""])[0])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._reply(urlsplit(self.path).path, body.get("page_token", ""))

    def _reply(self, path: str, token: str) -> None:
        self.server.asked.append((path.rpartition("/mlflow/")[2], token))
        self.server.authorised.append(self.headers.get("Authorization", ""))
        fails = self.server.fails_at and path.endswith(self.server.fails_at)
        status = 500 if fails else self.server.status
        body = self.server.body
        if body is None:
            body = json.dumps(self.server.answer(path, token)).encode()
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", "http://127.0.0.1:1/stolen")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def tracking() -> Iterator[Tracking]:
    """A server with recorded answers."""
    with Tracking() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def take(desk: Desk, tracking: Tracking, *, position: str | None = None, is_dry: bool = False) -> pulls.Tally:
    """Import as the command does."""
    server = mlflow.Server(tracking.address)
    start = pulls.last_position(desk.database, server.source) if position is None else position
    puller = pulls.Puller(desk.database, actor=YOU, is_dry=is_dry)

    def last_alias(source: str, subject: str) -> tuple[str, str]:
        found = [one for one in desk.events("custom.emitted") if (one.source, one.subject) == (source, subject)]
        return (found[-1].data["version"], found[-1].id) if found else ("", "")

    for page in mlflow.pull(server, sections=SECTIONS, witness=WITNESS, last_alias=last_alias, position=start):
        puller.take(page.readings, position=page.position)
    puller.close(server.source)
    return puller.tallies.get(server.source, pulls.Tally(server.source))


def test_the_session_of_a_team_is_imported(desk: Desk, tracking: Tracking) -> None:
    """Runs with their ends, versions, validations and the alias; all pages are asked for."""
    tally = take(desk, tracking)
    assert tally.new_events == len(desk.events()) - len(desk.events("source.cursor"))
    outcomes = [event.data["outcome"] for event in desk.events("run.finished")]
    assert sorted(outcomes) == ["failed", "success", "success", "success"]
    assert len(desk.events("run.started")) == 5
    assert [event.subject for event in desk.events("model.version.registered")] == ["churn/1", "churn/2", "churn/3"]
    assert {path for path, token in tracking.asked if token} == {"runs/search", "model-versions/search"}


def test_importing_twice_changes_nothing(desk: Desk, tracking: Tracking) -> None:
    """Not an event more, not even a cursor."""
    take(desk, tracking)
    before = desk.events()
    assert take(desk, tracking).new_events == 0
    assert desk.events() == before


def test_an_alias_that_moves_to_and_fro_is_seen_each_time_we_look(desk: Desk, tracking: Tracking) -> None:
    """MLflow keeps no history of it; what we saw stays seen, with nobody as its actor."""
    for part in ("runs", "two", "one", "one"):
        tracking.part = part
        take(desk, tracking)
    assert [event.data["version"] for event in desk.events("custom.emitted")] == ["churn/1", "churn/2", "churn/1"]
    assert [event.data.get("previous") for event in desk.events("custom.emitted")] == [None, "churn/1", "churn/2"]
    assert [one.mode for one in transitions(desk.history().as_of(), "churn", "deploy")] == ["unknown"] * 3


def test_an_alias_counts_only_where_it_is_mapped(
    desk: Desk, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called champion or not: without a section nothing went into production."""
    monkeypatch.delitem(SECTIONS, "models:/churn@champion")
    take(desk, tracking)
    assert desk.events("traffic.shifted") == []
    assert [event.data["name"] for event in desk.events("custom.emitted")] == ["alias.moved"]


def test_who_started_a_run(desk: Desk, tracking: Tracking) -> None:
    """A notebook is a person; a script or a job may have been started by anything."""
    take(desk, tracking)
    found = [one.mode for one in transitions(desk.history().as_of(), "churn", "train")]
    assert sorted(found) == ["assisted", "unknown", "unknown"]
    (command,) = desk.events("command.issued")
    assert (command.trigger, command.authid, command.data["channel"]) == ("ui", "mlflow:person-1", "notebook")


def test_a_run_says_what_it_was_made_of(desk: Desk, tracking: Tracking) -> None:
    """Commit, parameters and the digests of what it read."""
    take(desk, tracking)
    data = desk.events("run.finished")[0].data
    assert (data["inputs"], data["code_sha"]) == (["orders@d17"], "0" * 40)
    assert len({event.data["params_digest"] for event in desk.events("run.finished")}) == 4


def test_a_run_that_has_ended_meanwhile_brings_its_end(desk: Desk, tracking: Tracking) -> None:
    """The fifth run was under way; its end is all that is new."""
    for part in ("runs", "two", "one"):
        tracking.part = part
        take(desk, tracking)
    tracking.part = "end"
    assert take(desk, tracking).new_events == 1
    assert desk.events("ledger.conflict.detected") == []


def test_an_import_that_broke_off_goes_on(desk: Desk, tracking: Tracking) -> None:
    """The server fails at the versions: the runs stay, and the next import asks for no run again."""
    tracking.fails_at = "model-versions/search"
    with pytest.raises(SourceUnreachable, match="status 500"):
        take(desk, tracking)
    assert len(desk.events("run.started")) == 5
    tracking.fails_at, tracking.asked = "", []
    take(desk, tracking)
    assert not [path for path, _ in tracking.asked if path == "runs/search"]
    assert len(desk.events("model.version.registered")) == 3
    tracking.asked = []
    take(desk, tracking)
    assert [path for path, _ in tracking.asked if path == "runs/search"]


def test_a_source_without_aliases_is_closed(desk: Desk, tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is recorded also where the last page is empty, so that the next import begins at the runs."""
    monkeypatch.setitem(RECORDED["runs"], "models", {})
    for _ in range(2):
        take(desk, tracking)
        assert desk.events("source.cursor")[-1].data["position"] == ""
    assert [len([1 for path, _ in tracking.asked if path == "experiments/search"])] == [2]


def test_a_dry_run_writes_nothing(desk: Desk, tracking: Tracking) -> None:
    """It asks, and that is all."""
    assert take(desk, tracking, is_dry=True).new_events == 27
    assert desk.events() == []


def test_older_stages_are_read_like_aliases(desk: Desk, tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version in the stage Production is what an alias of that name would say."""
    models = json.loads(json.dumps(RECORDED["runs"]["models"]))
    models["registered_models"][0]["latest_versions"][0]["current_stage"] = "Production"
    monkeypatch.setitem(RECORDED["runs"], "models", models)
    take(desk, tracking)
    assert {event.subject for event in desk.events("custom.emitted")} == {"churn@champion", "churn@Production"}


# ---- what can go wrong


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "a token that worked before may have expired"),
        (403, b"{}", "MLFLOW_TRACKING_TOKEN"),
        (404, b"{}", "the address of the MLflow tracking server itself"),
        (429, b"{}", "Import again when it is well"),
        (500, b"oh", "The server's own log says why"),
        (302, b"", "status 302"),
        (200, b"<html>", "its answer is no JSON"),
        (200, b"[]", "its answer is no JSON"),
    ],
)
def test_a_server_that_does_not_answer_well(
    desk: Desk, tracking: Tracking, status: int, body: bytes, words: str
) -> None:
    """The message says what to do; nothing was imported."""
    tracking.status, tracking.body = status, body
    with pytest.raises(SourceUnreachable) as refused:
        take(desk, tracking)
    assert words in str(refused.value)
    assert tracking.address in str(refused.value)
    assert desk.events() == []


def test_a_server_that_is_down(desk: Desk) -> None:
    """Nobody listens there."""
    server = mlflow.Server("http://127.0.0.1:1")
    with pytest.raises(SourceUnreachable, match=r"no answer .*Is the server running"):
        server.get("experiments/search")


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/x", "localhost:5000", "", "http://", "http://[::1"]
)
def test_an_address_that_is_none(address: str) -> None:
    """Only servers are asked."""
    with pytest.raises(SourceUnreachable, match="no address of a server"):
        mlflow.Server(address)


def test_credentials_go_to_the_server_and_nowhere_else(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that MLflow's own client would use; never part of a source's name, never carried along a redirect."""
    plain = mlflow.Server(tracking.address)
    plain.get("registered-models/search")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-1")
    mlflow.Server(tracking.address).get("registered-models/search")
    named = mlflow.Server(tracking.address.replace("//", "//you:secret-2@"))
    named.get("registered-models/search")
    assert tracking.authorised[0] == ""
    assert tracking.authorised[1] == "Bearer secret-1"
    assert tracking.authorised[2].startswith("Basic ")
    assert named.source == plain.source
    assert "secret" not in named.source


@pytest.mark.parametrize(
    ("field", "value"),
    [("start_time", "soon"), ("status", None), ("start_time", "future")],
)
def test_a_run_that_says_something_impossible(
    desk: Desk, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, field: str, value: Any
) -> None:
    """Its page is refused as a whole, with the number of the record; pages before it stay."""
    later = int((clock.now() + timedelta(days=1)).timestamp() * 1000)
    pages = json.loads(json.dumps(RECORDED["runs"]["runs"]))
    pages[1]["runs"][1]["info"][field] = later if value == "future" else value
    monkeypatch.setitem(RECORDED["runs"], "runs", pages)
    with pytest.raises(RecordInvalid, match=rf"record 4: '{field}'"):
        take(desk, tracking)
    assert len(desk.events("run.queued")) == 2
