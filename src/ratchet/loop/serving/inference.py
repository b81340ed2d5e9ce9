"""From a request for predictions to its reply, without a word about servers: check, route, predict, log, answer.

Invariant: a reply with status 200 is returned only after its frame is in the log, and a repeated request gets the reply
of the first without a second frame.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ratchet import clock, faults
from ratchet.errors import PredictionLogUnwritable, RatchetError, RequestIdReused
from ratchet.loop.serving import protocol
from ratchet.loop.serving.log import Frame, PredictionLog
from ratchet.loop.serving.meter import Meter, Reading
from ratchet.loop.serving.models import LoadedModel
from ratchet.loop.serving.switchboard import ANONYMOUS, ServedTable, Switchboard

OK = 200
REPEATS_LIMIT = 10_000
REPEATS_LIMIT_BYTES = 64 << 20
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Call:
    """A request for predictions, as it came.

    Attributes:
        endpoint: The served name.
        version: The version that the address names, or empty.
        headers: By lower-case name.
        body: The body, as sent.
        started_at: When it came, by the monotonic clock, in seconds.
    """

    endpoint: str
    version: str = ""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    started_at: float = field(default_factory=clock.monotonic)

    @property
    def token(self) -> str:
        """Return the bearer token, or nothing."""
        header = self.headers.get(b"authorization", b"").decode("latin-1")
        return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a JSON body."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Progress:
    """What is known of a call so far; the frame of a refusal says as much."""

    request_id: str = ""
    caller: str = ANONYMOUS
    model: LoadedModel | None = None
    time: int = 0
    columns: dict[str, list[Any]] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    prediction_ids: list[str] = field(default_factory=list)


class Repeats:
    """The replies to the last requests that had an id, limited in number and in bytes."""

    def __init__(self, *, limit: int = REPEATS_LIMIT, limit_bytes: int = REPEATS_LIMIT_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._replies: OrderedDict[tuple[str, ...], tuple[bytes, bytes]] = OrderedDict()

    def find(self, key: tuple[str, ...], *, body: bytes) -> bytes | None:
        """Return the body of the reply to the same request, or None.

        Args:
            key: Endpoint, version in the address, caller, request id.
            body: The body of the request.

        Raises:
            RequestIdReused: The id was used for another body.
        """
        known = self._replies.get(key)
        if known is None:
            return None
        if known[0] != _digest(body):
            raise RequestIdReused(endpoint=key[0], request_id=key[-1])
        self._replies.move_to_end(key)
        return known[1]

    def keep(self, key: tuple[str, ...], *, body: bytes, reply: bytes) -> None:
        """Remember a reply and forget the oldest ones beyond the limits."""
        self._replies[key] = (_digest(body), reply)
        self._size_bytes += len(reply)
        while len(self._replies) > self._limit or self._size_bytes > self._limit_bytes:
            _, (_, forgotten) = self._replies.popitem(last=False)
            self._size_bytes -= len(forgotten)


class Inference:
    """Answers requests for predictions; call it from one thread at a time.

    Args:
        switchboard: Says which model answers.
        log: Takes a frame before each reply.
    """

    def __init__(self, *, switchboard: Switchboard, log: PredictionLog) -> None:
        self._switchboard = switchboard
        self._log = log
        self._repeats = Repeats()
        self._meter = Meter()

    def answer(self, call: Call) -> Reply:
        """Return the reply to a call; errors are replies too."""
        self._meter.begin()
        progress = _Progress(time=clock.to_us(clock.now()))
        try:
            return self._predict(call, table=self._switchboard.current(), progress=progress)
        except RatchetError as error:
            return self._refuse(call, error=error, progress=progress)

    def refuse(self, call: Call, *, error: RatchetError) -> Reply:
        """Return and log the reply to a call that the server could not even read."""
        self._meter.begin()
        return self._refuse(call, error=error, progress=_Progress(time=clock.to_us(clock.now())))

    def _predict(self, call: Call, *, table: ServedTable, progress: _Progress) -> Reply:
        endpoint = table.endpoint(call.endpoint)
        progress.caller = table.caller(call.token, endpoint=endpoint)
        protocol.check_headers(call.headers, endpoint=endpoint.name)
        request = protocol.read_request(call.body, endpoint=endpoint.name)
        key = (endpoint.name, call.version, progress.caller, request.id)
        progress.request_id = request.id or clock.new_id()
        repeated = self._repeats.find(key, body=call.body) if request.id else None
        if repeated is not None:
            return Reply(status=OK, body=repeated)
        model = endpoint.version(call.version) if call.version else endpoint.pick(progress.request_id)
        progress.model = model
        schema = model.release.schema
        protocol.check_outputs(request, output=schema.output, endpoint=endpoint.name)
        columns = protocol.read_columns(request, schema=schema, endpoint=endpoint.name)
        scores = model.predict(columns)
        prediction_ids = protocol.name_predictions(
            endpoint=endpoint.name,
            version=call.version,
            caller=progress.caller,
            request_id=progress.request_id,
            rows=len(scores),
        )
        progress.columns, progress.scores, progress.prediction_ids = columns, scores, prediction_ids
        reply = protocol.write_reply(
            protocol.InferenceReply(
                model_name=endpoint.name,
                model_version=model.release.version,
                id=progress.request_id,
                outputs=protocol.build_outputs(
                    scores, output=schema.output, prediction_ids=prediction_ids, wanted=request.outputs
                ),
            )
        )
        self._write(call, progress=progress, status=OK)
        faults.point("reply.before_sending")
        if request.id:
            self._repeats.keep(key, body=call.body, reply=reply)
        return Reply(status=OK, body=reply)

    def _refuse(self, call: Call, *, error: RatchetError, progress: _Progress) -> Reply:
        status = protocol.status_of(error)
        table = self._switchboard.table
        # Requests to names that are not served belong to no endpoint's log.
        if table is not None and call.endpoint in table.endpoints:
            progress.request_id = progress.request_id or clock.new_id()
            try:
                self._write(call, progress=progress, status=status, error=str(error))
            except PredictionLogUnwritable as unwritable:
                return Reply(status=protocol.status_of(unwritable), body=protocol.write_error(unwritable))
        return Reply(status=status, body=protocol.write_error(error))

    def _write(self, call: Call, *, progress: _Progress, status: int, error: str = "") -> None:
        reading, counters = self._meter.read()
        self._log.append(_frame(call, progress=progress, status=status, error=error, reading=reading))
        self._meter.count(counters)


def _frame(call: Call, *, progress: _Progress, status: int, error: str, reading: Reading) -> Frame:
    release = progress.model.release if progress.model else None
    # Rows belong to the log only where they were answered: what follows counts predictions by them.
    answered = progress if status == OK else _Progress()
    return Frame(
        request_id=progress.request_id,
        endpoint=call.endpoint,
        version=release.version if release else "",
        traffic_id=release.traffic_id if release else "",
        caller=progress.caller,
        time=progress.time,
        latency_us=round((clock.monotonic() - call.started_at) * 1e6),
        status=status,
        prediction_ids=answered.prediction_ids,
        columns=answered.columns,
        scores=answered.scores,
        error=error,
        cpu_us=reading.cpu_us,
        process_cpu_us=reading.process_cpu_us,
        process_wall_us=reading.process_wall_us,
        memory_mb=reading.memory_mb,
    )


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
