"""A week in which nothing ran: what came meanwhile is taken in at the next start, as the reference says."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.loop.frames import write_parquet
from ratchet.records import Event
from ratchet.workspace import CLOCK_FILE, Workspace
from tests import projects
from tests.waiting import PATIENCE_SECONDS

WEEK = timedelta(days=7, minutes=20)
RULES = """
[[rule]]
name = "hourly"
on = "clock.ticked"
cron = "0 * * * *"
do = "monitor"

[[rule]]
name = "every slot"
on = "clock.ticked"
cron = "0 */12 * * *"
catch_up = "all"
do = "monitor"

[[rule]]
name = "on time or not"
on = "clock.ticked"
cron = "0 0 * * *"
catch_up = "none"
do = "monitor"

[[rule]]
name = "new data"
on = "dataset.version.published"
do = { monitor = "churn" }

[[rule]]
name = "signal"
on = "custom.emitted"
do = { monitor = "churn" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project that lives in simulated time."""
    folder = projects.write_project(tmp_path / "shop", settings=projects.SETTINGS + RULES)
    clock.simulate(folder / ".ratchet" / CLOCK_FILE, start=projects.START)
    yield folder
    clock.stop_simulating()


@contextmanager
def running(folder: Path) -> Iterator[Workspace]:
    """Run the workspace, without an endpoint, for one beat."""
    with projects.running(folder, serve=False) as workspace:
        workspace.heartbeat()
        workspace.settle(timeout_seconds=PATIENCE_SECONDS)
        yield workspace


def of_type(workspace: Workspace, kind: str, *, after: int) -> list[Event]:
    """Return the events of a type behind a place in the ledger."""
    return list(workspace.ledger.read(types=[kind], after=after))


def test_a_week_of_downtime(folder: Path) -> None:
    """Slots by the word of each rule, files as one version, commands and events each once, by the rules of then."""
    with running(folder) as workspace:
        before = workspace.ledger.last_seq()
    # Nothing runs from here on. Somebody emits a signal and gives a command, then changes the rule; files come.
    with Workspace(folder) as workspace:
        with workspace.by_command("emit", {}, subject="signal"):
            signal = workspace.ledger.record(Event(type="custom.emitted", subject="signal", pipeline="churn"))[0]
        command = workspace.command("monitor", {"pipeline": "churn"}, subject="churn", pipeline="churn")
        text = (folder / "ratchet.toml").read_text()
        (folder / "ratchet.toml").write_text(text.replace('name = "signal"', 'name = "another"'))
        workspace.reload()
        workspace.sync()
        assert len(workspace.runs.pending()) == 2
    for month in (2, 3):
        rows = projects.customers(50, first=1000 * month, seed=month)
        write_parquet(folder / "data" / f"2026-0{month}.parquet", rows)
    clock.advance(clock.now() + WEEK)
    with running(folder) as workspace:
        now = clock.now()
        ticks = of_type(workspace, "clock.ticked", after=before)
        slots = {
            name: [datetime.fromisoformat(tick.data["slot"]) for tick in ticks if tick.subject == name]
            for name in ("hourly", "every slot", "on time or not")
        }
        midnight = projects.START + timedelta(days=7)
        assert slots["hourly"] == [midnight]
        assert slots["every slot"] == [projects.START + timedelta(hours=12 * number) for number in range(1, 15)]
        assert slots["on time or not"] == []
        assert {tick.data["late_seconds"] for tick in ticks if tick.subject == "hourly"} == {20 * 60}
        (published,) = of_type(workspace, "dataset.version.published", after=before)
        assert published.data["new_files"] == 2
        fired = of_type(workspace, "rule.fired", after=before)
        assert sorted(one.subject for one in fired if one.subject not in slots) == ["new data", "signal"]
        assert [one.causationid for one in fired if one.subject == "signal"] == [signal.id]
        assert workspace.outcome(command)["error"] == ""
        assert workspace.runs.pending() == []
        last = workspace.ledger.last_seq()
        workspace.heartbeat()
        workspace.settle(timeout_seconds=PATIENCE_SECONDS)
        assert workspace.ledger.last_seq() == last
        assert clock.now() == now
