"""The two clocks, and identifiers that sort by time: the only place that reads time or chance.

Invariant: ``now()`` is the domain's time and may be simulated, the same for every process of a workspace;
``monotonic()`` is never simulated and serves polling, timeouts and leases.
"""

import os
import secrets
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

FILE_VARIABLE = "RATCHET_CLOCK"
MICROSECOND = timedelta(microseconds=1)
_FORMAT = struct.Struct("<q")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Simulated:
    """The file that every process of a simulated workspace reads: eight bytes, microseconds since 1970."""

    descriptor: int | None = None


def _open_from_environment() -> None:
    path = os.environ.get(FILE_VARIABLE)
    if path:
        _Simulated.descriptor = os.open(path, os.O_RDWR)


def now() -> datetime:
    """Return the domain's time in UTC, simulated where the workspace says so."""
    if _Simulated.descriptor is None:
        return datetime.now(UTC)
    raw = os.pread(_Simulated.descriptor, _FORMAT.size, 0)
    return from_us(_FORMAT.unpack(raw)[0])


def simulate(path: Path, *, start: datetime) -> datetime:
    """Let this process and all that it starts read simulated time from a file.

    Args:
        path: The clock's file. One that exists keeps its time, so that a broken-off simulation goes on.
        start: The first moment, where the file is new.

    Returns:
        The simulated time now.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(_pack(start))
        temporary.replace(path)
    stop_simulating()
    os.environ[FILE_VARIABLE] = str(path)
    _open_from_environment()
    return now()


def stop_simulating() -> None:
    """Return this process to real time."""
    os.environ.pop(FILE_VARIABLE, None)
    if _Simulated.descriptor is not None:
        os.close(_Simulated.descriptor)
        _Simulated.descriptor = None


def advance(moment: datetime) -> None:
    """Set the simulated time, for every process at once; it never goes back."""
    assert _Simulated.descriptor is not None, "only a simulated clock can be set"
    if moment > now():
        os.pwrite(_Simulated.descriptor, _pack(moment), 0)


def is_simulated() -> bool:
    """Tell whether ``now()`` is simulated."""
    return _Simulated.descriptor is not None


def _pack(moment: datetime) -> bytes:
    return _FORMAT.pack(to_us(moment))


def to_us(moment: datetime) -> int:
    """Return a moment as microseconds since 1970, UTC."""
    return (moment - _EPOCH) // MICROSECOND


def from_us(moment_us: int) -> datetime:
    """Return the moment that microseconds since 1970 mean (UTC)."""
    return _EPOCH + timedelta(microseconds=moment_us)


def monotonic() -> float:
    """Return seconds that only go forward, for timeouts and durations."""
    return time.monotonic()


def real_seconds() -> float:
    """Return seconds since 1970 in real time, to compare with the times of files."""
    return time.time()


def sleep(seconds: float) -> None:
    """Wait in real time."""
    time.sleep(seconds)


def new_id() -> str:
    """Return a fresh ULID: 26 characters, sorted by the real time of their making.

    Source: github.com/ulid/spec, 48 bits of milliseconds and 80 of chance, Crockford's base 32.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(secrets.token_bytes(10))
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def new_secret() -> str:
    """Return 32 bytes of chance as text, for tokens and keys."""
    return secrets.token_urlsafe(32)


_open_from_environment()
