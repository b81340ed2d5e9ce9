"""A socket and a server beside the main thread."""

import http.client
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratchet.errors import PortTaken, WebPagesFailed
from ratchet.web.server import address_of, listen, make_server, run, serving
from tests.waiting import PATIENCE_SECONDS


def test_a_taken_port_is_refused_by_name() -> None:
    """The message names the address and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)


def test_connections_are_taken_before_the_server_is_there() -> None:
    """Whoever is told the address may use it at once."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        connection.close()


def test_an_application_is_served_while_the_context_lasts() -> None:
    """It answers from a thread, and afterwards its port is free for the next."""
    app = Starlette(routes=[Route("/", _answer)])
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    assert address_of(listener) == f"http://127.0.0.1:{port}"
    with serving(app, listener):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        client.request("GET", "/")
        assert client.getresponse().read() == b"here"
        client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_application_that_does_not_start_is_told_of() -> None:
    """Nobody is left waiting for a server that ended before it took a request."""

    @asynccontextmanager
    async def broken(_app: Starlette) -> AsyncIterator[None]:
        raise LookupError("a template is missing")
        yield

    listener = listen("127.0.0.1", 0)
    with pytest.raises(WebPagesFailed, match="did not start"), serving(Starlette(lifespan=broken), listener):
        pytest.fail("it was taken as started")
    assert listener.fileno() == -1


@pytest.mark.parametrize("is_broken", [False, True])
def test_it_is_said_to_run_when_it_answers(*, is_broken: bool) -> None:
    """Not before the application has started, and never where it does not start."""
    said: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        said.append("application")
        if is_broken:
            raise LookupError("a template is missing")
        yield

    def started() -> None:
        said.append("server")
        server.should_exit = True

    server = make_server(Starlette(lifespan=lifespan), on_started=started)
    with listen("127.0.0.1", 0) as listener, suppress(WebPagesFailed):
        run(server, listener)
    assert said == (["application"] if is_broken else ["application", "server"])


def _answer(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("here")
