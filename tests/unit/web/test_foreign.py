"""CDEvents and OpenLineage through the door: what the sender's token shows, weakened by what the message says."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import JobFacet, RunFacet, dataset_version_dataset, output_statistics_output_dataset
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid

from ratchet import clock
from ratchet.config import ImportSection
from ratchet.loop.credentials import Kind
from ratchet.measure.transitions import transitions
from ratchet.records import Event
from tests.unit.web.clients import Client
from tests.unit.web.conftest import Site
from tests.waiting import PATIENCE_SECONDS, until

SOURCE = "/jenkins/main"
STAGES = ImportSection(pipeline="churn", stages=("train", "evaluate"))


@pytest.fixture
def mapped(site: Site) -> Iterator[Site]:
    """The site, with names of other systems mapped to a pipeline."""
    imports = site.workspace.config.imports
    imports["cdevents"] = {
        "retrain": STAGES,
        "churn-api/prod": ImportSection(pipeline="churn", stages=("deploy",), environment="production"),
    }
    imports["openlineage"] = {"retrain": STAGES}
    yield site
    imports.clear()


_numbers = iter(range(10**6))


def cdevent(kind: str, subject: str, *, version: str = "0.4.1", links: Any = (), **content: Any) -> dict[str, Any]:
    """Return a CDEvent in a CloudEvent, as its binding says."""
    type_, identity = f"dev.cdevents.{kind}.0.2.0", f"ce-{next(_numbers)}"
    at = clock.now().isoformat()
    context = {
        "version": version,
        "id": identity,
        "source": SOURCE,
        "type": type_,
        "timestamp": at,
        "links": list(links),
    }
    custom = content.pop("custom", None)
    data = {"context": context, "subject": {"id": subject, "source": SOURCE, "content": content}}
    if custom:
        data["customData"] = custom
    return {"specversion": "1.0", "id": identity, "source": SOURCE, "type": type_, "data": data}


def send(client: Client, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Send CDEvents one by one; return the events of the last reply."""
    entries: list[dict[str, Any]] = []
    for message in messages:
        reply = client.post("/api/v1/events", json=message, headers={"Content-Type": "application/cloudevents+json"})
        assert reply.status_code in (200, 201), reply.text
        entries = reply.json()["events"]
    return entries


def modes(site: Site, stage: str, subject: str, pipeline: str = "churn") -> list[str]:
    """Return the modes of the transitions of one subject."""
    found = transitions(site.workspace.history().as_of(), pipeline, stage)
    return [one.mode for one in found if one.subject == subject]


# ---- CDEvents


@pytest.mark.parametrize(
    ("kind", "trigger", "mode"),
    [
        ("system", "schedule", "auto"),
        ("system", "manual", "assisted"),
        ("system", "", "unknown"),
        ("system", "pipeline", "unknown"),
        ("undeclared", "schedule", "unknown"),
        ("person", "schedule", "assisted"),
    ],
)
def test_a_run_is_as_automatic_as_its_sender_can_show(mapped: Site, kind: Kind, trigger: str, mode: str) -> None:
    """The message can only weaken what the token shows; without a trigger nobody knows."""
    run, client = f"run-{kind}-{trigger}", mapped.caller(kind)
    custom = {"trigger": trigger, "sha": "a" * 40}
    send(
        client,
        cdevent("pipelinerun.started", run, pipelineName="retrain", custom=custom),
        cdevent("pipelinerun.finished", run, pipelineName="retrain", outcome="success"),
    )
    assert modes(mapped, "train", run) == [mode]


def test_phases_may_come_in_any_order(mapped: Site) -> None:
    """The end before the start: both go back to the same beginning."""
    client = mapped.caller("system")
    send(
        client,
        cdevent("pipelinerun.finished", "late", pipelineName="retrain", outcome="success"),
        cdevent("pipelinerun.started", "late", pipelineName="retrain", custom={"trigger": "schedule"}),
    )
    assert modes(mapped, "train", "late") == ["auto"]


def test_a_redelivery_changes_nothing_and_another_body_is_refused(mapped: Site) -> None:
    """The key is that of the CloudEvent."""
    client, message = mapped.caller("system"), cdevent("pipelinerun.started", "again", pipelineName="retrain")
    send(client, message)
    before = mapped.workspace.ledger.last_seq()
    assert [one["is_new"] for one in send(client, message)] == [False]
    assert mapped.workspace.ledger.last_seq() == before
    message["data"]["subject"]["id"] = "other"
    reply = client.post("/api/v1/events", json=message, headers={"Content-Type": "application/cloudevents+json"})
    assert reply.status_code == 409
    last = next(mapped.workspace.ledger.read(newest_first=True, limit=1))
    assert (last.type, mapped.workspace.ledger.last_seq()) == ("ledger.conflict.detected", before + 1)


def test_a_task_belongs_to_who_started_its_run(mapped: Site) -> None:
    """A task goes back to the start of its pipeline run."""
    client = mapped.caller("system")
    send(
        client,
        cdevent("pipelinerun.started", "p1", pipelineName="nightly", custom={"trigger": "schedule"}),
        cdevent("taskrun.finished", "t1", taskName="retrain", pipelineRun={"id": "p1"}, outcome="success"),
    )
    assert modes(mapped, "train", "p1") == ["auto"]
    send(client, cdevent("taskrun.finished", "t2", taskName="retrain", pipelineRun={"id": "nobody"}, outcome="success"))
    assert modes(mapped, "train", "nobody") == ["unknown"]


def test_a_path_of_links_is_a_chain_of_causes(mapped: Site) -> None:
    """A merged change leads to a run: automation's, whoever merged."""
    client = mapped.caller("system")
    merged = cdevent("change.merged", "pr-1", repository={"id": "churn"}, custom={"sha": "b" * 40})
    send(client, merged)
    link = {"linkType": "PATH", "from": {"contextId": merged["id"]}}
    send(client, cdevent("pipelinerun.finished", "linked", pipelineName="retrain", outcome="success", links=[link]))
    assert modes(mapped, "train", "linked") == ["auto"]
    pushed = mapped.workspace.ledger.get(merged["id"], source=SOURCE)
    assert pushed is not None
    assert (pushed.type, pushed.data["repo"], pushed.data["sha"]) == ("code.pushed", "churn", "b" * 40)


def test_links_that_turn_in_a_circle_are_unknown(mapped: Site) -> None:
    """Two messages that name one another as their cause have no start; nor has one whose cause nobody sent."""
    client = mapped.caller("system")
    first = cdevent("pipelinerun.started", "round", pipelineName="retrain")
    link = {"linkType": "PATH", "from": {"contextId": first["id"]}}
    second = cdevent("pipelinerun.finished", "round", pipelineName="retrain", outcome="success", links=[link])
    first["data"]["context"]["links"] = [{"linkType": "PATH", "from": {"contextId": second["id"]}}]
    lost = {"linkType": "PATH", "from": {"contextId": "never-sent"}}
    third = cdevent("pipelinerun.finished", "lost", pipelineName="retrain", outcome="success", links=[lost])
    send(client, first, second, third)
    assert (modes(mapped, "train", "round"), modes(mapped, "train", "lost")) == (["unknown"], ["unknown"])


def test_services_are_deployments_where_they_are_mapped(mapped: Site) -> None:
    """Deployed, upgraded, rolled back and removed: what is live follows."""
    client, prod = mapped.caller("system"), {"id": "prod"}
    for predicate, artifact in (
        ("deployed", "pkg:a@1"),
        ("upgraded", "pkg:a@2"),
        ("rolledback", "pkg:a@1"),
        ("removed", ""),
    ):
        content = {"environment": prod, "artifactId": artifact, "custom": {"trigger": "schedule"}}
        entries = send(client, cdevent(f"service.{predicate}", "churn-api", **content))
        assert any(one["type"] == "dev.ratchet.traffic.shifted.v1" for one in entries)
    shifts = list(mapped.workspace.ledger.read(types=["traffic.shifted"], pipeline="churn"))
    assert [list(one.data["weights"]) for one in shifts] == [["pkg:a@1"], ["pkg:a@2"], ["pkg:a@1"], []]
    assert {one.data["env"] for one in shifts} == {"production"}
    assert modes(mapped, "deploy", "churn") == ["auto", "auto", "auto"]


def test_an_environment_that_nobody_mapped_is_not_production(site: Site) -> None:
    """A service elsewhere is recorded under its own name."""
    content = {"environment": {"id": "production"}, "artifactId": "pkg:b@1"}
    entries = send(site.caller("system"), cdevent("service.deployed", "other", **content))
    assert {one["pipeline"] for one in entries} == {"other/production"}


def test_suites_artifacts_incidents_and_approvals(site: Site) -> None:
    """Each becomes its type; a resolution goes back to what it resolves, an approval to what asked for it."""
    client = site.caller("system")
    suite = send(
        client, cdevent("testsuiterun.finished", "s1", outcome="fail", severity="high", testSuite={"name": "smoke"})
    )
    assert [(one["data"]["outcome"], one["data"]["severity"]) for one in suite] == [("failed", "high")]
    assert send(client, cdevent("testsuiterun.started", "s1", testSuite={"name": "smoke"})) == []
    (artifact,) = send(client, cdevent("artifact.published", "pkg:a@1", sbom={"uri": "https://sbom"}))
    assert (artifact["data"]["digest"], artifact["data"]["sbom"]) == ("pkg:a@1", "https://sbom")
    detected = cdevent("incident.detected", "i1", service={"id": "churn-api"}, description="slow")
    (resolved,) = send(client, detected, cdevent("incident.resolved", "i1", service={"id": "churn-api"}))
    assert (resolved["type"], resolved["causationid"]) == ("dev.ratchet.incident.resolved.v1", detected["id"])
    asked = cdevent("approval.created", "a1", version="0.6.0", requestor="urn:person:1", resourceTargetUrl="run-1")
    closed = cdevent(
        "approval.closed",
        "a1",
        version="0.6.0",
        responder="urn:person:2",
        decision="approve",
        status="approved",
        resourceTargetUrl="run-1",
    )
    (given,) = send(client, asked, closed)
    assert (given["causationid"], given["data"]["decision"], given["data"]["target"]) == (
        asked["id"],
        "approved",
        "run-1",
    )
    assert given["actor_class"] == "human"
    assert "urn:person" not in str(given)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"type": "dev.cdevents.build.finished.0.2.0"}, 400, "not taken in"),
        ({"type": "dev.cdevents.pipelinerun.exploded.0.2.0"}, 400, "not taken in"),
        ({"type": "dev.cdevents.pipelinerun.started"}, 400, "not taken in"),
        ({"data": {}}, 400, "data.context.version"),
        ({"data": {"context": {"version": "0.1.2"}}}, 400, "Versions 0.4 to 0.6"),
        ({"data": {"context": {"version": "0.4.1", "type": "dev.cdevents.x"}}}, 400, "not the type of the CloudEvent"),
        ({"data": [1]}, 400, "no JSON object"),
        ({"specversion": "0.3"}, 400, "specversion"),
    ],
)
def test_bad_cdevents_are_refused_and_told_why(site: Site, change: dict[str, Any], status: int, words: str) -> None:
    """Nothing is recorded of them."""
    before = site.workspace.ledger.last_seq()
    message = cdevent("pipelinerun.started", "bad", pipelineName="x") | change
    reply = site.caller("system").post(
        "/api/v1/events", json=message, headers={"Content-Type": "application/cloudevents+json"}
    )
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text
    assert site.workspace.ledger.last_seq() == before


def test_a_cdevent_from_the_future_is_refused(site: Site) -> None:
    """Its own timestamp counts, not only the envelope's."""
    message = cdevent("pipelinerun.started", "early", pipelineName="x")
    message["data"]["context"]["timestamp"] = (clock.now() + timedelta(hours=1)).isoformat()
    reply = site.caller().post("/api/v1/events", json=message, headers={"Content-Type": "application/cloudevents+json"})
    assert (reply.status_code, "lies in the future" in reply.json()["error"]) == (400, True)


def test_nobody_speaks_for_a_pipeline_that_runs_here(site: Site) -> None:
    """The name of a pipeline of this workspace is refused, until its owner maps it."""
    message = cdevent("pipelinerun.started", "x", pipelineName="flight-delay")
    reply = site.caller("system").post(
        "/api/v1/events", json=message, headers={"Content-Type": "application/cloudevents+json"}
    )
    assert (reply.status_code, "It runs here" in reply.json()["error"]) == (403, True)
    reply = site.caller("system").post("/api/v1/lineage", json=_run_event("START", job="flight-delay"))
    assert reply.status_code == 403


def test_a_foreign_version_is_never_one_of_ours(mapped: Site) -> None:
    """A gate elsewhere on something called like a version here is not a verdict on that version."""
    message = cdevent(
        "pipelinerun.finished", "g", pipelineName="retrain", outcome="success", custom={"artifactId": "flight-delay@v7"}
    )
    types = {one["type"]: one["subject"] for one in send(mapped.caller("system"), message)}
    assert types["dev.ratchet.gate.evaluated.v1"] != "flight-delay@v7"


# ---- OpenLineage


def _run_event(state: str, *, run: str = "r", job: str = "retrain", **more: Any) -> dict[str, Any]:
    return {
        "eventType": state,
        "eventTime": clock.now().isoformat(),
        "run": {"runId": run, "facets": more.pop("facets", {})},
        "job": {"namespace": "airflow", "name": job},
        "producer": "test",
        **more,
    }


@pytest.fixture
def address(mapped: Site) -> Iterator[str]:
    """The same application behind a real server."""
    server = uvicorn.Server(uvicorn.Config(mapped.app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the web server")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


class InitiatorFacet(RunFacet):
    """Our run facet, as somebody would attach it."""


def _client(address: str, token: str) -> OpenLineageClient:
    config = HttpConfig(
        url=address,
        endpoint="api/v1/lineage",
        auth=ApiKeyTokenProvider({"apiKey": token}),
        retry={"total": 0},
        timeout=PATIENCE_SECONDS,
    )
    return OpenLineageClient(transport=HttpTransport(config))


def test_the_real_client_reports_a_run(mapped: Site, address: str) -> None:
    """Start and end by the OpenLineage client: a training by schedule, and the version of a dataset that it wrote."""
    client, run = _client(address, mapped.tokens["system"]), str(generate_new_uuid())
    facet: Any = {"trigger": "schedule", "_producer": "test", "_schemaURL": "test"}
    version = dataset_version_dataset.DatasetVersionDatasetFacet
    written = OutputDataset(
        namespace="s3://lake",
        name="scores",
        facets={"version": version(datasetVersion="17")},
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=9)
        },
    )
    read = InputDataset(namespace="s3://lake", name="orders", facets={"version": version(datasetVersion="3")})
    job = Job(namespace="airflow", name="retrain", facets={"x": JobFacet()})
    for state, outputs in ((RunState.START, []), (RunState.RUNNING, []), (RunState.COMPLETE, [written])):
        event = RunEvent(
            eventType=state,
            eventTime=clock.now().isoformat(),
            run=Run(runId=run, facets={"ratchet_initiator": facet}),
            job=job,
            producer="https://example.org/test",
            inputs=[read],
            outputs=outputs,
        )
        client.emit(event)
        client.emit(event)
    assert modes(mapped, "train", run) == ["auto"]
    published = _last(mapped, "dataset.version.published")
    assert (published.subject, published.data["row_count"]) == ("s3://lake/scores@17", 9)
    assert published.data["parents"] == ["s3://lake/orders@3"]
    finished = list(mapped.workspace.ledger.read(types=["run.finished"], subject=run))
    assert [one.data["inputs"] for one in finished] == [["s3://lake/orders@3"]]


def _last(site: Site, type_: str) -> Event:
    return next(site.workspace.ledger.read(types=[type_], newest_first=True, limit=1))


@pytest.mark.parametrize(
    ("kind", "facets", "mode"),
    [
        ("system", {}, "unknown"),
        ("system", {"ratchet_initiator": {"trigger": "manual"}}, "assisted"),
        ("system", {"airflow": {"dagRun": {"run_type": "scheduled"}}}, "auto"),
        ("system", {"airflowDagRun": {"dagRun": {"run_type": "manual"}}}, "assisted"),
        ("undeclared", {"ratchet_initiator": {"trigger": "schedule"}}, "unknown"),
        ("system", {"parent": {"run": {"runId": "P"}, "job": {"namespace": "airflow", "name": "dag"}}}, "auto"),
        ("system", {"parent": {"run": {"runId": "Q"}, "job": {"namespace": "airflow", "name": "dag"}}}, "unknown"),
    ],
)
def test_who_started_a_run(mapped: Site, kind: Kind, facets: dict[str, Any], mode: str) -> None:
    """Our facet, the word of Airflow's integration, a parent that we know; else nobody knows."""
    client, run = mapped.caller(kind), f"{kind}-{sorted(facets)}-{mode}"
    parent = _run_event("START", run="P", job="dag", facets={"ratchet_initiator": {"trigger": "schedule"}})
    assert mapped.caller("system").post("/api/v1/lineage", json=parent).status_code in (200, 201)
    for state in ("START", "COMPLETE"):
        reply = client.post("/api/v1/lineage", json=_run_event(state, run=run, facets=facets))
        assert reply.status_code == 201, reply.text
    assert modes(mapped, "train", run) == [mode]


def test_failures_are_no_transitions(mapped: Site) -> None:
    """A run that failed or was aborted is recorded with its message."""
    client = mapped.caller("system")
    facets = {"errorMessage": {"message": "out of memory"}}
    client.post("/api/v1/lineage", json=_run_event("FAIL", run="f1", facets=facets))
    assert (_last(mapped, "run.finished").data["outcome"], _last(mapped, "run.finished").data["said"]) == (
        "failed",
        "out of memory",
    )
    assert modes(mapped, "train", "f1") == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "no JSON object"),
        ("[]", 400, "no JSON object"),
        ({}, 400, "eventType"),
        ({"eventType": "START", "eventTime": "now", "run": {"runId": "1"}, "job": {}}, 400, "eventTime"),
        ({"eventType": "START", "eventTime": "2999-01-01T00:00:00Z", "run": {}, "job": {}}, 400, "future"),
        ({"dataset": {"name": "x"}, "eventTime": "2025-01-01T00:00:00Z"}, 200, ""),
    ],
)
def test_bad_run_events_are_refused_and_told_why(site: Site, body: Any, status: int, words: str) -> None:
    """Events about a dataset alone are left aside; what is broken names its field."""
    before = site.workspace.ledger.last_seq()
    options = {"content": body} if isinstance(body, str) else {"json": body}
    reply = site.caller("system").post("/api/v1/lineage", **options)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text
    assert site.workspace.ledger.last_seq() == before


def test_lineage_needs_a_token(site: Site) -> None:
    """Nobody is nobody."""
    assert site.stranger().post("/api/v1/lineage", json=_run_event("START")).status_code == 401


def test_the_messages_of_the_page_are_taken_in(site: Site) -> None:
    """Whoever copies them from the page about standards gets a run that a schedule started."""
    page = (Path(__file__).parents[3] / "docs" / "importing" / "standards.md").read_text()
    sent = re.findall(r"curl -X POST http://127\.0\.0\.1:8750(\S+) (.*?)-d '(\{.*?\})'\n```", page, re.DOTALL)
    assert [path for path, _, _ in sent] == ["/api/v1/events", "/api/v1/lineage"]
    for path, headers, body in sent:
        named = re.search(r'Content-Type: ([^"]+)"', headers)
        content = body.replace("'$NOW'", f"{clock.now():%Y-%m-%dT%H:%M:%SZ}")
        kind = {"Content-Type": named[1]} if named else {}
        reply = site.caller("system").post(path, content=content, headers=kind)
        assert reply.status_code == 201, reply.text
        last = reply.json()["events"][-1]
        assert (last["type"], last["trigger"]) == ("dev.ratchet.run.finished.v1", "schedule")
