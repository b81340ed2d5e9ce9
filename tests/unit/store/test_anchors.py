"""Places for checkpoints outside the database: they only grow, and are read back."""

import os
import subprocess
from pathlib import Path

import pytest

from ratchet.errors import AnchorFailed, CheckpointInvalid
from ratchet.store import anchors
from ratchet.store.anchors import FileAnchor, GitAnchor


def note(number: int) -> str:
    """Return a text of a note's form."""
    return f"ratchet/flights\n{number}\nroot\n\n\N{EM DASH} ratchet/flights AAAA\n\N{EM DASH} witness BBBB\n"


def git(folder: Path, *arguments: str) -> str:
    """Ask git something, with no settings but ours."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a git repository with one commit and a file that is not committed."""
    folder = tmp_path / "audit"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "page").write_text("1")
    git(folder, "add", "page")
    git(folder, "-c", "user.name=you", "-c", "user.email=you@localhost", "commit", "-q", "-m", "first")
    (folder / "page").write_text("2")
    return folder


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Notes come back in their order, byte for byte; a file that is not there yet has none."""
    anchor = FileAnchor(tmp_path / "far")
    assert anchor.read() == []
    for number in range(3):
        anchor.write(note(number))
    assert anchor.read() == [note(0), note(1), note(2)]


def test_a_file_with_something_else_is_refused(tmp_path: Path) -> None:
    """What is no note is named, and not passed over."""
    anchor = FileAnchor(tmp_path / "far")
    anchor.write(note(1))
    with anchor.path.open("a") as file:
        file.write("\nscribble\n")
    with pytest.raises(CheckpointInvalid, match="'scribble' begins no signed note"):
        anchor.read()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A missing folder is a clear error."""
    anchor = FileAnchor(tmp_path / "nowhere" / "far")
    with pytest.raises(AnchorFailed, match="No such file"):
        anchor.write(note(1))


def test_git_gives_back_what_was_committed(repository: Path) -> None:
    """Notes come back in their order, byte for byte, and each is a commit of its own branch."""
    anchor = GitAnchor(repository)
    assert anchor.read() == []
    for number in range(3):
        anchor.write(note(number))
    assert anchor.read() == [note(0), note(1), note(2)]
    assert git(repository, "log", "--format=%s", "ratchet-ledger").splitlines() == [
        f"Checkpoint of ratchet/flights at {number} entries" for number in (2, 1, 0)
    ]


def test_git_leaves_all_else_alone(repository: Path) -> None:
    """The branch that is checked out, its commits and what is not committed stay as they were."""
    before = git(repository, "rev-parse", "main"), git(repository, "status", "--porcelain")
    GitAnchor(repository).write(note(1))
    assert (git(repository, "rev-parse", "main"), git(repository, "status", "--porcelain")) == before
    assert git(repository, "branch", "--show-current") == "main"
    assert (repository / "page").read_text() == "2"


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    """It is an error with git's own words."""
    with pytest.raises(AnchorFailed, match="not a git repository"):
        GitAnchor(tmp_path).read()


def test_a_branch_of_something_else_is_refused(repository: Path) -> None:
    """A branch whose commits are not ours is not taken for an anchor."""
    with pytest.raises(AnchorFailed, match="not one of ours"):
        GitAnchor(repository, "main").read()


def test_targets_are_read_from_settings(tmp_path: Path) -> None:
    """Paths are relative to the project; a branch may be named; anything else is refused with the form."""
    found = anchors.parse_anchors(["file:far", f"git:{tmp_path}/audit", "git:../audit#state"], project=tmp_path)
    assert [one.name for one in found] == [
        f"file:{tmp_path}/far",
        f"git:{tmp_path}/audit",
        f"git:{tmp_path}/../audit#state",
    ]
    for target in ("far", "s3:bucket", "file:"):
        with pytest.raises(AnchorFailed, match="file:PATH or git:REPOSITORY"):
            anchors.parse_anchors([target], project=tmp_path)


NOTE = "ratchet/shop\n12\nroot\n\n\N{EM DASH} ratchet/shop c2lnbmF0dXJl\n"


def test_a_note_whose_writing_broke_off_is_left_out_and_overwritten(tmp_path: Path) -> None:
    """Killed, or out of room, at any byte: the notes before it are read, and the next one stands whole."""
    path = tmp_path / "anchor"
    anchor = FileAnchor(path)
    second = NOTE.replace("12", "13")
    for length in range(len(f"\n{second}".encode())):
        path.write_bytes(NOTE.encode() + f"\n{second}".encode()[:length])
        assert anchor.read() == [NOTE]
        anchor.write(second)
        assert anchor.read() == [NOTE, second]
    for length in range(len(NOTE.encode())):
        path.write_bytes(NOTE.encode()[:length])
        assert anchor.read() == []


@pytest.mark.parametrize("content", [f"{NOTE}scribble", f"{NOTE}\nratchet/shop\n1\n2\n3\n4\n"])
def test_what_no_writing_left_behind_is_refused(tmp_path: Path, content: str) -> None:
    """Only the beginning of a note at the very end can have broken off."""
    (tmp_path / "anchor").write_text(content)
    with pytest.raises(CheckpointInvalid, match="begins no signed note"):
        FileAnchor(tmp_path / "anchor").read()
