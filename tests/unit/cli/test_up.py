"""Around the server: what it notices."""

from pathlib import Path

import pytest

from ratchet.cli.up import ProjectFiles


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


def test_data_and_state_are_none_of_it(tmp_path: Path) -> None:
    """Data has its own watch, and the workspace's state changes all the time."""
    files = ProjectFiles(tmp_path)
    (tmp_path / ".ratchet").mkdir()
    (tmp_path / ".ratchet" / "x.py").write_text("x")
    (tmp_path / "rows.csv").write_text("x")
    assert not files.have_changed()
