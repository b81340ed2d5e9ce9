"""What the endpoint process takes of its machine, read at each answer: processor time, real time, memory.

Invariant: readings add up to what the process took from its start to its last answer; what it took between two answers
counts for the later one, so that models which share the process bear it by how often they are asked.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from ratchet import clock
from ratchet.records import Record

_MEMORY = Path("/proc/self/statm")
_RESIDENT_FIELD = 1
_BYTES_IN_MB = 1 << 20


class Reading(Record, frozen=True):
    """What was taken up to one answer.

    Attributes:
        cpu_us: Processor time while this answer was made, microseconds, of all threads.
        process_cpu_us: Processor time of the whole process since the answer before, microseconds; loading a model or
            answering questions about health is in it.
        process_wall_us: Real time since the answer before, microseconds.
        memory_mb: What the process holds in memory now, MiB.
    """

    cpu_us: int = 0
    process_cpu_us: int = 0
    process_wall_us: int = 0
    memory_mb: float = 0.0


class Meter:
    """Reads the process's counters; one thread at a time.

    Args:
        processor_ns: Gives the processor time of the process, nanoseconds.
        wall_seconds: Gives real time that only goes forward, seconds.
        memory_mb: Gives what the process holds in memory, MiB.
    """

    def __init__(
        self,
        *,
        processor_ns: Callable[[], int] = time.process_time_ns,
        wall_seconds: Callable[[], float] = clock.monotonic,
        memory_mb: Callable[[], float] | None = None,
    ) -> None:
        self._processor_ns = processor_ns
        self._wall_seconds = wall_seconds
        self._memory_mb = memory_mb or resident_mb
        # The process's own processor time begins at 0; what it took to come up is the first answer's.
        self._counted = (0, wall_seconds())
        self._began_ns = 0

    def begin(self) -> None:
        """Note that an answer is being made from now on."""
        self._began_ns = self._processor_ns()

    def read(self) -> tuple[Reading, tuple[int, float]]:
        """Return what this answer took, and the counters to hand to ``count`` once that is written down."""
        processor_ns, wall = self._processor_ns(), self._wall_seconds()
        before_ns, wall_before = self._counted
        reading = Reading(
            cpu_us=(processor_ns - self._began_ns) // 1000,
            process_cpu_us=(processor_ns - before_ns) // 1000,
            process_wall_us=round((wall - wall_before) * 1e6),
            memory_mb=round(self._memory_mb(), 1),
        )
        return reading, (processor_ns, wall)

    def count(self, counters: tuple[int, float]) -> None:
        """Begin anew from counters whose reading is in the log; without that they stay for the next answer."""
        self._counted = counters


def resident_mb() -> float:
    """Return what this process holds in memory, MiB.

    Source: proc_pid_statm(5).
    """
    pages = int(_MEMORY.read_text().split()[_RESIDENT_FIELD])
    return pages * os.sysconf("SC_PAGE_SIZE") / _BYTES_IN_MB
