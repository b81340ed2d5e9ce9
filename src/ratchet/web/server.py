"""A socket and a server for the web application, in the main thread or beside it.

Invariant: an address that was given out takes connections, and once a server has stopped its port is free.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ratchet.errors import PortTaken

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_GRACE_SECONDS = 3
_BACKLOG = 128


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


def make_server(app: "Starlette") -> "uvicorn.Server":
    """Return a server for an application; ``run(sockets=[...])`` serves until it is told to stop."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        loop="uvloop",
        http="httptools",
    )
    return uvicorn.Server(settings)


@contextmanager
def serving(app: "Starlette", listener: socket.socket) -> Iterator[None]:
    """Serve an application from a thread of its own while the context lasts."""
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
