"""The Open Inference Protocol, version 2, in JSON: requests to columns, scores to replies, errors to statuses.

Invariant: a value reaches a model only under the name and with the type that the model's schema gives it; whatever does
not fit is refused with the field, what is expected there, and what to do.

Source: Open Inference Protocol v2, "HTTP/REST", github.com/kserve/open-inference-protocol.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from ratchet.errors import (
    BodyTooLarge,
    CredentialRefused,
    EndpointBusy,
    EndpointPreparing,
    MethodNotAllowed,
    NoLiveRelease,
    PredictionFailed,
    PredictionLogUnwritable,
    RatchetError,
    RequestIdReused,
    RequestInvalid,
    UnknownName,
)
from ratchet.loop.serving.routes import ModelSchema
from ratchet.records import derive_id

BODY_LIMIT_BYTES = 8 << 20
ROWS_LIMIT = 10_000
REQUEST_ID_LIMIT = 128
PREDICTION_ID_OUTPUT = "prediction_id"

STATUSES: dict[type[RatchetError], int] = {
    RequestInvalid: 400,
    CredentialRefused: 401,
    UnknownName: 404,
    MethodNotAllowed: 405,
    RequestIdReused: 409,
    BodyTooLarge: 413,
    PredictionFailed: 500,
    NoLiveRelease: 503,
    EndpointPreparing: 503,
    EndpointBusy: 503,
    PredictionLogUnwritable: 503,
}

_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_VALUES: dict[str, Any] = {
    "FP64": float | None,
    "FP32": float | None,
    "INT64": _INT64 | None,
    "INT32": _INT32 | None,
    "BOOL": bool | None,
    "BYTES": str | None,
}
_FLAT = {name: msgspec.json.Decoder(list[value]) for name, value in _VALUES.items()}  # type: ignore[valid-type]
_NESTED = {
    name: msgspec.json.Decoder(list[tuple[value]])  # type: ignore[valid-type]
    for name, value in _VALUES.items()
}
# What may be sent for a column without a change of meaning.
_ACCEPTED: dict[str, tuple[str, ...]] = {
    "FP64": ("FP64", "FP32", "INT64", "INT32"),
    "FP32": ("FP32", "FP64", "INT64", "INT32"),
    "INT64": ("INT64", "INT32"),
    "INT32": ("INT32",),
    "BOOL": ("BOOL",),
    "BYTES": ("BYTES",),
}


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input tensor as it was sent, its data not yet read."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An output that the caller names."""

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an inference request."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One output tensor."""

    name: str
    datatype: str
    shape: tuple[int]
    data: Sequence[Any]


class InferenceReply(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a reply to an inference request."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]


_REQUEST = msgspec.json.Decoder(InferenceRequest)
_ENCODER = msgspec.json.Encoder()


def check_headers(headers: Mapping[bytes, bytes], *, endpoint: str) -> None:
    """Refuse the encodings of a body that this server does not read.

    Raises:
        RequestInvalid: The body has binary tensors or is compressed.
    """
    if b"inference-header-content-length" in headers:
        raise RequestInvalid(
            endpoint=endpoint,
            field="header Inference-Header-Content-Length",
            problem="announces binary tensors, and only JSON tensors are read",
            remedy="Send the data as JSON: set_data_from_numpy(values, binary_data=False) in tritonclient.",
        )
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise RequestInvalid(
            endpoint=endpoint,
            field="header Content-Encoding",
            problem=f"is '{encoding.decode('latin-1')}', and only uncompressed bodies are read",
            remedy="Send the body as it is.",
        )


def read_request(body: bytes, *, endpoint: str) -> InferenceRequest:
    """Read the body of an inference request, all but the data of its tensors.

    Raises:
        RequestInvalid: It is not JSON, or not an inference request.
    """
    try:
        request = _REQUEST.decode(body)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        raise RequestInvalid(
            endpoint=endpoint,
            field=where.strip("`") or "the body",
            problem=f"does not fit: {message}",
            remedy='Send {"inputs": [{"name": ..., "shape": [rows], "datatype": ..., "data": [...]}]}.',
        ) from error
    # A lone half of a surrogate pair or bytes outside UTF-8 end in a UnicodeDecodeError, which is a ValueError.
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestInvalid(
            endpoint=endpoint,
            field="the body",
            problem=f"is not valid JSON: {error}",
            remedy="NaN and Infinity are not JSON: send null for a missing value.",
        ) from error
    if len(request.id) > REQUEST_ID_LIMIT:
        raise RequestInvalid(
            endpoint=endpoint,
            field="id",
            problem=f"has {len(request.id)} characters, and at most {REQUEST_ID_LIMIT} are allowed",
            remedy="Send a shorter id, such as a UUID, or none.",
        )
    return request


def read_columns(request: InferenceRequest, *, schema: ModelSchema, endpoint: str) -> dict[str, list[Any]]:
    """Read the data of all tensors as columns in the order of a model's schema.

    Args:
        request: The request.
        schema: What the model takes.
        endpoint: The served name, for messages.

    Returns:
        Values by column, each of shape ``(rows,)``; None is missing.

    Raises:
        RequestInvalid: A column is missing, unknown or sent twice, or its datatype, shape or data do not fit.
    """
    sent = {tensor.name: tensor for tensor in request.inputs}
    expected = {column.name: column.datatype for column in schema.inputs}
    _check_names(request, sent=sent, expected=expected, endpoint=endpoint)
    rows = _count_rows(request.inputs[0], endpoint=endpoint)
    return {
        name: _read_values(sent[name], expected=datatype, rows=rows, endpoint=endpoint)
        for name, datatype in expected.items()
    }


def build_outputs(
    scores: Sequence[float],
    *,
    output: str,
    prediction_ids: Sequence[str],
    wanted: Sequence[RequestedOutput] = (),
) -> list[OutputTensor]:
    """Return the output tensors of a reply.

    Args:
        scores: Shape ``(rows,)``.
        output: The name of the scores.
        prediction_ids: Shape ``(rows,)``.
        wanted: The outputs that the caller named; none means all.
    """
    shape = (len(scores),)
    outputs = [
        OutputTensor(name=output, datatype="FP64", shape=shape, data=scores),
        OutputTensor(name=PREDICTION_ID_OUTPUT, datatype="BYTES", shape=shape, data=prediction_ids),
    ]
    names = {named.name for named in wanted}
    return [tensor for tensor in outputs if tensor.name in names] if wanted else outputs


def name_predictions(*, endpoint: str, version: str, caller: str, request_id: str, rows: int) -> list[str]:
    """Return the ids of a request's predictions: the same for a repetition, and never those of somebody else's.

    Args:
        endpoint: The served name.
        version: The version that the address names, or empty.
        caller: The name behind the token.
        request_id: What the caller calls the request, or what we call it.
        rows: How many predictions it asks for.

    Returns:
        One for each row, shape ``(rows,)``.
    """
    # As a list in JSON: no choice of one part can make it look like another.
    name = derive_id("prediction", _ENCODER.encode([endpoint, version, caller, request_id]).decode())
    return [f"{name}.{row}" for row in range(rows)]


def write_reply(reply: InferenceReply) -> bytes:
    """Return the body of a reply."""
    return _ENCODER.encode(reply)


def check_outputs(request: InferenceRequest, *, output: str, endpoint: str) -> None:
    """Refuse a request for an output that there is not.

    Raises:
        RequestInvalid: An output is unknown.
    """
    for named in request.outputs:
        if named.name not in {output, PREDICTION_ID_OUTPUT}:
            raise RequestInvalid(
                endpoint=endpoint,
                field=f"output '{named.name}'",
                problem="is unknown",
                remedy=f"There are '{output}' and '{PREDICTION_ID_OUTPUT}'; leave outputs away for both.",
            )


def describe_endpoint(*, endpoint: str, versions: Sequence[str], schema: ModelSchema) -> dict[str, Any]:
    """Return what the protocol calls the metadata of a model."""
    return {
        "name": endpoint,
        "versions": list(versions),
        "platform": "ratchet",
        "inputs": [{"name": each.name, "datatype": each.datatype, "shape": [-1]} for each in schema.inputs],
        "outputs": [
            {"name": schema.output, "datatype": "FP64", "shape": [-1]},
            {"name": PREDICTION_ID_OUTPUT, "datatype": "BYTES", "shape": [-1]},
        ],
    }


def status_of(error: RatchetError) -> int:
    """Return the HTTP status of an error's reply."""
    return STATUSES.get(type(error), 500)


def write_error(error: RatchetError) -> bytes:
    """Return the body of an error's reply; clients of the protocol insist on JSON."""
    return _ENCODER.encode({"error": str(error)})


def _check_names(
    request: InferenceRequest, *, sent: Mapping[str, Tensor], expected: Mapping[str, str], endpoint: str
) -> None:
    known = ", ".join(expected)
    for name in expected:
        if name not in sent:
            raise RequestInvalid(
                endpoint=endpoint,
                field=f"input '{name}'",
                problem="is missing",
                remedy=f"Send one tensor for each of: {known}. A missing value is null in its data.",
            )
    for name in sent:
        if name not in expected:
            raise RequestInvalid(
                endpoint=endpoint, field=f"input '{name}'", problem="is unknown", remedy=f"Send only: {known}."
            )
    if len(request.inputs) > len(expected):
        names = [tensor.name for tensor in request.inputs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestInvalid(
            endpoint=endpoint, field=f"input '{twice}'", problem="is sent twice", remedy="Send each column once."
        )


def _count_rows(tensor: Tensor, *, endpoint: str) -> int:
    rows = tensor.shape[0] if tensor.shape else 0
    if not 1 <= rows <= ROWS_LIMIT:
        raise RequestInvalid(
            endpoint=endpoint,
            field=f"shape of input '{tensor.name}'",
            problem=f"is {tensor.shape}, and a request has 1 to {ROWS_LIMIT} rows",
            remedy="Split the rows over several requests.",
        )
    return rows


def _read_values(tensor: Tensor, *, expected: str, rows: int, endpoint: str) -> list[Any]:
    if tensor.datatype not in _ACCEPTED[expected]:
        raise RequestInvalid(
            endpoint=endpoint,
            field=f"datatype of input '{tensor.name}'",
            problem=f"is '{tensor.datatype}', which must be {' or '.join(_ACCEPTED[expected])}",
            remedy="Send the datatype that GET /v2/models/" + endpoint + " names.",
        )
    if tensor.shape not in ([rows], [rows, 1]):
        raise RequestInvalid(
            endpoint=endpoint,
            field=f"shape of input '{tensor.name}'",
            problem=f"is {tensor.shape}, which must be [{rows}] or [{rows}, 1] as in the first input",
            remedy="Send one tensor for each column, with the same number of rows in all.",
        )
    values = _decode_data(tensor, endpoint=endpoint)
    if len(values) != rows:
        raise RequestInvalid(
            endpoint=endpoint,
            field=f"data of input '{tensor.name}'",
            problem=f"has {len(values)} values, and its shape says {rows}",
            remedy="Make shape and data agree.",
        )
    return values


def _decode_data(tensor: Tensor, *, endpoint: str) -> list[Any]:
    raw = bytes(tensor.data)
    try:
        if len(tensor.shape) == 2 and raw[1:].lstrip().startswith(b"["):  # noqa: PLR2004, rows and columns
            return [value for (value,) in _NESTED[tensor.datatype].decode(raw)]
        return _FLAT[tensor.datatype].decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        problem = str(error) if raw else "there is none"
        raise RequestInvalid(
            endpoint=endpoint,
            field=f"data of input '{tensor.name}'",
            problem=f"is not {tensor.datatype}: {problem}",
            remedy="Send a JSON list of values of that datatype, with null for a missing one.",
        ) from error
