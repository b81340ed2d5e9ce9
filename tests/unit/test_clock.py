"""The two clocks, and identifiers that sort by time."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ratchet import clock

START = datetime(2013, 1, 31, 20, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Path]:
    """Simulate time for one test and give the clock's file."""
    path = tmp_path / "state" / "clock"
    clock.simulate(path, start=START)
    yield path
    clock.stop_simulating()


def test_real_time_is_utc() -> None:
    """Without simulation, now is the real time, in UTC."""
    now = clock.now()
    assert now.tzinfo is UTC
    # Far less than a time zone's offset, and more than a machine takes or a clock is set by in between.
    assert abs(now.timestamp() - clock.real_seconds()) < 600
    assert not clock.is_simulated()


def test_simulated_time_stands_still(simulated: Path) -> None:
    """Simulated time is exact to the microsecond and moves only when it is set."""
    assert simulated.exists()
    assert clock.is_simulated()
    assert clock.now() == clock.now() == START


def test_advance_never_goes_back(simulated: Path) -> None:
    """Setting the clock to an earlier moment changes nothing."""
    clock.advance(START + timedelta(days=1))
    clock.advance(START)
    assert clock.now() == START + timedelta(days=1)


def test_real_clock_cannot_be_set() -> None:
    """Only a simulated clock can be set."""
    with pytest.raises(AssertionError, match="simulated"):
        clock.advance(START)


def test_existing_file_keeps_its_time(simulated: Path) -> None:
    """A simulation that was broken off goes on where it was."""
    clock.advance(START + timedelta(hours=1))
    clock.stop_simulating()
    assert not clock.is_simulated()
    assert clock.simulate(simulated, start=START) == START + timedelta(hours=1)


def test_every_process_sees_the_same_time(simulated: Path) -> None:
    """A process started from here reads the same clock, and what it sets shows here."""
    program = (
        "from datetime import timedelta; from ratchet import clock\n"
        "print(clock.now().isoformat()); clock.advance(clock.now() + timedelta(days=3))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert datetime.fromisoformat(found.stdout.strip()) == START
    assert clock.now() == START + timedelta(days=3)


def test_moments_before_1970(tmp_path: Path) -> None:
    """A simulation may start before the epoch of Unix."""
    try:
        assert clock.simulate(tmp_path / "clock", start=datetime(1901, 1, 1, tzinfo=UTC)).year == 1901
    finally:
        clock.stop_simulating()


@pytest.mark.usefixtures("simulated")
def test_monotonic_is_never_simulated() -> None:
    """Timeouts go on while simulated time stands still."""
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > before


@pytest.mark.usefixtures("simulated")
def test_ids_are_fresh_and_sort_by_real_time() -> None:
    """Identifiers have 26 characters of Crockford's alphabet, never repeat, and sort by the time of their making."""
    earlier = [clock.new_id() for _ in range(100)]
    clock.sleep(0.002)
    later = [clock.new_id() for _ in range(100)]
    assert len({*earlier, *later}) == 200
    assert max(earlier) < min(later)
    assert all(len(one) == 26 and set(one) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for one in earlier)


def test_secrets_differ() -> None:
    """Secrets are long and never the same."""
    first, second = clock.new_secret(), clock.new_secret()
    assert first != second
    assert len(first) >= 43
