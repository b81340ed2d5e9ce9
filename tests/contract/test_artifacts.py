"""What the store of artifacts promises, in a folder and in S3-compatible storage."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ArtifactsUnreachable
from ratchet.store import buckets
from ratchet.store.addresses import address_of, open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.buckets import BucketArtifacts
from tests.buckets import Bucket

CONTENT = b"what is registered never changes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
YESTERDAY = 86_400.0


@dataclass
class Store:
    """A store under test, and what a test can do to it from behind.

    Attributes:
        artifacts: The store.
        elsewhere: Opens it as another machine does.
        damage: Puts other bytes into an artifact's place.
        make_old: Lets an artifact have been written a number of seconds ago.
        written: Tells when one was last written, in whatever unit.
    """

    artifacts: Artifacts
    elsewhere: Callable[[], Artifacts]
    damage: Callable[[str, bytes], None]
    make_old: Callable[[str, float], None]
    written: Callable[[str], object]

    def now(self) -> float:
        """Return a moment after everything that was written so far."""
        return clock.real_seconds() + 60


class ArtifactContract:
    """The promises; a subclass says where artifacts are kept."""

    @pytest.fixture
    def store(self) -> Store:
        """Give an empty store."""
        raise NotImplementedError

    @pytest.fixture
    def artifacts(self, store: Store) -> Artifacts:
        """Give an empty store."""
        return store.artifacts

    def test_named_by_content(self, artifacts: Artifacts) -> None:
        """An artifact's name is the sha256 of its bytes, which come back as they were."""
        assert artifacts.write(CONTENT) == SHA256
        assert artifacts.read(SHA256) == artifacts.checked_path(SHA256).read_bytes() == CONTENT

    def test_empty_content(self, artifacts: Artifacts) -> None:
        """Nothing is an artifact, too."""
        assert artifacts.read(artifacts.write(b"")) == b""

    def test_another_machine_sees_it(self, store: Store, tmp_path: Path) -> None:
        """What was written here is read, listed and known elsewhere at once, and the other way round."""
        store.artifacts.write(CONTENT)
        other = store.elsewhere()
        assert other.exists(SHA256)
        assert list(other.all()) == [SHA256]
        assert other.read(SHA256) == CONTENT
        assert store.elsewhere().checked_path(SHA256).read_bytes() == CONTENT
        source = tmp_path / "source"
        source.write_bytes(b"back")
        assert store.artifacts.read(other.write_file(source)) == b"back"

    def test_a_word_under_a_name_is_read_elsewhere(self, store: Store) -> None:
        """What is left under a name is there for others, can be replaced and taken away, and is no artifact."""
        store.artifacts.write(CONTENT)
        other = store.elsewhere()
        assert other.posted("job-1") is None
        for word in (b"first", b"second"):
            store.artifacts.post("job-1", word)
            assert other.posted("job-1") == word
        assert list(other.all()) == [SHA256]
        other.tidy(older_than_seconds=-YESTERDAY)
        assert store.artifacts.collect({SHA256}, older_than_seconds=-YESTERDAY) == []
        assert store.artifacts.posted("job-1") == b"second"
        for _ in range(2):
            other.unpost("job-1")
        assert store.artifacts.posted("job-1") is None

    def test_written_twice_is_kept_once_and_young(self, store: Store) -> None:
        """The same bytes again leave one artifact, which is as young as its last writer needs it."""
        store.artifacts.write(CONTENT)
        for again in (lambda: store.artifacts.write(CONTENT), lambda: store.elsewhere().write(CONTENT)):
            store.make_old(SHA256, YESTERDAY)
            before = store.written(SHA256)
            again()
            assert store.written(SHA256) > before  # type: ignore[operator]
            assert list(store.artifacts.all()) == [SHA256]

    def test_file_and_bytes_give_the_same(self, store: Store, tmp_path: Path) -> None:
        """A file that is stored has the name that its bytes would have, and stays where it was."""
        content = os.urandom((1 << 20) * 6 + 17)
        source = tmp_path / "source"
        source.write_bytes(content)
        artifacts = store.artifacts
        assert artifacts.write_file(source) == hashlib.sha256(content).hexdigest() == artifacts.write(content)
        assert artifacts.write_file(source) == hashlib.sha256(content).hexdigest()
        assert source.read_bytes() == content == store.elsewhere().read(artifacts.write_file(source))
        assert not list(artifacts.folder.glob(".incoming-*"))

    def test_missing_says_where_it_should_be(self, artifacts: Artifacts) -> None:
        """What is not there is an error that names the artifact and its file."""
        for ask in (artifacts.read, artifacts.checked_path):
            with pytest.raises(ArtifactMissing, match=f"{SHA256} is missing: no file .*{SHA256}"):
                ask(SHA256)
        assert not artifacts.exists(SHA256)

    def test_corrupt_is_never_given_out(self, store: Store) -> None:
        """Bytes that changed in the store are refused by every way of reading."""
        store.artifacts.write(CONTENT)
        store.damage(SHA256, CONTENT + b"!")
        other = store.elsewhere()
        for ask in (other.read, other.checked_path):
            with pytest.raises(ArtifactCorrupt, match="was not loaded"):
                ask(SHA256)

    @pytest.mark.parametrize("by_file", [False, True])
    def test_corrupt_is_healed_by_writing_it_again(self, store: Store, tmp_path: Path, by_file: bool) -> None:
        """Where the right bytes come again, they take the place of the wrong ones."""
        store.artifacts.write(CONTENT)
        store.damage(SHA256, b"")
        source = tmp_path / "source"
        source.write_bytes(CONTENT)
        assert (store.artifacts.write_file(source) if by_file else store.artifacts.write(CONTENT)) == SHA256
        assert store.elsewhere().read(SHA256) == CONTENT

    def test_all_is_sorted_and_listed_with_sizes_and_ages(self, store: Store) -> None:
        """The list of artifacts is sorted by name and has nothing else in it; sizes and ages are those of each."""
        before = clock.real_seconds()
        names = sorted(store.artifacts.write(b"x" * number) for number in range(40))
        (store.artifacts.folder / ".incoming-1-x").write_bytes(b"half")
        store.artifacts.enter("a-workspace")
        assert list(store.artifacts.all()) == names
        listed = {one.sha256: one for one in store.artifacts.listed()}
        assert sorted(listed) == names
        assert sorted(one.size_bytes for one in listed.values()) == list(range(40))
        # Times of files and objects may be cut to the second.
        assert all(before - 2 < one.written_seconds < store.now() for one in listed.values())

    def test_delete_spares_what_is_young(self, store: Store) -> None:
        """An artifact goes only where nobody has written it since a moment, and once."""
        store.artifacts.write(CONTENT)
        assert not store.artifacts.delete(SHA256, written_before=clock.real_seconds() - 3600)
        assert store.artifacts.read(SHA256) == CONTENT
        store.make_old(SHA256, YESTERDAY)
        assert store.artifacts.delete(SHA256, written_before=clock.real_seconds() - 3600)
        assert not store.artifacts.delete(SHA256, written_before=store.now())
        assert not store.artifacts.exists(SHA256)
        with pytest.raises(ArtifactMissing):
            store.artifacts.read(SHA256)

    def test_collect_keeps_what_is_named_or_young(self, store: Store) -> None:
        """Only what nobody names and what is old enough goes, leftovers of broken-off writes with it."""
        artifacts = store.artifacts
        named, young, old = (artifacts.write(content) for content in (b"named", b"young", b"old"))
        leftover = artifacts.folder / ".incoming-1-x"
        leftover.write_bytes(b"half")
        yesterday = clock.real_seconds() - YESTERDAY
        os.utime(leftover, (yesterday, yesterday))
        for sha256 in (named, old):
            store.make_old(sha256, YESTERDAY)
        assert artifacts.collect({named}, older_than_seconds=3600) == [old]
        assert set(artifacts.all()) == {named, young}
        assert not leftover.exists()

    def test_writers_at_once_agree(self, store: Store) -> None:
        """Processes that store the same bytes at once leave one whole artifact."""
        program = (
            "import sys; from ratchet.store.addresses import open_artifacts\n"
            "for n in range(20): open_artifacts(sys.argv[1]).write(b'x' * 1000 + bytes([n]))"
        )
        command = [sys.executable, "-c", program, store.artifacts.address]
        writers = [subprocess.Popen(command) for _ in range(2)]
        assert [writer.wait() for writer in writers] == [0, 0]
        other = store.elsewhere()
        names = list(other.all())
        assert len(names) == 20
        assert all(hashlib.sha256(other.read(name)).hexdigest() == name for name in names)
        assert not [path for path in store.artifacts.folder.rglob(".*") if path.is_file()]

    def test_forked_processes_use_it(self, store: Store) -> None:
        """A store that was opened and not used before a fork is used by parent and child."""
        program = (
            "import os, sys; from ratchet.store.addresses import open_artifacts\n"
            "store = open_artifacts(sys.argv[1])\n"
            "child = os.fork()\n"
            "name = store.write(b'of both')\n"
            "if not child: os._exit(0)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
            "print(name)"
        )
        command = [sys.executable, "-c", program, store.artifacts.address]
        name = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()
        assert store.elsewhere().read(name) == b"of both"

    def test_a_failed_write_leaves_nothing(self, artifacts: Artifacts, tmp_path: Path) -> None:
        """A file that cannot be read to its end leaves no artifact and no leftover."""
        with pytest.raises(OSError, match="missing"):
            artifacts.write_file(tmp_path / "missing")
        assert list(artifacts.all()) == []
        assert not list(artifacts.folder.glob(".incoming-*"))

    def test_workspaces_leave_word(self, store: Store) -> None:
        """A workspace that keeps artifacts here is known to all others, however often it says so."""
        assert store.artifacts.workspaces() == []
        store.artifacts.enter("b")
        store.elsewhere().enter("a")
        store.artifacts.enter("b")
        assert store.artifacts.workspaces() == store.elsewhere().workspaces() == ["a", "b"]
        store.artifacts.enter("a", seq=41)
        assert [store.elsewhere().seq_of(name) for name in ("a", "b", "c")] == [41, 0, 0]

    def test_its_address_opens_the_same_store(self, store: Store) -> None:
        """The address that a child or the endpoint is given stands for the same place and the same copies."""
        store.artifacts.write(CONTENT)
        again = open_artifacts(store.artifacts.address)
        assert (type(again), again.address) == (type(store.artifacts), store.artifacts.address)
        assert (again.folder, again.read(SHA256)) == (store.artifacts.folder, CONTENT)


class TestArtifactsInFolder(ArtifactContract):
    """The promises of a folder, and what only a folder promises."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """Give an empty store."""
        folder = tmp_path / "artifacts"
        made = Artifacts(folder)

        def make_old(sha256: str, seconds: float) -> None:
            moment = clock.real_seconds() - seconds
            os.utime(made.path(sha256), (moment, moment))

        return Store(
            artifacts=made,
            elsewhere=lambda: Artifacts(folder),
            damage=lambda sha256, content: (made.path(sha256).write_bytes(content), None)[1],
            make_old=make_old,
            written=lambda sha256: made.path(sha256).stat().st_mtime_ns,
        )

    def test_leftover_of_a_killed_write_is_no_artifact(self, artifacts: Artifacts) -> None:
        """What a process leaves behind that was killed while it wrote bytes is not listed, and is collected."""
        artifacts.write(CONTENT)
        leftover = artifacts.path(SHA256).with_name(f".{SHA256}.1-x")
        leftover.write_bytes(b"half")
        yesterday = clock.real_seconds() - YESTERDAY
        os.utime(leftover, (yesterday, yesterday))
        assert list(artifacts.all()) == [SHA256]
        artifacts.tidy(older_than_seconds=3600)
        assert not leftover.exists()
        assert artifacts.read(SHA256) == CONTENT

    def test_a_writer_that_comes_while_it_is_removed_has_it(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bytes that are written again while their file is set aside are there afterwards."""
        store.artifacts.write(CONTENT)
        store.make_old(SHA256, YESTERDAY)
        rename = Path.rename

        def rename_and_write(path: Path, target: Path) -> Path:
            renamed = rename(path, target)
            store.elsewhere().write(CONTENT)
            return renamed

        monkeypatch.setattr(Path, "rename", rename_and_write)
        store.artifacts.delete(SHA256, written_before=clock.real_seconds() - 3600)
        assert store.artifacts.read(SHA256) == CONTENT

    def test_a_writer_that_came_just_before_keeps_it(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that was made young between the look and the removal is put back."""
        store.artifacts.write(CONTENT)
        store.make_old(SHA256, YESTERDAY)
        rename = Path.rename

        def renew_and_rename(path: Path, target: Path) -> Path:
            store.elsewhere().write(CONTENT)
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", renew_and_rename)
        assert not store.artifacts.delete(SHA256, written_before=clock.real_seconds() - 3600)
        assert store.artifacts.read(SHA256) == CONTENT
        assert not list(store.artifacts.folder.glob("??/.*"))

    def test_what_a_killed_removal_set_aside_comes_back(
        self, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that was set aside by a process that then died is put back, to be looked at anew."""
        artifacts.write(CONTENT)
        aside = artifacts.path(SHA256).with_name(f".{SHA256}.going-1-x")
        artifacts.path(SHA256).rename(aside)
        artifacts.tidy(older_than_seconds=3600)
        assert aside.exists(), "a removal that is under way is left alone"
        later = clock.real_seconds() + 120
        monkeypatch.setattr(clock, "real_seconds", lambda: later)
        artifacts.tidy(older_than_seconds=3600)
        assert artifacts.read(SHA256) == CONTENT
        assert not aside.exists()


class TestArtifactsInBucket(ArtifactContract):
    """The promises of S3-compatible storage, and of the copies on each machine."""

    @pytest.fixture
    def store(self, tmp_path: Path, bucket: Bucket) -> Store:
        """Give an empty store."""
        machines = iter(range(100))

        def machine() -> Artifacts:
            state = tmp_path / f"machine-{next(machines)}"
            return open_artifacts(address_of(bucket.url, project=tmp_path, state=state, cache_bytes=1 << 30))

        return Store(
            artifacts=machine(),
            elsewhere=machine,
            damage=bucket.damage,
            make_old=lambda sha256, seconds: bucket.make_old(sha256, seconds=seconds),
            written=bucket.written,
        )

    def test_a_copy_is_used_while_nobody_answers(self, store: Store, bucket: Bucket) -> None:
        """What was used here is read also while the storage is away; anything else is an error that says what to do."""
        store.artifacts.write(CONTENT)
        other = store.artifacts.write(b"other")
        machine = store.elsewhere()
        machine.read(SHA256)
        bucket.stop()
        try:
            assert machine.read(SHA256) == machine.checked_path(SHA256).read_bytes() == CONTENT
            for refused in (lambda: machine.read(other), lambda: machine.write(b"new"), lambda: list(machine.all())):
                with pytest.raises(
                    ArtifactsUnreachable,
                    match=r"s3://.*/shared cannot be used: no answer in 5 tries\. Does http://.* run",
                ):
                    refused()
        finally:
            bucket.start()
        assert machine.read(other) == b"other"

    def test_nothing_is_named_that_was_not_sent(self, store: Store, bucket: Bucket, tmp_path: Path) -> None:
        """A write that did not reach the storage leaves neither an object nor a copy that would stand for one."""
        source = tmp_path / "source"
        source.write_bytes(CONTENT)
        bucket.stop()
        try:
            for write in (lambda: store.artifacts.write_file(source), lambda: store.artifacts.write(CONTENT)):
                with pytest.raises(ArtifactsUnreachable):
                    write()
        finally:
            bucket.start()
        assert not store.artifacts.path(SHA256).exists()
        assert bucket.keys() == []
        with pytest.raises(ArtifactMissing):
            store.artifacts.read(SHA256)

    def test_a_damaged_copy_is_made_anew(self, store: Store) -> None:
        """Bytes that changed in the copy are never given out: they are fetched again."""
        store.artifacts.write(CONTENT)
        for ask in (store.artifacts.read, lambda sha256: store.artifacts.checked_path(sha256).read_bytes()):
            store.artifacts.path(SHA256).write_bytes(CONTENT + b"!")
            assert ask(SHA256) == CONTENT

    def test_wrong_bytes_become_no_copy(self, store: Store) -> None:
        """Bytes of another name leave nothing behind on this machine."""
        store.artifacts.write(CONTENT)
        store.damage(SHA256, b"something else")
        other = store.elsewhere()
        with pytest.raises(ArtifactCorrupt, match=r"s3://"):
            other.read(SHA256)
        assert [path for path in other.folder.rglob("*") if path.is_file()] == []

    def test_copies_take_no_more_room_than_they_may(
        self, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The copies that were not used for longest go first, and those that are in use stay."""
        artifacts = BucketArtifacts(bucket.name, "shared", cache=tmp_path / "copies", cache_bytes=2500)
        names = [artifacts.write(bytes([number]) * 1000) for number in range(4)]
        assert all(artifacts.path(name).exists() for name in names), "all of them were used just now"
        monkeypatch.setattr(buckets, "IN_USE_SECONDS", -60.0)
        for age, name in enumerate(names):
            moment = clock.real_seconds() - 1000 + age
            os.utime(artifacts.path(name), (moment, moment))
        artifacts.read(names[0])
        artifacts.tidy(older_than_seconds=3600)
        assert [artifacts.path(name).exists() for name in names] == [True, False, False, True]
        assert [artifacts.read(name) for name in names] == [bytes([number]) * 1000 for number in range(4)]

    def test_no_bucket_and_no_keys_say_so(
        self, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bucket that is not there, and a process that nobody lets in, are told what to do."""
        nowhere = BucketArtifacts("no-such-bucket", "", cache=tmp_path / "copies", cache_bytes=1)
        for ask in (lambda: nowhere.write(CONTENT), lambda: nowhere.read(SHA256), lambda: list(nowhere.all())):
            with pytest.raises(ArtifactsUnreachable, match=r"has no bucket 'no-such-bucket'\. Make it"):
                ask()
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        stranger = BucketArtifacts(bucket.name, "", cache=tmp_path / "copies", cache_bytes=1)
        with pytest.raises(ArtifactsUnreachable, match="Set AWS_ACCESS_KEY_ID"):
            stranger.write(CONTENT)

    def test_a_fork_of_a_process_that_used_it_is_refused(self, store: Store) -> None:
        """The client's threads are gone after a fork: its use is an error at once and not a wait for ever."""
        store.artifacts.write(CONTENT)
        child = os.fork()
        if not child:
            code = 1
            try:
                assert store.artifacts.read(SHA256) == CONTENT
                store.artifacts.write(b"more")
            except ArtifactsUnreachable as error:
                code = 0 if "was forked" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_without_the_library_it_says_what_to_install(
        self, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the extra is missing, the error names it."""
        monkeypatch.setitem(sys.modules, "obstore.store", None)
        artifacts = BucketArtifacts(bucket.name, "", cache=tmp_path / "copies", cache_bytes=1)
        with pytest.raises(ArtifactsUnreachable, match=r"pip install 'mlratchet\[s3\]'"):
            artifacts.write(CONTENT)
