"""The outside world of the soak: events that are sent until they are taken, and requests that are asked until answered.

Invariant: whatever got no reply is sent again under its key; what was accepted or answered is remembered with its key.
"""

import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable

from ratchet import clock
from tests import projects
from tests.soak import project
from tests.soak.cluster import Cluster

TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05
# How much simulated time an answered request takes: a day passes within a minute or two.
STEP_SECONDS = 300.0
_NEW, _KNOWN = 201, 200


class Load:
    """Two senders against one cluster.

    Args:
        cluster: Whom they ask.
        token: What they show.
        rate: Events and requests a second, each.
    """

    def __init__(self, cluster: Cluster, *, token: str, rate: float = 20.0) -> None:
        self._cluster = cluster
        self._token = token
        self._pause = 1.0 / rate
        self._running = threading.Event()
        self._ending = threading.Event()
        self._idle = {"events": threading.Event(), "requests": threading.Event()}
        self.accepted: set[int] = set()
        self.answered: set[int] = set()
        self.events = 0
        self.requests = 0
        self.redelivered = 0
        self.faults: list[str] = []
        self.errors: Counter[str] = Counter()
        rows = projects.customers(50, seed=5)
        self._inputs = [projects.tensors(rows.iloc[row : row + 1]) for row in range(len(rows))]
        self._threads = [
            threading.Thread(target=self._loop, args=("events", self._send_next, 1), daemon=True),
            threading.Thread(target=self._loop, args=("requests", self._ask_next, 2), daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        self._running.set()
        for thread in self._threads:
            thread.start()

    def pause(self, *, patience_seconds: float) -> None:
        """Take nothing new; what is under way is sent until it is taken."""
        self._running.clear()
        for name, idle in self._idle.items():
            if not idle.wait(patience_seconds):
                self.faults.append(f"the {name} found nobody who takes them for {patience_seconds:g} s")

    def go_on(self) -> None:
        """Take new ones again."""
        self._running.set()

    def close(self) -> None:
        """End."""
        self._ending.set()
        self._running.set()
        for thread in self._threads:
            thread.join()

    def redeliver_all(self) -> None:
        """Send all events once more: each must be known."""
        for first in range(0, self.events, 500):
            numbers = range(first, min(first + 500, self.events))
            while not self._ending.is_set() and not self._send_batch(list(numbers)):
                clock.sleep(RETRY_SECONDS)

    def _loop(self, name: str, step: Callable[[random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        while not self._ending.is_set():
            if not self._running.is_set():
                self._idle[name].set()
                self._running.wait()
                continue
            self._idle[name].clear()
            try:
                step(chance)
            except Exception as error:  # noqa: BLE001, a thread of the test: whatever it is, it is told
                self.faults.append(f"the sender of {name} failed: {type(error).__name__}: {error}")
                clock.sleep(1.0)
            clock.sleep(self._pause)

    # ---- events

    def _send_next(self, chance: random.Random) -> None:
        number = self.events
        self.events += 1
        while not self._ending.is_set():
            status = self._send(number)
            if status in (_NEW, _KNOWN):
                break
            clock.sleep(RETRY_SECONDS)
        else:
            return
        self.accepted.add(number)
        if chance.random() < 0.1:
            earlier = chance.randrange(number + 1)
            if self._send(earlier) == _NEW and earlier in self.accepted:
                self.faults.append(f"event {earlier} was accepted before, and is new again")

    def _send(self, number: int) -> int:
        status, body = post(
            ("127.0.0.1", self._cluster.port),
            "/api/v1/events",
            json.dumps(event(number)).encode(),
            token=self._token,
            media="application/cloudevents+json",
        )
        self._complain(status, body, (_NEW, _KNOWN), f"event {number}")
        return status

    def _send_batch(self, numbers: list[int]) -> bool:
        status, body = post(
            ("127.0.0.1", self._cluster.port),
            "/api/v1/events",
            json.dumps([event(number) for number in numbers]).encode(),
            token=self._token,
            media="application/cloudevents-batch+json",
        )
        self._complain(status, body, (_NEW, _KNOWN), f"events {numbers[0]} to {numbers[-1]}")
        if status not in (_NEW, _KNOWN):
            return False
        self.redelivered += len(numbers)
        for number, entry in zip(numbers, json.loads(body)["events"], strict=True):
            if entry["is_new"] and number in self.accepted:
                self.faults.append(f"event {number} was accepted before, and is new at its redelivery")
        return True

    # ---- requests

    def _ask_next(self, chance: random.Random) -> None:
        number = self.requests
        self.requests += 1
        body = json.dumps({"id": f"r{number}", "inputs": self._inputs[number % len(self._inputs)]}).encode()
        while not self._ending.is_set():
            address = self._cluster.endpoint_address()
            status, reply = post(address, "/v2/models/churn/infer", body, token=self._token) if address else (0, b"")
            # Before the first release there is nothing to answer with.
            self._complain(status, reply, (200, 401, 404), f"request {number}")
            if status == http.HTTPStatus.OK:
                self.answered.add(number)
                break
            clock.sleep(RETRY_SECONDS)
        # Only between two requests: one that is asked again is asked on the same day.
        project.pass_time(self._cluster.folder, STEP_SECONDS)

    def _complain(self, status: int, body: bytes, expected: tuple[int, ...], what: str) -> None:
        """Note a reply that says neither that it was taken nor that one should come again, and give such a one up.

        Raises:
            AssertionError: It would never be taken.
        """
        if not status or status in expected or status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            return
        said = f"{what} got {status}: {body[:300]!r}"
        assert status >= http.HTTPStatus.INTERNAL_SERVER_ERROR, said
        self.errors[said] += 1


def event(number: int) -> dict[str, object]:
    """Return the event of a number: the same each time."""
    return {
        "specversion": "1.0",
        "id": f"event-{number}",
        "source": project.SOURCE,
        "type": "custom.emitted",
        "pipeline": "churn",
        "data": {"name": "soak", "kind": project.kind_of(number), "number": number},
    }


def post(
    address: tuple[str, int], path: str, body: bytes, *, token: str, media: str = "application/json"
) -> tuple[int, bytes]:
    """Send a request and return status and body; status 0 where no whole reply came."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": media, "Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException, socket.timeout):  # noqa: UP041, said for readers
        return 0, b""
    finally:
        connection.close()
