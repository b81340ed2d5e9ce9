"""The real endpoint process is killed: the ledger says that production was out of order, since when, and until when."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import pytest

from ratchet import clock
from ratchet.loop import incidents
from ratchet.loop.serving import claim
from ratchet.records import Event, actor_class
from ratchet.workspace import Workspace
from tests import projects
from tests.waiting import PATIENCE_SECONDS, until

SETTINGS = projects.SETTINGS + "\n[incidents]\nunready_seconds = 0.05\nflapping_minutes = 0.001\n"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no slow machine for an endpoint that does not answer; one that is dead refuses at once."""
    monkeypatch.setattr(incidents, "_ANSWER_SECONDS", PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A running workspace whose endpoint serves a version, and answers."""
    folder = projects.write_project(tmp_path_factory.mktemp("incidents") / "shop", settings=SETTINGS)
    with projects.running(folder) as running:
        projects.give(running, "start_run", pipeline="churn")
        projects.give(running, "promote", "churn@v1", version="churn@v1")
        yield running


def told(workspace: Workspace, kind: str) -> list[Event]:
    """Return what was told of incidents."""
    return list(workspace.ledger.read(types=[f"incident.{kind}"]))


def kill(workspace: Workspace) -> None:
    """Kill the endpoint process, if there is one."""
    holder = claim.holder(workspace.resources.serving)
    if holder is not None:
        with suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGKILL)


def kill_until_told(workspace: Workspace, count: int) -> None:
    """Kill the endpoint as often as it comes up, which is later each time, until somebody noticed."""

    def is_told() -> bool:
        kill(workspace)
        workspace.heartbeat()
        return len(told(workspace, "detected")) == count

    until(is_told, "an incident, told by the heartbeat")


def is_over(workspace: Workspace, count: int) -> bool:
    """Beat once, and tell whether so many incidents are over."""
    workspace.heartbeat()
    return len(told(workspace, "resolved")) == count


def test_a_killed_endpoint_is_an_incident_until_it_answers_again(workspace: Workspace) -> None:
    """One for each time, by automation, nothing while all is well; time to restore is known without a report."""
    for _ in range(5):
        workspace.heartbeat()
    for number in (1, 2):
        begun = clock.now()
        kill_until_told(workspace, number)
        noticed = clock.now()
        until(lambda number=number: is_over(workspace, number), "the end of the incident")
        detected, resolved = told(workspace, "detected")[-1], told(workspace, "resolved")[-1]
        assert begun <= datetime.fromisoformat(detected.data["onset"]) <= detected.at <= noticed
        assert noticed <= datetime.fromisoformat(resolved.data["back_in_bounds"]) <= resolved.at
        assert (detected.data["service"], detected.data["signal"]) == ("churn", "unready")
        assert actor_class(detected.authtype, detected.authclaims) == "automation"
        assert resolved.data["incident"] == detected.data["incident"]
    for _ in range(5):
        workspace.heartbeat()
    assert [len(told(workspace, kind)) for kind in ("detected", "resolved")] == [2, 2]
    restored = workspace.kpi("time_to_restore").values
    assert (restored["open_count"], restored["ticket_only_count"]) == (0, 0)
    assert restored["p50_hours"] > 0
