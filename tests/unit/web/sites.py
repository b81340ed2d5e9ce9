"""Workspaces to look at: real ones in a folder, with a year of events that the engine would have written.

Invariant: nothing is faked but time; the events go through the ledger, with the causes and actors of a real year.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ratchet import clock
from ratchet.catalogue import EVENT_TYPES
from ratchet.loop import registry
from ratchet.records import Actor, Event
from ratchet.workspace import Workspace
from tests.ledgers import ENGINE, PERSON, LedgerBuilder

START = datetime(2025, 1, 6, 3, tzinfo=UTC)
DECLARATION = {
    "name": "flight-delay",
    "module": "flights",
    "function": "flight_delay",
    "model": "flight-delay",
    "owner": "operations",
    "datasets": {"flights": "flights"},
    "parameters": {"learning_rate": 0.1},
    "not_applicable": {},
}
PROJECT = """[project]
name = "flights"
time_zone = "America/New_York"
"""


@contextmanager
def workspace_in(folder: Path, *, start: datetime = START) -> Iterator[Workspace]:
    """Open a new workspace whose clock is simulated, with one declared pipeline."""
    (folder / "ratchet.toml").write_text(PROJECT)
    clock.simulate(folder / ".ratchet" / "clock", start=start)
    workspace = Workspace(folder)
    try:
        with workspace.database.write() as transaction:
            registry.put_state(transaction, "pipelines", {"flight-delay": DECLARATION})
        yield workspace
    finally:
        workspace.close()
        clock.stop_simulating()


def fill(workspace: Workspace, events: list[Event]) -> None:
    """Append events, each at its own time."""
    with workspace.database.write() as transaction:
        for event in sorted(events, key=lambda one: one.at):
            clock.advance(event.at)
            workspace.ledger.append(transaction, event)


def year(*, pipeline: str = "flight-delay", seed: int = 7, busy: int = 1) -> list[Event]:
    """Return a year in which a pipeline climbs: by hand, trained by rule, deployed by rule, watched by rule.

    Args:
        pipeline: Its name.
        seed: For the numbers.
        busy: Callers a day; each is an event.
    """
    return _Year(pipeline, random.Random(seed), busy=busy).build()


class _Year:
    """Writes the year week by week."""

    def __init__(self, pipeline: str, chance: random.Random, *, busy: int) -> None:
        self.builder = LedgerBuilder(pipeline=pipeline, start=START)
        self.chance = chance
        self.busy = busy
        self.prefix = f"{pipeline}-"

    def build(self) -> list[Event]:
        builder = self.builder
        synced = builder.command("sync")
        builder.declare(model=builder.pipeline, owner="operations")
        for week in range(52):
            self._week(week)
        return [_renamed(event, self.prefix, orphans=synced.id) for event in builder.events]

    def _week(self, week: int) -> None:
        builder = self.builder
        if week < 8:
            gate = builder.train(builder.command(), decision="pass" if week else "fail")
            if week:
                live = builder.deploy(builder.command("promote"), gate)
                self._serve(live)
            builder.wait(days=7)
            return
        gate = builder.train(builder.tick(builder.weekly()), decision="pass" if self.chance.random() < 0.85 else "fail")
        live = gate
        if gate.data["decision"] == "pass":
            by_hand = week < 20
            cause = builder.command("promote") if by_hand else builder.fire(builder.release_rule(), gate)
            live = builder.deploy(cause, gate)
        self._serve(live)
        if week >= 28:
            self._watch(week)
        if week >= 40:
            builder.own_rule_at_work(times=1)
        builder.wait(days=6)

    def _serve(self, cause: Event) -> None:
        """Record a day's usage by each caller."""
        for number in range(self.busy):
            rows = self.chance.randint(400, 900)
            data: dict[str, Any] = {"endpoint": self.builder.pipeline, "version": "live", "caller": f"tower-{number}"}
            self.builder.add(
                "usage.recorded", self.builder.pipeline, {**data, "rows": rows, "count": rows}, cause=cause
            )

    def _watch(self, week: int) -> None:
        builder = self.builder
        watch = builder.rule("watch", leads_to=["monitor"], cron="0 4 * * *", origin="template")
        drift = self.chance.uniform(0.05, 0.28)
        status = "alert" if drift > 0.2 else "ok"
        evaluated = builder.monitor(builder.tick(watch), status=status)
        if week in (33, 34):
            kind = "monitor.alert.raised" if week == 33 else "monitor.alert.cleared"
            builder.add(kind, "drift", {"score": round(drift, 3), "threshold": 0.2, "kind": "drift"}, cause=evaluated)
        collect = builder.rule("collect", leads_to=["sample", "label", "dataset"], cron="0 5 * * *", origin="template")
        builder.dataset(builder.label(builder.sample(builder.tick(collect))))


def _renamed(event: Event, prefix: str, *, orphans: str) -> Event:
    """Give an event ids of its pipeline's own, and a cause where it needs one."""

    def named(identity: str) -> str:
        return f"{prefix}{identity}" if identity else ""

    return replace(
        event,
        id=named(event.id),
        causationid=named(event.causationid or ("" if EVENT_TYPES[event.type].is_root else orphans)),
        correlationid=named(event.correlationid),
        recordedtime=None,
        seq=0,
    )


__all__ = ["ENGINE", "PERSON", "START", "Actor", "fill", "workspace_in", "year"]
