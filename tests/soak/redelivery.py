"""Every event three times and in any order: the same end as once and in order.

Invariant: what follows from an event has ids made of its key, so two ledgers can be compared by their ids.
"""

import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ratchet.config import STATE_FOLDER
from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.soak import project
from tests.soak.load import event
from tests.soak.tally import Tally

TIMES = 3
SENDERS = 4
KINDS = ("sample", "two")
Ending = Counter[tuple[str, ...]]


def deliver(folder: Path, numbers: list[list[int]], *, database: str = "") -> Ending:
    """Send events by numbers, each list by a sender of its own, and return what came of them."""
    shutil.rmtree(folder, ignore_errors=True)
    project.write(folder, database=database)
    (folder / STATE_FOLDER / "clock").unlink()
    with Workspace(folder, poll_seconds=0.01) as workspace:
        workspace.start(serve=False)
        workspace.sync()
        with ThreadPoolExecutor(len(numbers)) as senders:
            # What went wrong in one of them is raised here: the rest would be compared with less than was said.
            for _ in senders.map(partial(_send, workspace), numbers):
                pass
        workspace.settle()
        return _ending(workspace)


def _send(workspace: Workspace, numbers: list[int]) -> None:
    for number in numbers:
        message = event(number)
        data = dict(message["data"], kind=KINDS[number % len(KINDS)])  # type: ignore[call-overload]
        body = b'{"name":"soak","kind":"%s","number":%d}' % (data["kind"].encode(), number)
        sent = Event(
            type="custom.emitted", subject="soak", source=project.SOURCE, id=str(message["id"]), pipeline="churn",
            data=data,
        )  # fmt: skip
        workspace.ledger.ingest(sent, body)


def _ending(workspace: Workspace) -> Ending:
    found: Ending = Counter()
    for one in workspace.ledger.read():
        if one.correlationid.startswith("event-"):
            found[one.type, one.subject, one.id, one.causationid] += 1
    return found


def compare(folder: Path, *, count: int, seed: int, databases: tuple[str, str] = ("", "")) -> list[str]:
    """Deliver events once in order and three times in any order; returns in what the ends differ."""
    calm = deliver(folder / "once", [list(range(count))], database=databases[0])
    chance = random.Random(seed)
    every = [number for number in range(count) for _ in range(TIMES)]
    chance.shuffle(every)
    often = deliver(folder / "often", [every[sender::SENDERS] for sender in range(SENDERS)], database=databases[1])
    return differences(calm, often)


def differences(calm: Ending, often: Ending) -> list[str]:
    """Say what followed from one delivery and not from the other."""
    lost = [f"lost: {key[:3]}" for key in (calm - often)]
    return lost + [f"done twice or new: {key[:3]}" for key in (often - calm)]


def soak(state: Path, tally: Tally, *, urls: tuple[str, str], count: int, database: str) -> list[str]:
    """Compare once; returns what went wrong."""
    seed = len(tally.pieces("redelivery"))
    faults = compare(state / "redelivery", count=count, seed=seed, databases=urls)
    tally.add("redelivery", counts={"events": count, "deliveries": count * TIMES}, faults=faults, database=database)
    return faults
