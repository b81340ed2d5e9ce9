"""The world outside: an airline's system that asks for predictions over HTTP and sends what came of them.

Invariant: a request has the same id however often it is sent, so that a prediction is made once; an outcome is sent
only after its flight has landed.
"""

import http.client
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from ratchet import clock
from ratchet.demo.flights import CATEGORICAL, FEATURES, Flights
from ratchet.errors import NotSettled
from ratchet.loop import credentials, feedback
from ratchet.loop.feedback import Outcome
from ratchet.workspace import Workspace

SYSTEM = "airline"
PATIENCE_SECONDS = 90.0
_RETRY_SECONDS = 0.05


class Airline:
    """A system with a token of its own, declared in the ledger.

    Args:
        workspace: Whose endpoint it calls.
        flights: What it asks about.
        endpoint: The served name.
        since: From when on it asks; what it asked before now is known again after a restart.
    """

    def __init__(self, workspace: Workspace, flights: Flights, *, endpoint: str, since: datetime) -> None:
        self._workspace = workspace
        self._flights = flights
        self._endpoint = endpoint
        self._token = self._make_token()
        self._connection: http.client.HTTPConnection | None = None
        self._asked: dict[str, str] = {}
        for hour in flights.hours_between(since, max(since, clock.now())):
            self._remember(hour)

    def ask(self, hour: datetime) -> int:
        """Ask about all flights of an hour in one request, again and again until it is answered; returns how many."""
        columns = self._flights.asked_at(hour)
        body = msgspec.json.encode({"id": _request_id(hour), "inputs": _tensors(columns)})
        self._post(f"/v2/models/{self._endpoint}/infer", body)
        self._remember(hour)
        return len(columns["flight_id"])

    def send_outcomes(self, start: datetime, end: datetime, *, key: str) -> int:
        """Send what came of the flights that have landed in ``(start, end]``; returns how many."""
        landed = self._flights.landed(start, end)
        outcomes = [
            Outcome(
                prediction_id=self._asked[flight],
                value=int(late),
                fields={"flight_id": flight, "scheduled_departure": _iso(departure), "arrived_at": _iso(arrival)},
            )
            for flight, late, departure, arrival in zip(
                landed["flight_id"], landed["late"], landed["scheduled_departure"], landed["arrived_at"], strict=True
            )
            if flight in self._asked
        ]
        if outcomes:
            credential = credentials.check(self._workspace.database, self._token)
            sender = credential.actor(credentials.pseudonym(self._workspace.resources, credential.name))
            feedback.receive(self._workspace.resources, self._endpoint, outcomes, sender=sender, key=key)
        return len(outcomes)

    def _remember(self, hour: datetime) -> None:
        for row, flight in enumerate(self._flights.asked_at(hour)["flight_id"]):
            self._asked[str(flight)] = f"{_request_id(hour)}.{row}"

    def _make_token(self) -> str:
        path = self._workspace.folder / "keys" / f"{SYSTEM}.token"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"rat_{clock.new_secret()}")
        token = path.read_text()
        credential = credentials.Credential(name=SYSTEM, kind="system", system=SYSTEM, team="operations")
        person = self._workspace.person("you")
        with self._workspace.by_command(
            "issue_token", {"name": SYSTEM}, subject=SYSTEM, actor=person, key=f"demo/token/{SYSTEM}"
        ):
            credentials.issue(self._workspace.resources, credential, token=token)
        return token

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        """Send a request until it is answered with 200.

        Raises:
            NotSettled: It was refused, or not answered for a long time.
        """
        deadline = clock.monotonic() + PATIENCE_SECONDS
        problem = "no answer"
        while clock.monotonic() < deadline:
            try:
                status, content = self._exchange(path, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection, problem = None, str(error) or type(error).__name__
            else:
                if status == http.HTTPStatus.OK:
                    answer: dict[str, Any] = msgspec.json.decode(content)
                    return answer
                problem = f"{status} {content.decode(errors='replace')[:300]}"
                if status < http.HTTPStatus.INTERNAL_SERVER_ERROR and status != http.HTTPStatus.NOT_FOUND:
                    break
            clock.sleep(_RETRY_SECONDS)
        raise NotSettled(limit_seconds=PATIENCE_SECONDS, waiting=f"the endpoint's answer to {path}: {problem}")

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            address = urlsplit(self._workspace.endpoint_address())
            self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()


def _request_id(hour: datetime) -> str:
    return hour.strftime("%Y-%m-%dT%H")


def _tensors(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "datatype": "BYTES" if name in CATEGORICAL else "FP64",
            "shape": [len(columns[name])],
            "data": [None if value != value else value for value in columns[name].tolist()],  # noqa: PLR0124, NaN
        }
        for name in FEATURES
    ]


def _iso(moment: np.datetime64) -> str:
    return f"{moment.astype('datetime64[s]')}+00:00"
