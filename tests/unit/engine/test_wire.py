"""Frames between parent and child."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from ratchet.engine import wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two connected sockets."""
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


def test_frames_come_whole_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    """Frames arrive as they were sent, one after the other."""
    left, right = pair
    frames: list[wire.Frame] = [{}, {"a": [1, None, "ü"]}, {"deep": {"x": 1.5}}]
    for frame in frames:
        wire.send(left, frame)
    assert [wire.receive(right) for _ in frames] == frames


def test_large_frame(pair: tuple[socket.socket, socket.socket]) -> None:
    """A frame larger than the socket's buffer arrives in one piece."""
    left, right = pair
    frame = {"text": "x" * (4 << 20)}
    sender = threading.Thread(target=wire.send, args=(left, frame))
    sender.start()
    assert wire.receive(right) == frame
    sender.join()


def test_nothing_within_the_timeout(pair: tuple[socket.socket, socket.socket]) -> None:
    """Where no frame begins in time, that is a timeout, and the connection stays usable."""
    left, right = pair
    right.settimeout(0.01)
    with pytest.raises(TimeoutError):
        wire.receive(right)
    wire.send(left, {"a": 1})
    assert wire.receive(right) == {"a": 1}


def test_slow_frame_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    """A frame that has begun is read to its end, however slowly it comes."""
    left, right = pair
    right.settimeout(0.01)
    content = struct.pack(">I", 7) + b'{"a":1}'

    def trickle() -> None:
        for byte in content:
            left.sendall(bytes([byte]))
            threading.Event().wait(0.02)

    sender = threading.Thread(target=trickle)
    sender.start()
    found = None
    while found is None:
        try:
            found = wire.receive(right)
        except TimeoutError:
            continue
    sender.join()
    assert found == {"a": 1}


@pytest.mark.parametrize("begun", [b"", b"\0\0", struct.pack(">I", 7) + b'{"a'])
def test_peer_that_ends_is_gone(pair: tuple[socket.socket, socket.socket], begun: bytes) -> None:
    """A peer that closes before a whole frame came is gone, however much of it had come."""
    left, right = pair
    left.sendall(begun)
    left.close()
    with pytest.raises(wire.PeerGone):
        wire.receive(right)


def test_sending_to_nobody(pair: tuple[socket.socket, socket.socket]) -> None:
    """A peer that closed does not take frames."""
    left, right = pair
    right.close()
    with pytest.raises(wire.PeerGone):
        wire.send(left, {"a": 1})


def test_values_do_not_travel(pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame beyond the limit is a programmer's error: values travel by reference."""
    monkeypatch.setattr(wire, "LIMIT_BYTES", 10)
    with pytest.raises(AssertionError, match="by reference"):
        wire.send(pair[0], {"a": "more than ten bytes"})


def test_frame_beyond_the_limit_is_not_received(pair: tuple[socket.socket, socket.socket]) -> None:
    """A peer that announces more than a frame may have is cut off, not waited for: user code runs there."""
    left, right = pair
    right.settimeout(0.01)
    left.sendall(struct.pack(">I", wire.LIMIT_BYTES + 1))
    closing = threading.Timer(0.3, left.close)
    closing.start()
    try:
        with pytest.raises((ValueError, AssertionError)):
            wire.receive(right)
    finally:
        closing.join()
