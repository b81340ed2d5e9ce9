"""Models that break a process do so in a child, and the ones beside them are tried all the same."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ratchet.loop.serving import trial, vouchers
from ratchet.loop.serving.routes import ModelReference, ReleaseRoute
from ratchet.loop.serving.trial import Limits, Trials
from ratchet.store.artifacts import Artifacts
from tests import breaking

Release = Callable[..., ReleaseRoute]
# Libraries take some 200 MB; a machine that does nothing else loads the model in some milliseconds.
LIMITS = Limits(seconds=20.0, memory_mb=700.0)


@pytest.fixture
def broken(artifacts: Artifacts, release: Release, tmp_path: Path) -> Callable[[str], ReleaseRoute]:
    """Make releases of models that break in some way."""
    consent = tmp_path / "consent"
    consent.touch()

    def make(way: str) -> ReleaseRoute:
        storer, content = breaking.make(tmp_path, way, consent=consent)
        model = ModelReference(sha256=artifacts.write(content), storer=storer)
        return release("v1", model=model, version=f"{way}@v1")

    return make


def test_each_model_that_breaks_is_refused_and_no_other(
    folder: Path, artifacts: Artifacts, release: Release, broken: Callable[[str], ReleaseRoute]
) -> None:
    """A crash and memory without end are told by their ways; models before, between and behind them are vouched for."""
    tried = [release("v1"), broken("crash"), broken("grow"), broken("complain"), release("v2")]
    trials = Trials(folder, artifacts=artifacts, limits=LIMITS)
    refused = trials.refusals(tried)
    names = [vouchers.name_of(one) for one in tried]
    assert list(refused) == names[1:4]
    assert "it crashed with signal 11, SIGSEGV" in refused[names[1]]
    assert "MB of memory, where 700 MB are allowed" in refused[names[2]]
    assert refused[names[3]] == "ValueError: it does not like it here"
    assert [vouchers.is_vouched_for(folder, one) for one in tried] == [True, False, False, False, True]


def test_a_model_that_hangs_or_leaves_is_refused(
    folder: Path, artifacts: Artifacts, broken: Callable[[str], ReleaseRoute]
) -> None:
    """A model that takes for ever is stopped, and one that ends the process is told by its exit code."""
    limits = Limits(seconds=0.5)
    hanging = broken("hang")
    assert list(Trials(folder, artifacts=artifacts, limits=limits).refusals([hanging]).values()) == [
        "in a process of its own, where it was tried first, it took longer than 0.5 s and was stopped"
    ]
    leaving = broken("leave")
    (reason,) = Trials(folder, artifacts=artifacts, limits=LIMITS).refusals([leaving]).values()
    assert "it ended the process with exit code 3" in reason


def test_what_was_vouched_for_is_not_tried(
    folder: Path, artifacts: Artifacts, broken: Callable[[str], ReleaseRoute], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a voucher no process is started."""
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    vouched = broken("crash")
    vouchers.vouch(folder, vouched, libraries=vouchers.LIBRARIES)
    assert Trials(folder, artifacts=artifacts).refusals([vouched]) == {}


def test_bytes_that_cannot_be_had_are_left_to_the_endpoint(
    folder: Path, artifacts: Artifacts, release: Release, tmp_path: Path
) -> None:
    """A damaged artifact is neither vouched for nor refused here: the endpoint says it in its own words."""
    damaged = release("v1")
    artifacts.path(damaged.model.sha256).write_bytes(b"damaged")
    assert Trials(folder, artifacts=artifacts).refusals([damaged]) == {}
    assert not vouchers.is_vouched_for(folder, damaged)


def test_a_child_that_does_not_start_is_no_fault_of_a_model(
    folder: Path, artifacts: Artifacts, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can try a model it is refused, with that reason, and what serves goes on."""
    monkeypatch.setattr(trial.sys, "executable", "/bin/false")
    (reason,) = Trials(folder, artifacts=artifacts).refusals([release("v1")]).values()
    assert reason == (
        "it could not be tried, because the process for that did not start: it ended the process with exit code 1"
    )


def test_a_child_ends_with_its_parent() -> None:
    """A child whose parent is gone already does nothing."""
    command = [sys.executable, "-m", "ratchet.loop.serving.trial", "--artifacts", "/nowhere", "--parent", "1"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")
