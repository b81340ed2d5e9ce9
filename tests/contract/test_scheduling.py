"""Several schedulers on one database: each slot ticks once, each event is dispatched once, each action is done once."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ratchet import origin
from ratchet.automation.actions import ACTIONS
from ratchet.automation.clockwork import Clockwork
from ratchet.records import Event
from ratchet.store import migrations
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.contract.scheduling import NOTE, SETTINGS, START, STEP, put_in_force, resources_of
from tests.waiting import PATIENCE_SECONDS, next_line

PERSON = Event(type="command.issued", subject="test", authtype="user", authid="person-1")


class SchedulingContract:
    """What holds however many look at the clock; a subclass says on which database."""

    schedulers = 2

    def test_each_slot_and_event_counts_once(self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All look at each moment and do each job; what is done is as if there had been one."""
        monkeypatch.setitem(ACTIONS, NOTE.name, NOTE)
        schedulers, slots = self.schedulers, 4
        (tmp_path / "ratchet.toml").write_text(SETTINGS)
        resources = resources_of(url, tmp_path)
        migrations.migrate(resources.database)
        issued = resources.ledger.record(PERSON)[0]
        with origin.use(origin.following(issued)):
            put_in_force(resources)
            signals = [Event(type="custom.emitted", subject="signal", id=f"S{number}") for number in range(10)]
            resources.ledger.record(*signals)
        Clockwork(resources).tick(START)
        ticks = self._run(url, tmp_path, schedulers, slots)
        found = list(resources.ledger.read())
        resources.database.close()
        assert sum(ticks) == slots
        ticked = [event.data["slot"] for event in found if event.type == "clock.ticked"]
        assert ticked == [(START + STEP * number).isoformat() for number in range(1, slots + 1)]
        fired = Counter(event.subject for event in found if event.type == "rule.fired")
        assert fired == {"hourly": slots, "answer": slots, "rarely": 2}
        notes = [event for event in found if event.type == "custom.emitted" and event.subject != "signal"]
        done = Counter((event.subject, event.data["about"]) for event in notes)
        assert set(done.values()) == {1}
        assert Counter(event.subject for event in notes) == {"one": slots, "two": slots, "answered": slots, "rare": 2}
        kinds = Counter(event.type for event in found)
        assert kinds["rule.action.failed"] == 0
        # One event for the whole burst in which the third rule was held back.
        assert kinds["rule.suppressed"] == 1

    def _run(self, url: str, folder: Path, schedulers: int, slots: int) -> list[int]:
        """Let the processes begin together, and return how many ticks each made."""
        command = [sys.executable, "-m", "tests.contract.scheduling", url, str(folder), str(slots)]
        processes = [
            subprocess.Popen([*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for seed in range(schedulers)
        ]
        try:
            for process in processes:
                next_line(process.stdout, "a scheduler", containing="ready")
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            return [int(process.communicate(timeout=PATIENCE_SECONDS)[0]) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()


class TestSchedulingOnSqlite(OnSQLite, SchedulingContract):
    """On a file."""


class TestSchedulingOnPostgres(OnPostgreSQL, SchedulingContract):
    """On a server, where many may look."""

    schedulers = 5
