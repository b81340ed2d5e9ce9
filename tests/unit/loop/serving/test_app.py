"""The addresses of the protocol over a real socket: every reply is JSON, every refusal says what to do."""

import http.client
import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ratchet.loop.serving import claim, routes
from ratchet.loop.serving.app import EndpointApp, report
from ratchet.loop.serving.log import PredictionLog, read_frames, request_rotation, spool_files
from ratchet.loop.serving.routes import Caller, ReleaseRoute, RouteTable
from ratchet.store.artifacts import Artifacts
from tests.waiting import PATIENCE_SECONDS, until

from .test_switchboard import SECRET_SHA256

Body = Callable[..., dict[str, Any]]
Ask = Callable[..., tuple[int, dict[str, Any]]]
INFER = "/v2/models/delay/infer"


@pytest.fixture
def port(folder: Path, artifacts: Artifacts) -> Iterator[int]:
    """Run the application in a server on a thread, and return its port."""
    held = claim.Claim(folder)
    bound = socket.create_server(("127.0.0.1", 0))
    holder = held.describe(host="127.0.0.1", port=bound.getsockname()[1])
    log = PredictionLog(folder, writer=held.writer)
    app = EndpointApp(folder, artifacts=artifacts, log=log, holder=holder)
    server = uvicorn.Server(uvicorn.Config(app, http="httptools", ws="none", lifespan="on", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield holder.port
    server.should_exit = True
    thread.join()
    log.close()
    held.release()


@pytest.fixture
def ask(port: int) -> Ask:
    """Send one request and return status and body."""

    def send(
        path: str, body: dict[str, Any] | bytes | None = None, *, method: str = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        try:
            content = json.dumps(body).encode() if isinstance(body, dict) else body
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, content, names)
            reply = connection.getresponse()
            assert reply.headers["content-type"] == "application/json"
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    return send


@pytest.fixture
def served(
    folder: Path, port: int, release: Callable[..., ReleaseRoute], route: Callable[..., RouteTable]
) -> routes.Acknowledgement:
    """Serve v1 to anybody, acknowledged."""
    del port
    route(release("v1"), tokens={SECRET_SHA256: Caller(name="shop", team="sales")})
    return routes.wait_acknowledged(folder, 1, timeout_seconds=PATIENCE_SECONDS)


@pytest.mark.usefixtures("served")
def test_the_addresses_of_the_protocol(ask: Ask, request_body: Body) -> None:
    """Server, health, metadata, readiness and inference answer, with and without a version."""
    assert ask("/v2")[1]["name"] == "ratchet"
    assert ask("/v2/health/live") == (200, {"live": True})
    assert ask("/v2/health/ready") == (200, {"ready": True})
    for path in ("/v2/models/delay", "/v2/models/delay/versions/delay@v1"):
        status, about = ask(path)
        assert (status, about["versions"], about["inputs"][1]) == (
            200,
            ["delay@v1"],
            {"name": "hour", "datatype": "INT64", "shape": [-1]},
        )
        assert ask(f"{path}/ready")[0] == 200
        status, reply = ask(f"{path}/infer", request_body())
        assert (status, reply["model_version"], reply["model_name"]) == (200, "delay@v1", "delay")


@pytest.mark.usefixtures("served")
def test_what_tritonclient_asks_for_by_default_is_answered_in_json(ask: Ask, request_body: Body) -> None:
    """A wish for binary outputs is answered in JSON, which its client understands too."""
    assert ask(INFER, request_body(parameters={"binary_data_output": True}))[0] == 200


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("path", "body", "method", "expected"),
    [
        ("/", None, "", 404),
        ("/v2/nothing", None, "", 404),
        ("/v2/models/churn", None, "", 404),
        ("/v2/models/churn/infer", {}, "", 404),
        ("/v2/models/delay/versions/delay@v9/ready", None, "", 404),
        ("/v2/models/delay/explain", {}, "", 404),
        (INFER, None, "", 405),
        ("/v2", {}, "", 405),
        ("/v2/models/delay", None, "DELETE", 405),
        (INFER, b"{", "", 400),
        (INFER, {"inputs": []}, "", 400),
        (INFER, b" " * ((8 << 20) + 1), "", 413),
    ],
)
def test_refusals(ask: Ask, path: str, body: dict[str, Any] | bytes | None, method: str, expected: int) -> None:
    """Every refusal is JSON with a message, and the connection goes on."""
    status, reply = ask(path, body, method=method)
    assert (status, list(reply)) == (expected, ["error"])
    assert reply["error"].endswith(".")


@pytest.mark.usefixtures("served")
def test_a_body_without_a_length_is_limited_too(ask: Ask, port: int) -> None:
    """A body that is sent in chunks is refused as soon as it is over the limit."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    connection.request("POST", INFER, iter([b" " * (1 << 20)] * 9))
    reply = connection.getresponse()
    assert reply.status == 413
    assert b"8388608" in reply.read()
    connection.close()
    assert ask("/v2/health/live")[0] == 200


@pytest.mark.usefixtures("served")
def test_the_longest_body_is_answered(ask: Ask, request_body: Body) -> None:
    """Ten thousand rows are accepted, one more is not."""
    assert ask(INFER, request_body(rows=10_000))[0] == 200
    status, reply = ask(INFER, request_body(rows=10_001))
    assert status == 400
    assert "1 to 10000 rows" in reply["error"]


@pytest.mark.usefixtures("served")
def test_binary_tensors_are_refused(ask: Ask) -> None:
    """The binary extension is refused by the name of its header."""
    status, reply = ask(INFER, b"{}0000", Inference_Header_Content_Length="2")
    assert status == 400
    assert "Inference-Header-Content-Length" in reply["error"]


def test_tokens(
    ask: Ask,
    folder: Path,
    release: Callable[..., ReleaseRoute],
    route: Callable[..., RouteTable],
    request_body: Body,
) -> None:
    """Where a token is wanted, neither predictions nor metadata are given without a known one."""
    route(release("v1"), tokens={SECRET_SHA256: Caller(name="shop", team="sales")}, callers="token")
    routes.wait_acknowledged(folder, 1, timeout_seconds=PATIENCE_SECONDS)
    assert ask(INFER, request_body())[0] == 401
    assert ask(INFER, request_body(), Authorization="Bearer guess")[0] == 401
    assert ask("/v2/models/delay")[0] == 401
    assert ask(INFER, request_body(), Authorization="bearer secret")[0] == 200
    assert ask("/v2/models/delay", Authorization="Bearer secret")[0] == 200


def test_an_endpoint_without_live_releases(
    ask: Ask, folder: Path, release: Callable[..., ReleaseRoute], route: Callable[..., RouteTable], request_body: Body
) -> None:
    """Shadow releases alone do not answer: 503 until something is live."""
    route(release("v1", role="shadow", share=0.0))
    routes.wait_acknowledged(folder, 1, timeout_seconds=PATIENCE_SECONDS)
    assert ask(INFER, request_body())[0] == 503
    assert ask("/v2/models/delay/ready")[0] == 503


def test_the_acknowledgement_says_what_is_served(served: routes.Acknowledgement, port: int) -> None:
    """Host, port, generation and versions are those that callers meet."""
    assert (served.generation, served.live, served.refused) == (1, {"delay": ["delay@v1"]}, {})
    assert (served.host, served.port) == ("127.0.0.1", port)


@pytest.mark.usefixtures("served")
def test_damaged_routes_are_reported_and_change_nothing(ask: Ask, folder: Path, request_body: Body) -> None:
    """A route file that cannot be read shows in the acknowledgement while the old routes go on."""
    (folder / routes.ROUTES_FILE).write_bytes(b"{")

    def refused() -> list[str]:
        return list(routes.wait_acknowledged(folder, 1, timeout_seconds=PATIENCE_SECONDS).refused)

    until(refused, "the refusal")
    assert refused() == [routes.ROUTES_FILE]
    assert ask(INFER, request_body())[0] == 200


def test_a_report_that_nobody_can_take_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk of the log is full, the tasks that say so go on."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        stream = io.TextIOWrapper(full, write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            report("a line")
        with pytest.raises(OSError, match="No space"):
            stream.write("a line\n")
        stream.detach()


@pytest.mark.usefixtures("served")
def test_the_log_rotates_while_requests_are_answered(ask: Ask, folder: Path, request_body: Body) -> None:
    """After a request for rotation the first file is closed and whole, and new frames go to the next."""
    ask(INFER, request_body(id="before"))
    request_rotation(folder)
    until(lambda: len(spool_files(folder)) == 2, "the next file")
    ask(INFER, request_body(id="after"))
    files = spool_files(folder)
    assert [file.is_closed for file in files] == [True, False]
    assert [[frame.request_id for frame, _ in read_frames(file.path)] for file in files] == [["before"], ["after"]]
