"""Runs the demo and kills its processes: at seeded moments, and at every named fault point, until it is through."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ratchet import faults
from ratchet.config import STATE_FOLDER
from ratchet.engine.zygote import SPARE_NAME
from ratchet.loop.serving import claim
from ratchet.workspace import CLOCK_FILE
from tests.waiting import is_alive, until

VICTIMS = ("server", "zygote", "child", "endpoint")
_LOOK_SECONDS = 0.02
_LONGEST_SECONDS = 1800


@dataclass(frozen=True)
class Kill:
    """One thing that will be done to a running demo.

    Attributes:
        victim: Which process dies after ``after_seconds``, or on ``day``; ``""`` for a fault point.
        day: Where given, the victim dies when the demo has come to this day, however fast the machine is.
        point: The fault point at which whoever passes it the ``passage``-th time dies; ``""`` for a timed kill.
    """

    victim: str = ""
    after_seconds: float = 0.0
    day: datetime | None = None
    point: str = ""
    passage: int = 1


@dataclass
class Record:
    """What was done."""

    kills: list[str] = field(default_factory=list)
    restarts: int = 0
    finished_early: bool = False


def plan(seed: int, *, timed: int, points: tuple[str, ...] = faults.POINTS) -> list[Kill]:
    """Return timed kills of all kinds of processes, mixed with a kill at each fault point."""
    chance = random.Random(seed)
    kills = [
        Kill(victim=VICTIMS[number % len(VICTIMS)], after_seconds=chance.uniform(1.0, 9.0)) for number in range(timed)
    ]
    # A child carries out two steps and is gone, so only its first passage is sure to come.
    kills += [Kill(point=name, passage=1 if name == "step.computed" else chance.randint(1, 4)) for name in points]
    chance.shuffle(kills)
    return kills


def command(folder: Path, *, until: str, seed: int, scenario: str = "story", database: str = "") -> list[str]:
    """Return the command line of a demo."""
    line = [sys.executable, "-m", "ratchet", "demo", "--keep", str(folder), "--seed", str(seed), "--json"]
    line += ["--until", until] if until else []
    line += ["--database", database] if database else []
    return [*line, "--scenario", scenario] if scenario != "story" else line


def run_demo(folder: Path, *, until: str, seed: int, scenario: str = "story", database: str = "") -> dict[str, object]:
    """Run a demo without disturbing it and return its figures."""
    line = command(folder, until=until, seed=seed, scenario=scenario, database=database)
    done = subprocess.run(line, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False)
    assert done.returncode == 0, f"the demo failed with {done.returncode}: {done.stderr[-3000:]}"
    figures: dict[str, object] = json.loads(done.stdout)
    return figures


def run_killed(folder: Path, kills: list[Kill], *, until: str, seed: int, database: str = "") -> Record:
    """Run a demo, kill by plan, start it again each time, and let it come to its end."""
    record = Record()
    line = command(folder, until=until, seed=seed, database=database)
    errors = folder.parent / f"{folder.name}.errors"
    for number, kill in enumerate(kills):
        token = folder.parent / f"{folder.name}.fault-{number}"
        environment = dict(os.environ)
        if kill.point:
            token.touch()
            environment[faults.VARIABLE] = f"{kill.point}:{kill.passage}:{token}"
        with errors.open("wb") as stream:
            server = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=stream)
        finished = _until_killed(server, kill, token, record, folder=folder)
        assert server.returncode in (0, -signal.SIGKILL), f"the demo failed by itself: {errors.read_text()[-3000:]}"
        token.unlink(missing_ok=True)
        record.restarts += 1
        if finished:
            record.finished_early = True
            break
    run_demo(folder, until=until, seed=seed, database=database)
    return record


def _until_killed(server: "subprocess.Popen[bytes]", kill: Kill, token: Path, record: Record, *, folder: Path) -> bool:
    """Wait for the kill to happen, then end the server the hard way; returns whether the demo came to its end first."""
    begun = time.monotonic()
    done = False
    while server.poll() is None and not done:
        time.sleep(_LOOK_SECONDS)
        assert time.monotonic() - begun < _LONGEST_SECONDS, "the demo hangs"
        if not kill.point:
            done = _is_due(kill, time.monotonic() - begun, folder) and _kill(server.pid, kill)
        else:
            done = not token.exists()
    # Whoever passes a fault point may die between two looks.
    done = done or bool(kill.point and not token.exists())
    if done:
        record.kills.append(kill.point or kill.victim)
        # Let it go on for a moment: a server that lost a helper must cope before it dies itself.
        _wait(server, 1.5 if server.poll() is None else 0.0)
    if server.poll() is None:
        server.kill()
    server.wait()
    return server.returncode == 0


def _wait(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _is_due(kill: Kill, elapsed: float, folder: Path) -> bool:
    if kill.day is None:
        return elapsed >= kill.after_seconds
    clock_file = folder / STATE_FOLDER / CLOCK_FILE
    if not clock_file.exists():
        return False
    microseconds = int.from_bytes(clock_file.read_bytes(), "little", signed=True)
    return microseconds / 1e6 >= kill.day.timestamp()


def _kill(server: int, kill: Kill) -> bool:
    for pid in _pids(server, kill.victim):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _pids(server: int, victim: str) -> list[int]:
    if victim == "server":
        return [server]
    children = children_of(server)
    if victim == "endpoint":
        return [pid for pid in children if b"ratchet.loop.serving" in _command_line(pid)]
    zygotes = [pid for pid in children if b"ratchet.engine.zygote" in _command_line(pid)]
    return zygotes if victim == "zygote" else [pid for zygote in zygotes for pid in working_children_of(zygote)]


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet buried."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text().split()]
        except OSError:
            continue
    return found


def working_children_of(zygote: int) -> list[int]:
    """Return the children of a zygote but the one that it keeps in hand."""
    return [pid for pid in children_of(zygote) if not is_spare(pid)]


def is_spare(pid: int) -> bool:
    """Tell whether a process is a child that a zygote keeps in hand."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == SPARE_NAME
    except OSError:
        return False


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill_workspace(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Kill ``ratchet up`` and its endpoint, which goes on serving when the process that started it is killed."""
    holder = claim.holder(folder / STATE_FOLDER / "serving")
    process.kill()
    process.communicate()
    if holder is not None:
        with suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGKILL)
        until(lambda: not is_alive(holder.pid), "the end of the endpoint")


def export(folder: Path) -> list[str]:
    """Return the ledger of a demo's folder, one event a line."""
    line = [sys.executable, "-m", "ratchet", "events", "--json", "--workspace", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
