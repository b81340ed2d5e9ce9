"""Rules held against the past on the command line: what is said, and that nothing is done."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from ratchet import clock
from ratchet.cli.rules_past import period_end, period_start
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

RULE = '\n[[rule]]\nname = "deploy"\non = "gate.evaluated"\nwhen = "event.data.decision == \'pass\'"\ndo = "promote"\n'
NIGHTLY = '\n[[rule]]\nname = "nightly"\non = "clock.ticked"\ncron = "0 3 * * *"\ndo = { monitor = "returns" }\n'


@pytest.fixture(scope="module")
def described(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That project once its Python files were read, which takes a process with all of pandas."""
    folder = tmp_path_factory.mktemp("described") / "shop"
    shutil.copytree(written, folder)
    with Workspace(folder) as workspace:
        workspace.sync()
    return folder


@pytest.fixture
def project(described: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(described, tmp_path / "shop"))


def state(folder: Path) -> tuple[Any, ...]:
    """Return the ledger, the jobs and the settings of a project."""
    with Workspace(folder) as workspace:
        jobs = sorted(workspace.runs.pending())
        return list(workspace.ledger.read()), jobs, (folder / "ratchet.toml").read_bytes()


def add(folder: Path, text: str) -> None:
    """Write a rule at the end of ``ratchet.toml``."""
    path = folder / "ratchet.toml"
    path.write_text(path.read_text() + text)


def test_a_test_shows_what_would_have_been_and_changes_nothing(call: Call, project: Path) -> None:
    """A rule that is not in force yet, against the gates that there were; ledger, jobs and files are as they were."""
    add(project, RULE)
    before = state(project)
    answer = call("rules", "test", "deploy", "--since", "2026-01-01", "--workspace", str(project))
    assert state(project) == before
    assert answer.code == 0, answer.err
    assert "deploy, in ratchet.toml, not in force" in answer.out
    assert "fire" in answer.out
    assert "not there yet" in answer.out
    assert "1 would have fired, 0 would have been held back, 0 errors" in " ".join(answer.out.split())
    assert "Nothing was appended, and nothing was done." in answer.out


def test_the_same_for_programs(call: Call, project: Path) -> None:
    """All cases, counts, and counts by month."""
    other = project / "other.toml"
    other.write_text(RULE)
    arguments = ("--since", "2026-01-01", "--file", str(other), "--json", "--workspace", str(project))
    found = json.loads(call("rules", "test", "deploy", *arguments).out)
    assert found["counts"]["would_fire"] == 1
    assert found["counts"]["events"] == len(found["cases"]) == 1
    assert [month["fire"] for month in found["months"].values()] == [1]
    (case,) = found["cases"]
    assert (case["would"], case["really"]["deed"], case["asked"][0]["action"]) == ("fire", "not there yet", "promote")


def test_a_preset_and_a_schedule_can_be_tested(call: Call, project: Path) -> None:
    """The slots of a span, all before the rule was there."""
    arguments = ("--since", "2026-03-01", "--until", "2026-03-31", "--workspace", str(project))
    out = call("rules", "test", "train-weekly", *arguments).out
    assert "a preset, not in force" in out
    assert "5 slots looked at: 5 would have fired" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nope", "--since", "1d"), "No rule named 'nope'"),
        (("deploy", "--since", "soon"), "'soon' is no day, no moment and no span"),
        (("deploy", "--since", "2026-02-01", "--until", "2026-01-01"), "it lies before --since"),
        (("deploy",), "Missing option '--since'"),
        (("deploy", "--since", "1d", "--file", "nowhere.toml"), "does not exist"),
    ],
)
def test_what_cannot_be_tested_is_refused(call: Call, project: Path, arguments: tuple[str, ...], problem: str) -> None:
    """With what is wrong, and what there is."""
    answer = call("rules", "test", *arguments, "--workspace", str(project))
    assert answer.code != 0
    assert problem in " ".join(answer.err.split())


def test_a_backfill_is_shown_done_and_done_once(call: Call, project: Path) -> None:
    """A dry run appends nothing; then each is fired in the person's name; then nothing is left."""
    add(project, RULE)
    where = ("--workspace", str(project))
    call("rules", *where)
    before = state(project)
    dry = call("rules", "backfill", "deploy", "--since", "2026-01-01", "--dry-run", *where)
    assert "The rule would be fired for 1 event; nothing was appended." in dry.out
    assert state(project) == before
    done = call("rules", "backfill", "deploy", "--since", "2026-01-01", *where)
    assert "The rule was fired for 1 event, in your name." in done.out
    assert "ratchet up" in done.out
    after, jobs, _ = state(project)
    assert [event.type for event in after[len(before[0]) :]] == ["command.issued", "rule.fired"]
    assert after[-1].actor_class == "human"
    assert after[-1].trigger == "backfill"
    assert len(jobs) == len(before[1]) + 1
    again = call("rules", "backfill", "deploy", "--since", "2026-01-01", *where)
    assert "Nothing is left to make up for" in again.out
    assert state(project)[0] == after
    assert json.loads(call("rules", "backfill", "deploy", "--since", "2026-01-01", "--json", *where).out) == {
        "rule": "deploy",
        "is_done": True,
        "fired": [],
    }


def test_many_events_at_once_are_asked_for_twice(call: Call, project: Path) -> None:
    """A span that was typed too long starts nothing."""
    add(project, NIGHTLY)
    where = ("--workspace", str(project))
    call("rules", *where)
    before = state(project)
    refused = call("rules", "backfill", "nightly", "--since", "30d", *where)
    assert refused.code == 1
    assert "would be fired for 30 events, all at once" in refused.err
    assert state(project) == before
    assert (
        "would be fired for 30 events"
        in call("rules", "backfill", "nightly", "--since", "30d", "--dry-run", *where).out
    )
    assert "was fired for 30 events" in call("rules", "backfill", "nightly", "--since", "30d", "--yes", *where).out


def test_a_rule_that_is_off_is_not_backfilled(call: Call, project: Path) -> None:
    """It would not act by itself either."""
    add(project, RULE + "enabled = false\n")
    answer = call("rules", "backfill", "deploy", "--since", "2026-01-01", "--workspace", str(project))
    assert answer.code == 1
    assert "ratchet rules enable 'deploy'" in answer.err


def test_a_span_begins_with_a_day_or_so_long_ago() -> None:
    """Days are local: they begin and end where the project is; a span is counted back from now."""
    now = clock.now()
    start = period_start("2026-03-31", zone="America/New_York", option="--since")
    assert start == datetime(2026, 3, 31, 4, tzinfo=UTC)
    assert period_end("2026-03-31", zone="America/New_York") == start + timedelta(days=1)
    assert period_start("2026-03-31T12:00+02:00", zone="UTC", option="--since") == datetime(2026, 3, 31, 10, tzinfo=UTC)
    for text, span in (("12h", timedelta(hours=12)), ("30d", timedelta(days=30)), ("8w", timedelta(weeks=8))):
        assert abs(now - span - period_start(text, zone="UTC", option="--since")) < timedelta(hours=1)
    with pytest.raises(click.BadParameter, match="write 2013-01-31"):
        period_end("never", zone="UTC")
