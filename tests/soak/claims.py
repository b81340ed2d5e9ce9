"""Several schedulers over the same slots: each slot is claimed once, whoever comes first.

Run as ``python -m tests.soak.claims FOLDER MINUTES`` it is one of them. Invariant: all look at each minute, so a
slot that is missing was lost, and one that is there twice was claimed by two.
"""

import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from ratchet import clock
from ratchet.automation.clockwork import Clockwork
from ratchet.workspace import Workspace
from tests import projects
from tests.soak.cluster import end_marked, environment
from tests.soak.tally import Tally

RULES = 50
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
_RULE = """
[[rule]]
name = "every minute {number}"
on = "clock.ticked"
cron = "* * * * *"
do = {{ monitor = "churn" }}
"""
_LONGEST_SECONDS = 3600


def schedule(folder: Path, minutes: int) -> None:
    """Tick through the minutes, once all others are there."""
    with Workspace(folder) as workspace:
        work = Clockwork(workspace.resources)
        (folder / f"ready.{clock.new_id()}").touch()
        while not (folder / "go").exists():
            clock.sleep(0.001)
        for minute in range(minutes + 1):
            work.tick(BEGIN + timedelta(minutes=minute))


def claim(folder: Path, *, processes: int, minutes: int, database: str = "") -> tuple[int, list[str]]:
    """Let processes claim the slots of so many minutes; returns how many slots there were, and what is wrong."""
    mark = f"claims:{folder}"
    end_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)
    settings = projects.SETTINGS
    if database:
        settings = settings.replace("[project]\n", f'[project]\ndatabase = "{database}"\n')
    rules = "".join(_RULE.format(number=number) for number in range(RULES))
    projects.write_project(folder, settings=settings + rules)
    with Workspace(folder) as workspace:
        workspace.zygotes.start()
        workspace.sync()
        # The rules begin here, for all alike.
        Clockwork(workspace.resources).tick(BEGIN)
        command = [sys.executable, "-m", "tests.soak.claims", str(folder), str(minutes)]
        schedulers = [subprocess.Popen(command, env=environment(mark)) for _ in range(processes)]
        while len(list(folder.glob("ready.*"))) < processes:
            clock.sleep(0.01)
        (folder / "go").touch()
        ended = [scheduler.wait(_LONGEST_SECONDS) for scheduler in schedulers]
        found = [f"a scheduler ended with {status}" for status in ended if status]
        return RULES * minutes, found + wrong(workspace, minutes)


def wrong(workspace: Workspace, minutes: int) -> list[str]:
    """Say which slots were not claimed exactly once."""
    ticks = Counter((one.subject, one.data["slot"]) for one in workspace.ledger.read(types=["clock.ticked"]))
    found = [f"{rule} at {slot} was claimed {count} times" for (rule, slot), count in ticks.items() if count != 1]
    if len(ticks) != RULES * minutes:
        found.append(f"{len(ticks)} slots of {RULES * minutes} were claimed")
    table = "workflow_status" if workspace.database.is_sqlite else "dbos.workflow_status"
    with workspace.database.read() as connection:
        jobs = connection.execute(text(f"SELECT count(*) FROM {table} WHERE name = 'dispatch'")).scalar_one()
    return found if jobs == RULES * minutes else [*found, f"{jobs} jobs for {RULES * minutes} slots"]


def soak(state: Path, tally: Tally, *, url: str, processes: int, minutes: int, database: str) -> list[str]:
    """Claim once more; returns what went wrong."""
    begun = clock.monotonic()
    slots, faults = claim(state / "claims", processes=processes, minutes=minutes, database=url)
    tally.add(
        "claims",
        counts={"slots": slots},
        faults=faults,
        database=database,
        processes=processes,
        seconds=round(clock.monotonic() - begun, 1),
    )
    sys.stdout.write(f"claims: {slots} slots by {processes} on {database}, {faults}\n")
    sys.stdout.flush()
    return faults


if __name__ == "__main__":
    schedule(Path(sys.argv[1]), int(sys.argv[2]))
