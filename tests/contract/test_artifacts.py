"""What the store of artifacts promises."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.store.artifacts import Artifacts

CONTENT = b"what is registered never changes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class ArtifactContract:
    """The promises; a subclass says where artifacts are kept."""

    @pytest.fixture
    def artifacts(self) -> Artifacts:
        """Give an empty store."""
        raise NotImplementedError

    def test_named_by_content(self, artifacts: Artifacts) -> None:
        """An artifact's name is the sha256 of its bytes, which come back as they were."""
        assert artifacts.write(CONTENT) == SHA256
        assert artifacts.read(SHA256) == artifacts.checked_path(SHA256).read_bytes() == CONTENT

    def test_empty_content(self, artifacts: Artifacts) -> None:
        """Nothing is an artifact, too."""
        assert artifacts.read(artifacts.write(b"")) == b""

    def test_written_twice_is_kept_once(self, artifacts: Artifacts) -> None:
        """The same bytes again leave the file alone."""
        artifacts.write(CONTENT)
        before = artifacts.path(SHA256).stat()
        artifacts.write(CONTENT)
        after = artifacts.path(SHA256).stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert list(artifacts.all()) == [SHA256]

    def test_file_and_bytes_give_the_same(self, artifacts: Artifacts, tmp_path: Path) -> None:
        """A file that is stored has the name that its bytes would have, and stays where it was."""
        content = os.urandom((1 << 20) * 2 + 17)
        source = tmp_path / "source"
        source.write_bytes(content)
        assert artifacts.write_file(source) == hashlib.sha256(content).hexdigest() == artifacts.write(content)
        assert artifacts.write_file(source) == hashlib.sha256(content).hexdigest()
        assert source.read_bytes() == content
        assert not list(artifacts.folder.glob(".*"))

    def test_missing_says_where_it_should_be(self, artifacts: Artifacts) -> None:
        """What is not there is an error that names the artifact and its file."""
        for ask in (artifacts.read, artifacts.checked_path):
            with pytest.raises(ArtifactMissing, match=f"{SHA256} is missing: no file .*{SHA256}"):
                ask(SHA256)

    def test_corrupt_is_never_given_out(self, artifacts: Artifacts) -> None:
        """Bytes that changed on the disk are refused by every way of reading."""
        artifacts.write(CONTENT)
        artifacts.path(SHA256).write_bytes(CONTENT + b"!")
        for ask in (artifacts.read, artifacts.checked_path):
            with pytest.raises(ArtifactCorrupt, match="was not loaded"):
                ask(SHA256)

    @pytest.mark.parametrize("by_file", [False, True])
    def test_corrupt_is_healed_by_writing_it_again(self, artifacts: Artifacts, tmp_path: Path, by_file: bool) -> None:
        """Where the right bytes come again, they take the place of the wrong ones."""
        artifacts.write(CONTENT)
        artifacts.path(SHA256).write_bytes(b"")
        source = tmp_path / "source"
        source.write_bytes(CONTENT)
        assert (artifacts.write_file(source) if by_file else artifacts.write(CONTENT)) == SHA256
        assert artifacts.read(SHA256) == CONTENT

    def test_all_is_sorted(self, artifacts: Artifacts) -> None:
        """The list of artifacts is sorted by name and has nothing else in it."""
        names = sorted(artifacts.write(str(number).encode()) for number in range(40))
        (artifacts.folder / ".incoming-1-x").write_bytes(b"half")
        assert list(artifacts.all()) == names

    def test_collect_keeps_what_is_named_or_young(self, artifacts: Artifacts) -> None:
        """Only what nobody names and what is old enough goes, leftovers of broken-off writes with it."""
        named, young, old = (artifacts.write(content) for content in (b"named", b"young", b"old"))
        leftover = artifacts.folder / ".incoming-1-x"
        leftover.write_bytes(b"half")
        yesterday = clock.real_seconds() - 86_400
        for path in (artifacts.path(named), artifacts.path(old), leftover):
            os.utime(path, (yesterday, yesterday))
        assert artifacts.collect({named}, older_than_seconds=3600) == [old]
        assert set(artifacts.all()) == {named, young}
        assert not leftover.exists()

    def test_writers_at_once_agree(self, artifacts: Artifacts) -> None:
        """Processes that store the same bytes at once leave one whole artifact."""
        program = (
            "import sys; from pathlib import Path; from ratchet.store.artifacts import Artifacts\n"
            "for n in range(50): Artifacts(Path(sys.argv[1])).write(b'x' * 1000 + bytes([n]))"
        )
        writers = [subprocess.Popen([sys.executable, "-c", program, str(artifacts.folder)]) for _ in range(2)]
        assert [writer.wait() for writer in writers] == [0, 0]
        names = list(artifacts.all())
        assert len(names) == 50
        assert all(hashlib.sha256(artifacts.read(name)).hexdigest() == name for name in names)
        assert not [path for path in artifacts.folder.rglob(".*") if path.is_file()]

    def test_a_failed_write_leaves_nothing(self, artifacts: Artifacts, tmp_path: Path) -> None:
        """A file that cannot be read to its end leaves no artifact and no leftover."""
        with pytest.raises(OSError, match="missing"):
            artifacts.write_file(tmp_path / "missing")
        assert list(artifacts.all()) == []
        assert not list(artifacts.folder.glob(".incoming-*"))

    def test_leftover_of_a_killed_write_is_no_artifact(self, artifacts: Artifacts) -> None:
        """What a process leaves behind that was killed while it wrote bytes is not listed, and is collected."""
        artifacts.write(CONTENT)
        leftover = artifacts.path(SHA256).with_name(f".{SHA256}.1-x")
        leftover.write_bytes(b"half")
        yesterday = clock.real_seconds() - 86_400
        os.utime(leftover, (yesterday, yesterday))
        assert list(artifacts.all()) == [SHA256]
        artifacts.collect({SHA256}, older_than_seconds=3600)
        assert not leftover.exists()


class TestArtifactsInFolder(ArtifactContract):
    """The promises of a folder."""

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Artifacts:
        """Give an empty store."""
        return Artifacts(tmp_path / "artifacts")
