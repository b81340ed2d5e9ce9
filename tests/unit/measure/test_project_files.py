"""Files of a project, found without looking where nothing of it is."""

import os
from pathlib import Path

import pytest

from ratchet.measure import project_files
from ratchet.measure.project_files import Broken, list_files


def put(folder: Path, *names: str) -> None:
    """Write small files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1")


def names(folder: Path) -> list[str]:
    """Return the names that are found."""
    return [one.name for one in list_files(folder)]


def test_toml_and_csv_are_found_in_order(tmp_path: Path) -> None:
    """In the project and below, by their ends, in the order of their names."""
    put(tmp_path, "b/z.toml", "a.TOML", "b/answers.csv", "b/c/d.toml", "flights.py", "b/x.json")
    assert names(tmp_path) == ["a.TOML", "b/answers.csv", "b/c/d.toml", "b/z.toml"]
    (state,) = [one for one in list_files(tmp_path) if one.name == "b/z.toml"]
    assert state.size_bytes == 5
    assert state.modified_ns == (tmp_path / "b/z.toml").stat().st_mtime_ns


def test_folders_of_others_are_passed_over(tmp_path: Path) -> None:
    """Hidden ones, what tools install, what lies too deep, and links to folders elsewhere."""
    put(tmp_path, ".ratchet/x.toml", "node_modules/x.toml", "a/venv/x.toml", "1/2/3/4/5/x.toml", "1/2/3/4/5/6/y.toml")
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    put(outside, "z.toml")
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "dead.toml").symlink_to(tmp_path / "nothing")
    assert names(tmp_path) == ["1/2/3/4/5/x.toml"]
    assert names(tmp_path / "missing") == []


def test_what_is_looked_through_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies near comes first; many files in one folder hide none of another."""
    put(tmp_path, "a/deep/x.toml", "near.toml", "z.toml", *(f"data/{number}.csv" for number in range(30)))
    monkeypatch.setattr(project_files, "ENTRIES_AT_MOST", 2)
    assert names(tmp_path) == ["near.toml", "z.toml"]
    monkeypatch.setattr(project_files, "FILES_AT_MOST", 1)
    assert names(tmp_path) == ["near.toml"]
    monkeypatch.undo()
    monkeypatch.setattr(project_files, "FOLDER_AT_MOST", 5)
    assert len(found := names(tmp_path)) == 8
    assert {"a/deep/x.toml", "near.toml", "z.toml"} < set(found)


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    """A pipe that is called like a map is passed over: who reads it would wait for ever."""
    put(tmp_path, "good.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "linked.toml").symlink_to(tmp_path / "good.toml")
    assert names(tmp_path) == ["good.toml", "linked.toml"]


def test_a_name_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    """It could be shown nowhere."""
    put(tmp_path, "good.toml")
    (tmp_path / os.fsdecode(b"\xff.toml")).write_text("x = 1")
    (tmp_path / "two\nlines.toml").write_text("x = 1")
    assert names(tmp_path) == ["good.toml"]


def test_the_folder_of_a_broken_file() -> None:
    """It is told from the project's own."""
    assert Broken(name="a/b/c.toml", problem="").folder == "a/b"
    assert Broken(name="c.toml", problem="").folder == ""
