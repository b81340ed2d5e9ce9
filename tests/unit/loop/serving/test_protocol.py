"""What does not fit a model's schema is refused by name; what fits arrives unchanged."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ratchet.errors import RatchetError, RequestInvalid
from ratchet.loop.serving import protocol

from .conftest import SCHEMA

Body = Callable[..., dict[str, Any]]


def _columns(body: dict[str, Any] | bytes) -> dict[str, list[Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = protocol.read_request(content, endpoint="delay")
    return protocol.read_columns(request, schema=SCHEMA, endpoint="delay")


def test_values_arrive_by_column_with_none_for_missing(request_body: Body) -> None:
    """Null stands for a missing value in every datatype."""
    body = request_body()
    for tensor in body["inputs"]:
        tensor["data"][1] = None
    assert _columns(body) == {"distance": [1.5, None], "hour": [12, None], "carrier": ["AA", None]}


def test_a_column_of_shape_rows_by_one_is_a_column(request_body: Body) -> None:
    """Shape [rows, 1] is accepted with flat and with nested data."""
    body = request_body()
    body["inputs"][0] |= {"shape": [2, 1], "data": [[1.5], [None]]}
    body["inputs"][1] |= {"shape": [2, 1], "data": [3, 4]}
    assert _columns(body) == {"distance": [1.5, None], "hour": [3, 4], "carrier": ["AA", "AA"]}


def test_whole_numbers_fit_a_column_of_floats(request_body: Body) -> None:
    """Numbers that lose nothing may be sent in another datatype."""
    body = request_body()
    body["inputs"][0] |= {"datatype": "INT64", "data": [1, 2]}
    assert _columns(body)["distance"] == [1, 2]


def _without(index: int) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["inputs"].pop(index)


def _with(index: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["inputs"][index].update(changes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_without(1), "input 'hour' is missing"),
        (_with(0, name="weight"), "input 'distance' is missing"),
        (lambda body: body["inputs"].append(body["inputs"][0] | {"name": "weight"}), "input 'weight' is unknown"),
        (lambda body: body["inputs"].append(body["inputs"][0]), "input 'distance' is sent twice"),
        (_with(0, datatype="FP16"), "must be FP64 or FP32"),
        (_with(1, datatype="FP64", data=[1.5, 2.5]), "must be INT64 or INT32"),
        (_with(1, data=[1.5, 2]), "Expected `int | null`, got `float`"),
        (_with(1, data=[2**70, 2]), "data of input 'hour' is not INT64"),
        (_with(0, data=["far", 1]), "Expected `float | null`, got `str`"),
        (_with(0, data=[True, 1]), "Expected `float | null`, got `bool`"),
        (_with(2, data=[1, 2]), "Expected `str | null`, got `int`"),
        (_with(1, shape=[3]), "must be [2] or [2, 1]"),
        (_with(1, shape=[1, 2]), "must be [2] or [2, 1]"),
        (_with(1, data=[1]), "has 1 values, and its shape says 2"),
        (_with(0, shape=[0], data=[]), "1 to 10000 rows"),
        (_with(0, shape=[]), "1 to 10000 rows"),
        (_with(0, shape=[10_001]), "1 to 10000 rows"),
        (_with(0, data=[[[1]], [[1]]], shape=[2, 1]), "got `array`"),
        (_with(0, shape="two"), "$.inputs[0].shape"),
        (lambda body: body["inputs"][0].pop("data"), "there is none"),
        (lambda body: body["inputs"].clear(), "input 'distance' is missing"),
        (lambda body: body.pop("inputs"), "required field `inputs`"),
        (lambda body: body.update(id="x" * 129), "at most 128"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    request_body: Body, change: Callable[[dict[str, Any]], None], expected: str
) -> None:
    """Each refusal names the field, what is expected, and ends with what to do."""
    body = request_body()
    change(body)
    with pytest.raises(RequestInvalid) as refused:
        _columns(body)
    assert expected in str(refused.value)
    assert refused.value.remedy.endswith(".")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"inputs": [NaN]}', b"\xff\xfe", b'{"inputs": 5}', b'"\\ud800"'])
def test_what_is_not_a_request_is_refused(body: bytes) -> None:
    """Bytes that are not JSON, or not a request, end in one kind of error."""
    with pytest.raises(RequestInvalid):
        _columns(body)


def test_missing_values_are_explained_to_those_who_send_nan() -> None:
    """NaN is not JSON, and the error says what to send instead."""
    with pytest.raises(RequestInvalid, match="null for a missing value"):
        _columns(b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [NaN]}]}')


def test_binary_and_compressed_bodies_are_refused() -> None:
    """Encodings that are not read are refused by the name of their header."""
    with pytest.raises(RequestInvalid, match="binary tensors"):
        protocol.check_headers({b"inference-header-content-length": b"10"}, endpoint="delay")
    with pytest.raises(RequestInvalid, match="gzip"):
        protocol.check_headers({b"content-encoding": b"gzip"}, endpoint="delay")
    protocol.check_headers({b"content-encoding": b"identity"}, endpoint="delay")


def test_reply_has_the_outputs_that_were_asked_for(request_body: Body) -> None:
    """Without a wish both outputs come, with one only that."""
    both = protocol.build_outputs([0.5], output="probability", prediction_ids=["r.0"])
    reply = json.loads(
        protocol.write_reply(
            protocol.InferenceReply(model_name="delay", model_version="delay@v1", id="r", outputs=both)
        )
    )
    assert reply["model_version"] == "delay@v1"
    assert [output["name"] for output in reply["outputs"]] == ["probability", "prediction_id"]
    assert reply["outputs"][0] == {"name": "probability", "datatype": "FP64", "shape": [1], "data": [0.5]}
    wanted = protocol.read_request(
        json.dumps(request_body(outputs=[{"name": "prediction_id"}])).encode(), endpoint="delay"
    ).outputs
    one = protocol.build_outputs([0.5], output="probability", prediction_ids=["r.0"], wanted=wanted)
    assert [tensor.name for tensor in one] == ["prediction_id"]


def test_unknown_output_is_refused(request_body: Body) -> None:
    """An output that there is not is refused with those that there are."""
    body = json.dumps(request_body(outputs=[{"name": "classes"}])).encode()
    request = protocol.read_request(body, endpoint="delay")
    with pytest.raises(RequestInvalid, match="'probability' and 'prediction_id'"):
        protocol.check_outputs(request, output="probability", endpoint="delay")


def test_every_status_is_an_error_status() -> None:
    """No error is sent as a success, known to the table or not."""
    assert all(status >= 400 for status in protocol.STATUSES.values())
    assert protocol.status_of(RatchetError()) == 500


def test_no_two_requests_share_the_name_of_a_prediction() -> None:
    """Where one part ends and the next begins makes a difference, whatever the parts hold."""
    parts = [
        ("a", "b", "c", "d"),
        ("a", "b", "", "cd"),
        ("a", "", "b", "cd"),
        ("a", "b", "c\x1fd", ""),
        ("a", "b", "c", ""),
    ]
    named = [
        protocol.name_predictions(endpoint=one, version=two, caller=three, request_id=four, rows=2)
        for one, two, three, four in [*parts, ("a", "b", "c", "\x1fd"), ('a","b', "", "c", "d")]
    ]
    assert len({name for names in named for name in names}) == 2 * len(named)
