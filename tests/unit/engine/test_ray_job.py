"""A step as a job of its own, in a process that nobody watches."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import __version__
from ratchet.engine import ray_job
from ratchet.engine.executors import Limits
from ratchet.errors import ChildDied, StepFailed, StepTimeout
from ratchet.store.artifacts import Artifacts
from tests.waiting import until

JOB = "ratchet-R-0-1"


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Give a store that a workspace has entered."""
    store = Artifacts(tmp_path / "store", address=f"file://{tmp_path}/store")
    store.enter("shop")
    return store


def start(artifacts: Artifacts, body: str, *, limits: Limits | None = None, **values: Any) -> "subprocess.Popen[str]":
    """Start a job about a body of the executors' tests."""
    spec = ray_job.Spec(
        name="body",
        entry=f"tests.unit.engine.bodies:{body}",
        values={"folder": str(artifacts.folder.parent), **values},
        limits=limits or Limits(timeout_seconds=60, attempts=2),
        auth_mode="disabled",
    )
    digest = artifacts.write(msgspec.json.encode(spec))
    return begin(*ray_job.arguments(JOB, artifacts.address, digest))


def begin(*words: str) -> "subprocess.Popen[str]":
    """Start a job's command."""
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def answer(artifacts: Artifacts) -> ray_job.Answer:
    """Return the answer that lies in the store."""
    content = artifacts.posted(JOB)
    assert content is not None
    return msgspec.json.decode(content, type=ray_job.Answer)


def test_an_answer_lies_in_the_store(artifacts: Artifacts) -> None:
    """Value and cost are there when the job ends well, and what was printed is what the job has printed."""
    with start(artifacts, "prints") as job:
        printed, _ = job.communicate()
    assert (job.returncode, printed) == (0, "from the body\nfrom the step\nto stderr\n")
    found = answer(artifacts)
    assert found.job == JOB
    assert found.result()["value"] is None
    assert found.result()["cost"]["wall_seconds"] >= 0


def test_what_user_code_raises_is_an_answer(artifacts: Artifacts) -> None:
    """An error inside of the step is its answer; one before it comes to the step is raised where it is read."""
    with start(artifacts, "raises") as job:
        job.communicate()
    assert answer(artifacts).result()["error"]["message"] == "bad {row}"
    with start(artifacts, "exits") as job:
        job.communicate()
    with pytest.raises(StepFailed, match="SystemExit"):
        answer(artifacts).result()


def test_a_step_that_dies_or_hangs_is_an_answer(artifacts: Artifacts) -> None:
    """Limits are kept on the cluster, where nobody else watches."""
    with start(artifacts, "dies", times=9) as job:
        job.communicate()
    with pytest.raises(ChildDied, match="SIGKILL"):
        answer(artifacts).result()
    with start(artifacts, "hangs", limits=Limits(timeout_seconds=0.5), in_step=True) as job:
        job.communicate()
    with pytest.raises(StepTimeout, match=r"longer than 0\.5 s"):
        answer(artifacts).result()


@pytest.mark.parametrize(("name", "ours"), [("ratchet", __version__), ("python", ray_job.version())])
def test_another_version_does_not_begin(artifacts: Artifacts, name: str, ours: str) -> None:
    """A job that was asked for by another version says both versions in one line, and leaves no answer."""
    words = ray_job.arguments(JOB, artifacts.address, "0" * 64)
    words[words.index(f"--{name}") + 1] = "9.8"
    with begin(*words) as job:
        printed, _ = job.communicate()
    assert job.returncode == ray_job.REFUSED_CODE
    assert printed.startswith(ray_job.REFUSAL)
    assert printed.count("\n") == 1
    assert ours in printed
    assert "9.8" in printed
    assert artifacts.posted(JOB) is None


def test_a_store_that_is_not_there_is_said(artifacts: Artifacts, tmp_path: Path) -> None:
    """A folder that is not mounted on the cluster, and one that is another store, are told in one line."""
    for store, said in ((f"file://{tmp_path}/nowhere", ".workspaces is missing"), (artifacts.address, "is missing")):
        with begin(*ray_job.arguments(JOB, store, "0" * 64)) as job:
            printed, _ = job.communicate()
        assert (job.returncode, said in printed) == (ray_job.REFUSED_CODE, True), printed
    assert not (tmp_path / "nowhere").exists()


def test_a_job_that_is_stopped_leaves_nothing(artifacts: Artifacts, tmp_path: Path) -> None:
    """Its child ends and its temporary folder goes."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    os.environ["TMPDIR"] = str(scratch)
    try:
        job = start(artifacts, "hangs", in_step=True)
    finally:
        del os.environ["TMPDIR"]
    with job:
        until((tmp_path / "hanging").exists, "the step")
        assert list(scratch.iterdir())
        job.send_signal(signal.SIGTERM)
        job.communicate()
    assert list(scratch.iterdir()) == []
    child = int((tmp_path / "pids").read_text().split()[0])
    until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")
    assert artifacts.posted(JOB) is None
