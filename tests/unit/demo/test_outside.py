"""The airline's system, as seen from its requests."""

import http.server
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np
import pytest

from ratchet.demo import outside
from ratchet.errors import NotSettled


def test_a_request_is_named_after_its_hour() -> None:
    """Asked again after a crash, a request has the same id."""
    hour = datetime(2013, 3, 4, 15, tzinfo=UTC)
    assert outside._request_id(hour) == outside._request_id(hour) == "2013-03-04T15"


def test_missing_numbers_travel_as_null() -> None:
    """JSON knows no NaN, so a missing value is null."""
    columns = {name: np.array(["AA"], dtype=object) for name in outside.CATEGORICAL}
    columns |= {name: np.array([np.nan]) for name in outside.FEATURES if name not in outside.CATEGORICAL}
    tensors = {tensor["name"]: tensor for tensor in outside._tensors(columns)}
    assert tensors["temp"]["data"] == [None]
    assert tensors["carrier"]["datatype"] == "BYTES"


def test_moments_are_sent_with_their_zone() -> None:
    """What an outcome tells about times is UTC and says so."""
    assert outside._iso(np.datetime64("2013-03-04T15:05:00.000000")) == "2013-03-04T15:05:00+00:00"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses that a test lays out, and remembers what came."""

    protocol_version = "HTTP/1.1"
    statuses: ClassVar[list[int]] = []
    came: ClassVar[list[tuple[str, str | None, bytes]]] = []

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((self.path, self.headers["Idempotency-Key"], body))
        self.send_response(self.statuses.pop(0))
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"because")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def line() -> Iterator[outside._Line]:
    """A line to a receiver."""
    Receiver.statuses, Receiver.came = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = outside._Line(lambda: f"http://127.0.0.1:{server.server_port}", token="rat_x")
        yield made
        made.close()
        server.shutdown()


def test_a_post_is_repeated_with_its_key_until_it_is_taken(line: outside._Line) -> None:
    """A server that is not ready is asked again, with the same body under the same key."""
    Receiver.statuses = [503, 404, 202]
    line.post("/feedback", b"{}", key="monday")
    assert Receiver.came == [("/feedback", "monday", b"{}")] * 3


def test_a_refusal_ends_the_year_with_its_reason(line: outside._Line) -> None:
    """What the server refuses is not sent again; the message says what it said."""
    Receiver.statuses = [422]
    with pytest.raises(NotSettled, match="422 because"):
        line.post("/feedback", b"{}")
    assert len(Receiver.came) == 1
