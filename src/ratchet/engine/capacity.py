"""What a machine has and what a step needs: processors, memory, accelerators.

Invariant: the demands that are held at one time never exceed the capacity, and no accelerator is given to two.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from ratchet.records import Record

_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_EPSILON = 1e-9


class Demand(Record, frozen=True, forbid_unknown_fields=True):
    """What a step needs for itself while it runs.

    Attributes:
        cpu: Processors; parts of one are allowed.
        memory_gb: Memory in GiB; also the limit at which the step is stopped, where it is given.
        gpu: Accelerators, whole ones.
    """

    cpu: _NotNegative = 1.0
    memory_gb: _NotNegative = 0.0
    gpu: Annotated[int, msgspec.Meta(ge=0)] = 0

    @property
    def text(self) -> str:
        """Return it as people write it, such as ``cpu=2 memory_gb=8 gpu=1``."""
        parts = [f"cpu={self.cpu:g}", f"memory_gb={self.memory_gb:g}", f"gpu={self.gpu}"]
        return " ".join(part for part in parts if not part.endswith("=0"))


class Capacity(Record, frozen=True):
    """What a process may give to steps.

    Attributes:
        runs: How many runs are carried out at once.
        cpu: Processors.
        memory_gb: Memory in GiB.
        gpu: Accelerators.
    """

    runs: int = 1
    cpu: float = 1.0
    memory_gb: float = 0.0
    gpu: int = 0

    @property
    def text(self) -> str:
        """Return what it gives to steps as people write it, such as ``cpu=2 memory_gb=8``."""
        return Demand(cpu=self.cpu, memory_gb=self.memory_gb, gpu=self.gpu).text or "nothing"

    def can_ever(self, demand: Demand) -> bool:
        """Tell whether a step with this demand could run here when nothing else does."""
        return demand.cpu <= self.cpu and demand.memory_gb <= self.memory_gb and demand.gpu <= self.gpu


def capacity_of_this_machine(*, runs: int = 1) -> Capacity:
    """Return what this machine has: the processors that this process may use, all memory, all accelerators."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Capacity(
        runs=runs,
        cpu=float(len(os.sched_getaffinity(0))),
        memory_gb=round(memory / 2**30, 1),
        gpu=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


class Budget:
    """What is left of a capacity, shared by the threads of a process.

    Args:
        capacity: All of it.
    """

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._changed = threading.Condition()
        self._cpu = capacity.cpu
        self._memory_gb = capacity.memory_gb
        self._gpus = list(range(capacity.gpu))

    def room(self, demand: Demand) -> int:
        """Return how many steps with this demand fit beside what is held now."""
        with self._changed:
            pairs = ((self._cpu, demand.cpu), (self._memory_gb, demand.memory_gb), (len(self._gpus), demand.gpu))
            # One that needs nothing still takes a thread: never more of them than processors.
            most = max(1, int(self.capacity.cpu)) if self.capacity.can_ever(demand) else 0
            return min(most, *(int((left + _EPSILON) // needed) for left, needed in pairs if needed), most)

    @contextmanager
    def hold(self, demand: Demand) -> Iterator[tuple[int, ...]]:
        """Wait until a demand fits, hold it, and give the numbers of the accelerators."""
        assert self.capacity.can_ever(demand), "nobody takes a job that never fits"
        with self._changed:
            self._changed.wait_for(lambda: self._fits(demand))
            self._cpu -= demand.cpu
            self._memory_gb -= demand.memory_gb
            mine, self._gpus = tuple(self._gpus[: demand.gpu]), self._gpus[demand.gpu :]
        try:
            yield mine
        finally:
            with self._changed:
                self._cpu += demand.cpu
                self._memory_gb += demand.memory_gb
                self._gpus = sorted([*self._gpus, *mine])
                self._changed.notify_all()

    def _fits(self, demand: Demand) -> bool:
        return (
            demand.cpu <= self._cpu + _EPSILON
            and demand.memory_gb <= self._memory_gb + _EPSILON
            and demand.gpu <= len(self._gpus)
        )
