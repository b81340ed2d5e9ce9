"""What is collected, what never is, and how it is told."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ratchet import clock
from ratchet.config import RetentionSection
from ratchet.errors import ArtifactCorrupt
from ratchet.loop import holders, registry, retention
from ratchet.loop.holders import COLLECTING
from ratchet.loop.refusals import CollectionUnderWay, StoreAhead, StoreNotOurs
from ratchet.workspace import Workspace
from tests import registered
from tests.buckets import Bucket

SETTINGS = '[project]\nname = "small"\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Return an empty workspace."""
    (tmp_path / "ratchet.toml").write_text(SETTINGS)
    with Workspace(tmp_path) as made:
        yield made


def _age(workspace: Workspace, *digests: str, days: float = 100.0) -> None:
    moment = clock.real_seconds() - days * 86_400
    for sha256 in digests or tuple(workspace.resources.artifacts.all()):
        os.utime(workspace.resources.artifacts.path(sha256), (moment, moment))


def test_an_old_file_that_nothing_names_goes(workspace: Workspace) -> None:
    """A killed run's half-made result is removed once it is old, and a young one stays."""
    artifacts = workspace.resources.artifacts
    old, younger, young = artifacts.write(b"old"), artifacts.write(b"younger"), artifacts.write(b"young")
    _age(workspace, old)
    _age(workspace, younger, days=2)
    assert retention.collect(workspace.resources).artifacts == (old,)
    assert retention.collect(workspace.resources, unnamed_days=1).artifacts == (younger,)
    assert list(artifacts.all()) == [young]


def test_nothing_goes_that_was_written_within_the_hour(workspace: Workspace) -> None:
    """However small the span that somebody asks for, what was written lately may be named in a moment."""
    sha256 = workspace.resources.artifacts.write(b"young")
    _age(workspace, sha256, days=0.9 / 24)
    assert retention.collect(workspace.resources, unnamed_days=0).artifacts == ()
    _age(workspace, sha256, days=1.1 / 24)
    assert retention.collect(workspace.resources, unnamed_days=0).artifacts == (sha256,)


def test_what_a_row_of_any_table_names_stays(workspace: Workspace) -> None:
    """A file is kept when a row names it whose meaning nobody here knows."""
    sha256 = workspace.resources.artifacts.write(b"named")
    with workspace.database.write() as transaction:
        registry.put_state(transaction, "anything", {"file": sha256})
    _age(workspace)
    assert retention.collect(workspace.resources).artifacts == ()


def test_what_a_job_under_way_names_or_has_made_stays(workspace: Workspace) -> None:
    """A job's arguments hold what they name, and nothing goes that was written since it was enqueued."""
    artifacts = workspace.resources.artifacts
    named, made, before = artifacts.write(b"named"), artifacts.write(b"made"), artifacts.write(b"before")
    _age(workspace, named, before)
    with workspace.database.write() as transaction:
        workspace.runs.enqueue(transaction, "run", "run:1", {"run_id": "1", "snapshot": named})
    later = clock.real_seconds() + 30 * 86_400
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "real_seconds", lambda: later)
        assert retention.collect(workspace.resources).artifacts == (before,)
    assert set(artifacts.all()) == {named, made}


def test_the_ledger_tells_what_went(workspace: Workspace) -> None:
    """One event says how much of which kind was removed; where nothing went, nothing is said."""
    retention.collect(workspace.resources)
    assert not list(workspace.ledger.read(types=("artifacts.collected",)))
    workspace.resources.artifacts.write(b"old")
    _age(workspace)
    made = retention.collect(workspace.resources)
    event = next(iter(workspace.ledger.read(types=("artifacts.collected",))))
    assert (event.id, event.subject, event.actor_class) == (made.event_id, "artifacts", "automation")
    assert (event.data["removed"], event.data["size_bytes"]) == (1, 3)
    assert event.data["kinds"] == {"unnamed": {"count": 1, "size_bytes": 3}}


def test_the_inventory_is_what_a_collection_does(workspace: Workspace) -> None:
    """What is said beforehand goes, nothing else does, and both count it alike."""
    registered.Filler(workspace.resources, 3).fill(runs=8)
    _age(workspace)
    policy = RetentionSection(runs=1, days=0.0, models="served", datasets="used")
    workspace.resources.config = msgspec.structs.replace(workspace.config, retention=policy)
    stock = retention.take_stock(workspace.resources)
    before = set(workspace.resources.artifacts.all())
    made = retention.collect(workspace.resources)
    assert (
        set(made.artifacts)
        == {one.sha256 for one in stock.artifacts}
        == before - set(workspace.resources.artifacts.all())
    )
    assert (made.kinds, made.let_go) == (stock.going, stock.let_go)
    assert {"unnamed", "model", "code"} <= set(made.kinds)
    assert sum(amount.count for amount in stock.kept.values()) == len(before) - made.removed.count
    assert made.let_go


def test_a_run_goes_when_it_is_neither_young_nor_among_the_last(workspace: Workspace) -> None:
    """What a failed run used is kept for its time, and a run that is under way for as long as it takes."""
    filler = registered.Filler(workspace.resources, 1)
    filler.add_dataset("orders")
    runs = [filler.add_run("churn", status=status) for status in ("failed", "failed", "running")]
    runs = [
        msgspec.structs.replace(run, queued_at=clock.now() - timedelta(days=days))
        for run, days in zip(runs, (50, 40, 300), strict=True)
    ]
    with workspace.database.write() as transaction:
        for run in runs:
            registry.put_run(transaction, run)
    _age(workspace)

    def left(**policy: float) -> list[bool]:
        section = RetentionSection(**policy)  # type: ignore[arg-type]
        workspace.resources.config = msgspec.structs.replace(workspace.config, retention=section)
        retention.collect(workspace.resources)
        return [workspace.resources.artifacts.exists(run.snapshot) for run in runs]

    assert left(runs=1, days=60.0) == [True, True, True]
    assert left(runs=2, days=30.0) == [True, True, True]
    assert left(runs=1, days=30.0) == [False, True, True]


def test_a_version_that_is_promoted_meanwhile_stays(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody comes to need while other artifacts are removed is not removed after them."""
    filler = registered.Filler(workspace.resources, 1)
    filler.add_dataset("orders")
    old, _ = (filler.add_run("churn", status="success") for _ in range(2))
    with workspace.database.read() as connection:
        version = registry.model_version_of_run(connection, old.id)
    assert version is not None
    _age(workspace)
    policy = RetentionSection(runs=1, days=0.0, models="recent")
    workspace.resources.config = msgspec.structs.replace(workspace.config, retention=policy)
    assert version.name in retention.take_stock(workspace.resources).let_go
    last_seq, calls = workspace.ledger.last_seq, iter(range(10))

    def promote_first() -> int:
        if next(calls) == 1:
            with workspace.by_command("promote", {}, subject=version.name):
                filler.add_release(version)
        return last_seq()

    monkeypatch.setattr(workspace.ledger, "last_seq", promote_first)
    made = retention.collect(workspace.resources)
    assert made.let_go == ()
    assert registered.missing(workspace.resources, models=frozenset({version.name})) == []


def test_another_workspace_in_the_store_stops_it(workspace: Workspace) -> None:
    """Nobody removes from a store in which others keep what only they know of."""
    sha256 = workspace.resources.artifacts.write(b"theirs")
    _age(workspace)
    workspace.resources.artifacts.enter("another")
    with pytest.raises(StoreNotOurs, match="another"):
        retention.collect(workspace.resources)
    assert "other workspaces" in retention.tidy(workspace.resources)
    assert workspace.resources.artifacts.exists(sha256)


def test_a_damaged_manifest_stops_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can tell which data a version needs, nothing goes."""
    monkeypatch.setattr(holders, "_known_parts", {})
    filler = registered.Filler(workspace.resources, 1)
    version = filler.add_dataset("orders")
    orphan = filler.write(b"orphan")
    _age(workspace)
    workspace.resources.artifacts.path(version.manifest).write_bytes(b"{}")
    with pytest.raises(ArtifactCorrupt):
        retention.collect(workspace.resources)
    assert workspace.resources.artifacts.exists(orphan)
    assert version.manifest in retention.tidy(workspace.resources)


def test_one_process_at_a_time(workspace: Workspace) -> None:
    """A second collection is refused while the first runs; that of a process that died is taken over."""
    old = workspace.resources.artifacts.write(b"old")
    _age(workspace)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lease = {"by": retention._me().replace(str(os.getpid()), str(other.pid)), "since_seconds": clock.real_seconds()}
    with workspace.database.write() as transaction:
        registry.put_state(transaction, COLLECTING, lease)
    with pytest.raises(CollectionUnderWay, match=str(other.pid)):
        retention.collect(workspace.resources)
    assert retention.tidy(workspace.resources) == ""
    other.kill()
    other.wait()
    assert retention.collect(workspace.resources).artifacts == (old,)


def test_an_older_copy_of_a_workspace_removes_nothing(tmp_path: Path) -> None:
    """A database that was restored from before the last removal does not know what was written since."""
    (tmp_path / "shared").mkdir()
    project = tmp_path / "a"
    project.mkdir()
    (project / "ratchet.toml").write_text(f'{SETTINGS}artifacts = "{tmp_path}/shared"\n')
    with Workspace(project) as workspace:
        workspace.resources.artifacts.write(b"early")
    copy = shutil.copytree(project, tmp_path / "copy")
    with Workspace(project) as workspace:
        _age(workspace)
        assert retention.collect(workspace.resources).removed.count == 1
        assert retention.collect(workspace.resources).removed.count == 0
        for content in (b"needed", b"more"):
            with workspace.database.write() as transaction:
                registry.put_state(transaction, content.decode(), workspace.resources.artifacts.write(content))
        orphan = workspace.resources.artifacts.write(b"orphan")
        _age(workspace)
        with workspace.by_command("anything", {}, subject="small"):
            assert retention.collect(workspace.resources).artifacts == (orphan,)
    with Workspace(copy) as older:
        with pytest.raises(StoreAhead, match="an older copy"):
            retention.collect(older.resources)
        assert len(list(older.resources.artifacts.all())) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from ratchet.loop import retention
from ratchet.store.artifacts import Artifacts
from ratchet.workspace import Workspace

delete = Artifacts.delete
left = [int(sys.argv[2])]

def delete_and_die(store, sha256, *, written_before):
    done = delete(store, sha256, written_before=written_before)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Artifacts.delete = delete_and_die
with Workspace(Path(sys.argv[1])) as workspace:
    retention.collect(workspace.resources)
"""


def test_what_a_killed_collection_removed_is_told_by_the_next(workspace: Workspace) -> None:
    """A process that is killed half-way leaves all that is held, and the next one tells of both halves, once."""
    registered.Filler(workspace.resources, 5).fill(runs=4)
    for number in range(20):
        workspace.resources.artifacts.write(b"more %d" % number)
    _age(workspace)
    going = {one.sha256 for one in retention.take_stock(workspace.resources).artifacts}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(workspace.project), "4"], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(going & set(workspace.resources.artifacts.all())) in range(1, len(going) - 3), "it died half-way"
    assert registered.missing(workspace.resources) == []
    made = retention.collect(workspace.resources)
    assert set(made.artifacts) == going
    assert [event.data["removed"] for event in workspace.ledger.read(types=("artifacts.collected",))] == [len(going)]
    assert registered.missing(workspace.resources) == []


@pytest.mark.postgres
def test_in_a_bucket_and_on_postgresql_the_same(tmp_path: Path, postgres_url: str, bucket: Bucket) -> None:
    """Two machines of one workspace: what one has named is not removed by the other, and what nobody names is."""
    lines = [SETTINGS, f'artifacts = "{bucket.url}"', f'database = "{postgres_url}"']
    (tmp_path / "ratchet.toml").write_text("\n".join(lines) + "\n")
    with Workspace(tmp_path) as one:
        registered.Filler(one.resources, 2).fill(runs=2)
        for sha256 in list(one.resources.artifacts.all()):
            bucket.make_old(sha256, seconds=100 * 86_400)
        young = one.resources.artifacts.write(b"young")
        made = retention.collect(one.resources)
        assert made.kinds.keys() == {"unnamed"}
        assert made.removed.count >= 2
        assert registered.missing(one.resources) == []
        assert one.resources.artifacts.exists(young)
        event = next(iter(one.ledger.read(types=("artifacts.collected",))))
        assert event.subject == bucket.url
        # The copies on this machine went with it: the look above did not see those.
        assert not any(one.resources.artifacts.path(sha256).exists() for sha256 in made.artifacts)
