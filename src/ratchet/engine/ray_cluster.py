"""The job server of a Ray cluster, spoken to over its HTTP interface; Ray itself is not needed on this side.

Invariant: a token goes to the named address only, is never written anywhere, and nothing of this machine's settings of
Ray is read or changed; what the cluster cannot do now is told apart from what it refuses.
Source: Ray documentation, Ray Jobs REST API (stable).
"""

import http.client
import math
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from ratchet.engine.capacity import Demand
from ratchet.records import Record

CONNECT_SECONDS = 10.0
LIMIT_BYTES = 16 << 20
_GIGABYTE = 1 << 30
_REASON_LENGTH = 300
_WRONG_ADDRESS = "Is [ray] address that of the cluster's dashboard, such as http://head:8265?"


class ClusterAway(Exception):
    """The job server does not answer, or not now; it may be asked again."""


class ClusterRefuses(Exception):
    """The job server refuses what it was asked for.

    Args:
        problem: What it does: a sentence without its subject.
        remedy: What can be done about it.
        is_about_token: Whether another token may help.
    """

    def __init__(self, problem: str, remedy: str, *, is_about_token: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.is_about_token = is_about_token


class LogTooLong(Exception):
    """A job's log is longer than is fetched."""


class RayJob(Record, frozen=True):
    """What the cluster says about a job.

    Attributes:
        status: ``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.
        message: In words; of a command that failed, with the end of its log.
        error_type: Where the cluster is at fault, which part of it; ``""`` before versions that say so.
        driver_exit_code: How the command ended; ``None`` where it did not end by itself.
    """

    status: str
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether it will not change any more."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class RayCluster:
    """The job server of one cluster.

    Args:
        address: Such as ``http://head:8265``.
        token: What lets us in; ``""`` where the cluster asks for none.
    """

    def __init__(self, address: str, *, token: str = "") -> None:
        self.address = address.rstrip("/")
        self._token = token

    def submit(self, job: str, command: str, demand: Demand, *, metadata: dict[str, str]) -> None:
        """Start a job, unless one of this id is there already.

        Args:
            job: Its id, chosen by us.
            command: A command line for a shell.
            demand: What the cluster keeps free for it on one node.
            metadata: Shown beside it on the cluster's pages.

        Raises:
            ClusterAway: It could not be started now.
            ClusterRefuses: It will never be.
        """
        asked = {
            "entrypoint": command,
            "submission_id": job,
            "metadata": metadata,
            "entrypoint_num_cpus": demand.cpu,
            "entrypoint_num_gpus": demand.gpu,
            "entrypoint_memory": int(demand.memory_gb * _GIGABYTE),
        }
        try:
            if self._ask("POST", "/api/jobs/", asked) is None:
                raise ClusterRefuses("takes no jobs (HTTP 404)", _WRONG_ADDRESS)
        except ClusterAway:
            # Whether it has begun is not known; nor is "there is such a job" told apart from other failures.
            if self.find(job) is None:
                raise

    def find(self, job: str) -> RayJob | None:
        """Return what the cluster says about a job, ``None`` where it knows of none.

        Raises:
            ClusterAway: Nobody answers.
            ClusterRefuses: Whoever answers does not let us in, or is no job server.
        """
        content = self._ask("GET", f"/api/jobs/{quote(job)}")
        return None if content is None else self._read(content, RayJob)

    def stop(self, job: str) -> None:
        """Let a job's processes be ended; one that is not there is ended already.

        Raises:
            ClusterAway, ClusterRefuses: As for ``find``.
        """
        self._ask("POST", f"/api/jobs/{quote(job)}/stop")

    def log(self, job: str) -> str:
        """Return all that a job has printed, ``""`` where there is nothing yet or no longer.

        Raises:
            LogTooLong: It is more than is fetched.
            ClusterAway, ClusterRefuses: As for ``find``.
        """
        content = self._ask("GET", f"/api/jobs/{quote(job)}/logs")
        return "" if content is None else str(self._read(content, dict[str, Any]).get("logs") or "")

    def version(self) -> str:
        """Return the version of Ray that the cluster runs, ``""`` where it does not say.

        Raises:
            ClusterAway, ClusterRefuses: As for ``find``.
        """
        content = self._ask("GET", "/api/version")
        if content is None:
            raise ClusterRefuses("does not say its version (HTTP 404)", _WRONG_ADDRESS)
        return str(self._read(content, dict[str, Any]).get("ray_version") or "")

    def lets_in(self) -> bool:
        """Tell whether whoever has this token, or none, may ask about jobs.

        Raises:
            ClusterAway, ClusterRefuses: As for ``find``.
        """
        try:
            self.find("none")
        except ClusterRefuses as error:
            if error.is_about_token:
                return False
            raise
        return True

    def largest(self) -> list[Demand]:
        """Return what the nodes have in all, busy or not, those that have more first; nothing where it does not say.

        Raises:
            ClusterAway, ClusterRefuses: As for ``find``.
        """
        content = self._ask(
            "GET", "/api/v0/nodes?detail=1&limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        )
        try:
            found = msgspec.json.decode(content or b"null", type=_Nodes | None)
        except msgspec.DecodeError:
            return []
        rows = found.data.result.result if found is not None else []
        nodes = {_capacity(row.resources_total) for row in rows if row.state == "ALIVE"}
        return sorted(nodes, key=lambda one: (one.gpu, one.cpu, one.memory_gb), reverse=True)

    # ---- inside

    def _ask(self, verb: str, path: str, values: dict[str, Any] | None = None) -> bytes | None:
        """Carry out one request and return the reply's content, ``None`` where there is no such thing."""
        parts = urlsplit(self.address)
        body = None if values is None else msgspec.json.encode(values)
        headers = {"Content-Type": "application/json"} if body else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=CONNECT_SECONDS)
        try:
            connection.request(verb, path, body, headers)
            with connection.getresponse() as reply:
                content = reply.read(LIMIT_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            remedy = "Name an authority that this machine trusts with SSL_CERT_FILE."
            raise ClusterRefuses(
                f"has a certificate that is not trusted here ({error.verify_message})", remedy
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ClusterAway(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        return self._checked(reply.status, content)

    def _checked(self, status: int, content: bytes) -> bytes | None:
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            problem = "does not know the token" if self._token else "asks for a token"
            remedy = (
                'Set token = "env:NAME" or "file:PATH" under [ray] in ratchet.toml; the token is that of the cluster.'
            )
            raise ClusterRefuses(f"{problem} (HTTP {status})", remedy, is_about_token=True)
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ClusterAway(f"HTTP {status}: {_last_line(content)}")
        if status != http.HTTPStatus.OK:
            raise ClusterRefuses(f"answers HTTP {status}: {_last_line(content)}", _WRONG_ADDRESS)
        if len(content) > LIMIT_BYTES:
            raise LogTooLong
        return content

    def _read(self, content: bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterRefuses("answers what no job server does", _WRONG_ADDRESS) from error


class _Node(Record, frozen=True):
    state: str = ""
    resources_total: dict[str, float] = msgspec.field(default_factory=dict)


class _Rows(Record, frozen=True):
    result: list[_Node]


class _Data(Record, frozen=True):
    result: _Rows


class _Nodes(Record, frozen=True):
    data: _Data


def _capacity(resources: dict[str, float]) -> Demand:
    return Demand(
        cpu=resources.get("CPU", 0.0),
        memory_gb=math.floor(10 * resources.get("memory", 0.0) / _GIGABYTE) / 10,
        gpu=int(resources.get("GPU", 0.0)),
    )


def _last_line(content: bytes) -> str:
    """Return what a message says in its last line: before it there is the cluster's own trace."""
    lines = content.decode(errors="replace").strip().splitlines()
    return lines[-1][:_REASON_LENGTH] if lines else "without a word"
