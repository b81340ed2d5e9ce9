"""The client of a job server, against one that plays it."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ratchet.engine.capacity import Demand
from ratchet.engine.ray_cluster import ClusterAway, ClusterRefuses, RayCluster
from tests.ray_clusters import JobServer
from tests.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JobServer]:
    """Give a job server that wants a token."""
    server = JobServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def cluster(server: JobServer) -> RayCluster:
    """Give a client with the right token."""
    return RayCluster(server.address + "/", token=server.token)


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of a server of something else, which answers all with one status and content."""
    status, content = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815, as the parent calls it

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def test_a_job_is_submitted_watched_and_read(cluster: RayCluster) -> None:
    """A command runs, ends with its code, and what it printed can be read."""
    assert cluster.find("job-1") is None
    cluster.submit("job-1", "echo said; exit 3", Demand(), metadata={})
    until(lambda: (found := cluster.find("job-1")) is not None and found.is_over)
    found = cluster.find("job-1")
    assert found is not None
    assert (found.status, found.driver_exit_code) == ("FAILED", 3)
    assert cluster.log("job-1") == "said\n"


def test_submitting_again_starts_nothing(cluster: RayCluster, server: JobServer, tmp_path: Path) -> None:
    """A job that is there already stays the one that there is."""
    for _ in range(2):
        cluster.submit("job-1", f"echo once >> {tmp_path}/trace; sleep 60", Demand(), metadata={"a": "b"})
    until((tmp_path / "trace").exists)
    assert (tmp_path / "trace").read_text() == "once\n"
    assert server.jobs["job-1"].asked["metadata"] == {"a": "b"}
    cluster.stop("job-1")
    cluster.stop("job-1")
    cluster.stop("never-was")
    stopped = cluster.find("job-1")
    assert stopped is not None
    assert stopped.status == "STOPPED"


def test_demands_are_the_cluster_s_units(cluster: RayCluster, server: JobServer) -> None:
    """Memory goes over in bytes; what the nodes have comes back in ours, the largest first."""
    cluster.submit("job-1", "true", Demand(cpu=0.5, memory_gb=1.5, gpu=2), metadata={})
    asked = server.jobs["job-1"].asked
    assert [asked[f"entrypoint_{name}"] for name in ("num_cpus", "memory", "num_gpus")] == [0.5, 1610612736, 2]
    assert cluster.largest() == [Demand(cpu=1, memory_gb=4)]


@pytest.mark.parametrize(("token", "said"), [("", "asks for a token"), ("wrong", "does not know the token")])
def test_without_the_token_nothing_is_told(server: JobServer, token: str, said: str) -> None:
    """The refusal says whether a token was missing or wrong, and where it is to be set."""
    with pytest.raises(ClusterRefuses, match=said) as refused:
        RayCluster(server.address, token=token).find("job-1")
    assert "[ray]" in refused.value.remedy


def test_who_does_not_answer_may_be_asked_again(server: JobServer, cluster: RayCluster) -> None:
    """A server that is starting, and one that is not there, are away and refuse nothing."""
    server.is_up = False
    with pytest.raises(ClusterAway, match="503"):
        cluster.submit("job-1", "true", Demand(), metadata={})
    with pytest.raises(ClusterAway, match="refused"):
        RayCluster("http://127.0.0.1:1").find("job-1")


@pytest.mark.parametrize("other", [(200, b"<html>"), (302, b""), (400, b"Traceback\nno such field")], indirect=True)
def test_another_server_is_no_job_server(other: str) -> None:
    """Whoever answers in another way is named as the wrong address."""
    with pytest.raises(ClusterRefuses) as refused:
        RayCluster(other).find("job-1")
    assert "address" in refused.value.remedy


@pytest.mark.parametrize("other", [(404, b"")], indirect=True)
def test_another_server_takes_no_jobs(other: str) -> None:
    """Where nothing is found, a job is not taken for submitted."""
    with pytest.raises(ClusterRefuses, match="takes no jobs"):
        RayCluster(other).submit("job-1", "true", Demand(), metadata={})


@pytest.mark.parametrize("other", [(200, b'{"data": null}'), (404, b"")], indirect=True)
def test_nodes_that_are_not_told_are_none(other: str) -> None:
    """A version that tells of its nodes in another way, or not, is no fault."""
    assert RayCluster(other).largest() == []
