"""A full disk and a broken one at every write: each write, sync and rename below a workspace fails once, and for good.

Run as ``python -m tests.soak.disk FOLDER ...`` under the library of ``failing_disk.c`` it plays the stories. Invariant:
each story is played in a process of its own, forked from one that has everything loaded.
"""

import errno
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet import clock
from ratchet.config import STATE_FOLDER
from ratchet.store import database
from tests.soak import native, scenario
from tests.soak.cluster import environment
from tests.soak.failing import disturb
from tests.soak.tally import Tally

_PLAN = struct.Struct("<qqqq")
STORIES = {"light": scenario.LIGHT, "full": scenario.FULL}
# How the disk fails: what it says, and whether it stays so until somebody has mended it.
WAYS = {"full": (errno.ENOSPC, True), "full once": (errno.ENOSPC, False), "broken once": (errno.EIO, False)}


class FailingDisk:
    """The plan in memory that the library and we share.

    Args:
        path: The file that both have mapped.
        way: One of ``WAYS``.
    """

    def __init__(self, path: Path, *, way: str) -> None:
        self._error, self._for_good = WAYS[way]
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _PLAN.size)

    def arm(self, number: int) -> None:
        """Let the call of a number fail, counted from now on; 0 for none."""
        self._memory[:] = _PLAN.pack(0, number, self._error, self._for_good)

    def count(self) -> int:
        """Return how many calls were made since ``arm``."""
        return int(_PLAN.unpack(self._memory[:])[0])


def soak(state: Path, tally: Tally, *, way: str, story: str = "full", first: int = 1, step: int = 1) -> list[str]:
    """Let each ``step``-th write of a story fail in one way, from the ``first`` on; returns what went wrong."""
    folder = state / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    library = native.build("failing_disk", folder)
    if library is None:
        return [native.MISSING.format(what="no disk was broken")]
    plan = folder / "plan"
    plan.write_bytes(bytes(_PLAN.size))
    variables = {"LD_PRELOAD": str(library), "SOAK_DISK_FOLDER": str(folder / "work"), "SOAK_DISK_PLAN": str(plan)}
    command = [sys.executable, "-m", "tests.soak.disk", str(folder), way, story, str(first), str(step)]
    done = subprocess.run(
        command, env=environment(f"disk:{folder}", **variables), capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    faults = [
        f"write {one['number']} ({way}): {one['faults'][:3]} after {one['error']}" for one in lines if one["faults"]
    ]
    if done.returncode:
        faults.append(f"the player ended with {done.returncode}: {done.stderr[-1500:]}")
    told = sum(bool(one["error"]) for one in lines)
    tally.add("disk", counts={"writes": len(lines), "told": told, "stories": 1}, faults=faults, way=way, story=story)
    sys.stdout.write(f"disk: {len(lines)} writes, {way}, {told} told, {len(faults)} faults\n")
    return faults


# ---- the player


def play(folder: Path, way: str, story: str, first: int, step: int) -> None:
    """Play a story once in peace and once for each write, and print a line of JSON for each."""
    disk = FailingDisk(folder / "plan", way=way)
    moments = STORIES[story]
    # Whoever waits for a lock in vain does not wait for long.
    database.SQLITE_SETTINGS["busy_timeout"] = "500"
    database.UNCERTAIN_SECONDS = 0.1
    template = folder / "template"
    # In a process of its own: threads of DuckDB would not come along into those that are forked later.
    _forked(folder / "result", lambda: {"template": str(scenario.prepare(template))})
    calm = _with_a_copy(folder, template, lambda stage: _calm(stage, moments, disk))
    for number in range(first, calm["writes"] + 1, step):

        def disturbed(stage: scenario.Stage, number: int = number) -> dict[str, Any]:
            done = disturb(stage, moments, disk, number, calm["state"])
            return {"number": number, "error": done.error, "faults": done.faults}

        result = _with_a_copy(folder, template, disturbed)
        sys.stdout.write(json.dumps({"number": number, **result}) + "\n")
        sys.stdout.flush()


def _calm(stage: scenario.Stage, moments: tuple[scenario.Moment, ...], disk: FailingDisk) -> dict[str, Any]:
    disk.arm(0)
    for moment in moments:
        moment(stage)
    return {"writes": disk.count(), "state": scenario.state(stage)}


def _with_a_copy(folder: Path, template: Path, work: Callable[[scenario.Stage], dict[str, Any]]) -> dict[str, Any]:
    """Do something with a copy of the project in a process of its own, and return what it gives."""
    copy = folder / "work" / "project"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(template, copy)

    def inside() -> dict[str, Any]:
        clock.simulate(copy / STATE_FOLDER / "clock", start=clock.now())
        return work(scenario.open_stage(copy))

    return _forked(folder / "result", inside)


def _forked(result: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something in a process of its own and return what it gives, by way of a file."""
    child = os.fork()
    if not child:
        code = 1
        try:
            result.write_text(json.dumps(work()))
            code = 0
        except Exception as error:  # noqa: BLE001, a fault like any other: it is told
            result.write_text(json.dumps({"error": "", "faults": [f"{type(error).__name__}: {error}"]}))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        return {"error": "", "faults": [f"the process ended with {os.waitstatus_to_exitcode(status)}"]}
    found: dict[str, Any] = json.loads(result.read_text())
    return found


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
