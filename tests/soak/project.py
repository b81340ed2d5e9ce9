"""The small project that is killed: cheap actions for a steady stream of events, runs of a second, days of a minute.

Invariant: an event says what is to become of it, so that the checker knows it without asking the product.
"""

import os
import struct
from datetime import UTC, datetime
from pathlib import Path

from ratchet.loop.frames import write_parquet
from tests import projects

SOURCE = "soak"
START = datetime(2026, 1, 5, 6, tzinfo=UTC)
_CLOCK = struct.Struct("<q")

# What a rule does with an event of a kind: the name of the rule, and how many actions it has.
KINDS: dict[str, tuple[str, int]] = {
    "sample": ("sample", 1),
    "two": ("two", 2),
    "run": ("run", 1),
    "python": ("ask", 1),
}
# Of ten events: runs and children cost most.
MIXTURE = ("sample", "run", "two", "python", "sample", "two", "run", "sample", "two", "sample")

_RULES = """
[limits]
rule_fires_per_hour = 100000

[[rule]]
name = "train"
on = "dataset.version.published"
do = { start_run = "churn" }

[[rule]]
name = "deploy"
on = "gate.evaluated"
when = "event.data.decision == 'pass' && event.pipeline == 'churn'"
do = "promote"

[[rule]]
name = "run"
on = "custom.emitted"
when = "event.data.kind == 'run'"
do = { start_run = "tiny" }

[[rule]]
name = "sample"
on = "custom.emitted"
when = "event.data.kind == 'sample'"
do = { take_sample = "churn" }

[[rule]]
name = "two"
on = "custom.emitted"
when = "event.data.kind == 'two'"
do = [{ join_feedback = "churn" }, { take_sample = "churn" }]

[[rule]]
name = "hourly"
on = "clock.ticked"
cron = "0 * * * *"
do = { monitor = "churn" }
"""

_TINY = '''

import time


@rt.step(cache=False)
def first(number: int) -> int:
    """Take a moment in which somebody may kill us."""
    time.sleep(0.15)
    return number + 1


@rt.step(cache=False)
def second(number: int) -> int:
    """Take another."""
    time.sleep(0.15)
    return number + 1


@rt.pipeline(model="tiny", owner="growth")
def tiny() -> None:
    """Do next to nothing, in two steps."""
    second(first(1))


@rt.rule(on="custom.emitted", when="event.data.kind == 'python'", name="ask")
def ask(event, loop):
    """Ask for a sample."""
    loop.take_sample("churn")
'''


def write(folder: Path, *, database: str = "") -> Path:
    """Write the project, its data and its clock; ``database`` is a URL, ``""`` for a SQLite file of its own."""
    settings = projects.SETTINGS
    if database:
        settings = settings.replace("[project]\n", f'[project]\ndatabase = "{database}"\n')
    projects.write_project(
        folder, settings=settings + _RULES, code=projects.CODE + _TINY, data=projects.customers(200, start=START)
    )
    (folder / ".ratchet").mkdir(exist_ok=True)
    (folder / ".ratchet" / "clock").write_bytes(_CLOCK.pack(int(START.timestamp() * 1e6)))
    return folder


def add_data(folder: Path, number: int) -> None:
    """Let new rows come, on which a rule trains and another releases."""
    rows = projects.customers(40, start=START, first=1000 + number * 40, seed=number + 2)
    write_parquet(folder / "data" / f"more-{number:04d}.parquet", rows)


def pass_time(folder: Path, seconds: float) -> None:
    """Let the workspace's clock go on, where it has one of its own; nobody else sets it."""
    try:
        descriptor = os.open(folder / ".ratchet" / "clock", os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        moment = _CLOCK.unpack(os.pread(descriptor, _CLOCK.size, 0))[0]
        os.pwrite(descriptor, _CLOCK.pack(moment + int(seconds * 1e6)), 0)
    finally:
        os.close(descriptor)


def kind_of(number: int) -> str:
    """Return what is to become of the event of a number."""
    return MIXTURE[number % len(MIXTURE)]
