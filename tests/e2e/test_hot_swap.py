"""The endpoint process under fire: models change, disks fill, processes die, and no caller is misled."""

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ratchet.loop
from ratchet import clock
from ratchet.errors import RoutesNotAcknowledged
from ratchet.loop.serving import claim, routes, vouchers
from ratchet.loop.serving.log import Frame, read_frames, request_rotation, spool_files
from ratchet.loop.serving.routes import (
    EndpointRoute,
    InputColumn,
    ModelReference,
    ModelSchema,
    ReleaseRoute,
    RouteTable,
)
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts
from tests import breaking
from tests.waiting import PATIENCE_SECONDS, until

SCHEMA = ModelSchema(
    inputs=(
        InputColumn(name="distance", datatype="FP64", kind="number"),
        InputColumn(name="hour", datatype="INT64", kind="number"),
    ),
    output="probability",
)
CONNECTIONS = 8
# Answers that are waited for between one swap and the next, so that there are some of which only one was possible.
BETWEEN = 50


@dataclass
class Answer:
    """What a caller saw: times by the monotonic clock, in seconds."""

    sent_at: float
    received_at: float
    status: int
    body: dict[str, Any]

    @property
    def version(self) -> str:
        """The version that the reply names."""
        return str(self.body["model_version"])

    @property
    def score(self) -> float:
        """The score of the first row."""
        return float(self.body["outputs"][0]["data"][0])


class Caller:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._sent_at = 0.0

    def ask(self, *, rows: int = 1, request_id: str = "") -> Answer:
        """Ask for predictions about far flights."""
        self.send(rows=rows, request_id=request_id)
        return self.receive()

    def send(self, *, rows: int = 1, request_id: str = "") -> None:
        """Send a request and do not wait for its reply."""
        inputs = [
            {"name": "distance", "shape": [rows], "datatype": "FP64", "data": [2.0] * rows},
            {"name": "hour", "shape": [rows], "datatype": "INT64", "data": [12] * rows},
        ]
        content = json.dumps({"id": request_id, "inputs": inputs})
        self._sent_at = clock.monotonic()
        self._connection.request("POST", "/v2/models/delay/infer", content)

    def receive(self) -> Answer:
        """Wait for the reply to what was sent."""
        reply = self._connection.getresponse()
        body = json.loads(reply.read())
        return Answer(sent_at=self._sent_at, received_at=clock.monotonic(), status=reply.status, body=body)

    def is_alive(self) -> bool:
        """Ask whether the process lives."""
        self._connection.request("GET", "/v2/health/live")
        return self._connection.getresponse().read() == b'{"live":true}'

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Site:
    """A serving folder, its artifacts and the endpoint processes that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "serving"
        self.artifacts = Artifacts(folder / "artifacts")
        self.generation = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._models = {name: self._train(flipped=name == "v2") for name in ("v1", "v2")}

    def _train(self, *, flipped: bool) -> ModelReference:
        """Store a model that gives far flights a high probability, or a low one where flipped."""
        random = np.random.default_rng(7)
        rows = pd.DataFrame({"distance": random.normal(size=300), "hour": random.integers(0, 24, size=300)})
        storer, content = storers.dump(LogisticRegression().fit(rows, (rows["distance"] > 0) != flipped))
        return ModelReference(sha256=self.artifacts.write(content), storer=storer)

    def command(self, *options: str) -> list[str]:
        """Return the command line of an endpoint process."""
        paths = ["--folder", str(self.folder), "--artifacts", str(self.artifacts.folder)]
        return [sys.executable, "-m", "ratchet.loop.serving", *paths, *options]

    def start(self) -> subprocess.Popen[bytes]:
        """Start an endpoint process and wait until it follows the present routes."""
        process = subprocess.Popen(self.command(), env=environment())
        self._processes.append(process)
        routes.wait_acknowledged(self.folder, self.generation, timeout_seconds=PATIENCE_SECONDS)
        return process

    def add_breaking(self, version: str) -> None:
        """Add a version that crashes the process which loads it."""
        consent = self.folder.parent / "consent"
        consent.touch()
        storer, content = breaking.make(self.folder.parent, "crash", consent=consent)
        self._models[version] = ModelReference(sha256=self.artifacts.write(content), storer=storer)

    def write(self, version: str, *, is_vouched_for: bool = True) -> None:
        """Make a version the only live one, without waiting; staging has vouched for it, or nobody has."""
        self.generation += 1
        release = ReleaseRoute(
            version=version,
            model=self._models[version],
            schema=SCHEMA,
            role="live",
            share=1.0,
            traffic_id=f"traffic-{self.generation}",
            deployment_id=f"deployment-{self.generation}",
        )
        if is_vouched_for:
            vouchers.vouch(self.folder, release, libraries=vouchers.LIBRARIES)
        endpoints = {"delay": EndpointRoute(releases=(release,))}
        routes.write_routes(self.folder, RouteTable(generation=self.generation, endpoints=endpoints))

    def acknowledged(self) -> routes.Acknowledgement:
        """Wait until the last routes are followed."""
        return routes.wait_acknowledged(self.folder, self.generation, timeout_seconds=PATIENCE_SECONDS)

    def model_path(self, version: str) -> Path:
        """Return the artifact of a version."""
        return self.artifacts.path(self._models[version].sha256)

    @property
    def port(self) -> int:
        """The port of the last endpoint process."""
        holder = claim.last_holder(self.folder)
        assert holder is not None
        return holder.port

    def frames(self) -> list[Frame]:
        """Read the whole log."""
        return [frame for file in spool_files(self.folder) for frame, _ in read_frames(file.path)]

    def stop(self) -> None:
        """End all processes that were started."""
        for process in self._processes:
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """Return an environment in which the endpoint process finds the package that is tested."""
    source = str(Path(ratchet.loop.__path__[0]).parents[1])
    return os.environ | {"PYTHONPATH": source}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with two models whose answers differ, v1 desired."""
    made = Site(tmp_path)
    made.write("v1")
    yield made
    made.stop()


@dataclass
class Period:
    """The time in which a generation may have answered, in seconds of the monotonic clock."""

    version: str
    written_at: float
    replaced_at: float = float("inf")


class Load:
    """Requests over all connections, one after the other on each, until it is told to stop."""

    def __init__(self, port: int) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._callers = [self._pool.submit(self._ask) for _ in range(CONNECTIONS)]

    def until(self, count: int) -> None:
        """Wait until there are so many answers."""
        until(lambda: len(self.answers) >= count or any(each.done() for each in self._callers), f"{count} answers")
        assert not any(each.done() and each.exception() for each in self._callers), "a caller failed"

    def stop(self) -> None:
        """Let each caller finish what it has begun."""
        self._enough.set()
        self._pool.shutdown()

    def _ask(self) -> None:
        caller = Caller(self._port)
        while not self._enough.is_set():
            self.answers.append(caller.ask())
        caller.close()


def _swap_under_load(site: Site, *, requests: int, swaps: int) -> tuple[list[Answer], list[Period]]:
    """Send requests over all connections while the versions alternate, evenly spread over the requests."""
    periods = [Period(version="v1", written_at=clock.monotonic())]
    load = Load(site.port)
    try:
        for number in range(1, swaps + 1):
            load.until(max(number * requests // (swaps + 1), len(load.answers) + BETWEEN))
            period = Period(version="v2" if number % 2 else "v1", written_at=clock.monotonic())
            site.write(period.version)
            assert site.acknowledged().refused == {}
            periods[-1].replaced_at = clock.monotonic()
            periods.append(period)
        load.until(max(requests, len(load.answers) + BETWEEN))
    finally:
        load.stop()
    return load.answers, periods


def _asked_until_acknowledged(site: Site, caller: Caller) -> list[Answer]:
    """Ask again and again until the last routes are followed, and some more."""
    answers = []
    while True:
        seen = routes.read_acknowledgement(site.folder)
        if seen is not None and seen.generation >= site.generation:
            return [*answers, *(caller.ask() for _ in range(BETWEEN))]
        answers.append(caller.ask())
        clock.sleep(0.02)


def test_a_model_that_crashes_the_process_is_refused(site: Site) -> None:
    """A model that crashes and that nobody vouched for is refused; no caller notices, also not after a new start."""
    process = site.start()
    site.add_breaking("crash")
    caller = Caller(site.port)
    site.write("crash", is_vouched_for=False)
    answers = _asked_until_acknowledged(site, caller)
    assert {(answer.status, answer.version) for answer in answers} == {(200, "v1")}
    assert "SIGSEGV" in site.acknowledged().refused["delay"]
    site.write("v2", is_vouched_for=False)
    answers = _asked_until_acknowledged(site, caller)
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].version == "v2"
    assert site.acknowledged().refused == {}
    caller.close()
    site.write("crash", is_vouched_for=False)
    process.kill()
    process.wait()
    again = site.start()
    assert "SIGSEGV" in site.acknowledged().refused["delay"]
    assert again.poll() is None


def test_twenty_swaps_during_ten_thousand_requests(site: Site) -> None:
    """No reply but 200, and each names a version that was live between send and receive and gives its score."""
    site.start()
    answers, periods = _swap_under_load(site, requests=10_000, swaps=20)
    assert len(answers) >= 10_000
    assert {answer.status for answer in answers} == {200}
    certain = 0
    for answer in answers:
        allowed = {
            period.version
            for period in periods
            if period.written_at <= answer.received_at and answer.sent_at <= period.replaced_at
        }
        assert answer.version in allowed
        assert (answer.score > 0.5) == (answer.version == "v1")
        certain += len(allowed) == 1
    assert certain >= 20 * (BETWEEN - CONNECTIONS), "without requests that had one possible version this proves nothing"
    frames = site.frames()
    assert len(frames) == len({frame.request_id for frame in frames}) == len(answers)


def test_no_answered_prediction_is_lost_at_kill_nine(site: Site) -> None:
    """However the process is killed, whatever was answered with 200 is in the log, and it starts again on its port."""
    process = site.start()
    port = site.port
    answered: list[str] = []

    def ask_until_it_dies(connection: int) -> None:
        caller = Caller(port)
        with suppress(OSError, http.client.HTTPException):
            for number in range(1_000_000):
                answer = caller.ask(request_id=f"{connection}-{number}")
                assert answer.status == 200
                answered.append(str(answer.body["id"]))
        caller.close()

    threads = [threading.Thread(target=ask_until_it_dies, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) >= 1_000 or process.poll() is not None, "a thousand answers")
    process.kill()
    process.wait()
    for thread in threads:
        thread.join()
    logged = {frame.request_id for frame in site.frames()}
    assert set(answered) <= logged
    assert len(logged) <= len(answered) + CONNECTIONS
    assert all(file.is_closed for file in spool_files(site.folder))
    site.start()
    assert site.port == port
    assert [file.is_closed for file in spool_files(site.folder)] == [True, False]


@pytest.mark.parametrize("damage", ["corrupt", "truncated", "missing"])
def test_a_damaged_model_is_refused_and_the_old_one_goes_on(site: Site, damage: str) -> None:
    """The acknowledgement names the refusal, and callers notice nothing."""
    site.start()
    path = site.model_path("v2")
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else content[:-1] + b"x")
    site.write("v2")
    acknowledgement = site.acknowledged()
    assert list(acknowledgement.refused) == ["delay"]
    assert acknowledgement.live == {"delay": ["v1"]}
    caller = Caller(site.port)
    answer = caller.ask()
    assert (answer.status, answer.version) == (200, "v1")
    path.write_bytes(content)
    site.write("v2")
    assert site.acknowledged().live == {"delay": ["v2"]}
    assert caller.ask().version == "v2"
    caller.close()


def test_a_full_disk_gives_503_and_never_an_unlogged_answer(site: Site) -> None:
    """When the log file can grow no more, requests are refused; in a new file they are answered again."""
    process = site.start()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (16_384, 16_384))
    caller = Caller(site.port)
    answered: list[str] = []
    while (answer := caller.ask()).status == 200:
        answered.append(answer.body["id"])
        assert len(answered) < 1_000, "the limit on the file must bite"
    assert answer.status == 503
    assert "Make room" in answer.body["error"]
    assert [frame.request_id for frame in site.frames() if frame.status == 200] == answered
    request_rotation(site.folder)
    until(lambda: caller.ask().status == 200, "room in the next file")
    answer = caller.ask()
    assert answer.status == 200
    assert answer.body["id"] in {frame.request_id for frame in site.frames() if frame.status == 200}
    caller.close()


def test_sigterm_finishes_what_was_begun(site: Site) -> None:
    """Requests that are being answered are answered, the acknowledgement is taken back, and the status is 0."""
    process = site.start()
    callers = [Caller(site.port) for _ in range(CONNECTIONS + 1)]
    assert all(caller.is_alive() for caller in callers)
    for caller in callers[1:]:
        caller.send(rows=3_000)
    # Once the server has answered this one twice, it has read those that came before.
    assert callers[0].is_alive()
    assert callers[0].is_alive()
    process.send_signal(signal.SIGTERM)
    answers = [caller.receive() for caller in callers[1:]]
    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert [answer.status for answer in answers] == [200] * CONNECTIONS
    assert {answer.body["id"] for answer in answers} == {frame.request_id for frame in site.frames()}
    assert not list((site.folder / routes.ACKNOWLEDGEMENTS_FOLDER).iterdir())
    with pytest.raises(RoutesNotAcknowledged, match="no endpoint process is alive"):
        routes.wait_acknowledged(site.folder, 1, timeout_seconds=0)
    for caller in callers:
        caller.close()


def test_a_second_process_is_refused_with_the_number_of_the_first(site: Site) -> None:
    """One endpoint process serves a folder; another ends with status 2 and says who is there."""
    process = site.start()
    ended = subprocess.run(site.command(), env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"pid {process.pid}" in ended.stderr


def test_the_endpoint_dies_with_its_parent(site: Site) -> None:
    """When the process that started it is killed, the endpoint ends by itself."""
    program = (
        "import os, subprocess, sys;"
        "subprocess.Popen([*sys.argv[1:], '--die-with-parent', str(os.getpid())]);"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *site.command()], env=environment(), stdin=subprocess.PIPE
    )
    assert site.acknowledged().live == {"delay": ["v1"]}
    parent.kill()
    parent.wait()
    assert parent.stdin is not None
    parent.stdin.close()
    until(lambda: claim.holder(site.folder) is None, "the end of the endpoint")
