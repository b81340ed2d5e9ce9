"""What a run's result depends on besides its code and data."""

import os
import platform
from importlib import metadata

import msgspec
import pytest

from ratchet import clock
from ratchet.loop import run_environments
from ratchet.records import Run
from tests.loops import Stage


@pytest.fixture
def run(stage: Stage) -> Run:
    """A run whose lock is that of this process."""
    lock = stage.resources.artifacts.write(run_environments.lock())
    return Run(
        id="A",
        pipeline="churn",
        status="queued",
        parameters={},
        snapshot="0" * 64,
        lock=lock,
        inputs={},
        input_digests={},
        seed=0,
        hardware={},
        queued_at=clock.now(),
        queued_event="B",
    )


def test_the_lock_names_what_is_installed(stage: Stage, run: Run) -> None:
    """Python and each library with its version, frameworks apart from other libraries."""
    versions = run_environments.locked_versions(stage.resources, run)
    assert versions["python"] == platform.python_version()
    assert versions["scikit-learn"] == metadata.version("scikit-learn")
    assert "torch" not in versions
    found = run_environments.environment(stage.resources, run)
    assert "scikit-learn" in found["frameworks"]
    assert f"numpy=={metadata.version('numpy')}" in found["libraries"]
    assert not any(line.startswith("python==") for line in found["libraries"])


def test_a_damaged_lock_names_nothing(stage: Stage, run: Run) -> None:
    """A run whose lock is gone, or was changed, is said to have used nothing that is known."""
    path = stage.resources.artifacts.path(run.lock)
    path.write_bytes(b"numpy==0.1")
    assert run_environments.environment(stage.resources, run) == {}
    missing = msgspec.structs.replace(run, lock="0" * 64)
    assert run_environments.locked_versions(stage.resources, missing) == {}


def test_the_machine_is_described() -> None:
    """Its cores are those that it has."""
    assert run_environments.hardware()["cores"] == os.cpu_count()
