"""A project's Python files as one artifact: the same files the same digest, and no later edit gets in."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.errors import ArtifactCorrupt
from ratchet.loop import snapshots
from ratchet.store.artifacts import Artifacts
from tests import projects


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with files that belong to a snapshot and files that do not."""
    folder = tmp_path / "project"
    for name in ("churn.py", "parts/shared.py", "tests/test_churn.py", ".hidden/x.py", "env/x.py", "own/bin/x.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"NAME = {name!r}\n")
    (folder / "own" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "notes.txt").write_text("not code")
    return folder


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty artifact store."""
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture(autouse=True)
def _imports() -> Iterator[None]:
    """Take back what entering a snapshot does to this process."""
    path, flag, modules = list(sys.path), sys.dont_write_bytecode, set(sys.modules)
    yield
    sys.path[:], sys.dont_write_bytecode = path, flag
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_only_the_projects_own_code_is_taken(project: Path) -> None:
    """Tests, hidden folders and environments, whatever their name, stay out."""
    found = sorted(path.relative_to(project).as_posix() for path in snapshots.python_files(project))
    assert found == ["churn.py", "parts/shared.py"]


def test_the_same_files_give_the_same_digest(project: Path, artifacts: Artifacts) -> None:
    """Times of files do not count, their content does."""
    first = snapshots.take(project, artifacts)
    (project / "churn.py").touch()
    assert snapshots.take(project, artifacts) == first
    (project / "churn.py").write_text("NAME = 'other'\n")
    assert snapshots.take(project, artifacts) != first


def test_modules_are_those_at_the_top(project: Path, artifacts: Artifacts) -> None:
    """Files in folders are imported by those, not by us."""
    assert snapshots.modules(artifacts.read(snapshots.take(project, artifacts))) == ["churn"]


def test_what_is_edited_later_does_not_get_in(project: Path, artifacts: Artifacts, tmp_path: Path) -> None:
    """A run imports the files as they were when it was started."""
    sha256 = snapshots.take(project, artifacts)
    (project / "churn.py").write_text("NAME = 'edited'\n")
    folder = snapshots.enter(sha256, artifacts, tmp_path / "snapshots")
    import churn

    assert churn.NAME == "churn.py"
    assert Path(churn.__file__).parent == folder
    assert snapshots.enter(sha256, artifacts, tmp_path / "snapshots") == folder


def test_a_corrupt_snapshot_is_refused(project: Path, artifacts: Artifacts, tmp_path: Path) -> None:
    """Code that is not what was stored is never imported."""
    sha256 = snapshots.take(project, artifacts)
    projects.damage(artifacts.path(sha256))
    with pytest.raises(ArtifactCorrupt):
        snapshots.enter(sha256, artifacts, tmp_path / "snapshots")
