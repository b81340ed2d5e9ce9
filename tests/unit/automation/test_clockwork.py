"""Cron slots: each once, whoever ticks; after a pause the latest, all or none of those that were missed."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ratchet import clock, config
from ratchet.automation import rules
from ratchet.automation.clockwork import Clockwork
from ratchet.loop import registry
from ratchet.loop.pipelines import Project
from ratchet.records import Event
from tests import projects
from tests.loops import Stage

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


def test_one_rule_that_cannot_tick_does_not_keep_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is raised when all were looked at."""
    second = RULE.replace("weekly", "second")
    put(stage, text=RULE + second)
    clockwork = Clockwork(stage.resources)
    clockwork.tick(MONDAY)
    honest = registry.put_state

    def broken(transaction: Any, name: str, value: Any) -> None:
        if name.startswith("clock/"):
            monkeypatch.setattr(registry, "put_state", honest)
            raise OSError("no room")
        honest(transaction, name, value)

    monkeypatch.setattr(registry, "put_state", broken)
    with pytest.raises(OSError, match="no room"):
        clockwork.tick(MONDAY + timedelta(hours=3))
    assert [event.subject for event in stage.events("clock.ticked")] == ["second"]
    (event,) = clockwork.tick(MONDAY + timedelta(hours=3, seconds=1))
    assert (event.subject, event.data["slot"]) == ("weekly", "2026-01-05T03:00:00+00:00")


# ---- what was missed

HOURLY = RULE.replace("0 3 * * MON", "0 * * * *")
WEEK = timedelta(days=7, minutes=20)


def after_a_week(stage: Stage, catch_up: str, *, settings: str = "", pause: timedelta = WEEK) -> list[list[Event]]:
    """Let nothing run for a week behind an hourly rule, and then beat every ten minutes for three hours."""
    stage.configure(projects.SETTINGS + settings + HOURLY.format(f'catch_up = "{catch_up}"'))
    found = rules.read(stage.resources.config, Project(), path=stage.resources.project / config.FILE_NAME)
    with stage.command("put"):
        rules.put_in_force(stage.resources, found)
    assert Clockwork(stage.resources).tick(clock.now() + timedelta(seconds=1)) == []
    clock.advance(clock.now() + pause)
    again = Clockwork(stage.resources)
    beats = []
    for _ in range(18):
        beats.append(again.tick(clock.now()))
        clock.advance(clock.now() + timedelta(minutes=10))
    return beats


def slots_of(events: list[Event]) -> list[datetime]:
    """Return when ticks were due."""
    return [datetime.fromisoformat(event.data["slot"]) for event in events]


def test_a_week_of_downtime_is_one_tick_by_itself(stage: Stage, simulated: None) -> None:
    """The latest slot, twenty minutes late; then each hour as ever."""
    beats = after_a_week(stage, "latest")
    assert slots_of(beats[0]) == [MONDAY + timedelta(days=7)]
    assert beats[0][0].data["late_seconds"] == 20 * 60
    assert len(slots_of([event for beat in beats[1:] for event in beat])) == 3


def test_all_missed_slots_are_ticked_where_the_rule_says_so(stage: Stage, simulated: None) -> None:
    """In order, each once, as many an hour as the rule may fire: what is left comes in the next hours."""
    beats = after_a_week(stage, "all")
    assert slots_of(beats[0]) == [MONDAY + timedelta(hours=1 + number) for number in range(100)]
    assert beats[1:6] == [[]] * 5
    found = slots_of([event for beat in beats for event in beat])
    assert found == [MONDAY + timedelta(hours=1 + number) for number in range(len(found))]
    assert len(found) == 7 * 24 + 3
    assert len(slots_of(beats[6])) == 7 * 24 + 1 - 100


def test_a_pause_of_one_slot_is_no_matter_of_limits(stage: Stage, simulated: None) -> None:
    """A single missed slot is ticked as it is by every rule."""
    beats = after_a_week(stage, "all", settings="\n[limits]\nrule_fires_per_hour = 1\n", pause=timedelta(minutes=65))
    assert slots_of(beats[0]) == [MONDAY + timedelta(hours=1)]


def test_no_missed_slot_is_ticked_where_the_rule_says_so(stage: Stage, simulated: None) -> None:
    """The one that came twenty minutes ago is left out; the next hour is ticked."""
    beats = after_a_week(stage, "none")
    assert beats[0] == []
    assert slots_of([event for beat in beats for event in beat]) == [
        MONDAY + timedelta(days=7, hours=1 + number) for number in range(3)
    ]


def test_a_slot_that_came_just_now_was_not_missed(stage: Stage, simulated: None) -> None:
    """A restart takes a moment, and what comes in it is not left out."""
    beats = after_a_week(stage, "none", pause=timedelta(days=7, minutes=9))
    assert slots_of(beats[0]) == [MONDAY + timedelta(days=7)]


def test_the_clockwork_needs_no_workspace(tmp_path: Path, stage: Stage) -> None:
    """Without rules there is nothing to do."""
    assert Clockwork(stage.resources).tick(MONDAY) == []
