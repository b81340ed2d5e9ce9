"""Servers that measurements need: PostgreSQL and Redis, and Prefect's own and ours, each in a folder of its own.

Invariant: each is started as its users start it, keeps what it confirmed, and is stopped by its own process number.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.rig.environments import ROOT, Missing, environment, python_of
from bench.rig.warm import stop
from ratchet.loop.serving import claim
from tests.servers import PostgresMissing, PostgresServer

START_SECONDS = 180.0
ASK_SECONDS = 180.0
_LOOK_SECONDS = 0.1
# As Debian sets it up: what was confirmed is on the disk. The tests' own server writes nothing down in time.
_DURABLE = ("listen_addresses=", "max_connections=200", "fsync=on", "synchronous_commit=on")


class Postgres(PostgresServer):
    """A PostgreSQL server that keeps what it confirms."""

    def __init__(self) -> None:
        try:
            super().__init__(_DURABLE)
        except PostgresMissing as error:
            raise Missing(str(error)) from error

    @property
    def pid(self) -> int:
        """Return the number of the process that all others of the server come from."""
        assert self._process is not None, "only of a server that runs"
        return self._process.pid


class Server:
    """A process that answers HTTP, which may be killed and started again.

    Args:
        command: Starts it.
        folder: Where it works.
        health: The path that is answered with 200 once it is there.
        variables: Of its environment.
        port: Where it listens.
        headers: Of each request.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        health: str,
        variables: dict[str, str],
        port: int,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._health = health
        self._variables = variables
        self.address = f"http://127.0.0.1:{port}"
        self.headers = headers or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"

    @property
    def pid(self) -> int:
        """Return its number, 0 while it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            Missing: It did not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=environment(**self._variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_there():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = f"{self._command[-1]} did not come up: {self.log.read_text(errors='replace')[-500:]}"
                raise Missing(message)
            time.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """Kill it and all processes of its group, as ``kill -9`` does."""
        assert self._process is not None, "only a server that runs"
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Let it end, and all that it started."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        patience_seconds: float = ASK_SECONDS,
    ) -> Any:
        """Send a request and return what the answer holds; ``None`` for an empty one.

        Raises:
            OSError: It does not answer, or refuses.
        """
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310, our own server
            self.address + path, content, {"Content-Type": kind, **self.headers}, method=method
        )
        with urllib.request.urlopen(request, timeout=patience_seconds) as reply:  # noqa: S310, our own server
            text = reply.read()
        return json.loads(text) if text else None

    def _is_there(self) -> bool:
        try:
            with urllib.request.urlopen(self.address + self._health, timeout=5):  # noqa: S310, our own server
                return True
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one measurement and remove it afterwards, on the disk that ``BENCH_FOLDER`` names."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_FOLDER")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis(folder: Path) -> Iterator[tuple[int, int]]:
    """Run Redis as Debian sets it up, on a port of its own; gives its process number and its port.

    Raises:
        Missing: It is not installed.
    """
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        message = "Redis is not installed. As root: apt-get install redis-server"
        raise Missing(message)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "redis.log").open("ab") as log:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    message = f"Redis did not come up: {(folder / 'redis.log').read_text()[-300:]}"
                    raise Missing(message) from None
                time.sleep(_LOOK_SECONDS)
        yield process.pid, port
    finally:
        stop(process)


# ---- Prefect


@contextmanager
def prefect(folder: Path, *, with_redis: bool = False) -> Iterator[tuple[Server, tuple[int, ...]]]:
    """Run Prefect's server; gives it and the numbers of the processes beside it.

    Args:
        folder: Where it keeps its files.
        with_redis: Whether it has PostgreSQL and Redis, as its makers advise for production, or its defaults.
    """
    python = python_of("prefect")
    port = free_port()
    variables = {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    beside: tuple[int, ...] = ()
    with ExitStack() as stack:
        if with_redis:
            postgres = stack.enter_context(Postgres())
            url = stack.enter_context(postgres.database())
            pid, redis_port = stack.enter_context(redis(folder / "redis"))
            variables |= _prefect_on(url, redis_port)
            beside = (postgres.pid, pid)
        command = [str(python), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = Server(command, folder=folder, health="/api/health", variables=variables, port=port)
        try:
            server.start()
            yield server, beside
        finally:
            server.stop()


def _prefect_on(url: str, redis_port: int) -> dict[str, str]:
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": url.replace("postgresql://", "postgresql+asyncpg://"),
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_DOCKET_URL": f"redis://127.0.0.1:{redis_port}/1",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_REDIS_MESSAGING_DB": "0",
    }


# ---- ours


@contextmanager
def ratchet(folder: Path, *, settings: str, files: dict[str, str], url: str = "") -> Iterator[Server]:
    """Run ``ratchet up`` on a project that is written first; requests carry the token of a system.

    Args:
        folder: The project's.
        settings: Its ``ratchet.toml``, but for the database.
        files: Its Python files by name.
        url: Of its database; empty for SQLite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = f'database = "{url}"\n' if url else ""
    (folder / "ratchet.toml").write_text(settings.replace("[project]\n", f"[project]\n{database}"))
    for name, content in files.items():
        (folder / name).write_text(content)
    variables = {"PYTHONPATH": f"{ROOT / 'src'}"}
    command = [sys.executable, "-m", "ratchet"]
    issued = subprocess.run(
        [*command, "token", "issue", "bench", "--kind", "system", "--system", "bench"],
        cwd=folder, env=environment(**variables), check=True, capture_output=True, text=True,
    )  # fmt: skip
    port = free_port()
    server = Server(
        # No run is carried out: the other side has no worker either, and what is measured is the way to the run.
        [*command, "up", "--port", str(port), "--runs", "0"],
        folder=folder,
        health="/api/v1/health",
        variables=variables,
        port=port,
        headers={"Authorization": f"Bearer {issued.stdout.strip()}"},
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()
        _end_endpoint(folder)


def _end_endpoint(folder: Path) -> None:
    """End the endpoint that outlives a server that was killed."""
    holder = claim.holder(folder / ".ratchet" / "serving")
    if holder is not None:
        with suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGTERM)
