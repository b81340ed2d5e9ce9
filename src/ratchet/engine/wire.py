"""Frames between parent and child: four bytes of length, then JSON. No pickle crosses this line.

Invariant: a frame arrives whole or the other side is gone.
"""

import socket
import struct
from typing import Any

import msgspec

_LENGTH = struct.Struct(">I")
LIMIT_BYTES = 64 << 20

Frame = dict[str, Any]


class PeerGone(Exception):
    """The process at the other end closed the connection."""


class FrameTooLarge(PeerGone, ValueError):
    """The other side announced more than a frame may have; user code runs there, so it is not believed."""


def send(connection: socket.socket, frame: Frame) -> None:
    """Send one frame.

    Raises:
        PeerGone: Nobody reads any more.
    """
    content = msgspec.json.encode(frame)
    assert len(content) <= LIMIT_BYTES, "values travel by reference, not in frames"
    try:
        connection.sendall(_LENGTH.pack(len(content)) + content)
    except OSError as error:
        raise PeerGone from error


def receive(connection: socket.socket) -> Frame:
    """Wait for one frame.

    Raises:
        PeerGone: The other side closed before a whole frame came.
        FrameTooLarge: It announced more than a frame may have.
        TimeoutError: The socket's timeout ran out before a frame began.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, started=False))
    if length > LIMIT_BYTES:
        raise FrameTooLarge
    frame: Frame = msgspec.json.decode(_exactly(connection, length, started=True))
    return frame


def _exactly(connection: socket.socket, size: int, *, started: bool) -> bytes:
    content = b""
    while len(content) < size:
        try:
            chunk = connection.recv(size - len(content))
        except TimeoutError:
            if content or started:
                continue
            raise
        except OSError as error:
            raise PeerGone from error
        if not chunk:
            raise PeerGone
        content += chunk
    return content
