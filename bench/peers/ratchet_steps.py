"""Ten tiny steps on Ratchet: from the command to the end of the run, as a person or a rule asks for it.

Invariant: each run computes all its steps: none is taken from an earlier one, unless ``cached`` is asked for.
"""

import sys
import time
from pathlib import Path

from answering import answer

from ratchet.records import derive_id
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
LOOK_SECONDS = 0.002


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

        def work() -> dict[str, float]:
            turn = 0 if way == "cached" else next(turns)
            parameters = {"pipeline": "tiny", "turn": turn}
            command = workspace.command("start_run", parameters, subject="tiny", pipeline="tiny")
            end = derive_id(derive_id("run", f"act:{command.id}:0", "tiny"), "run.finished")
            while (finished := workspace.ledger.get(end)) is None:
                time.sleep(LOOK_SECONDS)
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
