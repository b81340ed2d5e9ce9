"""Files and folders that commands write: as a whole, or refused in words."""

from pathlib import Path

import pytest

from ratchet.cli.outputs import make_folder, write_output
from ratchet.cli.session import Refused


def test_a_file_is_written_as_a_whole(tmp_path: Path) -> None:
    """Also over an older one; nothing else is left in the folder."""
    for content in (b"longer than", b"short"):
        write_output(tmp_path / "a.svg", content)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.svg", b"short")]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A missing folder, a folder in the file's place, and what was read."""
    (tmp_path / "map.toml").touch()
    (tmp_path / "taken").mkdir()
    with pytest.raises(Refused, match="mkdir -p"):
        write_output(tmp_path / "none" / "a.svg", b"x")
    with pytest.raises(Refused, match=r"Cannot write .*taken"):
        write_output(tmp_path / "taken", b"x")
    with pytest.raises(Refused, match="is the map itself"):
        write_output(tmp_path / "map.toml", b"x", inputs=["none", tmp_path / "taken" / ".." / "map.toml"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.toml", "taken"]


def test_a_folder_is_made_where_it_can_be(tmp_path: Path) -> None:
    """Nothing is made below a file."""
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"Cannot make the folder .*file/sub"):
        make_folder(tmp_path / "file" / "sub")
