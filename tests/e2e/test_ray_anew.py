"""A step whose Ray cluster is started anew while it runs; clusters of this file's own, one after the other."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from ratchet.engine.ray_cluster import RayCluster
from ratchet.loop import registry
from tests import projects
from tests.e2e.test_ray import HAS_RAY, pids, start, write
from tests.ray_clusters import real_cluster
from tests.waiting import is_alive, until


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed; make proof-ray")
def test_a_job_that_went_with_its_cluster_is_submitted_again(tmp_path: Path) -> None:
    """A cluster that was started anew at the same address knows of no job; the run goes on there with another."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray"))) for _ in range(2)]
        with real_cluster(folders[0]) as first:
            workspace = stack.enter_context(projects.running(write(tmp_path, first), serve=False))
            run_id = start(workspace, "waiting", folder=str(tmp_path))
            until(lambda: pids(tmp_path), "the step")
        (step,) = pids(tmp_path)
        until(lambda: not is_alive(step), "the end of the step's process")
        (tmp_path / "go").touch()
        with real_cluster(folders[1], port=int(first.address.rpartition(":")[2])) as second:
            workspace.settle()
            assert registry.run(workspace.database, run_id).status == "success"
            job = RayCluster(second.address, token=second.token).find(f"ratchet-{run_id}-1-2")
            assert job is not None
            assert job.status == "SUCCEEDED"
        assert len(pids(tmp_path)) == 2
