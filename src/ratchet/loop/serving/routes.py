"""The desired routes that the control plane writes, and the acknowledgements that endpoint processes write back.

Invariant: a route table is replaced as a whole and its generation only rises; an acknowledgement names a generation
only after every reply that is started from then on follows it.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ratchet import clock
from ratchet.errors import RoutesInvalid, RoutesNotAcknowledged, RoutesNotNewer
from ratchet.loop.serving import claim
from ratchet.store.artifacts import write_durably

ROUTES_FILE = "routes.json"
ACKNOWLEDGEMENTS_FOLDER = "acks"
_POLL_SECONDS = 0.005
_SHARE_TOLERANCE = 1e-6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Datatype = Literal["FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES"]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a route table; a field that is not known is an error, not something to skip."""


class ModelReference(_Strict, frozen=True):
    """Which artifact holds a model and which storer reads it."""

    sha256: Digest
    storer: str


class InputColumn(_Strict, frozen=True):
    """One column that a model takes."""

    name: str
    datatype: Datatype
    kind: Literal["number", "category"]


class ModelSchema(_Strict, frozen=True):
    """What a model takes and what it gives: ``probability`` (of the second class) or ``prediction`` (a number)."""

    inputs: tuple[InputColumn, ...]
    output: Literal["probability", "prediction"]


class ReleaseRoute(_Strict, frozen=True):
    """A model version on an endpoint.

    Attributes:
        version: Such as ``flight-delay@v7``.
        model: Where its bytes are.
        schema: Its columns.
        role: Live answers callers; shadow never does.
        share: Part of the endpoint's traffic, 0 to 1; the live shares of an endpoint add up to 1.
        traffic_id: The ledger event that gave it this share.
        deployment_id: The deployment that made the release.
    """

    version: str
    model: ModelReference
    schema: ModelSchema
    role: Literal["live", "shadow"]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    traffic_id: str
    deployment_id: str


class EndpointRoute(_Strict, frozen=True):
    """The releases of an endpoint and who may call it."""

    releases: tuple[ReleaseRoute, ...]
    callers: Literal["any", "token"] = "any"


class Caller(_Strict, frozen=True):
    """Whom a token stands for."""

    name: str
    team: str


class RouteTable(_Strict, frozen=True):
    """Everything that an endpoint process must know.

    Attributes:
        generation: Rises with every change, from 1.
        endpoints: By name.
        tokens: By the sha256 of the token, in hexadecimal digits; the tokens themselves are never written.
    """

    generation: Annotated[int, msgspec.Meta(ge=0)]
    endpoints: dict[str, EndpointRoute]
    tokens: dict[Digest, Caller] = {}


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint process says that it serves.

    Attributes:
        pid: The process.
        generation: The route table that it follows.
        live: Versions that answer callers, by endpoint, as they are now.
        refused: Why an endpoint did not take its new releases, by endpoint; what was live before still is.
        host: The address it listens on.
        port: The port it listens on.
        started_at: When the process started, in the domain's time, ISO 8601.
    """

    pid: int
    generation: int
    live: dict[str, list[str]]
    refused: dict[str, str]
    host: str
    port: int
    started_at: str


def write_routes(folder: Path, table: RouteTable) -> None:
    """Make a route table the desired one; the running endpoint process takes it up within some milliseconds.

    Raises:
        RoutesInvalid: The table contradicts itself; nothing was written.
        RoutesNotNewer: Another table with this generation, or a later one, is there already.
    """
    path = folder / ROUTES_FILE
    content = msgspec.json.format(msgspec.json.encode(table), indent=1)
    _decode(content, path=path)
    try:
        current = read_routes(folder)
    except RoutesInvalid:
        # A damaged file says nothing about generations, and being replaced is its only cure.
        current = RouteTable(generation=0, endpoints={})
    if current == table:
        return
    if table.generation <= current.generation:
        raise RoutesNotNewer(path=str(path), generation=table.generation, current=current.generation)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)


def read_routes(folder: Path) -> RouteTable:
    """Return the desired routes; before the first were written, generation 0 without endpoints.

    Raises:
        RoutesInvalid: The file is not a route table, or the table contradicts itself.
    """
    path = folder / ROUTES_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return RouteTable(generation=0, endpoints={})
    return _decode(content, path=path)


def write_acknowledgement(folder: Path, acknowledgement: Acknowledgement) -> None:
    """Tell the control plane what this process serves now."""
    path = _acknowledgement_path(folder, pid=acknowledgement.pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, msgspec.json.encode(acknowledgement))


def remove_acknowledgement(folder: Path, *, pid: int) -> None:
    """Take back what a process said, because it ends."""
    _acknowledgement_path(folder, pid=pid).unlink(missing_ok=True)


def read_acknowledgement(folder: Path) -> Acknowledgement | None:
    """Return what the living endpoint process says, or None; files of dead processes are removed on the way."""
    # The files are listed before the holder is asked for: the other way round, the first acknowledgement of a process
    # that starts in between would be taken for a dead one's.
    paths = list((folder / ACKNOWLEDGEMENTS_FOLDER).glob("*.json"))
    holder = claim.holder(folder)
    for path in paths:
        if holder is None or path.stem != str(holder.pid):
            path.unlink(missing_ok=True)
    if holder is None:
        return None
    try:
        content = _acknowledgement_path(folder, pid=holder.pid).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Acknowledgement)


def wait_acknowledged(folder: Path, generation: int, *, timeout_seconds: float) -> Acknowledgement:
    """Wait until the living endpoint process follows a generation or a later one.

    Look at ``refused`` of the result: an endpoint named there still serves what it served before.

    Raises:
        RoutesNotAcknowledged: That did not happen in time; the message says what was seen instead.
    """
    deadline = clock.monotonic() + timeout_seconds
    while True:
        acknowledgement = read_acknowledgement(folder)
        if acknowledgement is not None and acknowledgement.generation >= generation:
            return acknowledgement
        if clock.monotonic() >= deadline:
            raise RoutesNotAcknowledged(
                folder=str(folder),
                generation=generation,
                limit_seconds=timeout_seconds,
                state=_describe(folder, acknowledgement),
            )
        clock.sleep(_POLL_SECONDS)


def _describe(folder: Path, acknowledgement: Acknowledgement | None) -> str:
    if acknowledgement is None:
        holder = claim.holder(folder)
        return f"process {holder.pid} is still preparing" if holder else "no endpoint process is alive"
    refused = "; ".join(f"{name}: {reason}" for name, reason in acknowledgement.refused.items())
    seen = f"process {acknowledgement.pid} follows generation {acknowledgement.generation}"
    return f"{seen} ({refused})" if refused else seen


def _acknowledgement_path(folder: Path, *, pid: int) -> Path:
    return folder / ACKNOWLEDGEMENTS_FOLDER / f"{pid}.json"


def _decode(content: bytes, *, path: Path) -> RouteTable:
    try:
        table = msgspec.json.decode(content, type=RouteTable)
    except msgspec.MsgspecError as error:
        raise RoutesInvalid(path=str(path), problem=f"{error}.") from error
    for name, endpoint in table.endpoints.items():
        problem = _contradiction(name, endpoint)
        if problem:
            raise RoutesInvalid(path=str(path), problem=f"endpoint '{name}' {problem}.")
    return table


def _contradiction(name: str, endpoint: EndpointRoute) -> str:
    """Say what is wrong with an endpoint, or nothing."""
    if not _NAME.fullmatch(name):
        return "has a name that cannot stand in an address: letters, digits, '.', '_' and '-' may, at most 128"
    versions = [release.version for release in endpoint.releases]
    if len(set(versions)) < len(versions):
        return f"names a version twice: {', '.join(versions)}"
    live = [release.share for release in endpoint.releases if release.role == "live"]
    if live and abs(sum(live) - 1) > _SHARE_TOLERANCE:
        return f"has live shares that add up to {sum(live):g}, which must be 1"
    for release in endpoint.releases:
        columns = [column.name for column in release.schema.inputs]
        if not columns or len(set(columns)) < len(columns):
            return f"has a release {release.version} without columns or with a column twice: {', '.join(columns)}"
    return ""
