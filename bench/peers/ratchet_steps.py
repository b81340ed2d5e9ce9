"""Ten tiny steps on Ratchet: from the command to the end of the run, as a person or a rule asks for it.

Invariant: each run computes all its steps: none is taken from an earlier one, unless ``cached`` is asked for.
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from answering import answer
from sqlalchemy import Connection

from ratchet.records import Event, derive_id
from ratchet.workspace import Workspace

CODE = '''"""Count to ten, one step at a time."""

import ratchet as rt


@rt.step
def add(values: list[int], number: int) -> list[int]:
    """Return a list that is longer by one."""
    return [*values, number]


@rt.pipeline(model="tiny")
def tiny(turn: int = 0) -> list[int]:
    """Take ten steps."""
    values = [turn]
    for number in range(10):
        values = add(values, number)
    return values
'''
PATIENCE_SECONDS = 60


def main(url: str, way: str) -> None:
    """Run a workspace in the folder that this process was started in.

    Args:
        url: Of the database; empty for SQLite.
        way: ``cached`` to ask for the same run each time.
    """
    database = f'database = "{url}"\n' if url else ""
    Path("ratchet.toml").write_text(f'[project]\nname = "tiny"\n{database}')
    Path("tiny.py").write_text(CODE)
    turns = iter(range(1_000_000))
    with Workspace(Path()) as workspace:
        workspace.start(serve=False)
        workspace.sync()
        ended = threading.Event()
        react = workspace.ledger._react

        def listen(transaction: Connection, events: Sequence[Event]) -> None:
            """Say when the end of a run is in the ledger: to look for it again and again would slow the run down."""
            react(transaction, events)
            if any(event.type == "run.finished" for event in events):
                workspace.database.after_commit(ended.set)

        workspace.ledger._react = listen

        def work() -> dict[str, float]:
            turn = 0 if way == "cached" else next(turns)
            parameters = {"pipeline": "tiny", "turn": turn}
            command = workspace.command("start_run", parameters, subject="tiny", pipeline="tiny")
            end = derive_id(derive_id("run", f"act:{command.id}:0", "tiny"), "run.finished")
            assert ended.wait(PATIENCE_SECONDS)
            ended.clear()
            finished = workspace.ledger.get(end)
            assert finished is not None
            assert finished.data["outcome"] == "success", finished.data
            assert bool(finished.data.get("cached")) == (way == "cached" and next(turns) > 0)
            run = {event.type: event.at for event in workspace.ledger.read(after=command.seq, limit=10)}
            stations = [command.at, run["run.queued"], run["run.started"], finished.at]
            names = ("to the run's place in the queue", "to its start", "in its steps")
            return {
                name: 1000 * (after - before).total_seconds()
                for name, before, after in zip(names, stations, stations[1:], strict=False)
            }

        answer(work)


if __name__ == "__main__":
    main(*sys.argv[2:4])
