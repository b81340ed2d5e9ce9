"""Clusters for tests of steps on Ray: a real one of two nodes where Ray is installed, and a job server that plays one.

Invariant: both answer the same requests, want the same token, run a job's command as a process of its own, and are
gone with all their processes when the test is over.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.waiting import next_line

TOKEN = "let-me-in-0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parent.parent
# The nodes of either cluster, in processors.
NODES = (1, 1)
# Of a project whose steps may go there: where the artifacts are, the address, and the interpreter of the jobs.
SETTINGS = """[project]
name = "shop"
artifacts = "{store}"

[limits]
attempts = 2

[ray]
address = "{address}"
token = "env:RATCHET_TEST_TOKEN"
python = "{python}"
away_seconds = 0.5
"""


@dataclass
class Cluster:
    """A cluster that runs."""

    address: str
    token: str = TOKEN


@dataclass
class _Job:
    asked: dict[str, Any]
    log: Path
    status: str = "PENDING"
    node: int = -1
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class JobServer(Cluster):
    """Plays the job server: takes jobs, carries each out where there is room, tells of them."""

    def __init__(self, folder: Path, *, token: str = TOKEN) -> None:
        self.jobs: dict[str, _Job] = {}
        self.is_up = True
        self.version = "2.55.1"
        self._folder = folder
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        super().__init__(address=f"http://127.0.0.1:{self._http.server_port}", token=token)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """End all jobs and answer nobody."""
        self.lose()
        self._http.shutdown()
        self._http.server_close()

    def lose(self) -> None:
        """Forget all jobs and end them, as a head does that is started anew."""
        with self._lock:
            for job in self.jobs.values():
                _end(job)
            self.jobs = {}

    def answer(self, verb: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """Return status and content of a reply."""
        if not self.is_up:
            return 503, "starting"
        if self.token and headers.get("Authorization", "") != f"Bearer {self.token}":
            return (403, "Forbidden: Invalid authentication token") if "Authorization" in headers else (401, "Missing")
        return self._answer(verb, path, body)

    def _answer(self, verb: str, path: str, body: bytes) -> tuple[int, Any]:
        with self._lock:
            self._schedule()
            if path == "/api/version":
                return 200, {"version": "4", "ray_version": self.version, "ray_commit": "0", "session_name": "played"}
            if path.startswith("/api/v0/nodes"):
                rows = [{"state": "ALIVE", "resources_total": {"CPU": cpu, "memory": 4 << 30}} for cpu in NODES]
                return 200, {"result": True, "data": {"result": {"total": 2, "result": rows}}}
            if (verb, path) == ("POST", "/api/jobs/"):
                return self._submit(json.loads(body))
            name, _, act = path.removeprefix("/api/jobs/").partition("/")
            if name not in self.jobs:
                return 404, f"Job {name} does not exist"
            return self._about(self.jobs[name], act)

    def _submit(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = asked["submission_id"]
        if name in self.jobs:
            return 500, f"Traceback\nValueError: Job with submission_id {name} already exists."
        self.jobs[name] = _Job(asked=asked, log=self._folder / f"{name}.log")
        self._schedule()
        return 200, {"job_id": name, "submission_id": name}

    def _about(self, job: _Job, act: str) -> tuple[int, Any]:
        if act == "logs":
            return 200, {"logs": job.log.read_text() if job.log.exists() else ""}
        if act == "stop":
            _end(job)
            job.status = "STOPPED"
            return 200, {"stopped": True}
        message = None
        if job.status == "FAILED":
            message = f"Job entrypoint command failed with exit code {job.code}, last logs:\n{job.log.read_text()}"
        told = {"status": job.status, "message": message, "error_type": None, "driver_exit_code": job.code}
        return 200, {"type": "SUBMISSION", "driver_node_id": str(job.node), **told, **job.fields}

    def _schedule(self) -> None:
        for job in self.jobs.values():
            if job.process is not None and job.status == "RUNNING" and job.process.poll() is not None:
                job.code = job.process.returncode
                job.status = "FAILED" if job.code else "SUCCEEDED"
            if job.status == "PENDING":
                self._begin(job)

    def _begin(self, job: _Job) -> None:
        for node, cpus in enumerate(NODES):
            running = [one for one in self.jobs.values() if one.status == "RUNNING" and one.node == node]
            if sum(one.asked["entrypoint_num_cpus"] for one in running) + job.asked["entrypoint_num_cpus"] <= cpus:
                with job.log.open("ab") as log:
                    job.process = subprocess.Popen(  # noqa: S602, a command for a shell, as the job server of Ray has it
                        job.asked["entrypoint"],
                        shell=True,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                        env={**os.environ, "PYTHONPATH": _python_path()},
                    )
                job.status, job.node = "RUNNING", node
                return


def _end(job: _Job) -> None:
    if job.process is not None and job.process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(job.process.pid, signal.SIGTERM)
        job.process.wait()


def _handler(server: JobServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the parent's name for it
            """Say nothing."""

        def _reply(self, verb: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = server.answer(verb, self.path, self.headers, body)
            encoded = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

    return Handler


def _python_path() -> str:
    return os.pathsep.join([str(ROOT / "src"), str(ROOT)])


# ---- the real one

_NODES_PROGRAM = """
import sys
from ray.cluster_utils import Cluster
first, *others = {nodes}
# A fixed port of the first node's agent would let no other cluster of this machine begin.
shared = dict(object_store_memory=80 << 20, dashboard_agent_listen_port=None)
head = dict(num_cpus=first, include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port={port})
cluster = Cluster(initialize_head=True, head_node_args=dict(**shared, **head))
for number in others:
    cluster.add_node(wait=True, num_cpus=number, **shared)
print("nodes are up", flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@contextmanager
def real_cluster(folder: Path, *, token: str = TOKEN, port: int = 0) -> Iterator[Cluster]:
    """Run a Ray cluster of two nodes on this machine, which wants a token.

    Args:
        folder: For its files; its path is short, because sockets lie below it.
        token: What it wants.
        port: Of its job server; a free one by default.
    """
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": _python_path(),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(folder),
    }
    program = _NODES_PROGRAM.format(nodes=NODES, port=port)
    with (folder / "cluster.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
            text=True,
        )
        try:
            next_line(process.stdout, "the nodes of Ray", containing="nodes are up")
            yield Cluster(address=f"http://127.0.0.1:{port}", token=token)
        finally:
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
