"""What the process takes is counted once, and counted for somebody."""

import os

import pytest

from ratchet.loop.serving.meter import Meter, Reading, resident_mb


class Counters:
    """The process's counters, as a test sets them."""

    processor_s = 0.0
    wall_s = 100.0

    def meter(self) -> Meter:
        """Return a meter that reads these."""
        return Meter(
            processor_ns=lambda: round(self.processor_s * 1e9),
            wall_seconds=lambda: self.wall_s,
            memory_mb=lambda: 300.0,
        )

    def answer(self, meter: Meter, *, before_s: float = 0.0, takes_s: float = 0.0, is_written: bool = True) -> Reading:
        """Let processor time pass before an answer and during it; real time goes twice as fast."""
        self.processor_s += before_s
        meter.begin()
        self.processor_s += takes_s
        self.wall_s += 2 * (before_s + takes_s)
        reading, counters = meter.read()
        if is_written:
            meter.count(counters)
        return reading


def test_what_was_taken_between_two_answers_counts_for_the_later_one() -> None:
    """The answer's own time is told apart from what the process took besides."""
    counters = Counters()
    meter = counters.meter()
    first = counters.answer(meter, before_s=2.0, takes_s=0.5)
    second = counters.answer(meter, before_s=0.25, takes_s=0.5)
    assert first == Reading(cpu_us=500_000, process_cpu_us=2_500_000, process_wall_us=5_000_000, memory_mb=300.0)
    assert second == Reading(cpu_us=500_000, process_cpu_us=750_000, process_wall_us=1_500_000, memory_mb=300.0)


def test_a_reading_that_was_not_written_down_is_in_the_next() -> None:
    """With a full disk nothing is lost of what the process took."""
    counters = Counters()
    meter = counters.meter()
    counters.answer(meter, takes_s=1.0, is_written=False)
    reading = counters.answer(meter, takes_s=1.0)
    assert (reading.cpu_us, reading.process_cpu_us) == (1_000_000, 2_000_000)


def test_the_real_counters_grow_with_work() -> None:
    """Work takes processor time, and memory that is held is seen."""
    meter = Meter()
    meter.begin()
    held = bytearray(os.urandom(1 << 20) * 64)
    reading, _ = meter.read()
    assert 0 < reading.cpu_us <= reading.process_cpu_us
    assert reading.process_wall_us > 0
    assert reading.memory_mb > len(held) / (1 << 20)
    assert resident_mb() == pytest.approx(reading.memory_mb, rel=0.5)
