"""A socket and a server for the web application, in the main thread or beside it.

Invariant: an address that was given out takes connections, and once a server has stopped its port is free.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ratchet.errors import PortTaken, WebPagesFailed

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_GRACE_SECONDS = 3
_BACKLOG = 128
_LOOK_SECONDS = 0.01


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections from now on, before the server is there to answer them.

    Args:
        host: A name or an address of this machine.
        port: 0 for any free one.

    Raises:
        PortTaken: The address is not free.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(host=host, port=port, reason=str(error.strerror or error)) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address under which a socket on this machine is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: "Starlette", *, on_started: Callable[[], None] = lambda: None) -> "uvicorn.Server":
    """Return a server for an application; ``run`` serves with it.

    Args:
        app: The application.
        on_started: Called once, when the server takes requests; never where the application does not start.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_started()

    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        loop="uvloop",
        http="httptools",
    )
    return Server(settings)


def run(server: "uvicorn.Server", listener: socket.socket) -> None:
    """Serve until the server is told to stop.

    Raises:
        WebPagesFailed: The application did not start.
    """
    # Uvicorn writes down why an application did not start, and then ends the process.
    with suppress(SystemExit):
        server.run(sockets=[listener])
    if not server.started:
        raise WebPagesFailed


@contextmanager
def serving(app: "Starlette", listener: socket.socket) -> Iterator[None]:
    """Serve an application from a thread of its own while the context lasts.

    Raises:
        WebPagesFailed: The application did not start.
    """
    server = make_server(app)

    def work() -> None:
        with suppress(WebPagesFailed):
            run(server, listener)

    thread = threading.Thread(target=work, name="web", daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            thread.join(_LOOK_SECONDS)
        if not server.started:
            raise WebPagesFailed
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
