"""Cron slots: each once, in the rule's time zone, over both changes of the clocks; after a pause only the latest."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ratchet import config
from ratchet.automation import rules
from ratchet.automation.clockwork import Clockwork, latest_slot, next_slot
from ratchet.loop.pipelines import Project
from ratchet.records import Event
from tests import projects
from tests.loops import Stage

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
RULE = '\n[[rule]]\nname = "weekly"\non = "clock.ticked"\ncron = "0 3 * * MON"\ndo = {{ start_run = "churn" }}\n{0}\n'


def put(stage: Stage, extra: str = "", *, key: str = "put", text: str = RULE) -> None:
    """Put the weekly rule in force."""
    stage.configure(projects.SETTINGS + text.format(extra))
    path = stage.resources.project / config.FILE_NAME
    found = rules.read(stage.resources.config, Project(), path=path)
    with stage.command(key):
        rules.put_in_force(stage.resources, found)


def hours(clockwork: Clockwork, start: datetime, count: int, *, minutes: int = 60) -> list[Event]:
    """Tick every hour and return all ticks."""
    return [event for number in range(count) for event in clockwork.tick(start + timedelta(minutes=minutes * number))]


def test_a_slot_is_ticked_once(stage: Stage) -> None:
    """Hour by hour over two weeks: twice, on time, with rule and slot."""
    put(stage)
    ticks = hours(Clockwork(stage.resources), MONDAY, 24 * 14)
    assert [event.data["slot"] for event in ticks] == ["2026-01-05T03:00:00+00:00", "2026-01-12T03:00:00+00:00"]
    assert {event.data["late_seconds"] for event in ticks} == {0}
    assert {(event.type, event.subject, event.pipeline) for event in ticks} == {("clock.ticked", "weekly", "churn")}
    assert ticks[0].actor_class == "automation"
    assert ticks[0].trigger == "schedule"


def test_a_new_rule_does_not_make_up_for_the_past(stage: Stage) -> None:
    """Put in force on a Monday at four: nothing happens before the next Monday."""
    put(stage)
    assert hours(Clockwork(stage.resources), MONDAY + timedelta(hours=4), 24 * 6) == []


def test_after_a_pause_only_the_latest_slot_is_ticked(stage: Stage) -> None:
    """Three weeks were missed: one run is enough; the event says how late it is."""
    put(stage)
    Clockwork(stage.resources).tick(MONDAY)
    (event,) = Clockwork(stage.resources).tick(MONDAY + timedelta(days=22, hours=5))
    assert event.data["slot"] == "2026-01-26T03:00:00+00:00"
    assert event.data["late_seconds"] == (26 * 60) * 60


def test_a_rule_that_was_off_does_not_make_up_for_that_time(stage: Stage) -> None:
    """What was not to be done is not done when it is switched on again."""
    put(stage)
    clockwork = Clockwork(stage.resources)
    assert len(hours(clockwork, MONDAY, 24)) == 1
    put(stage, "enabled = false", key="off")
    assert hours(clockwork, MONDAY + timedelta(days=1), 24 * 10) == []
    put(stage, key="on")
    for each in (clockwork, Clockwork(stage.resources)):
        assert hours(each, MONDAY + timedelta(days=11), 24) == []
    assert len(hours(clockwork, MONDAY + timedelta(days=12), 24 * 7)) == 1


def test_a_changed_schedule_counts_from_its_change(stage: Stage) -> None:
    """The new time is taken up at once by a clockwork that runs."""
    put(stage)
    clockwork = Clockwork(stage.resources)
    hours(clockwork, MONDAY, 24)
    put(stage, text=RULE.replace("0 3 * * MON", "0 12 * * *"), key="changed")
    ticks = hours(clockwork, MONDAY + timedelta(days=1, hours=9), 24)
    assert [event.data["slot"] for event in ticks] == ["2026-01-06T12:00:00+00:00"]


def test_ticking_again_after_a_restart_changes_nothing(stage: Stage) -> None:
    """The ledger knows the slot, whoever ticks."""
    put(stage)
    assert len(hours(Clockwork(stage.resources), MONDAY, 5)) == 1
    assert Clockwork(stage.resources).tick(MONDAY + timedelta(hours=4)) == []
    assert len(stage.events("clock.ticked")) == 1


def test_two_processes_at_once_tick_once(stage: Stage) -> None:
    """Both are ready, both look at the same moment, one of them ticks."""
    put(stage)
    Clockwork(stage.resources).tick(MONDAY)
    moment = (MONDAY + timedelta(hours=3)).isoformat()
    command = [sys.executable, "-m", "tests.unit.automation.ticking", str(stage.resources.project), moment]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    counts = []
    for other in others:
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
    for other in others:
        assert other.stdout is not None
        counts.append(int(other.stdout.readline()))
        other.communicate()
    assert sorted(counts) == [0, 1]
    assert len(stage.events("clock.ticked")) == 1


def test_a_schedule_is_in_its_time_zone(stage: Stage) -> None:
    """Three at night in New York is eight in the morning in London."""
    put(stage, 'time_zone = "America/New_York"')
    (event,) = hours(Clockwork(stage.resources), MONDAY, 24)
    assert event.data["slot"] == "2026-01-05T03:00:00-05:00"
    assert event.at is not None
    assert event.data["late_seconds"] == 0


def slots(cron: str, start: datetime, count: int, *, minutes: int = 10) -> list[str]:
    """Look every few minutes for a slot since the last look, as a clockwork does."""
    found = []
    last = start
    for number in range(1, count):
        now = start + timedelta(minutes=minutes * number)
        slot = latest_slot(cron, "America/New_York", after=last, until=now)
        if slot is not None:
            found.append(slot.astimezone(UTC).isoformat())
        last = now
    return found


def test_a_slot_in_the_hour_that_is_left_out_comes_once(stage: Stage) -> None:
    """On the eighth of March half past two does not exist in New York; the day has its slot all the same."""
    start = datetime(2026, 3, 7, 12, tzinfo=UTC)
    found = slots("30 2 * * *", start, 6 * 48)
    assert len(found) == 2
    assert found[1] == "2026-03-09T06:30:00+00:00"
    assert found[0][:10] == "2026-03-08"


def test_a_slot_in_the_hour_that_comes_twice_comes_once() -> None:
    """On the first of November half past one comes twice in New York; the run is to be one."""
    start = datetime(2026, 10, 31, 12, tzinfo=UTC)
    found = slots("30 1 * * *", start, 6 * 48)
    assert len(found) == 2
    assert found[0][:10] == "2026-11-01"
    assert found[1] == "2026-11-02T06:30:00+00:00"


def test_every_hour_means_every_hour_over_both_changes() -> None:
    """A day of 23 hours has 23 slots, a day of 25 hours has 25."""
    for day, count in ((datetime(2026, 3, 8, tzinfo=NEW_YORK), 23), (datetime(2026, 11, 1, tzinfo=NEW_YORK), 25)):
        start = day.astimezone(UTC) - timedelta(minutes=1)
        end = (day + timedelta(days=1)).astimezone(UTC) - timedelta(minutes=1)
        minutes = int((end - start).total_seconds() / 60)
        assert len(slots("0 * * * *", start, minutes // 10 + 1)) == count


def test_the_next_slot_is_after_the_moment() -> None:
    """Never the moment itself, also over the changes of the clocks."""
    at = datetime(2026, 1, 5, 3, tzinfo=UTC)
    assert next_slot("0 3 * * *", "UTC", after=at) == at + timedelta(days=1)
    spring = datetime(2026, 3, 8, 6, 59, tzinfo=UTC)
    assert spring < next_slot("30 2 * * *", "America/New_York", after=spring) <= spring + timedelta(hours=24)


def test_the_last_slot_lies_in_the_half_open_interval() -> None:
    """After the last look, up to and including now."""
    three = datetime(2026, 1, 5, 3, tzinfo=UTC)
    assert latest_slot("0 3 * * *", "UTC", after=three, until=three + timedelta(hours=5)) is None
    assert latest_slot("0 3 * * *", "UTC", after=three - timedelta(seconds=1), until=three) == three
    seconds = three + timedelta(seconds=30)
    assert latest_slot("0 3 * * *", "UTC", after=three - timedelta(hours=1), until=seconds) == three


@pytest.mark.parametrize("cron", ["0 3 29 2 *", "0 0 31 * *"])
def test_rare_slots_are_found(cron: str) -> None:
    """A schedule may wait for years."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert next_slot(cron, "UTC", after=start) > start


def test_the_clockwork_needs_no_workspace(tmp_path: Path, stage: Stage) -> None:
    """Without rules there is nothing to do."""
    assert Clockwork(stage.resources).tick(MONDAY) == []
