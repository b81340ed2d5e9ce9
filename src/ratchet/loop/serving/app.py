"""The endpoint's addresses as a bare ASGI application, and the tasks that run beside them.

Invariant: the event loop never waits for a model, a disk or a lock: predictions run one after the other on one thread,
the preparation of new routes on another, so health checks and route changes go on under load.

Source: ASGI specification 3.0, "HTTP & WebSocket" and "Lifespan".
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ratchet import clock
from ratchet.errors import (
    BodyTooLarge,
    EndpointBusy,
    MethodNotAllowed,
    PredictionLogUnwritable,
    RatchetError,
    UnknownName,
)
from ratchet.loop.serving import protocol, routes
from ratchet.loop.serving.claim import Holder
from ratchet.loop.serving.inference import Call, Inference, Reply
from ratchet.loop.serving.log import PredictionLog
from ratchet.loop.serving.models import preload_libraries
from ratchet.loop.serving.switchboard import ServedTable, Switchboard
from ratchet.loop.serving.trial import Trials
from ratchet.store.artifacts import Artifacts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

WAITING_LIMIT = 1_000
_POLL_SECONDS = 0.02
_SYNC_SECONDS = 1.0
_ADDRESSES = (
    "/v2, /v2/health/live, /v2/health/ready, and behind /v2/models/NAME or /v2/models/NAME/versions/VERSION: "
    "nothing, /ready, /infer"
)
_VERBS = {(): "about", ("ready",): "ready of", ("infer",): "infer"}


@dataclass(frozen=True, slots=True)
class _Address:
    """What a path asks for: ``server``, ``live``, ``ready``, or of an endpoint ``about``, ``ready of`` or ``infer``."""

    verb: str
    endpoint: str = ""
    version: str = ""


class EndpointApp:
    """An ASGI application that serves the routes of a folder.

    Args:
        folder: The serving folder, claimed by this process.
        artifacts: Where models lie.
        log: Takes a frame before each reply.
        holder: This process, for its acknowledgements.
        trials: Tries models in a process of their own before they are taken in.
    """

    def __init__(
        self,
        folder: Path,
        *,
        artifacts: Artifacts,
        log: PredictionLog,
        holder: Holder,
        trials: Trials | None = None,
    ) -> None:
        self._folder = folder
        self._log = log
        self._holder = holder
        self._started_at = clock.now().isoformat()
        self._switchboard = Switchboard(folder, artifacts=artifacts, trials=trials)
        self._inference = Inference(switchboard=self._switchboard, log=log)
        self._predictor = ThreadPoolExecutor(1, thread_name_prefix="predictor")
        self._preparer = ThreadPoolExecutor(1, thread_name_prefix="preparer")
        self._waiting = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert scope["type"] == "http", "the server is started without WebSockets"
        started_at = clock.monotonic()
        try:
            reply = await self._dispatch(scope, receive, started_at=started_at)
        except RatchetError as error:
            reply = Reply(status=protocol.status_of(error), body=protocol.write_error(error))
        except _CallerGoneError:
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply.body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _dispatch(self, scope: Message, receive: Receive, *, started_at: float) -> Reply:
        address = _read_address(scope["path"])
        allowed = "POST" if address.verb == "infer" else "GET"
        if scope["method"] != allowed:
            raise MethodNotAllowed(method=scope["method"], path=scope["path"], allowed=allowed)
        call = Call(
            endpoint=address.endpoint,
            version=address.version,
            headers=dict(scope["headers"]),
            started_at=started_at,
        )
        if address.verb == "infer":
            return await self._infer(call, receive)
        return Reply(status=200, body=msgspec.json.encode(self._describe(address, call=call)))

    async def _infer(self, call: Call, receive: Receive) -> Reply:
        loop = asyncio.get_running_loop()
        if self._waiting >= WAITING_LIMIT:
            raise EndpointBusy(waiting=self._waiting, limit=WAITING_LIMIT)
        self._waiting += 1
        try:
            try:
                whole = replace(call, body=await _read_body(call, receive))
            except BodyTooLarge as error:
                refuse = partial(self._inference.refuse, call, error=error)
                return await loop.run_in_executor(self._predictor, refuse)
            return await loop.run_in_executor(self._predictor, self._inference.answer, whole)
        finally:
            self._waiting -= 1

    def _describe(self, address: _Address, *, call: Call) -> dict[str, Any]:
        """Return the body of the reply to a question that needs no model."""
        match address.verb:
            case "server":
                return {"name": "ratchet", "version": "2", "extensions": []}
            case "live":
                return {"live": True}
        table = self._switchboard.current()
        if address.verb == "ready":
            return {"ready": True}
        endpoint = table.endpoint(address.endpoint)
        if address.verb == "about":
            table.caller(call.token, endpoint=endpoint)
        model = endpoint.version(address.version) if address.version else endpoint.pick("")
        if address.verb == "ready of":
            return {"name": endpoint.name, "ready": True}
        versions = [each.release.version for each in endpoint.live]
        return protocol.describe_endpoint(endpoint=endpoint.name, versions=versions, schema=model.release.schema)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run the tasks beside the requests from the server's start to its end."""
        await receive()
        tasks = [asyncio.create_task(self._follow_routes()), asyncio.create_task(self._keep_log())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow_routes(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._preparer, preload_libraries)
        acknowledged: tuple[ServedTable | None, str] = (None, "")
        while True:
            try:
                if self._switchboard.has_news():
                    await self._change_over()
                table, unreadable = self._switchboard.table, self._switchboard.unreadable
                if table is not None and (table is not acknowledged[0] or unreadable != acknowledged[1]):
                    await loop.run_in_executor(self._preparer, self._acknowledge, table)
                    acknowledged = (table, unreadable)
            except OSError as error:
                # A full disk ends some day; a follower that gave up would serve old models for ever.
                report(f"cannot follow the routes of {self._folder}: {error}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _change_over(self) -> None:
        prepared = await asyncio.get_running_loop().run_in_executor(self._preparer, self._switchboard.prepare)
        if prepared is None:
            if self._switchboard.unreadable:
                report(self._switchboard.unreadable)
            return
        is_first = self._switchboard.table is None
        self._switchboard.table = prepared
        for name, reason in prepared.refusals().items():
            report(f"endpoint '{name}' keeps its releases: {reason}")
        if is_first:
            # The libraries' hundred thousands of objects live as long as the process: no collection need visit them,
            # and one that did would hold up every request for some hundredths of a second.
            gc.collect()
            gc.freeze()

    def _acknowledge(self, table: ServedTable) -> None:
        refused = table.refusals()
        if self._switchboard.unreadable:
            refused[routes.ROUTES_FILE] = self._switchboard.unreadable
        acknowledgement = routes.Acknowledgement(
            pid=self._holder.pid,
            generation=table.generation,
            live=table.live_versions(),
            refused=refused,
            host=self._holder.host,
            port=self._holder.port,
            started_at=self._started_at,
        )
        routes.write_acknowledgement(self._folder, acknowledgement)

    async def _keep_log(self) -> None:
        loop = asyncio.get_running_loop()
        synced_at = clock.monotonic()
        while True:
            try:
                if self._log.is_rotation_requested():
                    await loop.run_in_executor(self._predictor, self._log.rotate_as_requested)
                if clock.monotonic() - synced_at > _SYNC_SECONDS:
                    await loop.run_in_executor(None, self._log.sync)
                    synced_at = clock.monotonic()
            except (OSError, PredictionLogUnwritable) as error:
                report(f"cannot keep the prediction log: {error}")
                await asyncio.sleep(_SYNC_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)


def report(line: str) -> None:
    """Say something to whoever watches the process's standard error; a full disk may keep it, and ends nothing."""
    with suppress(OSError):
        sys.stderr.write(f"ratchet endpoint {os.getpid()}: {line}\n")
        sys.stderr.flush()


class _CallerGoneError(Exception):
    """The caller closed the connection before the request was whole."""


def _read_address(path: str) -> _Address:
    match path.rstrip("/").split("/"):
        case ["", "v2"]:
            return _Address("server")
        case ["", "v2", "health", ("live" | "ready") as verb]:
            return _Address(verb)
        case ["", "v2", "models", name, "versions", version, *rest] if tuple(rest) in _VERBS:
            return _Address(_VERBS[tuple(rest)], endpoint=name, version=version)
        case ["", "v2", "models", name, *rest] if tuple(rest) in _VERBS:
            return _Address(_VERBS[tuple(rest)], endpoint=name)
    raise UnknownName(kind="address", name=path, known=_ADDRESSES)


async def _read_body(call: Call, receive: Receive) -> bytes:
    announced = call.headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > protocol.BODY_LIMIT_BYTES:
        raise BodyTooLarge(size_bytes=int(announced), limit_bytes=protocol.BODY_LIMIT_BYTES)
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGoneError
        parts.append(message.get("body", b""))
        size_bytes += len(parts[-1])
        if size_bytes > protocol.BODY_LIMIT_BYTES:
            raise BodyTooLarge(size_bytes=size_bytes, limit_bytes=protocol.BODY_LIMIT_BYTES)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
