"""Which of a project's files are saved."""

from pathlib import Path

import pytest

from ratchet import config
from ratchet.backups import contents
from tests import projects


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with data, policies, an environment, hidden files and a former backup."""
    folder = projects.write_project(tmp_path / "shop")
    for name in (
        *("policies/own.toml", "notes/plan.md", "scripts/run.sh", ".git/config", ".ratchet/ratchet.db", ".env"),
        *("__pycache__/pipeline.pyc", "venv/lib/x.py", "mine/pyvenv.cfg", "mine/y.py", "old.tar", "old.tar.zst"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def names(project: Path, *, with_data: bool) -> tuple[list[str], list[str]]:
    """Return the paths of files that are saved, and of those that are left out."""
    taken, left_out = contents.project_files(project, config.load(project), with_data=with_data)
    return tuple([path.relative_to(project).as_posix() for path in paths] for paths in (taken, left_out))  # type: ignore[return-value]


def test_what_a_person_wrote_is_saved(project: Path) -> None:
    """Settings first, then all other files; nothing hidden, no environment, no link, no data, no former backup."""
    taken, left_out = names(project, with_data=False)
    assert taken == ["ratchet.toml", "pipeline.py", "notes/plan.md", "policies/own.toml", "scripts/run.sh"]
    assert left_out == ["old.tar", "old.tar.zst", "data/2026-01.parquet"]


def test_data_is_saved_where_it_is_asked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is, while other large files are left out and said to be."""
    monkeypatch.setattr(contents, "FILE_LIMIT_BYTES", 5000)
    (project / "notes" / "film.bin").write_bytes(bytes(5001))
    taken, left_out = names(project, with_data=True)
    assert "data/2026-01.parquet" in taken
    assert left_out == ["old.tar", "old.tar.zst", "notes/film.bin"]


def test_data_outside_of_the_project_is_not_looked_for(project: Path) -> None:
    """A source that lies elsewhere belongs to somebody else's backup."""
    for source in ("../*.csv", "/srv/data/*.csv"):
        text = projects.SETTINGS.replace('source = "data/*.parquet"', f'source = "{source}"')
        (project / "ratchet.toml").write_text(text)
        assert "data/2026-01.parquet" in names(project, with_data=False)[0]
