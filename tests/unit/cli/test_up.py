"""Around the server: what it notices."""

import os
import signal
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from ratchet import clock, config
from ratchet.automation import rules
from ratchet.automation.rules import RuleSet
from ratchet.cli import up
from ratchet.cli.up import ProjectFiles
from ratchet.errors import ConfigInvalid
from ratchet.loop.pipelines import Project
from tests import projects

RING = '[[rule]]\nname = "again"\non = "monitor.evaluated"\ndo = { monitor = "churn" }\n'


@pytest.mark.parametrize("name", ["ratchet.toml", "returns.py", "policies/own.toml", "more/steps.py"])
def test_changes_of_the_project_are_noticed_once(tmp_path: Path, name: str) -> None:
    """Settings, policies and Python files count; each change is told one time."""
    files = ProjectFiles(tmp_path)
    assert not files.have_changed()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    assert files.have_changed()
    assert not files.have_changed()
    (tmp_path / name).unlink()
    assert files.have_changed()


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of a file is no state of the project: the change is told once, when the rest has come."""
    files = ProjectFiles(tmp_path)
    settings, rest = tmp_path / "ratchet.toml", [" of", " a", " file"]
    settings.write_text("half")

    def write_on(_seconds: float) -> None:
        if rest:
            settings.write_text(settings.read_text() + rest.pop(0))

    monkeypatch.setattr(clock, "sleep", write_on)
    assert files.have_changed()
    assert settings.read_text() == "half of a file"
    assert not files.have_changed()


class Beaten:
    """A workspace whose beats fail as a test says, in turn; then it stops them.

    Args:
        failures: What reading the project raises, beat by beat; nothing where it succeeds.
    """

    def __init__(self, *failures: Exception | None) -> None:
        self.stop = threading.Event()
        self.read = 0
        self.synced = 0
        self._failures = list(failures)

    def reload(self) -> None:
        """Fail, if that is due."""
        self.read += 1
        failure = self._failures.pop(0)
        if failure is not None:
            raise failure

    def sync(self) -> None:
        """Take in what was read."""
        self.synced += 1

    def rules(self) -> RuleSet:
        """Return rules of which one sets itself off."""
        settings = config.parse(projects.SETTINGS, path=Path("ratchet.toml"))
        found = rules.read_text(RING, Project(), settings, path=Path("ratchet.toml"))
        return RuleSet(digest="", rules=tuple(found))

    def heartbeat(self) -> None:
        """Do nothing."""

    def seal_when_due(self) -> None:
        """End after a beat without a failure."""
        self.stop.set()


def beat(workspace: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change a file and let the beats notice."""
    monkeypatch.setattr("ratchet.workspace.HEARTBEAT_SECONDS", 0.001)
    files = ProjectFiles(project)
    (project / "ratchet.toml").write_text("x")
    up._beat(workspace, files, workspace.stop)


def test_what_failed_for_no_fault_of_the_files_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was busy keeps a change from being taken in for a second, not for ever."""
    workspace = Beaten(TimeoutError("busy"), TimeoutError("busy"), None)
    beat(workspace, tmp_path, monkeypatch)
    assert (workspace.read, workspace.synced) == (3, 1)


def test_a_mistake_in_a_file_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is read again when it has changed, not before."""
    workspace = Beaten(ConfigInvalid(where="ratchet.toml:1", problem="it is x.", remedy="Write y."))
    beat(workspace, tmp_path, monkeypatch)
    assert (workspace.read, workspace.synced) == (1, 0)
    assert "it is x." in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_comes_in_a_callback_counts() -> None:
    """Python goes on after a callback whatever is raised there; the start looks whether it was asked to end."""

    class Thing:
        pass

    def stop(_reference: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

    with up._interrupted_by_sigterm() as asked:
        thing = Thing()
        reference = weakref.ref(thing, stop)
        del thing
        assert reference() is None
        assert asked.is_set()


def test_rings_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who starts the workspace learns of rules that drive one another, and is not told again by each change."""
    workspace: Any = Beaten(None)
    beat(workspace, tmp_path, monkeypatch)
    told = up._tell_of_rings(workspace, frozenset())
    assert up._tell_of_rings(workspace, told) == told
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("in a ring: 'again' brings monitor.evaluated, which sets off 'again' again. What ends that") == 2


def test_data_and_state_are_none_of_it(tmp_path: Path) -> None:
    """Data has its own watch, and the workspace's state changes all the time."""
    files = ProjectFiles(tmp_path)
    (tmp_path / ".ratchet").mkdir()
    (tmp_path / ".ratchet" / "x.py").write_text("x")
    (tmp_path / "rows.csv").write_text("x")
    assert not files.have_changed()
