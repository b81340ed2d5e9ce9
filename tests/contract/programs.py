"""Programs that the contract tests run as processes of their own, to kill them or to let them collide.

``python -m tests.contract.programs append URL WRITER COUNT FOLDER`` appends events once a file ``go`` is there.
``python -m tests.contract.programs carry-out URL FOLDER`` carries out jobs until it is killed.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from ratchet import clock
from ratchet.engine.runs import DurableRuns, JobContext
from ratchet.records import Event
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger


def react_with_nothing(_transaction: Connection, _events: Sequence[Event]) -> None:
    """Stand in for a rule system that listens to nothing."""


def append(url: str, writer: str, count: str, folder: str) -> None:
    """Append events of which every second has a key that the other writers use, too."""
    ledger = Ledger(Database(url), react_with_nothing)
    ledger.last_seq()
    (Path(folder) / f"{writer}.ready").touch()
    while not (Path(folder) / "go").exists():
        clock.sleep(0.001)
    for number in range(int(count)):
        source = "shared" if number % 2 else writer
        ledger.record(Event(type="custom.emitted", subject="s", source=source, id=f"{source}-{number}"))


def work(context: JobContext, spec: dict[str, Any]) -> Any:
    """Write a line for each step that runs; wait in the second one until the file ``go`` is there."""
    folder = Path(spec["folder"])

    def note(line: str) -> str:
        with (folder / "steps").open("a") as file:
            file.write(f"{line}\n")
        return line

    def wait() -> str:
        note("second")
        while not (folder / "go").exists():
            clock.sleep(0.01)
        return note("second done")

    return [context.step("first", lambda: note("first")), context.step("second", wait)]


def carry_out(url: str, _folder: str) -> None:
    """Carry out jobs until this process is killed."""
    runs = DurableRuns(Database(url))
    runs.register("run", work)
    runs.launch()
    while True:
        clock.sleep(1.0)


PROGRAMS: dict[str, Callable[..., None]] = {"append": append, "carry-out": carry_out}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
