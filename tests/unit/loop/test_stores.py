"""A workspace enters the store that its settings name, once, and notices when it is another one."""

from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

from ratchet.engine.executors import Limits, Session, Task, Zygotes
from ratchet.errors import ArtifactsElsewhere, ArtifactsUnreachable
from ratchet.loop import snapshots, stores
from ratchet.loop.serving import switchboard
from ratchet.loop.serving.routes import (
    EndpointRoute,
    InputColumn,
    ModelReference,
    ModelSchema,
    ReleaseRoute,
    RouteTable,
    write_routes,
)
from ratchet.loop.serving.switchboard import ServedEndpoint, Switchboard
from ratchet.store import storers
from ratchet.store.addresses import address_of, open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.buckets import BucketArtifacts
from ratchet.workspace import Workspace
from tests import projects
from tests.buckets import Bucket


def _project(folder: Path, *, artifacts: str = "", database: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = ["[project]", 'name = "small"', f'artifacts = "{artifacts}"', f'database = "{database}"']
    (folder / "ratchet.toml").write_text("\n".join(lines) + "\n")
    return folder


def test_without_a_setting_nothing_is_entered(tmp_path: Path) -> None:
    """The folder of one's own state belongs to nobody else."""
    with Workspace(_project(tmp_path / "a")) as workspace:
        artifacts = workspace.resources.artifacts
        assert artifacts.folder == tmp_path / "a" / ".ratchet" / "artifacts"
        assert artifacts.workspaces() == []
        assert stores.workspace_id(workspace.database) == ""


def test_two_workspaces_of_one_folder_know_of_each_other(tmp_path: Path) -> None:
    """Each reads what the other has written, and each has left word, once."""
    (tmp_path / "shared").mkdir()
    with Workspace(_project(tmp_path / "a", artifacts=str(tmp_path / "shared"))) as one:
        sha256 = one.resources.artifacts.write(b"of one")
        names = {stores.workspace_id(one.database)}
    with Workspace(_project(tmp_path / "b", artifacts=f"file://{tmp_path}/shared")) as other:
        assert other.resources.artifacts.read(sha256) == b"of one"
        names.add(stores.workspace_id(other.database))
        assert other.resources.artifacts.workspaces() == sorted(names)
    with Workspace(tmp_path / "a") as again:
        assert again.resources.artifacts.workspaces() == sorted(names)
    assert len(names) == 2


@pytest.mark.postgres
def test_two_machines_of_one_workspace_share_a_bucket(tmp_path: Path, postgres_url: str, bucket: Bucket) -> None:
    """With one database and one bucket each machine reads what the other wrote, under one name in the bucket."""
    project = _project(tmp_path / "a", artifacts=bucket.url, database=postgres_url)
    with Workspace(project) as server:
        sha256 = server.resources.artifacts.write(b"of the server")
        machine = stores.open_shared_store(bucket.url, server.config, state=tmp_path / "worker")
        assert isinstance(machine, BucketArtifacts)
        assert machine.folder != server.resources.artifacts.folder
        assert machine.read(sha256) == b"of the server"
        assert server.resources.artifacts.read(machine.write(b"of the worker")) == b"of the worker"
        assert machine.workspaces() == [stores.workspace_id(server.database)]


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A disk that is not mounted is told of at once, and the project can be opened when it is."""
    project = _project(tmp_path / "a", artifacts=str(tmp_path / "shared"))
    with pytest.raises(ArtifactsUnreachable, match=r"there is no such folder\. Make it, or mount"):
        Workspace(project)
    assert not (tmp_path / "shared").exists()
    (tmp_path / "shared").mkdir()
    with Workspace(project) as workspace:
        workspace.resources.artifacts.write(b"x")


def test_a_folder_that_lost_its_mark_is_another_one(tmp_path: Path) -> None:
    """Where a mount has gone, the empty folder below it is not taken for the store."""
    shared = tmp_path / "shared"
    shared.mkdir()
    project = _project(tmp_path / "a", artifacts=str(shared))
    with Workspace(project) as workspace:
        workspace.resources.artifacts.write(b"x")
    shared.rename(tmp_path / "unmounted")
    shared.mkdir()
    with pytest.raises(ArtifactsElsewhere, match="Is the disk mounted"):
        Workspace(project)
    assert list(shared.iterdir()) == []


def test_a_bucket_that_cannot_be_entered_is_tried_again(tmp_path: Path, bucket: Bucket) -> None:
    """A workspace that begins while the storage is away says so, and begins when it is back."""
    project = _project(tmp_path / "a", artifacts=bucket.url)
    bucket.stop()
    try:
        with pytest.raises(ArtifactsUnreachable, match="cannot be used"):
            Workspace(project)
    finally:
        bucket.start()
    with Workspace(project) as workspace:
        name = stores.workspace_id(workspace.database)
    assert bucket.keys() == [f"shared/workspaces/{name}"]
    bucket.stop()
    try:
        # It has entered already: opening it asks nothing of the storage.
        with Workspace(project):
            pass
    finally:
        bucket.start()


def test_a_place_that_changed_is_entered_anew(tmp_path: Path) -> None:
    """A workspace that moves to another store leaves the same word there."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with Workspace(_project(tmp_path / "a", artifacts=str(tmp_path / name))) as workspace:
            entered = stores.workspace_id(workspace.database)
        assert Artifacts(tmp_path / name).workspaces() == [entered]


def test_a_store_is_copied_into_a_bucket(tmp_path: Path, bucket: Bucket) -> None:
    """What lay in a folder is in the bucket afterwards, checked on the way, and not sent twice."""
    with Workspace(_project(tmp_path / "a")) as workspace:
        names = sorted(workspace.resources.artifacts.write(content) for content in (b"1", b"2", b"3"))
    with Workspace(_project(tmp_path / "a", artifacts=bucket.url)) as workspace:
        looked: list[tuple[int, int]] = []
        own = str(tmp_path / "a" / ".ratchet" / "artifacts")
        made = stores.copy_from(own, workspace.resources, report=lambda done, whole: looked.append((done, whole)))
        assert (made.copied, made.present, looked[-1]) == (3, 0, (2, 3))
        assert list(workspace.resources.artifacts.all()) == names
        made = stores.copy_from(own, workspace.resources, report=lambda _done, _whole: None)
        assert (made.copied, made.present) == (0, 3)
        back = stores.copy_from(bucket.url, workspace.resources, report=lambda _done, _whole: None)
        assert back.present == 3


def test_a_forked_child_reads_from_the_bucket(tmp_path: Path, bucket: Bucket) -> None:
    """A child of the zygote imports a snapshot that lies in the bucket only, though its parent has used the bucket."""
    project = _project(tmp_path / "a", artifacts=bucket.url)
    (project / "pipeline.py").write_text(projects.CODE)
    with Workspace(project) as workspace:
        snapshot = snapshots.take(project, workspace.resources.artifacts)
        elsewhere = stores.open_shared_store(bucket.url, workspace.config, state=tmp_path / "child")
        spec = {"snapshot": snapshot, "artifacts": elsewhere.address, "snapshots": str(tmp_path / "unpacked")}
        task = Task(name="test", entry="ratchet.loop.pipelines:describe", spec=spec, log=str(tmp_path / "log"))
        zygotes = Zygotes(["ratchet.loop.pipelines"])
        try:
            session = Session(zygotes, task, limits=Limits(), is_cancelled=lambda: False)
            found = session.converse(lambda _request, execute: execute())
        finally:
            zygotes.close()
    assert [one["name"] for one in found["pipelines"]] == [projects.PIPELINE]
    assert elsewhere.path(snapshot).exists()


class Served:
    """An endpoint's routes over a bucket, and two models there of which copies lie on this machine.

    Args:
        folder: Where all of it lies.
        bucket: The storage.
    """

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder = folder / "serving"
        self._folder.mkdir()
        address = address_of(bucket.url, project=folder, state=folder / "state", cache_bytes=1 << 30)
        self._artifacts = open_artifacts(address)
        rows = projects.customers(50)[["visits"]].astype(float)
        self._names = [
            self._artifacts.write(storers.dump(LinearRegression(fit_intercept=free).fit(rows, rows["visits"]))[1])
            for free in (True, False)
        ]
        self.board = Switchboard(self._folder, artifacts=self._artifacts)

    def forget(self, number: int) -> None:
        """Let this machine have no copy of a model."""
        self._artifacts.path(self._names[number]).unlink()

    def ask_for(self, number: int) -> ServedEndpoint:
        """Write routes that name a model, and let the endpoint follow them."""
        reference = ModelReference(sha256=self._names[number], storer="skops")
        schema = ModelSchema(inputs=(InputColumn(name="visits", datatype="FP64", kind="number"),), output="prediction")
        release = ReleaseRoute(
            version=f"m@v{number}",
            schema=schema,
            role="live",
            share=1.0,
            traffic_id="t",
            deployment_id="d",
            model=reference,
        )
        routes = RouteTable(generation=number + 1, endpoints={"m": EndpointRoute(releases=(release,))})
        write_routes(self._folder, routes)
        return self.follow()

    def follow(self) -> ServedEndpoint:
        """Let the endpoint look for news, and return what it serves."""
        assert self.board.has_news()
        self.board.table = self.board.prepare()
        return self.board.current().endpoint("m")


def _live(endpoint: ServedEndpoint) -> list[str]:
    return [one.release.version for one in endpoint.live]


def test_an_endpoint_serves_on_while_the_bucket_is_away(tmp_path: Path, bucket: Bucket) -> None:
    """What serves goes on, a release whose model cannot be had is refused with the reason, and a copy is enough."""
    served = Served(tmp_path, bucket)
    served.forget(1)
    bucket.stop()
    try:
        assert _live(served.ask_for(0)) == ["m@v0"]
        refused = served.ask_for(1)
    finally:
        bucket.start()
    assert _live(refused) == ["m@v0"]
    assert "cannot be used: no answer" in refused.refusal
    assert not served.board.has_news()


def test_an_endpoint_that_begins_without_the_bucket_serves_once_it_answers(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to write the routes anew: where nothing serves, what could not be had is asked for again."""
    monkeypatch.setattr(switchboard, "_AGAIN_SECONDS", 0.0)
    served = Served(tmp_path, bucket)
    served.forget(0)
    bucket.stop()
    try:
        assert _live(served.ask_for(0)) == []
        assert "cannot be used: no answer" in served.follow().refusal
    finally:
        bucket.start()
    found = served.follow()
    assert (_live(found), found.refusal) == (["m@v0"], "")
    assert not served.board.has_news()
