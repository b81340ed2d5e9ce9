"""The write-ahead log of predictions: frames that survive the death of the process that wrote them.

Invariant: a frame is in the file, whole, before its reply is sent; a reader never takes a torn frame for a whole one,
and a file that a reader is told is closed never grows again.

The file ``spool/<writer>-<sequence>.wal`` is a row of frames: 4 bytes little-endian length, 4 bytes little-endian
CRC-32 of the payload, payload (a ``Frame`` in MessagePack). Writer names are never used twice, so an offset that the
control plane remembers for a file name stays right after that file is gone.
"""

import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ratchet.errors import PredictionLogUnwritable
from ratchet.loop.serving import claim
from ratchet.store.artifacts import sync_path

SPOOL_FOLDER = "spool"
ROTATION_FILE = "rotate"
FILE_LIMIT_BYTES = 64 << 20
# The largest request that is accepted makes a frame of about 40 MiB; a longer length is not one that we wrote.
FRAME_LIMIT_BYTES = 64 << 20
_HEADER = struct.Struct("<II")
_FILE_NAME = re.compile(r"([0-9A-Z]{26})-(\d{6})\.wal")


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One request for predictions and what came of it.

    Attributes:
        request_id: The caller's, or one that we made.
        endpoint: The served name.
        version: The model version that answered; empty where the request was refused before one was chosen.
        traffic_id: The ledger event that made that version answer; empty likewise.
        caller: The name behind the token, or ``anonymous``.
        time: When the request came, in the domain's time, microseconds since 1970 in UTC.
        latency_us: Microseconds from its arrival to the writing of this frame, in real time.
        status: The HTTP status of the reply.
        prediction_ids: One for each row, shape ``(rows,)``.
        columns: Values as they were sent, by column, each of shape ``(rows,)``; None is missing.
        scores: What the model said, shape ``(rows,)``.
        error: The message of the reply, where the status is not 200.
        cpu_us: Processor time that the answer took, microseconds; this and the rest as in ``meter.Reading``.
    """

    request_id: str
    endpoint: str
    version: str
    traffic_id: str
    caller: str
    time: int
    latency_us: int
    status: int
    prediction_ids: list[str] = []
    columns: dict[str, list[Any]] = {}
    scores: list[float] = []
    error: str = ""
    cpu_us: int = 0
    process_cpu_us: int = 0
    process_wall_us: int = 0
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A file of the log.

    Attributes:
        path: Where it lies.
        is_closed: It never grows again; once read to its last whole frame it may be removed.
    """

    path: Path
    is_closed: bool


class PredictionLog:
    """The writer's side; one process has one, and calls all but ``sync`` from one thread.

    Args:
        folder: The serving folder.
        writer: A name that no other writer ever had (``Claim.writer``).
        limit_bytes: A file that reaches this size is closed and the next one begun.

    Raises:
        PredictionLogUnwritable: The first file cannot be made.
    """

    def __init__(self, folder: Path, *, writer: str, limit_bytes: int = FILE_LIMIT_BYTES) -> None:
        self._spool = folder / SPOOL_FOLDER
        self._writer = writer
        self._limit_bytes = limit_bytes
        self._sequence = 0
        self._encoder = msgspec.msgpack.Encoder()
        self._is_unsynced = False
        self._descriptor = -1
        # `sync` runs beside `append`; the lock keeps the descriptor from being closed under it.
        self._switching = threading.Lock()
        self._spool.mkdir(parents=True, exist_ok=True)
        self._open_next()

    def append(self, frame: Frame) -> None:
        """Write a frame; when this returns, the frame outlives the process.

        Raises:
            PredictionLogUnwritable: The disk did not take it; no part of it is in the log.
        """
        payload = self._encoder.encode(frame)
        assert len(payload) <= FRAME_LIMIT_BYTES, "the limits on requests keep frames below the limit"
        if self._is_torn or (self._size and self._size + _HEADER.size + len(payload) > self._limit_bytes):
            self._open_next()
        self._write(_HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
        self._is_unsynced = True

    def rotate(self) -> None:
        """Close the present file and begin the next, unless nothing was written to it.

        Raises:
            PredictionLogUnwritable: The next file cannot be made.
        """
        if self._size:
            self._open_next()

    def is_rotation_requested(self) -> bool:
        """Tell whether the control plane asked for a rotation; one look at a name, from any thread."""
        return (self._spool / ROTATION_FILE).exists()

    def rotate_as_requested(self) -> None:
        """Rotate and take the request away.

        Raises:
            PredictionLogUnwritable: The next file cannot be made; the request stays.
        """
        self.rotate()
        (self._spool / ROTATION_FILE).unlink(missing_ok=True)

    def sync(self) -> None:
        """Bring what was written to the disk itself, so that a loss of power takes little; from any thread.

        Raises:
            OSError: The disk failed.
        """
        if not self._is_unsynced:
            return
        self._is_unsynced = False
        with self._switching:
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Bring everything to the disk and stop writing."""
        self._is_unsynced = False
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        try:
            written = os.write(self._descriptor, content)
        except OSError as error:
            raise PredictionLogUnwritable(path=str(self._path), reason=str(error)) from error
        if written == len(content):
            self._size += written
            return
        # Readers stop at a torn frame, so whatever followed one would be lost: take the part back, or leave the file.
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._is_torn = True
        reason = f"the disk took {written} of {len(content)} bytes"
        raise PredictionLogUnwritable(path=str(self._path), reason=reason)

    def _open_next(self) -> None:
        self._sequence += 1
        path = self._spool / f"{self._writer}-{self._sequence:06d}.wal"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o644)
            # From here on readers take the file before for closed: nothing may be written to it any more.
            self._switch_to(path, descriptor)
            sync_path(self._spool)
        except OSError as error:
            raise PredictionLogUnwritable(path=str(path), reason=str(error)) from error

    def _switch_to(self, path: Path, descriptor: int) -> None:
        former = self._descriptor
        with self._switching:
            self._path, self._descriptor, self._size, self._is_torn = path, descriptor, 0, False
        if former >= 0:
            try:
                os.fsync(former)
            finally:
                os.close(former)


def read_frames(path: Path, offset: int = 0) -> Iterator[tuple[Frame, int]]:
    """Read the whole frames of a log file from an offset on, up to its end or the first frame that is not whole.

    Safe on a file that is being written. In a closed file, bytes behind the last ``next_offset`` are the torn frame of
    a process that was killed while writing; its reply was never sent.

    Args:
        path: The file.
        offset: Where a frame starts, in bytes: 0 or a ``next_offset`` from before.

    Yields:
        Each frame and the offset behind it.

    Raises:
        FileNotFoundError: There is no such file.
    """
    decoder = msgspec.msgpack.Decoder(Frame)
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return
            length, checksum = _HEADER.unpack(header)
            # A length of 0 is what a lost block of zeros looks like after a power failure, and its checksum fits.
            if not 0 < length <= FRAME_LIMIT_BYTES:
                return
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            offset += _HEADER.size + length
            yield decoder.decode(payload), offset


def spool_files(folder: Path) -> list[SpoolFile]:
    """List the log files of a serving folder in the order of writing, and say which are closed."""
    # Listed before the holder is asked for: a file seen here belongs to that holder or to a writer that is gone.
    found = sorted(path for path in (folder / SPOOL_FOLDER).glob("*.wal") if _FILE_NAME.fullmatch(path.name))
    holder = claim.holder(folder)
    writer = holder.writer if holder else ""
    last = {path.name.split("-")[0]: path for path in found}
    return [SpoolFile(path=path, is_closed=path.name.split("-")[0] != writer or path != last[writer]) for path in found]


def request_rotation(folder: Path) -> None:
    """Ask the endpoint process to close its present log file and to begin another; it does so within a moment."""
    (folder / SPOOL_FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / SPOOL_FOLDER / ROTATION_FILE).touch()
