"""Commands are carried out by whoever runs the workspace, once, whoever dies meanwhile."""

from types import SimpleNamespace
from typing import Any

import pytest

from ratchet.cli.console import Progress
from ratchet.cli.execution import ensure_running, execute, finish
from ratchet.cli.session import Refused
from ratchet.errors import NotSettled, WorkspaceInUse
from ratchet.records import Event

QUIET = Progress(None)


class FakeWorkspace:
    """A workspace that remembers what it was asked for.

    Args:
        is_running: Whether another process runs it.
        outcomes: What comes of the command, look by look; ``None`` is nothing yet.
    """

    def __init__(self, *, is_running: bool = False, outcomes: tuple[dict[str, str] | None, ...] = ()) -> None:
        self.is_running = is_running
        self.is_executor = False
        self.started: list[bool] = []
        self.in_force: list[Any] = []
        self.settled = 0
        self._outcomes = list(outcomes)
        self.ledger = SimpleNamespace(get=lambda event_id: Event(type="run.queued", subject="r", id=event_id))

    def start(self, *, serve: bool, die_together: bool) -> None:
        """Run here."""
        assert die_together
        self.started.append(serve)
        self.is_running = self.is_executor = True

    def rules(self) -> Any:
        """Return the rules in force."""
        return SimpleNamespace(rules=self.in_force)

    def command(self, action: str, parameters: dict[str, Any], *, subject: str, pipeline: str) -> Event:
        """Take in a command."""
        return Event(type="command.issued", subject=subject, id="C", pipeline=pipeline, data={"action": action})

    def outcome(self, command: Event, *, timeout_seconds: float) -> dict[str, str]:
        """Return what came of it, or lose patience."""
        found = self._outcomes.pop(0)
        if found is None:
            self.is_running = self.is_executor
            raise NotSettled(limit_seconds=timeout_seconds, waiting=command.id)
        return found

    def settle(self, *, timeout_seconds: float) -> None:
        """Count."""
        self.settled += 1


def carry_out(workspace: FakeWorkspace) -> Event:
    """Give a command to a fake."""
    return execute(
        workspace,  # type: ignore[arg-type]
        "start_run",
        {"pipeline": "returns"},
        subject="returns",
        pipeline="returns",
        progress=QUIET,
    )


def test_where_nobody_runs_the_workspace_this_process_does() -> None:
    """A command works without a server."""
    workspace = FakeWorkspace(outcomes=({"event": "E", "error": ""},))
    assert carry_out(workspace).id == "E"
    assert workspace.started == [False]


def test_where_somebody_does_it_is_left_to_them() -> None:
    """A second executor is never started."""
    workspace = FakeWorkspace(is_running=True, outcomes=({"event": "E", "error": ""},))
    assert carry_out(workspace).id == "E"
    assert workspace.started == []


def test_what_a_dead_server_left_undone_is_done_here() -> None:
    """The process that ran the workspace may die while we wait."""
    workspace = FakeWorkspace(is_running=True, outcomes=(None, {"event": "E", "error": ""}))
    assert carry_out(workspace).id == "E"
    assert workspace.started == [False]


def test_somebody_who_was_faster_is_no_error() -> None:
    """Between the look and the start another process may have come."""

    class Late(FakeWorkspace):
        def start(self, *, serve: bool, die_together: bool) -> None:
            raise WorkspaceInUse(path="shop", pid=1)

    assert ensure_running(Late(), serve=False) is False  # type: ignore[arg-type]


def test_a_rule_that_deploys_needs_an_endpoint() -> None:
    """A run may lead to a deployment, which waits for an endpoint process."""
    workspace = FakeWorkspace()
    workspace.in_force = [SimpleNamespace(is_enabled=True, leads_to=("deploy",))]
    ensure_running(workspace, serve=False)  # type: ignore[arg-type]
    assert workspace.started == [True]


def test_a_rule_that_is_off_needs_none() -> None:
    """A rule that is switched off leads nowhere."""
    workspace = FakeWorkspace()
    workspace.in_force = [SimpleNamespace(is_enabled=False, leads_to=("deploy",))]
    ensure_running(workspace, serve=False)  # type: ignore[arg-type]
    assert workspace.started == [False]


def test_what_was_not_done_is_a_refusal() -> None:
    """The reason of the engine is the message."""
    with pytest.raises(Refused, match="the gate says no"):
        carry_out(FakeWorkspace(outcomes=({"event": "", "error": "the gate says no"},)))


def test_what_rules_set_off_is_finished_here() -> None:
    """A process that carries out jobs does not leave with half of them."""
    workspace = FakeWorkspace()
    ensure_running(workspace, serve=False)  # type: ignore[arg-type]
    finish(workspace, None, progress=QUIET)  # type: ignore[arg-type]
    assert workspace.settled == 1
