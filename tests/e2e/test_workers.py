"""Real workers on PostgreSQL: killed, paused, stopped and missing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet import clock
from ratchet.engine import workers
from ratchet.errors import ServerElsewhere
from ratchet.loop import registry
from ratchet.store.database import Database
from ratchet.workspace import Workspace
from tests import projects
from tests.e2e.test_cli import as_json
from tests.waiting import is_alive, next_line, until

CODE = '''"""A pipeline whose middle step waits until a test lets it go on."""

import os
import time
from pathlib import Path

import ratchet as rt


@rt.step(cache=False)
def first(folder: str) -> int:
    """Say who carries this out."""
    (Path(folder) / f"first.{os.getpid()}").touch()
    return os.getppid()


@rt.step(cache=False)
def middle(folder: str, number: int) -> int:
    """Wait for the test."""
    print("in the middle", flush=True)
    (Path(folder) / f"middle.{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return number + 1


@rt.step(cache=False, resources={"cpu": 1, "gpu": 1})
def on_gpu(folder: str) -> dict:
    """Say where this is carried out."""
    print("computing far away", flush=True)
    (Path(folder) / f"middle.{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    (Path(folder) / "devices").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return {}


@rt.pipeline(model="deep")
def deep(folder: str = "") -> dict:
    """Need an accelerator."""
    first(folder)
    return on_gpu(folder)


@rt.pipeline(model="churn")
def churn(folder: str = "") -> dict:
    """Look at the machine."""
    return {"number": middle(folder, first(folder))}
'''
SETTINGS = """[project]
name = "shop"
database = "{url}"
artifacts = "{artifacts}"
"""


@dataclass
class Site:
    """A workspace on PostgreSQL with its server in this process, and workers beside it."""

    workspace: Workspace
    folder: Path

    @contextmanager
    def worker(self, name: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Run a worker that has nothing of the project but the addresses of its database and artifacts."""
        command = [
            sys.executable,
            "-m",
            "ratchet",
            "worker",
            "--json",
            "--database",
            self.workspace.config.project.database,
        ]
        command += ["--folder", str(self.folder / name), *options]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        try:
            next_line(process.stdout, "the worker's first line", containing='"id"')
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def start_run(self, pipeline: str = "churn") -> str:
        """Ask for a run and return its id."""
        parameters = {"pipeline": pipeline, "folder": str(self.folder)}
        command = self.workspace.command("start_run", parameters, subject=pipeline, pipeline=pipeline)
        outcome = self.workspace.outcome(command)
        queued = self.workspace.ledger.get(outcome["event"])
        assert queued is not None, outcome["error"]
        return queued.subject

    def children(self, step: str) -> list[int]:
        """Return the processes that have begun a step."""
        return [int(path.suffix[1:]) for path in self.folder.glob(f"{step}.*")]

    def let_go(self) -> None:
        """Let the step that waits go on."""
        (self.folder / "go").touch()

    def status(self, run_id: str) -> str:
        """Return the state of a run."""
        return registry.run(self.workspace.database, run_id).status

    def log(self, run_id: str) -> Any:
        """Return what is known of a run's log on the server's machine, where no worker writes."""
        return as_json(self.workspace.project, "runs", "log", run_id)

    def finished(self, run_id: str) -> list[str]:
        """Return how a run ended, once for each time that the ledger says so."""
        found = self.workspace.ledger.read(types=["run.finished"], subject=run_id)
        return [event.data["outcome"] for event in found]


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def worker_of(child: int) -> int:
    """Return the worker that a child works for: the parent of its zygote."""
    return parent_of(parent_of(child))


@pytest.fixture
def site(tmp_path: Path, postgres_url: str) -> Iterator[Site]:
    """Give a workspace whose server leaves runs to workers."""
    (tmp_path / "artifacts").mkdir()
    settings = SETTINGS.format(url=postgres_url, artifacts=tmp_path / "artifacts")
    project = projects.write_project(tmp_path / "shop", settings=settings, code=CODE)
    with Workspace(project, poll_seconds=0.02) as workspace:
        workspace.start(serve=False, runs=0)
        workspace.sync()
        yield Site(workspace, tmp_path)


def test_a_run_goes_on_where_a_worker_lives(site: Site) -> None:
    """A worker that is killed in a step leaves it to another; what was finished before is not done again."""
    with site.worker("one") as one, site.worker("two") as two:
        run_id = site.start_run()
        until(lambda: site.children("middle"), "the middle step")
        (child,) = site.children("middle")
        victim, other = (one, two) if worker_of(child) == one.pid else (two, one)
        victim.kill()
        until(lambda: len(site.children("middle")) == 2, "the step on the other worker")
        until(lambda: not is_alive(child), "the end of the dead worker's child")
        (second,) = set(site.children("middle")) - {child}
        assert worker_of(second) == other.pid
        site.let_go()
        # Its job ends after the run's last event, and there has to be a worker until then.
        site.workspace.settle()
    assert (site.finished(run_id), len(site.children("first"))) == (["success"], 1)


def test_the_log_of_a_run_is_read_where_it_was_not_carried_out(site: Site) -> None:
    """While it is under way the worker is named; then the server has what was printed, and the worker may be gone."""
    with site.worker("one") as one:
        run_id = site.start_run()
        until(lambda: site.children("middle"), "the middle step")
        under_way = site.log(run_id)
        assert (under_way["text"], under_way["worker"]["pid"]) == ("", one.pid)
        assert "comes into the store of artifacts when it ends" in under_way["note"]
        site.let_go()
        until(lambda: site.finished(run_id), "the end of the run")
    over = site.log(run_id)
    assert (over["text"], over["worker"], over["is_lost"]) == ("in the middle\n", None, False)
    assert over["place"].endswith(f"/one/logs/runs/{run_id}.log")


def test_a_paused_worker_that_wakes_up_does_no_harm(site: Site) -> None:
    """A worker that stood still finds its run taken over: it writes nothing more about it, and takes new runs."""
    with site.worker("one") as one:
        run_id = site.start_run()
        until(lambda: site.children("middle"), "the middle step")
        (child,) = site.children("middle")
        os.kill(one.pid, signal.SIGSTOP)
        with site.worker("two"):
            until(lambda: len(site.children("middle")) == 2, "the step on the other worker")
            site.let_go()
            until(lambda: site.finished(run_id), "the end of the run")
            before = site.workspace.ledger.last_seq()
            os.kill(one.pid, signal.SIGCONT)
            until(lambda: not is_alive(child), "the end of the paused worker's child")
            until(
                lambda: sum(seen.is_alive for seen in site.workspace.runs.workers()) == 3, "the first worker's return"
            )
        assert (site.finished(run_id), site.workspace.ledger.last_seq()) == (["success"], before)
        again = site.start_run()
        until(lambda: site.finished(again), "a run on the worker that had been paused")
        assert site.finished(again) == ["success"]


def test_a_worker_that_is_stopped_leaves_its_run_to_others_at_once(site: Site) -> None:
    """SIGTERM ends a worker without waiting for its run, and nobody waits for its silence."""
    with site.worker("one") as one:
        run_id = site.start_run()
        until(lambda: site.children("middle"), "the middle step")
        (child,) = site.children("middle")
        one.terminate()
        assert one.wait(60) == 0
        until(lambda: not is_alive(child), "the end of the child")
    with site.worker("two"):
        until(lambda: len(site.children("middle")) == 2, "the step on the other worker")
        site.let_go()
        until(lambda: site.finished(run_id), "the end of the run")
    assert site.finished(run_id) == ["success"]


def test_a_step_goes_to_the_worker_that_has_what_it_needs(site: Site) -> None:
    """A run waits, and says for what, until a worker with an accelerator is there; it survives that worker as well."""
    with site.worker("plain", "--gpu", "0"):
        run_id = site.start_run("deep")
        until(site.workspace.runs.stranded, "the report")
        (waiting,) = site.workspace.runs.stranded()
        assert waiting.job_id == f"step:{run_id}:1"
        assert waiting.reason.startswith("no process has cpu=1 gpu=1 (server")
        with site.worker("one", "--gpu", "1", "--runs", "0") as one:
            until(lambda: site.children("middle"), "the step")
            (child,) = site.children("middle")
            assert (worker_of(child), site.workspace.runs.stranded()) == (one.pid, [])
            one.kill()
            until(lambda: not is_alive(child), "the end of the child")
        with site.worker("two", "--gpu", "2", "--runs", "0"):
            until(lambda: len(site.children("middle")) == 2, "the step on the other worker")
            site.let_go()
            until(lambda: site.finished(run_id), "the end of the run")
    assert (site.finished(run_id), (site.folder / "devices").read_text()) == (["success"], "0")
    assert len(site.children("first")) == 1
    assert site.log(run_id)["text"] == "computing far away\n"


def test_a_job_of_another_version_is_reported(site: Site) -> None:
    """What an older or newer engine has enqueued waits for that engine, and is said."""
    with site.workspace.database.write() as transaction:
        site.workspace.runs.enqueue(transaction, "act", "act:old", {})
        transaction.exec_driver_sql(
            "UPDATE dbos.workflow_status SET application_version = 'interpreter-0' WHERE workflow_uuid = 'act:old'"
        )
    (waiting,) = site.workspace.runs.stranded()
    assert (waiting.job_id, "needs interpreter-0" in waiting.reason) == ("act:old", True)
    assert site.workspace.runs.pending() == ["act:old"]


def test_cancelling_reaches_the_child_on_another_machine(site: Site) -> None:
    """Whoever cancels at the server ends the process that computes at the worker."""
    with site.worker("one"):
        run_id = site.start_run()
        until(lambda: site.children("middle"), "the middle step")
        (child,) = site.children("middle")
        projects.give(site.workspace, "cancel_run", run_id, run=run_id)
        until(lambda: not is_alive(child), "the end of the child")
        assert (site.status(run_id), site.finished(run_id)) == ("cancelled", ["cancelled"])
        until(lambda: registry.run(site.workspace.database, run_id).costs, "what it has cost")
        costs = registry.run(site.workspace.database, run_id).costs
        assert [(cost["step"], bool(cost.get("broken_off"))) for cost in costs] == [("first", False), ("middle", True)]
        assert costs[1]["wall_seconds"] > 0
        told = list(site.workspace.ledger.read(types=["cost.recorded"], subject=run_id))
        assert len(told) == 6
        assert site.log(run_id)["text"] == "in the middle\n"


def test_a_worker_in_the_projects_folder_needs_no_address(site: Site) -> None:
    """On the server's machine the project's own settings are enough."""
    command = [sys.executable, "-m", "ratchet", "worker", "--json"]
    with subprocess.Popen(command, cwd=site.workspace.project, stdout=subprocess.PIPE, text=True) as process:
        try:
            next_line(process.stdout, "the worker's first line", containing='"id"')
            site.let_go()
            run_id = site.start_run()
            until(lambda: site.finished(run_id), "the end of the run")
        finally:
            process.kill()
    assert site.finished(run_id) == ["success"]


def test_a_second_server_is_refused_with_the_first_ones_place(site: Site, tmp_path: Path) -> None:
    """One server a database: another one would deploy beside it; it says where the first one is."""
    settings = (site.workspace.project / "ratchet.toml").read_text()
    with Workspace(projects.write_project(tmp_path / "second", settings=settings, code=CODE)) as second:
        assert second.is_running
        with pytest.raises(ServerElsewhere, match=f"pid {os.getpid()} on .* ratchet worker"):
            second.start(serve=False)


def test_a_server_that_died_is_replaced(site: Site, tmp_path: Path) -> None:
    """A server that gave no sign of life for a while is not waited for any longer."""
    site.workspace.runs.close()
    dead = msgspec.structs.replace(
        workers.this_process("server", capacity=site.workspace.runs.budget.capacity, interpreter="interpreter-1"),
        machine="another/1",
    )
    database = Database(site.workspace.config.project.database)
    with database.aside() as connection:
        workers.enter(connection, dead)
    database.close()
    settings = (site.workspace.project / "ratchet.toml").read_text()
    with Workspace(projects.write_project(tmp_path / "second", settings=settings, code=CODE)) as second:
        deadline = clock.monotonic() + 60
        while not second.is_executor and clock.monotonic() < deadline:
            try:
                second.start(serve=False)
            except ServerElsewhere:
                clock.sleep(0.2)
        assert second.is_executor
