"""Nothing is answered that is not logged, and a repeated request is answered once."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratchet.errors import BodyTooLarge, RequestIdReused
from ratchet.loop.serving.inference import Call, Inference, Repeats, Reply
from ratchet.loop.serving.log import Frame, PredictionLog, read_frames, spool_files
from ratchet.loop.serving.protocol import name_predictions
from ratchet.loop.serving.routes import Caller, ReleaseRoute, RouteTable
from ratchet.loop.serving.switchboard import Switchboard

from .test_switchboard import SECRET_SHA256

Body = Callable[..., dict[str, Any]]


@pytest.fixture
def served(switchboard: Switchboard, release: Callable[..., ReleaseRoute], route: Callable[..., RouteTable]) -> None:
    """Serve v1 to anybody."""
    route(release("v1"), tokens={SECRET_SHA256: Caller(name="shop", team="sales")})
    switchboard.table = switchboard.prepare()


def _call(body: dict[str, Any], *, endpoint: str = "delay", version: str = "", token: str = "") -> Call:
    headers = {b"authorization": f"Bearer {token}".encode()} if token else {}
    return Call(endpoint=endpoint, version=version, headers=headers, body=json.dumps(body).encode())


def _frames(folder: Path) -> list[Frame]:
    return [frame for file in spool_files(folder) for frame, _ in read_frames(file.path)]


def _outputs(reply: Reply) -> dict[str, list[Any]]:
    assert reply.status == 200, reply.body
    return {output["name"]: output["data"] for output in json.loads(reply.body)["outputs"]}


@pytest.mark.usefixtures("served")
def test_the_frame_says_what_the_reply_says(inference: Inference, folder: Path, request_body: Body) -> None:
    """The log has the inputs, the scores, the ids, the caller and the release of a reply."""
    reply = inference.answer(_call(request_body(id="r1"), token="secret"))
    (frame,) = _frames(folder)
    assert _outputs(reply) == {"probability": frame.scores, "prediction_id": frame.prediction_ids}
    assert (frame.version, frame.traffic_id, frame.caller, frame.status) == ("delay@v1", "traffic-v1", "shop", 200)
    assert frame.columns == {"distance": [1.5, 1.5], "hour": [12, 12], "carrier": ["AA", "AA"]}
    assert frame.prediction_ids == name_predictions(
        endpoint="delay", version="", caller="shop", request_id="r1", rows=2
    )
    assert frame.latency_us > 0
    assert json.loads(reply.body)["model_version"] == "delay@v1"


@pytest.mark.usefixtures("served")
def test_requests_without_an_id_get_ids_of_their_own(inference: Inference, folder: Path, request_body: Body) -> None:
    """Two equal requests without an id are two requests."""
    replies = [_outputs(inference.answer(_call(request_body()))) for _ in range(2)]
    ids = [identifier for reply in replies for identifier in reply["prediction_id"]]
    assert len(set(ids)) == 4
    assert len(_frames(folder)) == 2


@pytest.mark.usefixtures("served")
def test_a_repeat_gets_the_same_reply_and_no_second_frame(
    inference: Inference, folder: Path, request_body: Body
) -> None:
    """A retry after a lost reply changes nothing."""
    first, second = (inference.answer(_call(request_body(id="r1"))) for _ in range(2))
    assert first == second
    assert len(_frames(folder)) == 1


@pytest.mark.usefixtures("served")
def test_an_id_with_another_body_is_refused(inference: Inference, folder: Path, request_body: Body) -> None:
    """One id for two bodies would give two predictions one name."""
    inference.answer(_call(request_body(id="r1")))
    reply = inference.answer(_call(request_body(id="r1", rows=3)))
    assert reply.status == 409
    assert [frame.status for frame in _frames(folder)] == [200, 409]


@pytest.mark.usefixtures("served")
def test_callers_never_see_each_others_replies(inference: Inference, folder: Path, request_body: Body) -> None:
    """The same id and body of another caller is another request, and its predictions are others."""
    for token in ("secret", ""):
        assert inference.answer(_call(request_body(id="1"), token=token)).status == 200
    frames = _frames(folder)
    assert [frame.caller for frame in frames] == ["shop", "anonymous"]
    assert len({name for frame in frames for name in frame.prediction_ids}) == 4


@pytest.mark.usefixtures("served")
def test_a_version_in_the_address_makes_another_request(inference: Inference, folder: Path, request_body: Body) -> None:
    """What is not taken for a repetition has predictions of its own."""
    for version in ("", "delay@v1"):
        assert inference.answer(_call(request_body(id="1"), version=version)).status == 200
    assert len({name for frame in _frames(folder) for name in frame.prediction_ids}) == 4


@pytest.mark.usefixtures("served")
def test_a_repeat_at_another_process_names_the_same_predictions(
    switchboard: Switchboard, log: PredictionLog, request_body: Body
) -> None:
    """A process that was started again knows no replies; what it predicts anew counts once by its ids."""
    ids = [
        _outputs(Inference(switchboard=switchboard, log=log).answer(_call(request_body(id="1"))))["prediction_id"]
        for _ in range(2)
    ]
    assert ids[0] == ids[1]


@pytest.mark.usefixtures("served")
def test_refusals_are_logged_too(inference: Inference, folder: Path, request_body: Body) -> None:
    """A refused request leaves a frame with its status and message; one to an unknown endpoint leaves none."""
    assert inference.answer(_call(request_body(inputs=[], id="r1"))).status == 400
    assert inference.answer(_call(request_body(), version="delay@v9")).status == 404
    assert inference.refuse(_call({}), error=BodyTooLarge(size_bytes=9, limit_bytes=8)).status == 413
    assert inference.answer(_call(request_body(), endpoint="churn")).status == 404
    frames = _frames(folder)
    assert [frame.status for frame in frames] == [400, 404, 413]
    assert frames[0].request_id == "r1"
    assert "is missing" in frames[0].error
    assert all(frame.request_id for frame in frames)


@pytest.mark.usefixtures("served")
def test_a_model_that_fails_is_an_error_and_logged(inference: Inference, folder: Path, request_body: Body) -> None:
    """What the model raises becomes status 500 with the version in the frame."""
    body = request_body()
    body["inputs"][0]["data"] = [None, None]
    reply = inference.answer(_call(body))
    (frame,) = _frames(folder)
    assert reply.status == frame.status == 500
    assert frame.version == "delay@v1"
    assert "contains NaN" in frame.error
    assert (frame.columns, frame.scores, frame.prediction_ids) == ({}, [], [])


@pytest.mark.usefixtures("served")
def test_what_cannot_be_logged_is_not_answered(inference: Inference, folder: Path, request_body: Body) -> None:
    """With a full disk the reply is 503, and it is 200 again when there is room, also for the same id."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        refused = inference.answer(_call(request_body(id="r1")))
        invalid = inference.answer(_call(request_body(inputs=[])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (refused.status, invalid.status) == (503, 503)
    assert b"Make room" in refused.body
    assert inference.answer(_call(request_body(id="r1"))).status == 200
    assert [frame.request_id for frame in _frames(folder)] == ["r1"]


def test_before_the_first_routes_the_reply_is_503(inference: Inference, request_body: Body) -> None:
    """A process that is still loading says so."""
    assert inference.answer(_call(request_body())).status == 503


def test_repeats_are_limited_in_number_and_bytes() -> None:
    """The oldest replies are forgotten first, by whichever limit is reached."""
    few = Repeats(limit=2)
    for name in ("a", "b"):
        few.keep((name,), body=b"x", reply=b"12")
    assert few.find(("a",), body=b"x") == b"12"
    few.keep(("c",), body=b"x", reply=b"12")
    assert [few.find((name,), body=b"x") for name in ("a", "b", "c")] == [b"12", None, b"12"]
    small = Repeats(limit_bytes=5)
    for name in ("a", "b", "c"):
        small.keep((name,), body=b"x", reply=b"12")
    assert [small.find((name,), body=b"x") for name in ("a", "b", "c")] == [None, b"12", b"12"]
    with pytest.raises(RequestIdReused):
        small.find(("c",), body=b"y")
