"""A local S3 server for the time of a test run, whose objects a test can damage and make old.

Invariant: it listens on this machine only, in a thread of the test process, and forgets nothing while it is stopped.
"""

import datetime as dt
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ratchet import clock

# What any client of such storage reads; the server takes everybody.
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
_MEDDLING = ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION")


class Bucket:
    """A bucket of the server, seen from behind.

    Args:
        name: Its name.
        server: The server, as its library gives it.
    """

    def __init__(self, name: str, server: Any) -> None:
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        self.name = name
        self.url = f"s3://{name}/shared"
        self._server = server
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._backend.create_bucket(name, "us-east-1")

    def keys(self) -> list[str]:
        """Return the names of all objects, sorted."""
        return sorted(self._backend.buckets[self.name].keys)

    def damage(self, sha256: str, content: bytes) -> None:
        """Put other bytes into an artifact's place."""
        self._backend.put_object(self.name, _key(sha256), content)

    def make_old(self, sha256: str, *, seconds: float) -> None:
        """Let an artifact have been written so long ago."""
        moment = clock.real_seconds() - seconds
        self._object(sha256).last_modified = dt.datetime.fromtimestamp(moment, dt.UTC).replace(tzinfo=None)

    def written(self, sha256: str) -> Any:
        """Return when an artifact was last written."""
        return self._object(sha256).last_modified

    def _object(self, sha256: str) -> Any:
        return self._backend.buckets[self.name].keys[_key(sha256)]

    def stop(self) -> None:
        """Let nobody listen any more."""
        self._server.stop()
        self._server._server.server_close()

    def start(self) -> None:
        """Answer again, with all that was there."""
        self._server.start()


def _key(sha256: str) -> str:
    return f"shared/{sha256[:2]}/{sha256}"


@contextmanager
def s3_server() -> Iterator[Any]:
    """Run a server on a free port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    # The port that was free stays the same when the server is started again.
    _, server._port = server.get_host_and_port()
    try:
        yield server
    finally:
        with suppress(OSError):
            server.stop()
            server._server.server_close()


@contextmanager
def bucket(server: Any, name: str) -> Iterator[Bucket]:
    """Give an empty bucket, while the environment names its server."""
    _, port = server.get_host_and_port()
    before = {key: os.environ.get(key) for key in (*_CREDENTIALS, *_MEDDLING, "AWS_ENDPOINT_URL")}
    for key in _MEDDLING:
        os.environ.pop(key, None)
    os.environ.update(_CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    try:
        yield Bucket(name, server)
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
