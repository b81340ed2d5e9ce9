"""Steps that a Ray cluster carries out: on a job server that plays one, and on a real one of two nodes if installed."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ratchet.engine.ray_cluster import RayCluster
from ratchet.loop import registry
from ratchet.records import Run
from ratchet.workspace import Workspace
from tests import projects, ray_clusters
from tests.ray_clusters import Cluster, JobServer, real_cluster
from tests.waiting import PATIENCE_SECONDS, is_alive, until

CODE = '''"""Pipelines with a step that is carried out here, and the same one on a cluster."""

import os
import time
from pathlib import Path

import ratchet as rt


def fit(customers: rt.Dataset, strength: float) -> object:
    from sklearn.linear_model import LogisticRegression

    rows = customers.to_pandas()
    print("fitting", len(rows), "rows")
    return LogisticRegression(C=strength).fit(rows[["visits", "spend"]], rows["left"])


@rt.step(executor="ray", resources={"cpu": 1, "memory_gb": 2})
def there(customers: rt.Dataset, strength: float) -> object:
    return fit(customers, strength)


@rt.step
def here(customers: rt.Dataset, strength: float) -> object:
    return fit(customers, strength)


@rt.step(executor="ray", cache=False)
def held(folder: str, name: str) -> dict:
    (Path(folder) / f"{name}.{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return {"mode": os.environ["RAY_AUTH_MODE"]}


@rt.step(executor="ray", cache=False)
def broken(number: int) -> int:
    raise ValueError(f"no such number: {number}")


@rt.step(executor="ray", resources={"cpu": 64}, cache=False)
def huge() -> int:
    return 1


@rt.step(executor="ray", cache=False)
def doubled(number: int) -> int:
    import ray

    @ray.remote
    def double(number: int) -> int:
        return 2 * number

    ray.init()
    return ray.get(double.remote(number))


@rt.pipeline(model="doubling")
def doubling() -> None:
    assert doubled(21) == 42


@rt.pipeline(model="churn")
def churn(customers: rt.Dataset, strength: float = 0.5) -> str:
    one, other = there(customers, strength), here(customers, strength)
    assert one.coef_.tolist() == other.coef_.tolist()
    return "same"


@rt.pipeline(model="waiting")
def waiting(folder: str, name: str = "step") -> None:
    assert held(folder, name) == {"mode": "token"}


@rt.pipeline(model="breaking")
def breaking(times: int = 1) -> None:
    try:
        broken(7)
    except Exception as error:
        assert "'broken' failed: ValueError: no such number: 7" in str(error), str(error)
    else:
        raise AssertionError("the error did not arrive")


@rt.pipeline(model="greedy")
def greedy() -> int:
    return huge()
'''
SETTINGS = (
    ray_clusters.SETTINGS.replace("env:RATCHET_TEST_TOKEN", "file:token").replace("= 0.5", "= 240")
    + """
[dataset.customers]
source = "data/*.parquet"
time = "seen_at"
key = "customer"
label = {{ column = "left", arrives = "known_at" }}
"""
)
# What our side does alone is tested beside it: tests/unit/loop/test_ray_steps.py.
real_only = pytest.mark.parametrize("cluster", ["real"], indirect=True)
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture(scope="module", params=["played", "real"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster that wants a token."""
    if request.param == "real" and not HAS_RAY:
        pytest.skip("Ray is not installed; make proof-ray")
    if request.param == "played":
        server = JobServer(tmp_path_factory.mktemp("jobs"))
        yield server
        server.close()
        return
    # Ray makes sockets below this folder, and their paths have a limit.
    with tempfile.TemporaryDirectory(prefix="ray") as folder, real_cluster(Path(folder)) as real:
        yield real


def write(folder: Path, cluster: Cluster, *, token: str = "") -> Path:
    """Write a project whose steps go to a cluster."""
    store = folder / "store"
    store.mkdir(parents=True)
    settings = SETTINGS.format(store=store, address=cluster.address, python=sys.executable)
    projects.write_project(folder / "shop", settings=settings, code=CODE)
    (folder / "shop" / "token").write_text(token or cluster.token)
    return folder / "shop"


@pytest.fixture
def workspace(cluster: Cluster, tmp_path: Path) -> Iterator[Workspace]:
    """Give a running workspace that uses the cluster, and carries out two runs at once."""
    with projects.running(write(tmp_path, cluster), serve=False) as workspace:
        workspace.runs.close()
        workspace.runs.launch(workspace.runs.as_server(runs=2))
        yield workspace


def start(workspace: Workspace, pipeline: str, **parameters: Any) -> str:
    """Ask for a run and return its id."""
    asked = {"pipeline": pipeline, **parameters}
    command = workspace.command("start_run", asked, subject=pipeline, pipeline=pipeline, key=str(parameters))
    outcome = workspace.outcome(command)
    queued = workspace.ledger.get(outcome["event"])
    assert queued is not None, outcome["error"]
    return queued.subject


def run(workspace: Workspace, pipeline: str, **parameters: Any) -> Run:
    """Carry out a run and return it."""
    run_id = start(workspace, pipeline, **parameters)
    workspace.settle()
    return registry.run(workspace.database, run_id)


def pids(folder: Path) -> list[int]:
    """Return the processes that carry out a step which waits for a file, however often one was started."""
    return sorted(int(path.suffix[1:]) for path in folder.glob("step*.*"))


def node_of(cluster: Cluster, job: str) -> str:
    """Return the node that a job was carried out on."""
    address = urlsplit(cluster.address)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", f"/api/jobs/{job}", headers={"Authorization": f"Bearer {cluster.token}"})
    node = str(json.load(connection.getresponse())["driver_node_id"])
    connection.close()
    return node


def log_of(workspace: Workspace, run_id: str) -> str:
    """Return what a run has printed."""
    return (workspace.resources.logs / "runs" / f"{run_id}.log").read_text()


def test_a_step_runs_on_the_cluster_and_gives_what_it_gives_here(workspace: Workspace) -> None:
    """The same model comes out, byte by byte; its cost is counted, and what it printed is in the run's log."""
    done = run(workspace, "churn")
    assert (done.status, done.error) == ("success", "")
    there, here = done.costs
    assert there["result"] == here["result"]
    assert there["peak_memory_mb"] > 1
    log = log_of(workspace, done.id)
    assert [line for line in log.splitlines() if "fitting" in line] == [
        "ray 1.1 | fitting 600 rows",
        "fitting 600 rows",
    ]


def test_an_error_of_a_step_there_is_the_body_s_to_catch(workspace: Workspace) -> None:
    """What the user's code raised on the cluster arrives in the body, with the step's name."""
    done = run(workspace, "breaking")
    assert (done.status, done.error) == ("success", "")


@real_only
def test_steps_are_spread_over_the_nodes(cluster: Cluster, workspace: Workspace, tmp_path: Path) -> None:
    """Two steps that each need a node's processor are carried out at once, each on a node of its own."""
    ids = [start(workspace, "waiting", folder=str(tmp_path), name=name) for name in ("step-1", "step-2")]
    until(lambda: len(pids(tmp_path)) == 2, "both steps")
    (tmp_path / "go").touch()
    workspace.settle()
    assert [registry.run(workspace.database, one).status for one in ids] == ["success", "success"]
    assert len({node_of(cluster, f"ratchet-{one}-1-1") for one in ids}) == 2


def test_a_killed_server_finds_the_job_again(cluster: Cluster, tmp_path: Path) -> None:
    """The job goes on while nobody waits for it; the run is taken up again with that job, and starts no other."""
    folder = write(tmp_path, cluster)
    command = [sys.executable, "-m", "ratchet", "run", "waiting", "-p", f"folder={tmp_path}"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        until(lambda: pids(tmp_path), "the step")
        server.kill()
    (step,) = pids(tmp_path)
    assert is_alive(step)
    with projects.running(folder, serve=False) as workspace:
        (under_way,) = registry.runs(workspace.database)
        assert under_way.status == "running"
        (tmp_path / "go").touch()
        workspace.settle()
        done = registry.run(workspace.database, under_way.id)
        assert (done.status, done.error) == ("success", "")
        assert pids(tmp_path) == [step]
        jobs = RayCluster(cluster.address, token=cluster.token)
        first, second = (jobs.find(f"ratchet-{done.id}-1-{number}") for number in (1, 2))
        assert first is not None
        assert (first.status, second) == ("SUCCEEDED", None)


@real_only
def test_a_step_may_use_its_cluster(workspace: Workspace) -> None:
    """What the user's code asks of Ray is asked of the cluster that carries it out, with its token."""
    done = run(workspace, "doubling")
    assert (done.status, done.error) == ("success", "")


@real_only
def test_cancelling_a_run_ends_its_job(workspace: Workspace, cluster: Cluster, tmp_path: Path) -> None:
    """The process that carries out the step on the cluster is gone."""
    run_id = start(workspace, "waiting", folder=str(tmp_path))
    until(lambda: pids(tmp_path), "the step")
    (step,) = pids(tmp_path)
    projects.give(workspace, "cancel_run", run_id, run=run_id)
    until(lambda: not is_alive(step), "the end of the step's process")
    assert registry.run(workspace.database, run_id).status == "cancelled"


@real_only
def test_what_no_node_has_is_said(workspace: Workspace) -> None:
    """A step that fits on no node is named with what it needs and what there is, and can be cancelled."""
    run_id = start(workspace, "greedy")
    until(workspace.runs.stranded, "the word that it waits")
    (waiting,) = workspace.runs.stranded()
    assert waiting.job_id == f"step:{run_id}:0"
    assert "no node of the Ray cluster" in waiting.reason
    assert "cpu=64" in waiting.reason
    assert "cpu=1" in waiting.reason
    projects.give(workspace, "cancel_run", run_id, run=run_id)
    until(lambda: not workspace.runs.stranded(), "the end of its waiting")


@real_only
def test_a_wrong_token_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing is submitted without the token of the cluster, and the run's error says where it is to be put."""
    with projects.running(write(tmp_path, cluster, token="not-" + cluster.token), serve=False) as workspace:
        done = run(workspace, "breaking")
        assert done.status == "failed"
        assert "does not know the token" in done.error
        assert "[ray]" in done.error
        (tmp_path / "shop" / "token").write_text("\n")
        assert "there is no token in the file" in run(workspace, "breaking", times=2).error
