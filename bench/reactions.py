"""From an event to the action that it leads to: one at a time on an idle server, and in bursts of 100 and of 1,000.

Invariant: what has not happened within the time that a contestant is given counts as not happened, and is shown so.
"""

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.rig import servers
from bench.rig.environments import Missing
from bench.rig.process_trees import cpu_seconds
from bench.rig.reacting import OURS, PEERS, Platform, Side
from bench.rig.results import Goal, Section, compared

IDLE_EVENTS = 30
PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.005
BURST_LOOK_SECONDS = 0.1
# How often each burst is sent, as long as the one before was acted on: else the next would wait for its rest.
ROUNDS = 5
LIMIT_SECONDS = {1: 30.0, 100: 60.0, 1000: 90.0}
GOALS_MS = {1: 50.0, 100: 2000.0, 1000: 15000.0}


def measure(side: Side) -> dict[str, Any]:
    """Return what one platform takes, in milliseconds; of a burst that was not finished, how far it came."""
    known = side.acted()
    for _ in range(3):
        side.send(1)
        known += 1
        side.wait(known, limit_seconds=LIMIT_SECONDS[1], look_seconds=LOOK_SECONDS)
    row = _idle(side, known)
    for size in (100, 1000):
        row |= _bursts(side, size)
    return {**row, "lock_errors": side.lock_errors(), "refused": side.refused}


def _idle(side: Side, known: int) -> dict[str, Any]:
    walls, lost = [], 0
    cpu = cpu_seconds(*side.pids)
    for _ in range(IDLE_EVENTS):
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        side.send(1)
        known += 1
        found = side.wait(known, limit_seconds=LIMIT_SECONDS[1], look_seconds=LOOK_SECONDS)
        walls.append(time.perf_counter() - began)
        lost += found < known
    used = cpu_seconds(*side.pids) - cpu
    return {
        "idle_p50_ms": round(1000 * median(walls), 1),
        "idle_slowest_ms": round(1000 * max(walls), 1),
        "idle_processor_ms": round(1000 * used / IDLE_EVENTS, 1),
        **({"idle_lost": lost} if lost else {}),
    }


def _bursts(side: Side, size: int) -> dict[str, Any]:
    walls, cpus, acted = [], [], size
    for _ in range(ROUNDS):
        before, cpu, began = side.acted(), cpu_seconds(*side.pids), time.perf_counter()
        side.send(size)
        found = side.wait(before + size, limit_seconds=LIMIT_SECONDS[size], look_seconds=BURST_LOOK_SECONDS)
        walls.append(time.perf_counter() - began)
        cpus.append(cpu_seconds(*side.pids) - cpu)
        acted = min(acted, found - before)
        if acted < size:
            break
    return {
        f"burst_{size}_s": round(median(walls), 2),
        f"burst_{size}_processor_s": round(median(cpus), 2),
        f"burst_{size}_acted": acted,
        f"burst_{size}_rounds": len(walls),
    }


def _one(platform: Platform, folder: Path, skipped: dict[str, str]) -> dict[str, Any]:
    try:
        with platform.start(folder) as side:
            return {"what": platform.name, **measure(side)}
    except (Missing, OSError) as error:
        skipped[platform.name] = str(error)
        sys.stdout.write(f"  SKIPPED {platform.name}: {error}\n")
        return {}


def run() -> dict[str, Any]:
    """Measure and print."""
    skipped: dict[str, str] = {}
    with servers.scratch() as folder:
        found = [_one(one, folder / str(number), skipped) for number, one in enumerate((*OURS, *PEERS))]
    return published([row for row in found if row], skipped)


def published(rows: list[dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    """Print what was found, held against the goals, and return it."""
    compared(rows, "idle_p50_ms", of=OURS[0].name)
    goals = []
    for row in rows:
        if row["what"] in [one.name for one in OURS]:
            goals.append(Goal("at most", f"{row['what']}, idle, ms", row["idle_p50_ms"], GOALS_MS[1]))
            for size in (100, 1000):
                seconds = row[f"burst_{size}_s"] if row[f"burst_{size}_acted"] >= size else float("inf")
                goals.append(Goal("at most", f"{row['what']}, burst of {size}, s", seconds, GOALS_MS[size] / 1000))
    section = Section(
        title="From an event to its action",
        about=(
            "An event is sent over HTTP, a rule (an automation) asks for a run of a pipeline (a deployment), and the "
            "run that this creates is looked for over HTTP. Nobody carries these runs out. A burst is one request. "
            "The processor's time is that of the servers with all their processes, databases included."
        ),
        rows=rows,
        goals=goals,
        skipped=skipped,
        notes=[
            f"A burst is waited for {LIMIT_SECONDS[100]:.0f} s (1,000 events: {LIMIT_SECONDS[1000]:.0f} s) and sent "
            f"{ROUNDS} times; one that was not acted on by then is the last of its size.",
            "Our limit of a hundred firings an hour, which a rule has by default, is raised; Prefect has none.",
            "`refused`: how often events had to be sent again, since the server said that it was not available.",
        ],
    )
    return section.publish()


if __name__ == "__main__":
    run()
