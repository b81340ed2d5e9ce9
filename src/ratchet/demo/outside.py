"""The world outside: an airline's system that asks for predictions and sends what came of them, both over HTTP.

Invariant: a request has the same id however often it is sent, so that a prediction is made once; an outcome is sent
only after its flight has landed.
"""

import http.client
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import msgspec
import numpy as np

from ratchet import clock
from ratchet.demo.flights import CATEGORICAL, FEATURES, NEW_YORK, Flights
from ratchet.errors import NotSettled
from ratchet.loop import credentials
from ratchet.loop.serving.protocol import name_predictions
from ratchet.workspace import Workspace

SYSTEM = "airline"
DAY_FLIGHTS = 200
PATIENCE_SECONDS = 90.0
_RETRY_SECONDS = 0.05


class Airline:
    """A system with a token of its own, declared in the ledger.

    Args:
        workspace: Whose endpoint it calls.
        flights: What it asks about.
        endpoint: The served name.
        web: Address of the web application, which takes outcomes in.
        seed: Draws the hours of each day in which it asks.
        since: From when on it asks; what it asked before now is known again after a restart.
    """

    def __init__(
        self, workspace: Workspace, flights: Flights, *, endpoint: str, web: str, seed: int, since: datetime
    ) -> None:
        self._workspace = workspace
        self._flights = flights
        self._endpoint = endpoint
        token = self._make_token()
        self._predictions = _Line(workspace.endpoint_address, token=token)
        self._feedback = _Line(lambda: web, token=token)
        self._asked: dict[str, str] = {}
        self._seed = seed
        self._since = since
        for hour in self.hours(max(since, clock.now())):
            self._remember(hour)

    def hours(self, until: datetime) -> list[datetime]:
        """Return the hours before a moment in which it asks, in order.

        Of each New York day they are drawn until they have a third of its flights, and at least ``DAY_FLIGHTS``; the
        draw depends on the day and the seed alone.
        """
        days: dict[date, list[datetime]] = defaultdict(list)
        for hour in self._flights.hours_between(self._since, _midnight_after(until)):
            days[hour.astimezone(NEW_YORK).date()].append(hour)
        drawn = [hour for hours in days.values() for hour in self._draw(hours)]
        return sorted(hour for hour in drawn if hour < until)

    def _draw(self, hours: list[datetime]) -> list[datetime]:
        flights = {hour: self._flights.count(hour) for hour in hours}
        wanted = max(DAY_FLIGHTS, sum(flights.values()) / 3)
        drawn: list[datetime] = []
        for hour in sorted(hours, key=lambda one: crc32(f"{self._seed}/{one.isoformat()}".encode())):
            if sum(flights[one] for one in drawn) >= wanted:
                break
            drawn.append(hour)
        return drawn

    def ask(self, hour: datetime) -> int:
        """Ask about all flights of an hour in one request, again and again until it is answered; returns how many."""
        columns = self._flights.asked_at(hour)
        body = msgspec.json.encode({"id": _request_id(hour), "inputs": _tensors(columns)})
        self._predictions.post(f"/v2/models/{self._endpoint}/infer", body)
        self._remember(hour)
        return len(columns["flight_id"])

    def send_outcomes(self, start: datetime, end: datetime, *, key: str) -> int:
        """Send what came of the flights that have landed in ``(start, end]``; returns how many."""
        landed = self._flights.landed(start, end)
        outcomes = [
            {
                "prediction_id": self._asked[flight],
                "value": int(late),
                "fields": {"flight_id": flight, "scheduled_departure": _iso(departure), "arrived_at": _iso(arrival)},
            }
            for flight, late, departure, arrival in zip(
                landed["flight_id"], landed["late"], landed["scheduled_departure"], landed["arrived_at"], strict=True
            )
            if flight in self._asked
        ]
        if outcomes:
            body = msgspec.json.encode({"outcomes": outcomes})
            self._feedback.post(f"/api/v1/feedback/{self._endpoint}", body, key=key)
        return len(outcomes)

    def close(self) -> None:
        """Hang up."""
        self._predictions.close()
        self._feedback.close()

    def _remember(self, hour: datetime) -> None:
        flights = [str(flight) for flight in self._flights.asked_at(hour)["flight_id"]]
        # As the replies said, or will say: what was asked before a restart is known again without asking.
        ids = name_predictions(
            endpoint=self._endpoint, version="", caller=SYSTEM, request_id=_request_id(hour), rows=len(flights)
        )
        self._asked.update(zip(flights, ids, strict=True))

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


class _Line:
    """A connection that is made again as often as it breaks.

    Args:
        address: Gives where to connect to; a server that came back may be elsewhere.
        token: Shown with each request.
    """

    def __init__(self, address: Callable[[], str], *, token: str) -> None:
        self._address = address
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, *, key: str = "") -> None:
        """Send a request until it is taken; with a key it is taken once, however often it arrives.

        Raises:
            NotSettled: It was refused, or not answered for a long time.
        """
        deadline = clock.monotonic() + PATIENCE_SECONDS
        problem = "no answer"
        while clock.monotonic() < deadline:
            try:
                status, content = self._exchange(path, body, key)
            except (OSError, http.client.HTTPException) as error:
                self._connection, problem = None, str(error) or type(error).__name__
            else:
                if status in (http.HTTPStatus.OK, http.HTTPStatus.ACCEPTED):
                    return
                problem = f"{status} {content.decode(errors='replace')[:300]}"
                if status < http.HTTPStatus.INTERNAL_SERVER_ERROR and status != http.HTTPStatus.NOT_FOUND:
                    break
            clock.sleep(_RETRY_SECONDS)
        raise NotSettled(limit_seconds=PATIENCE_SECONDS, waiting=f"the answer to {path}: {problem}")

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str, body: bytes, key: str) -> tuple[int, bytes]:
        if self._connection is None:
            address = urlsplit(self._address())
            self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        self._connection.request("POST", path, body, {**headers, "Idempotency-Key": key} if key else headers)
        response = self._connection.getresponse()
        return response.status, response.read()


def _midnight_after(moment: datetime) -> datetime:
    """Return the end of a moment's day in New York: a draw looks at whole days."""
    day = moment.astimezone(NEW_YORK).date() + timedelta(days=1)
    return datetime.combine(day, time(), NEW_YORK)


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
