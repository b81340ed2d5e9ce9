"""The loop, killed at the Nth write of the store and started again: nothing is lost, and nothing done twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from ratchet import clock, faults
from ratchet.loop.serving import claim
from ratchet.store.ledger import to_export
from ratchet.workspace import Workspace
from tests import ledger_checker
from tests.ledger_checker import Line
from tests.simulation import story

# A story has many moments, each with the patience of its own.
LONGEST_SECONDS = 600
pytestmark = pytest.mark.timeout(1200)
# Sparse, and spread over the story: each process goes on where the one before it died.
KILLS = (
    ("write.before_commit", 2),
    ("write.after_commit", 9),
    ("write.before_commit", 14),
    ("write.after_commit", 18),
    ("write.before_commit", 23),
    ("write.after_commit", 26),
)


@contextmanager
def endpoint_ended_after(folder: Path) -> Iterator[None]:
    """End the endpoint that outlived whoever started it."""
    try:
        yield
    finally:
        holder = claim.holder(folder / ".ratchet" / "serving")
        if holder is not None:
            with suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGKILL)


def play(folder: Path, *, fault: str = "") -> int:
    """Play what is left of the story in a process of its own, and return how that ended."""
    environment = {**os.environ, faults.VARIABLE: fault} if fault else dict(os.environ)
    command = [sys.executable, "-m", "tests.simulation.story", str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


def ledger(folder: Path) -> list[Line]:
    """Return the events of a workspace as they are exported."""
    with Workspace(folder) as workspace:
        clock.stop_simulating()
        lines = [msgspec.json.encode(to_export(event)).decode() for event in workspace.ledger.read()]
    return ledger_checker.read(lines)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """The ledger of the story that nobody disturbed."""
    folder = story.prepare(tmp_path_factory.mktemp("calm") / "shop")
    with endpoint_ended_after(folder):
        assert play(folder) == 0
    return ledger(folder)


def test_the_story_goes_all_around_the_loop(calm: list[Line]) -> None:
    """A simulation that leaves a part out would prove nothing of it."""
    types = [event["type"] for event in calm]
    assert ledger_checker.gaps(calm) == []
    assert ledger_checker.orphans(calm) == []
    assert types.count("run.finished") == 3
    assert types.count("deployment.completed") == 3
    for kind in (
        "usage.recorded",
        "monitor.alert.raised",
        "sample.taken",
        "feedback.joined",
        "dataset.generated",
        "prediction_log.segment.sealed",
        "credential.issued",
    ):
        assert kind in types
    assert "rule.action.failed" not in types


def test_a_story_that_was_killed_is_the_same(calm: list[Line], tmp_path: Path) -> None:
    """Each process dies around its Nth write, the next one goes on, and the ledgers tell the same."""
    folder = story.prepare(tmp_path / "shop")
    token = tmp_path / "fault"
    with endpoint_ended_after(folder):
        for point, number in KILLS:
            token.touch()
            assert play(folder, fault=f"{point}:{number}:{token}") == -signal.SIGKILL
            assert not token.exists()
        assert play(folder) == 0
    killed = ledger(folder)
    assert ledger_checker.differences(calm, killed) == []
    assert ledger_checker.gaps(killed) == []
    assert ledger_checker.orphans(killed) == []


def test_the_checker_sees_a_planted_double_act(calm: list[Line]) -> None:
    """One action that was done twice is one line of its report."""
    done = next(event for event in calm if event["type"] == "rule.action.succeeded")
    doubled = [*calm, {**done, "id": "ANOTHER", "seq": len(calm) + 1}]
    (found,) = ledger_checker.differences(calm, doubled)
    assert found.startswith("done twice or new: ('rule.action.succeeded'")
    assert ledger_checker.gaps(doubled) == []


@pytest.mark.parametrize("kind", ["gate.evaluated", "sample.taken", "usage.recorded", "cost.recorded"])
def test_the_checker_sees_a_planted_loss(calm: list[Line], kind: str) -> None:
    """Any event that is missing is seen, also one of those that are only added up; so is the gap."""
    position = next(number for number, event in enumerate(calm) if event["type"] == kind)
    lost = [*calm[:position], *calm[position + 1 :]]
    assert any(kind in line for line in ledger_checker.differences(calm, lost))
    assert ledger_checker.gaps(lost)


def test_the_checker_sees_another_cause(calm: list[Line]) -> None:
    """An event that follows from something else is another story, and one that follows from nothing an orphan."""
    position = next(number for number, event in enumerate(calm) if event["type"] == "run.queued")
    other = [*calm]
    other[position] = {**calm[position], "causationid": calm[0]["id"]}
    assert ledger_checker.differences(calm, other)
    other[position] = {**calm[position], "causationid": "NOWHERE"}
    assert len(ledger_checker.orphans(other)) == 1
