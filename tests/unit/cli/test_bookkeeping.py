"""The folder and the ledger of the project around it."""

from pathlib import Path

import pytest

from ratchet.cli.bookkeeping import known_of, path_of, project_around, record
from ratchet.cli.session import Session
from ratchet.errors import WorkspaceNotFound
from ratchet.measure.evaluations import evaluation
from tests.unit.cli.conftest import Call


def test_a_folder_in_no_project_has_no_ledger(tmp_path: Path) -> None:
    """It is worked with all the same; a project that is named has to be there."""
    with project_around(Session(), tmp_path) as workspace:
        assert workspace is None
    named = Session()
    named.folder = str(tmp_path)
    with pytest.raises(WorkspaceNotFound), project_around(named, tmp_path):
        pass


def test_the_project_is_that_of_the_folder(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command is given."""
    call("evaluate", "init", "--candidates", "Alpha", "--groups", "legal")
    monkeypatch.chdir("/")
    with project_around(Session(), project / "evaluation") as workspace:
        assert workspace is not None
        assert workspace.project == project.resolve()


def test_what_was_killed_between_command_and_events_is_recorded_the_next_time(call: Call, project: Path) -> None:
    """The same changes are the same command: it is not issued twice, and its events are appended once."""
    call("evaluate", "init", "--candidates", "Alpha", "--groups", "legal")
    path = project / "evaluation" / "evaluation.toml"
    path.write_text(path.read_text().replace("Which platform?", "Which one?"))
    found = evaluation.read(path.parent)
    with project_around(Session(), path.parent) as workspace:
        assert workspace is not None
        append = workspace.ledger.record

        def killed(*events: object) -> list[object]:
            if events and getattr(events[0], "type", "") == "assessment.recorded":
                raise KeyboardInterrupt
            return append(*events)  # type: ignore[arg-type,return-value]  # as the ledger takes them

        workspace.ledger.record = killed  # type: ignore[method-assign,assignment]  # a kill at this very point
        with pytest.raises(KeyboardInterrupt):
            record(workspace, found)
        workspace.ledger.record = append  # type: ignore[method-assign]  # as it was
        assert record(workspace, found) == 1
        assert record(workspace, found) == 0
        issued = list(workspace.ledger.read(types=["command.issued"], subject=found.id))
        assert len(issued) == 2
        assert known_of(workspace, found).latest[found.id].data["title"] == "Which one?"


def test_without_a_name_the_nearest_folder_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one if it is an evaluation, else ``evaluation`` in it."""
    monkeypatch.chdir(tmp_path)
    assert path_of("") == Path("evaluation")
    assert path_of("x") == Path("x")
    (tmp_path / "evaluation.toml").write_text("")
    assert path_of("") == Path()
