"""Processor seconds of whole process trees, so that work in children and servers counts as well.

Invariant: a child that has ended counts through the parent that waited for it; nothing counts twice.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from ratchet.records import Record

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Cost(Record, frozen=True):
    """What something took.

    Attributes:
        wall_seconds: By the clock.
        cpu_seconds: Of the processor, of all processes that took part.
    """

    wall_seconds: float
    cpu_seconds: float


def cpu_seconds(*roots: int) -> float:
    """Return the processor seconds of some processes and of all that they have started.

    Args:
        roots: Their numbers; one that is gone counts nothing.
    """
    parents, used = _table()
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    left, seen = list(roots), set[int]()
    while left:
        pid = left.pop()
        if pid in used and pid not in seen:
            seen.add(pid)
            left.extend(children.get(pid, []))
    return sum(used[pid] for pid in seen) / _TICKS_A_SECOND


def timed(work: Callable[[], object], *roots: int) -> Cost:
    """Do something and return what it cost.

    Args:
        work: What to do.
        roots: The processes whose trees do it.
    """
    cpu, wall = cpu_seconds(*roots), time.perf_counter()
    work()
    return Cost(wall_seconds=time.perf_counter() - wall, cpu_seconds=cpu_seconds(*roots) - cpu)


def middle(costs: list[Cost], *, parts: int = 1) -> dict[str, Any]:
    """Return the medians of some costs in milliseconds, and how many there were.

    Args:
        costs: At least one.
        parts: Into how many equal pieces of work each of them is divided.
    """
    walls = [1000 * one.wall_seconds / parts for one in costs]
    return {
        "wall_ms": round(median(walls), 2),
        "cpu_ms": round(median(1000 * one.cpu_seconds / parts for one in costs), 2),
        "fastest_ms": round(min(walls), 2),
        "slowest_ms": round(max(walls), 2),
        "rounds": len(costs),
        **({"parts": parts} if parts > 1 else {}),
    }


def _table() -> tuple[dict[int, int], dict[int, int]]:
    """Return the parent and the used ticks of each process, by its number."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            # A program's name may hold blanks and brackets: what follows its last bracket is regular.
            fields = text.rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15])
    return parents, used
