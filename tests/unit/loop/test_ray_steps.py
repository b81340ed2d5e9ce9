"""Waiting for steps on a cluster that loses jobs, goes away, or cannot begin them; a job server plays it."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import clock, config
from ratchet.engine import ray_errands, ray_job
from ratchet.engine.capacity import Demand
from ratchet.engine.ray_cluster import RayCluster
from ratchet.errors import RunCancelled
from ratchet.loop import placement, ray_steps, registry, snapshots, stores
from ratchet.loop.refusals import RayUnusable
from ratchet.loop.resources import Resources
from ratchet.records import Run
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from tests.buckets import Bucket
from tests.ray_clusters import NODES, SETTINGS, JobServer
from tests.waiting import PATIENCE_SECONDS, is_alive, until

CODE = '''"""A pipeline whose one step leaves traces."""

import os
import time
from pathlib import Path

import ratchet as rt


@rt.step(executor="ray", cache=False)
def traced(folder: str) -> int:
    print("ratchet cannot do this step here: said the step")
    traces = Path(folder)
    (traces / f"step.{os.getpid()}").touch()
    while not (traces / "go").exists():
        time.sleep(0.02)
    print("and went on", end="")
    return len(list(traces.glob("step.*")))


'''


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobServer]:
    """Give a job server, its token in the environment."""
    server = JobServer(tmp_path)
    monkeypatch.setenv("RATCHET_TEST_TOKEN", server.token)
    monkeypatch.setattr(ray_steps, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(ray_steps, "_LONGEST_LOOK_SECONDS", 0.1)
    yield server
    server.close()


class Asking:
    """A process that asks for one step, in a thread of the test."""

    def __init__(
        self,
        server: JobServer,
        tmp_path: Path,
        *,
        python: str = sys.executable,
        settings: str = SETTINGS,
        store: str = "",
        cpu: float = 1.0,
    ) -> None:
        self.folder, self.cpu = tmp_path, cpu
        self.is_dead = False
        project = tmp_path / "shop"
        project.mkdir(exist_ok=True)
        (tmp_path / "store").mkdir(exist_ok=True)
        store = store or str(tmp_path / "store")
        text = settings.format(store=store, address=server.address, python=python)
        (project / "ratchet.toml").write_text(text)
        (project / "pipeline.py").write_text(CODE)
        database = Database(sqlite_url(tmp_path / "ratchet.db"))
        migrations.migrate(database)
        settings_read = config.load(project)
        artifacts = stores.open_store(
            msgspec.structs.replace(
                settings_read, project=msgspec.structs.replace(settings_read.project, artifacts=store)
            ),
            project=project,
            state=tmp_path / "state",
            database=database,
        )
        none: Any = None
        self.resources = Resources(
            project=project,
            folder=tmp_path / "state",
            config=settings_read,
            database=database,
            ledger=none,
            runs=none,
            artifacts=artifacts,
            zygotes=none,
        )
        self.run = Run(
            id="R1",
            pipeline="traces",
            status="running",
            snapshot=snapshots.take(project, artifacts),
            lock="",
            hardware={},
            queued_at=clock.now(),
            queued_event="",
            parameters={},
            inputs={},
            input_digests={},
            seed=0,
        )
        self.put_run("running")
        self._pool = ThreadPoolExecutor(1)
        self.answer: Future[dict[str, Any]] = self._pool.submit(self._ask)

    def _ask(self) -> dict[str, Any]:
        elsewhere = {"executor": "ray", "demand": {"cpu": self.cpu}, "function": "pipeline:traced", "datasets": {}}
        arguments = {"folder": {"value": str(self.folder)}}
        request = {"op": "step", "index": 0, "name": "traced", "arguments": arguments, "elsewhere": elsewhere}
        return placement.ask(self.resources, self, self.run, request)  # type: ignore[arg-type]

    def is_cancelled(self) -> bool:
        """Tell whether the job that asks is no longer this process's."""
        return self.is_dead

    def put_run(self, status: Any) -> None:
        """Let the run be in a state."""
        with self.resources.database.write() as transaction:
            registry.put_run(transaction, msgspec.structs.replace(self.run, status=status))

    def errand(self) -> ray_errands.Errand:
        """Return what is kept of the step, as soon as something is."""
        until(self._kept, "the row of the step")
        (found,) = self._kept()
        return found

    def _kept(self) -> list[ray_errands.Errand]:
        with self.resources.database.read() as connection:
            return ray_errands.every(connection)

    def log(self) -> list[str]:
        """Return the lines of the run's log."""
        path = self.resources.logs / "runs" / "R1.log"
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        """End the thread and what it has open."""
        self.is_dead = True
        self._pool.shutdown()
        self.resources.database.close()


@contextmanager
def asking(server: JobServer, tmp_path: Path, **options: Any) -> Iterator[Asking]:
    """Let a process ask for the step."""
    with closing(Asking(server, tmp_path, **options)) as asking:
        yield asking


def pids(tmp_path: Path) -> list[int]:
    """Return the processes that have carried out the step."""
    return [int(path.suffix[1:]) for path in tmp_path.glob("step.*")]


def interpreter(tmp_path: Path, *lines: str) -> str:
    """Return a program that stands in for the cluster's interpreter."""
    path = tmp_path / "python"
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


def newest(server: JobServer) -> int:
    """Return the process of the job that was begun last."""
    process = list(server.jobs.values())[-1].process
    assert process is not None
    return process.pid


def test_the_answer_is_value_and_cost(server: JobServer, tmp_path: Path) -> None:
    """What the step returned is in the store; its job's name, and what ran it, are those that were given."""
    with asking(server, tmp_path) as one:
        (tmp_path / "go").touch()
        answer = one.answer.result(PATIENCE_SECONDS)
        assert msgspec.json.decode(one.resources.artifacts.read(answer["value"]["sha256"])) == 1
        assert answer["cost"]["peak_memory_mb"] > 1
        (job,) = server.jobs.values()
        assert job.asked["metadata"] == {"ratchet_run": "R1", "ratchet_step": "traced"}
        assert list(server.jobs) == [one.errand().job] == ["ratchet-R1-1-1"]


def test_a_bucket_does_as_well(server: JobServer, tmp_path: Path, bucket: Bucket) -> None:
    """Where artifacts lie in a bucket, the answer does too."""
    with asking(server, tmp_path, store=bucket.url) as one:
        (tmp_path / "go").touch()
        answer = one.answer.result(PATIENCE_SECONDS)
        assert msgspec.json.decode(one.resources.artifacts.read(answer["value"]["sha256"])) == 1
        assert bucket.keys().count("shared/posted/ratchet-R1-1-1") == 1
        one.put_run("success")
        ray_steps.tidy(one.resources)
        assert bucket.keys().count("shared/posted/ratchet-R1-1-1") == 0


def test_who_comes_after_finds_the_job(server: JobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was superseded stops nothing; the next one waits for the same job, and copies no line twice."""
    monkeypatch.setattr(ray_steps, "_LOG_SECONDS", 0.0)
    with asking(server, tmp_path) as first:
        until(lambda: pids(tmp_path) and first.errand().is_submitted, "the step")
        until(lambda: any("said the step" in line for line in first.log()), "the first line")
        first.is_dead = True
        with pytest.raises(RunCancelled):
            first.answer.result(PATIENCE_SECONDS)
    (step,) = pids(tmp_path)
    assert is_alive(step)
    with asking(server, tmp_path) as second:
        (tmp_path / "go").touch()
        second.answer.result(PATIENCE_SECONDS)
        assert (pids(tmp_path), len(server.jobs)) == ([step], 1)
        said = [line for line in second.log() if " | " in line]
        assert said == ["ray 1.1 | ratchet cannot do this step here: said the step", "ray 1.1 | and went on"]
    server.lose()
    with asking(server, tmp_path) as third:
        third.answer.result(PATIENCE_SECONDS)
        assert (pids(tmp_path), server.jobs) == ([step], {})


def test_who_comes_after_starts_another_where_the_job_was_lost(server: JobServer, tmp_path: Path) -> None:
    """A job that was lost while nobody waited is followed by one under another name."""
    with asking(server, tmp_path) as first:
        until(lambda: pids(tmp_path) and first.errand().is_submitted, "the step")
        first.is_dead = True
        with pytest.raises(RunCancelled):
            first.answer.result(PATIENCE_SECONDS)
    server.lose()
    (tmp_path / "go").touch()
    with asking(server, tmp_path) as second:
        second.answer.result(PATIENCE_SECONDS)
        assert list(server.jobs) == ["ratchet-R1-1-2"]


def test_cancelling_stops_the_job(server: JobServer, tmp_path: Path) -> None:
    """Whoever waits for the step ends it, and so does who cancels where nobody waits."""
    with asking(server, tmp_path) as one:
        until(lambda: pids(tmp_path), "the step")
        one.put_run("cancelled")
        one.is_dead = True
        with pytest.raises(RunCancelled):
            one.answer.result(PATIENCE_SECONDS)
        until(lambda: not is_alive(pids(tmp_path)[0]), "the end of the step's process")
        server.jobs.clear()
        with one.resources.database.write() as transaction:
            ray_errands.put(transaction, msgspec.structs.replace(one.errand(), waits="for something"))
        ray_steps.cancel(one.resources, "R1")
        assert one.errand().waits == ""


def test_a_job_that_the_cluster_lost_is_followed_by_another(server: JobServer, tmp_path: Path) -> None:
    """A head that was started anew knows of no job: the step is given to it again, under another name."""
    with asking(server, tmp_path) as one:
        until(lambda: pids(tmp_path) and one.errand().is_submitted, "the step")
        server.lose()
        until(lambda: len(pids(tmp_path)) == 2, "the step once more")
        assert list(server.jobs) == ["ratchet-R1-1-2"]
        (tmp_path / "go").touch()
        assert "value" in one.answer.result(PATIENCE_SECONDS)
        assert one.errand().deaths == 1


def test_an_answer_counts_more_than_what_the_cluster_knows(server: JobServer, tmp_path: Path) -> None:
    """A job that has left its answer is not done again, whatever became of the cluster since."""
    with asking(server, tmp_path) as one:
        until(lambda: pids(tmp_path) and one.errand().is_submitted, "the step")
        server.is_up = False
        (tmp_path / "go").touch()
        until(lambda: one.resources.artifacts.posted("ratchet-R1-1-1"), "the answer")
        server.lose()
        server.is_up = True
        assert "value" in one.answer.result(PATIENCE_SECONDS)
        assert (len(pids(tmp_path)), server.jobs) == (1, {})


def test_what_dies_each_time_is_given_up(server: JobServer, tmp_path: Path) -> None:
    """After as many deaths as a step may have, the run fails and says how often."""
    with asking(server, tmp_path) as one:
        for times in (1, 2):
            until(lambda times=times: len(pids(tmp_path)) == times, "the step")
            os.killpg(newest(server), signal.SIGKILL)
        with pytest.raises(RayUnusable, match="in each of 2 attempts"):
            one.answer.result(PATIENCE_SECONDS)


def test_a_job_that_waited_for_too_long_is_submitted_again(server: JobServer, tmp_path: Path) -> None:
    """What the cluster gives up because nothing was free is no death: it is asked for as often as that takes."""
    with asking(server, tmp_path) as one:
        for times in (1, 2):
            until(lambda times=times: f"ratchet-R1-1-{times}" in server.jobs and one.errand().is_submitted, "the job")
            fields = {"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "driver_exit_code": None}
            server.jobs[f"ratchet-R1-1-{times}"].fields = fields
            until(lambda times=times: one.errand().attempt == times + 1, "the next attempt")
        (tmp_path / "go").touch()
        assert "value" in one.answer.result(PATIENCE_SECONDS)
        assert one.errand().deaths == 0


def test_a_cluster_that_is_away_is_waited_for_and_named(server: JobServer, tmp_path: Path) -> None:
    """While it does not answer the step is told of as waiting; after too long the run fails and names the address."""
    with asking(server, tmp_path) as one:
        until(lambda: pids(tmp_path) and one.errand().is_submitted, "the step")
        server.is_up = False
        until(lambda: one.errand().waits, "the word that it waits")
        assert server.address in one.errand().waits
        with pytest.raises(RayUnusable, match=f"{server.address} has not answered for 0.5 s"):
            one.answer.result(PATIENCE_SECONDS)
        assert one.errand().waits == ""
        assert any("waits:" in line for line in one.log())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["echo 'No module named ratchet'", "exit 1"], "ended without an answer (No module named ratchet)"),
        ([f"echo '{ray_job.REFUSAL}the cluster has Ratchet 0.0.1'", "exit 78"], "the cluster has Ratchet 0.0.1"),
        (["exit 0"], "its answer is not in the store"),
    ],
)
def test_a_job_that_cannot_begin_says_why(
    server: JobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], said: str
) -> None:
    """What is wrong with the cluster's machines is the run's error, and nothing is tried again."""
    monkeypatch.setattr(ray_steps, "_ANSWER_SECONDS", 0.2)
    with asking(server, tmp_path, python=interpreter(tmp_path, *lines)) as one:
        with pytest.raises(RayUnusable, match=re.escape(said)):
            one.answer.result(PATIENCE_SECONDS)
        assert len(server.jobs) == 1


def test_a_store_that_is_away_is_waited_for(server: JobServer, tmp_path: Path) -> None:
    """Nobody gives up a step because its answer cannot be looked for now."""
    in_the_way = tmp_path / "store" / ".posted"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    text = SETTINGS.replace("away_seconds = 0.5", "away_seconds = 60")
    with asking(server, tmp_path, settings=text) as one:
        one.errand()
        clock.sleep(0.2)
        assert (server.jobs, one.answer.done()) == ({}, False)
        in_the_way.unlink()
        (tmp_path / "go").touch()
        assert "value" in one.answer.result(PATIENCE_SECONDS)


@pytest.mark.parametrize(("cpu", "said"), [(64.0, "no node of the Ray cluster"), (1.0, "are busy")])
def test_what_keeps_it_waiting_is_said(server: JobServer, tmp_path: Path, cpu: float, said: str) -> None:
    """A step that fits on no node is told from one for which none is free."""
    cluster = RayCluster(server.address, token=server.token)
    for number in range(len(NODES)):
        cluster.submit(f"other-{number}", "sleep 600", Demand(), metadata={})
    with asking(server, tmp_path, cpu=cpu) as one:
        until(lambda: one.errand().waits, "the word that it waits")
        assert said in one.errand().waits
        assert f"cpu={cpu:g}" in one.errand().waits
        with one.resources.database.read() as connection:
            assert [waiting.job_id for waiting in ray_errands.waiting(connection)] == ["step:R1:0"]


def test_what_is_over_is_forgotten(server: JobServer, tmp_path: Path) -> None:
    """Rows and answers of runs that are over go; those of a run under way stay."""
    with asking(server, tmp_path) as one:
        (tmp_path / "go").touch()
        one.answer.result(PATIENCE_SECONDS)
        for status, count in (("running", 1), ("success", 0)):
            one.put_run(status)
            ray_steps.tidy(one.resources)
            assert bool(one.resources.artifacts.posted("ratchet-R1-1-1")) == bool(count)
            assert len(one._kept()) == count


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('artifacts = "{store}"', "", "in a folder of this machine"),
        ('address = "{address}"', "", "names no cluster"),
        ("env:RATCHET_TEST_TOKEN", "env:RATCHET_NO_TOKEN", "there is no token in the variable RATCHET_NO_TOKEN"),
    ],
)
def test_what_is_missing_here_is_said(server: JobServer, tmp_path: Path, old: str, new: str, said: str) -> None:
    """Settings without which no cluster can carry out a step fail the run before anything is submitted."""
    with asking(server, tmp_path, settings=SETTINGS.replace(old, new)) as one:
        with pytest.raises(RayUnusable, match=said):
            one.answer.result(PATIENCE_SECONDS)
        assert server.jobs == {}
