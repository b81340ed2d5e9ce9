"""A scheduler as a process of its own; several of them look at the same clock and do the same jobs at once.

``python -m tests.contract.scheduling URL FOLDER SLOTS SEED`` begins when it is told to, and prints how often it ticked.
"""

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ratchet import config
from ratchet.automation import rules
from ratchet.automation.actions import ACTIONS, Action
from ratchet.automation.clockwork import Clockwork
from ratchet.automation.dispatcher import Dispatcher, Reactor
from ratchet.engine.executors import Zygotes
from ratchet.loop.pipelines import Project
from ratchet.loop.resources import Resources
from ratchet.records import Event
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from tests.loops import FakeRuns

START = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(hours=1)
SETTINGS = """[project]
name = "shop"

[limits]
rule_fires_per_hour = 100000

[[rule]]
name = "hourly"
on = "clock.ticked"
cron = "0 * * * *"
do = [{ note = "one" }, { note = "two" }]

[[rule]]
name = "answer"
on = "custom.emitted"
when = "event.subject == 'two'"
do = { note = "answered" }

[[rule]]
name = "rarely"
on = "custom.emitted"
when = "event.subject == 'signal'"
do = { note = "rare" }
at_most = "2/week"
"""


def _note(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    note = Event(type="custom.emitted", subject=str(parameters["text"]), data={"about": event.id})
    return resources.ledger.record(note)[0]


NOTE = Action(name="note", stage="train", main="text", perform=_note, about="For tests.")


def resources_of(url: str, folder: Path) -> Resources:
    """Return the parts of a workspace on a database, with jobs that are carried out when they are told to be."""
    database, runs = Database(url), FakeRuns()
    resources = Resources(
        project=folder,
        folder=folder,
        config=config.load(folder),
        database=database,
        ledger=Ledger(database, Reactor(runs)),  # type: ignore[arg-type]
        runs=runs,  # type: ignore[arg-type]
        artifacts=Artifacts(folder / "artifacts"),
        zygotes=Zygotes(),
    )
    dispatcher = Dispatcher(resources)
    runs.register("dispatch", dispatcher.dispatch)
    runs.register("act", dispatcher.act)
    return resources


def put_in_force(resources: Resources) -> None:
    """Put the rules of the settings in force."""
    found = rules.read(resources.config, Project(), path=resources.project / config.FILE_NAME)
    rules.put_in_force(resources, found)


def main(url: str, folder: str, count: str, seed: str) -> None:
    """Tick slot by slot, and do each job that anybody has enqueued, in an order of one's own."""
    ACTIONS[NOTE.name] = NOTE
    resources = resources_of(url, Path(folder))
    clockwork, runs, chance = Clockwork(resources), resources.runs, random.Random(seed)
    assert isinstance(runs, FakeRuns)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    own, seen, round_ = 0, -1, 0
    while seen < (last := resources.ledger.last_seq()) or round_ < 2:
        round_ += 1
        if round_ == 2:
            own = sum(len(clockwork.tick(START + STEP * number)) for number in range(1, int(count) + 1))
        # What another process appended is looked at here, too: the harshest case, in which nobody waits for anybody.
        for event in resources.ledger.read(after=max(seen, 0), types=["clock.ticked", "custom.emitted"]):
            with resources.database.write() as transaction:
                Reactor(runs)(transaction, [event])
        seen = last
        jobs = list(runs.jobs.items())
        chance.shuffle(jobs)
        runs.jobs = dict(jobs)
        runs.work()
    sys.stdout.write(f"{own}\n")
    sys.stdout.flush()
    resources.database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
