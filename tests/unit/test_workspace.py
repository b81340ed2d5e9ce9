"""The workspace as its users see it: commands carried out once, files that are taken in, rules that are kept."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ratchet
from ratchet import clock
from ratchet.engine.executors import Zygotes
from ratchet.errors import (
    BudgetSpent,
    ConfigInvalid,
    NotSettled,
    StepFailed,
    UnknownName,
    WorkspaceInUse,
    WorkspaceNotFound,
)
from ratchet.loop import training
from ratchet.records import Event
from ratchet.workspace import CLOCK_FILE, LOCK_FILE, Workspace, open_workspace
from tests import projects
from tests.waiting import PATIENCE_SECONDS

RULE = '\n[[rule]]\nname = "weekly"\non = "clock.ticked"\ncron = "0 3 * * MON"\ndo = {{ start_run = "churn" }}\n{0}'
BUDGET = """
[[prices.item]]
resource = "cpu_seconds"
unit = "s"
amount = 1.0

[[budget]]
scope = "pipeline"
name = "churn"
amount_month = 10.0
then = "stop"
"""
CHANGES = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A running workspace, for tests that leave it as it is or only add to it."""
    folder = projects.write_project(tmp_path_factory.mktemp("shared") / "shop")
    with projects.running(folder, serve=False) as workspace:
        yield workspace


@pytest.fixture
def workspace(tmp_path: Path, zygotes: Zygotes) -> Iterator[Workspace]:
    """A workspace that nobody runs, its files not taken in yet; it need not load a zygote of its own."""
    with Workspace(projects.write_project(tmp_path / "shop")) as opened:
        opened.resources.zygotes = zygotes
        yield opened


def configure(workspace: Workspace, text: str) -> None:
    """Write rules into the settings and take them in."""
    (workspace.project / "ratchet.toml").write_text(projects.SETTINGS + text)
    workspace.reload()
    workspace.sync()


def changes(workspace: Workspace) -> list[str]:
    """Return what was recorded of changed rules."""
    return [event.type for event in workspace.ledger.read(types=CHANGES)]


# ---- opening


def test_a_workspace_is_found_from_below(tmp_path: Path) -> None:
    """From any folder inside, by the public name; without one the message says how to start."""
    folder = projects.write_project(tmp_path / "shop")
    (folder / "deep" / "down").mkdir(parents=True)
    with ratchet.open(folder / "deep" / "down") as found:
        assert found.project == folder.resolve()
        assert (found.is_executor, found.is_running) == (False, False)
    with pytest.raises(WorkspaceNotFound, match="ratchet init"):
        open_workspace(tmp_path)


def test_a_second_executor_is_refused(shared: Workspace) -> None:
    """With the process that is one; to look and to command is allowed."""
    with Workspace(shared.project) as second:
        assert second.is_running
        with pytest.raises(WorkspaceInUse, match=r"pid \d+.*one executor at a time"):
            second.start(serve=False)
        assert not second.is_executor
        assert second.ledger.last_seq() == shared.ledger.last_seq()
    assert shared.is_executor


def test_a_replayed_year_lives_in_its_own_time(tmp_path: Path) -> None:
    """Whoever opens it later sees the time of its clock file."""
    folder = projects.write_project(tmp_path / "shop")
    moment = datetime(2013, 1, 1, tzinfo=UTC)
    clock.simulate(folder / ".ratchet" / CLOCK_FILE, start=moment)
    clock.stop_simulating()
    try:
        with Workspace(folder):
            assert clock.now() == moment
    finally:
        clock.stop_simulating()


# ---- commands


def test_a_command_and_its_job_are_one(shared: Workspace) -> None:
    """What a person asks for is in the ledger with who, what and by which way; the outcome is its last event."""
    command = shared.command("take_sample", {"pipeline": "churn"}, subject="churn", pipeline="churn", channel="ui")
    assert shared.outcome(command, timeout_seconds=PATIENCE_SECONDS) == {"event": command.id, "error": ""}
    assert (command.type, command.trigger, command.actor_class) == ("command.issued", "ui", "human")
    assert command.data["action"] == "take_sample"
    assert command.data["target_stage"] == "sample"
    assert command.data["arguments"] == {"pipeline": "churn"}


def test_a_command_with_a_key_is_given_once(shared: Workspace) -> None:
    """However often it is sent, it is one event and one job."""
    first, second = (
        shared.command("take_sample", {"pipeline": "churn"}, subject="churn", key="sample/1") for _ in range(2)
    )
    assert first == second
    shared.settle(timeout_seconds=PATIENCE_SECONDS)


def test_a_run_by_command_ends_at_the_gate(shared: Workspace) -> None:
    """From the command to the registered version, in one process."""
    queued = projects.give(shared, "start_run", pipeline="churn", key="run")
    assert queued.type == "run.queued"
    gate = next(iter(shared.ledger.read(types=["gate.evaluated"], newest_first=True, limit=1)))
    assert gate.data["decision"] == "pass"
    assert gate.correlationid == queued.correlationid


def test_what_goes_wrong_is_told_to_who_asked(shared: Workspace) -> None:
    """The error's message, not a traceback."""
    outcome = projects.attempt(shared, "promote", version="churn@v99")
    assert outcome["error"].startswith("No model version named 'churn@v99'")


def test_without_somebody_who_runs_it_a_command_waits(workspace: Workspace) -> None:
    """Nothing is lost: the next executor carries it out."""
    command = workspace.command("take_sample", {"pipeline": "churn"}, subject="churn")
    with pytest.raises(NotSettled, match=r"Still under way after 0.05 s.*ratchet up"):
        workspace.outcome(command, timeout_seconds=0.05)
    with pytest.raises(NotSettled, match=f"act:{command.id}"):
        workspace.settle(timeout_seconds=0.05)
    assert workspace.runs.pending() == [f"act:{command.id}"]


def test_an_endpoint_that_does_not_come_up_is_named(workspace: Workspace) -> None:
    """The message says where its log is."""
    with pytest.raises(NotSettled, match=r"endpoint\.log"):
        workspace.endpoint_address(timeout_seconds=0.05)


# ---- the project's files


def test_files_are_taken_in_once(workspace: Workspace) -> None:
    """Pipelines, rules and level policies; with the same files again nothing happens."""
    configure(workspace, RULE.format(""))
    types = [event.type for event in workspace.ledger.read()]
    assert types == [
        "command.issued",
        "pipeline.declared",
        "level.policy.published",
        "level.policy.published",
        "rule.created",
    ]
    before = workspace.ledger.last_seq()
    workspace.sync()
    assert workspace.ledger.last_seq() == before
    assert [rule.name for rule in workspace.rules().rules] == ["weekly"]
    assert workspace.pipelines()["churn"]["owner"] == "growth"


def test_a_rule_can_be_switched_off_and_on_as_often_as_one_likes(workspace: Workspace) -> None:
    """Each change is in the ledger, also when the files are again as they were before."""
    for _ in range(2):
        configure(workspace, RULE.format(""))
        configure(workspace, RULE.format("enabled = false\n"))
    configure(workspace, "")
    configure(workspace, RULE.format(""))
    kinds = ["created", "disabled", "enabled", "disabled", "deleted", "created"]
    assert [kind.partition(".")[2] for kind in changes(workspace)] == kinds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RULE.format("").replace("start_run", "strat_run"), r"ratchet\.toml:\d+: unknown action 'strat_run'"),
        (RULE.format('when = "score > 1"\n'), r"ratchet\.toml:\d+: the condition names 'score'"),
        (RULE.format("").replace('"churn"', '"chrun"'), r"ratchet\.toml:\d+: rule 'weekly' acts on 'chrun'.*: churn;"),
    ],
)
def test_with_a_bad_rule_nothing_is_taken_in(workspace: Workspace, text: str, message: str) -> None:
    """The rules that were in force stay so, and the ledger is as it was."""
    configure(workspace, RULE.format(""))
    before = workspace.ledger.last_seq()
    with pytest.raises(ConfigInvalid, match=message):
        configure(workspace, text)
    assert workspace.ledger.last_seq() == before
    assert [rule.name for rule in workspace.rules().rules] == ["weekly"]


def test_a_rule_that_is_off_may_act_on_what_is_gone(workspace: Workspace) -> None:
    """Whoever takes a pipeline away may switch its rules off first."""
    configure(workspace, RULE.format("enabled = false\n").replace('"churn"', '"gone"'))
    assert [rule.is_enabled for rule in workspace.rules().rules] == [False]


def test_a_file_that_cannot_be_imported_is_not_taken_in(workspace: Workspace) -> None:
    """The error names what failed."""
    workspace.sync()
    before = workspace.ledger.last_seq()
    (workspace.project / "broken.py").write_text("1 / 0\n")
    with pytest.raises(StepFailed, match="ZeroDivisionError"):
        workspace.sync()
    assert workspace.ledger.last_seq() == before


def test_adopting_a_level_is_a_diff(workspace: Workspace) -> None:
    """Its rules are written into the file and in force; again, nothing is added."""
    workspace.sync()
    shown = workspace.adopt(1, "churn", dry_run=True)
    assert "start_run" in shown
    assert (workspace.project / "ratchet.toml").read_text() == projects.SETTINGS
    added = workspace.adopt(1, "churn")
    assert added == shown
    text = (workspace.project / "ratchet.toml").read_text()
    assert text.startswith(projects.SETTINGS.rstrip())
    assert text.endswith(added)
    assert {rule.origin for rule in workspace.rules().rules} == {"template"}
    assert workspace.adopt(1, "churn") == ""
    assert (workspace.project / "ratchet.toml").read_text() == text


def test_presets_can_be_adopted_switched_off_or_left_out(workspace: Workspace) -> None:
    """Written all the same, to be read and switched on; without those that use an action."""
    workspace.adopt(1, "churn", enabled=False)
    assert {rule.is_enabled for rule in workspace.rules().rules} == {False}
    workspace.adopt(3, "churn", leave_out="start_run")
    actions = {call.action for rule in workspace.rules().rules if rule.is_enabled for call in rule.calls}
    assert actions == {"monitor", "take_sample", "join_feedback", "build_dataset"}


def test_adopting_into_a_broken_file_leaves_it_as_it_was(workspace: Workspace) -> None:
    """The mistake is named at its line; nothing is written, and nothing is in force."""
    workspace.sync()
    before = workspace.ledger.last_seq()
    broken = projects.SETTINGS + RULE.format("").replace("0 3", "0 99")
    (workspace.project / "ratchet.toml").write_text(broken)
    with pytest.raises(ConfigInvalid, match=r"'0 99 . . MON' is no schedule"):
        workspace.adopt(1, "churn")
    assert (workspace.project / "ratchet.toml").read_text() == broken
    assert workspace.ledger.last_seq() == before
    assert workspace.rules().rules == ()


@pytest.mark.parametrize(("level", "pipeline", "message"), [(4, "churn", "level-3"), (1, "chrun", "Known: churn")])
def test_what_cannot_be_adopted_is_named(workspace: Workspace, level: int, pipeline: str, message: str) -> None:
    """An unknown level or pipeline changes nothing."""
    with pytest.raises(UnknownName, match=message):
        workspace.adopt(level, pipeline)
    assert (workspace.project / "ratchet.toml").read_text() == projects.SETTINGS


# ---- the heartbeat


def test_a_heartbeat_looks_for_data_and_ticks(workspace: Workspace, tmp_path: Path) -> None:
    """A refused file is said once and stays out; the clock goes on."""
    clock.simulate(tmp_path / "clock", start=projects.START)
    try:
        configure(workspace, RULE.format(""))
        workspace.heartbeat()
        projects.customers(5).drop(columns="left").to_csv(workspace.project / "data" / "bad.csv", index=False)
        (workspace.project / "data" / "bad.csv").rename(workspace.project / "data" / "bad.parquet")
        clock.advance(projects.START + timedelta(hours=3))
        for _ in range(2):
            workspace.heartbeat()
    finally:
        clock.stop_simulating()
    types = [event.type for event in workspace.ledger.read()]
    assert types.count("dataset.version.published") == 1
    assert types.count("dataset.check.finished") == 1
    assert types.count("clock.ticked") == 1


@pytest.mark.usefixtures("simulated")
def test_a_heartbeat_tells_of_a_passed_budget_which_stops_runs(workspace: Workspace) -> None:
    """The workspace joins what the ledger adds up to with what starts runs."""
    configure(workspace, BUDGET)
    with workspace.by_command("spend", {}, subject="churn"):
        data = {"run_id": "R", "step": "fit", "resource": "cpu_seconds", "qty": 11.0, "unit": "s"}
        workspace.ledger.record(Event(type="cost.recorded", subject="R", pipeline="churn", data=data))
    workspace.heartbeat()
    workspace.heartbeat()
    assert [event.data["spent"] for event in workspace.ledger.read(types=["budget.exceeded"])] == [11.0]
    with workspace.by_command("start_run", {}, subject="churn"), pytest.raises(BudgetSpent):
        training.start_run(workspace.resources, "churn")
    assert workspace.spending.numbers("churn", ["level", "spent_usd_month"]) == {"level": 0.0, "spent_usd_month": 11.0}


def test_a_refusal_is_said_once(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Not every second."""
    (workspace.project / "data" / "bad.parquet").write_bytes(b"nothing")
    for _ in range(3):
        workspace.look_for_data()
    assert capsys.readouterr().err.count("cannot be read") == 1


# ---- looking


def alert(workspace: Workspace, kind: str, subject: str) -> Event:
    """Record that an alert was raised or cleared."""
    with workspace.by_command("test", {}, subject="test"):
        return workspace.ledger.record(Event(type=f"monitor.alert.{kind}", subject=subject, pipeline="churn"))[0]


def test_alerts_are_open_until_they_are_cleared(workspace: Workspace) -> None:
    """Of one pipeline, the oldest first."""
    drift = alert(workspace, "raised", "churn/drift")
    alert(workspace, "raised", "churn/performance")
    assert [event.subject for event in workspace.alerts("churn")] == ["churn/drift", "churn/performance"]
    alert(workspace, "cleared", "churn/performance")
    assert workspace.alerts("churn") == [drift]
    assert workspace.alerts("value") == []


def test_policies_are_found_by_name(workspace: Workspace) -> None:
    """Those that ship, and an error with their names."""
    assert [policy.name for policy in workspace.policies()] == ["standard", "strict"]
    assert workspace.policy("strict").name == "strict"
    with pytest.raises(UnknownName, match="standard, strict"):
        workspace.policy("lenient")


def test_a_level_needs_evidence(workspace: Workspace) -> None:
    """A pipeline of which nothing is known is at no level by default."""
    workspace.sync()
    assert workspace.level("churn").level == 0
    assert workspace.live("churn") is None
    assert workspace.history() is workspace.history()


def test_what_was_taken_in_by_one_process_is_carried_out_by_another(tmp_path: Path) -> None:
    """A command that waits is done by whoever runs the workspace next, here a process of its own."""
    folder = projects.write_project(tmp_path / "shop")
    program = (
        "import sys, pathlib\n"
        "from tests import projects\n"
        "with projects.running(pathlib.Path(sys.argv[1]), serve=False) as workspace:\n"
        "    workspace.settle(timeout_seconds=100)\n"
    )
    with Workspace(folder) as workspace:
        workspace.sync()
        command = workspace.command("monitor", {"pipeline": "churn"}, subject="churn")
        subprocess.run([sys.executable, "-c", program, str(folder)], check=True, timeout=PATIENCE_SECONDS)
        outcome: dict[str, Any] = workspace.outcome(command, timeout_seconds=PATIENCE_SECONDS)
        assert outcome == {"event": command.id, "error": ""}
        assert (workspace.folder / LOCK_FILE).exists()
        assert not workspace.is_running


def test_one_version_of_an_assessment_is_recorded_once(workspace: Workspace) -> None:
    """What is declared says so, has a command as its cause, and stays what it was when it is sent again."""
    first = workspace.record_assessment("flights@1", {"assessment": "map", "digest": "a"})
    again = workspace.record_assessment("flights@1", {"assessment": "map", "digest": "b"})
    other = workspace.record_assessment("flights@1", {"assessment": "evaluation", "digest": "c"})
    assert (again.id, again.data["digest"]) == (first.id, "a")
    assert other.id != first.id
    assert (first.evidence, first.pipeline) == ("declared", "")
    command = workspace.ledger.get(first.causationid)
    assert command is not None
    assert (command.type, command.actor_class) == ("command.issued", "human")


def test_replayed_time_ends_with_the_workspace_that_brought_it(tmp_path: Path) -> None:
    """Who looks at a replayed year and closes it is back in the present; one that was replaying goes on."""
    replayed = projects.write_project(tmp_path / "shop")
    start = datetime(2013, 1, 1, tzinfo=UTC)
    try:
        clock.simulate(replayed / ".ratchet" / CLOCK_FILE, start=start)
        with Workspace(replayed):
            pass
        assert clock.now() == start
    finally:
        clock.stop_simulating()
    with Workspace(replayed):
        assert clock.now() == start
    assert not clock.is_simulated()
    with Workspace(projects.write_project(tmp_path / "other")):
        assert clock.now() > start
