"""The same automation on two platforms: an event comes over HTTP, and a run of a flow is created because of it.

Invariant: on both sides an event counts as accepted when its request was answered, and as acted on when the run that it
asks for can be read over HTTP; on neither side does anybody carry these runs out.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

from bench.rig import servers
from bench.rig.servers import Server
from ratchet.records import Record

SETTINGS = """[project]
name = "reactions"

[limits]
rule_fires_per_hour = 10000000

[[rule]]
name = "answer"
on = "custom.emitted"
when = "event.data.name == 'bench'"
do = [{ start_run = "tiny" }]
"""
CODE = '''"""A pipeline that nobody carries out here."""

import ratchet as rt


@rt.pipeline(model="tiny")
def tiny() -> list[int]:
    """Do nothing."""
    return []
'''
KIND = "bench.happened"
SEND_SECONDS = 30.0
AGAIN_SECONDS = 0.5
COUNT_SECONDS = 20.0


class Side(ABC):
    """A platform whose server runs.

    Args:
        server: The platform's.
        beside: Numbers of the processes that work for it.

    Attributes:
        refused: How often events were sent again because it said that it was not available.
    """

    def __init__(self, server: Server, beside: tuple[int, ...]) -> None:
        self.server = server
        self._beside = beside
        self.refused = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the roots of all process trees that take part."""
        return (self.server.pid, *self._beside)

    @abstractmethod
    def send(self, count: int) -> None:
        """Send so many events in one request, and return when it was answered."""

    @abstractmethod
    def acted(self) -> int:
        """Return how many runs were created up to now."""

    def wait(self, wanted: int, *, limit_seconds: float, look_seconds: float) -> int:
        """Return how many runs there are, once there are as many as wanted, or the time is over."""
        deadline = time.monotonic() + limit_seconds
        while (found := self.acted()) < wanted and time.monotonic() < deadline:
            time.sleep(look_seconds)
        return found

    def lock_errors(self) -> int:
        """Return how often the server's log says that its database was locked."""
        return self.server.log.read_text(errors="replace").count("database is locked")


class Ratchet(Side):
    """Ours: an event of type ``custom.emitted``, a rule that starts a run, and ``run.queued``."""

    def __init__(self, server: Server, beside: tuple[int, ...]) -> None:
        super().__init__(server, beside)
        self._after = 0
        self._seen = 0

    def send(self, count: int) -> None:
        """Send so many events in one request, and return when it was answered."""
        events = [
            {
                "specversion": "1.0",
                "id": uuid4().hex,
                "source": "bench",
                "type": "custom.emitted",
                "pipeline": "tiny",
                "data": {"name": "bench", "number": number},
            }
            for number in range(count)
        ]
        self.server.ask("POST", "/api/v1/events", events, kind="application/cloudevents-batch+json")

    def acted(self) -> int:
        """Return how many runs were created up to now."""
        while True:
            path = f"/api/v1/events?type=run.queued&limit=1000&after={self._after}"
            found = self.server.ask("GET", path)
            self._after = found["next_after"]
            self._seen += len(found["events"])
            if len(found["events"]) < 1000:
                return self._seen


class Prefect(Side):
    """Prefect: an event, an automation that runs a deployment, and the flow run that this creates."""

    def prepare(self) -> None:
        """Make the deployment and the automation."""
        flow = self._ask("/api/flows/", {"name": "tiny"})["id"]
        deployment = self._ask("/api/deployments/", {"name": "tiny", "flow_id": flow})["id"]
        trigger = {"type": "event", "posture": "Reactive", "expect": [KIND], "threshold": 1, "within": 0}
        action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment, "parameters": {}}
        automation = {"name": "answer", "enabled": True, "trigger": trigger, "actions": [action]}
        self._ask("/api/automations/", automation)

    def send(self, count: int) -> None:
        """Send so many events in one request, and return when it was answered."""
        now = datetime.now(UTC).isoformat()
        events = [
            {
                "id": str(uuid4()),
                "occurred": now,
                "event": KIND,
                "resource": {"prefect.resource.id": "bench.resource"},
                "payload": {"number": number},
            }
            for number in range(count)
        ]
        self._ask("/api/events", events)

    def _ask(self, path: str, body: Any) -> Any:
        deadline = time.monotonic() + SEND_SECONDS
        while True:
            try:
                return self.server.ask("POST", path, body)
            except HTTPError as error:
                # So it says that its database is busy; its own client tries again, too.
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise
                self.refused += 1
                time.sleep(AGAIN_SECONDS)

    def acted(self) -> int:
        """Return how many runs were created up to now; the last known number where the server is too busy to say."""
        try:
            self._known = int(self.server.ask("POST", "/api/flow_runs/count", {}, patience_seconds=COUNT_SECONDS))
        except (TimeoutError, OSError):
            self._known = getattr(self, "_known", 0)
        return self._known


class Platform(Record, frozen=True):
    """A platform with its stores.

    Attributes:
        name: As it is shown.
        start: Runs it in a folder.
    """

    name: str
    start: Callable[[Path], Any]


@contextmanager
def _ratchet(folder: Path, *, is_postgres: bool = False) -> Iterator[Side]:
    with ExitStack() as stack:
        url, beside = "", tuple[int, ...]()
        if is_postgres:
            postgres = stack.enter_context(servers.Postgres())
            url, beside = stack.enter_context(postgres.database()), (postgres.pid,)
        server = stack.enter_context(servers.ratchet(folder, settings=SETTINGS, files={"tiny.py": CODE}, url=url))
        yield Ratchet(server, beside)


@contextmanager
def _prefect(folder: Path, *, with_redis: bool = False) -> Iterator[Side]:
    with servers.prefect(folder, with_redis=with_redis) as (server, beside):
        side = Prefect(server, beside)
        side.prepare()
        yield side


def _ratchet_on_postgres(folder: Path) -> Any:
    return _ratchet(folder, is_postgres=True)


def _prefect_with_redis(folder: Path) -> Any:
    return _prefect(folder, with_redis=True)


OURS = (Platform("Ratchet, SQLite", _ratchet), Platform("Ratchet, PostgreSQL", _ratchet_on_postgres))
PEERS = (Platform("Prefect, SQLite", _prefect), Platform("Prefect, PostgreSQL and Redis", _prefect_with_redis))
