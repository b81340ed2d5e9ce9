"""The file of a backup: what was written comes back, and what was cut off or changed is refused with its name."""

import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from ratchet.backups import archives
from ratchet.backups.archives import CONTENTS, DATABASE, FORMAT, HEAD, Head, read_head, unpack, writing
from ratchet.backups.refusals import ArchiveInvalid, ArchiveTooNew

ENTRIES = {
    DATABASE: b"SQLite format 3\0" * 3000,
    "project/ratchet.toml": b'[project]\nname = "shop"\n',
    "state/clock": b"",
    "artifacts/" + "a" * 64: bytes(range(256)) * 50,
}
HEADER = Head(
    format=FORMAT,
    ratchet="0.1",
    schema=4,
    project="shop",
    database="sqlite",
    entries=3,
    tree_size=3,
    root="ab",
    taken_at="2026-03-02T09:00:00+00:00",
    has_keys=False,
)
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive with a few entries."""
    return written(tmp_path / "shop.tar", compressed=request.param)


def written(path: Path, *, compressed: bool = False, head: dict[str, Any] | None = None) -> Path:
    """Write an archive."""
    values = msgspec.to_builtins(HEADER) | (head or {})
    with writing(path, compressed=compressed) as archive:
        archive.add(HEAD, msgspec.json.encode(values))
        for name, content in ENTRIES.items():
            archive.add(name, content)
        archive.finish(missing=["artifacts/b"])
    return path


def read(path: Path) -> dict[str, bytes]:
    """Return the entries of an archive, once all of it was read."""
    found = {}

    def take(name: str, stream: IO[bytes]) -> None:
        found[name] = stream.read(1 << 30)

    unpack(path, take, lambda _done: None)
    return found


def repacked(path: Path, change: Callable[[list[Member]], list[Member]]) -> Path:
    """Write an archive anew, as a person with tar would, with other members."""
    with tarfile.open(path) as tar:
        members = [(one, (tar.extractfile(one) or io.BytesIO()).read()) for one in tar.getmembers()]
    path.unlink()
    with tarfile.open(path, "w") as tar:
        for member, content in change(members):
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def refused(path: Path) -> ArchiveInvalid:
    """Return why an archive is refused."""
    with pytest.raises(ArchiveInvalid) as caught:
        read(path)
    return caught.value


def test_what_was_written_comes_back(archive: Path) -> None:
    """Entries, the head and what was missing are as they were; only the owner may read the file."""
    assert read(archive) == ENTRIES
    assert read_head(archive) == HEADER
    assert unpack(archive, lambda _name, _stream: None, lambda _done: None) == (HEADER, ("artifacts/b",))
    assert archive.stat().st_mode & 0o777 == 0o600


def test_tar_reads_it_too(tmp_path: Path) -> None:
    """It is a plain tar archive: whoever has lost Ratchet has not lost what is in it."""
    with tarfile.open(written(tmp_path / "shop.tar")) as tar:
        assert tar.getnames() == [HEAD, *ENTRIES, CONTENTS]


def test_one_that_is_cut_off_is_refused_wherever_it_ends(archive: Path) -> None:
    """After any byte: in a head, in an entry, between two, before the list; the message names a place."""
    whole = archive.read_bytes()
    end = len(whole) if whole[:4] == archives._ZSTANDARD else whole.rindex(b"}") + 1
    for size in [*range(0, end, max(1, end // 97)), end - 1]:
        archive.write_bytes(whole[:size])
        assert refused(archive).entry, f"after {size} of {len(whole)} bytes"


def test_one_with_a_changed_byte_is_refused(archive: Path) -> None:
    """Wherever the byte stands: no other content is ever handed on as whole."""
    whole = archive.read_bytes()
    for place in range(0, whole.rindex(b"}") if whole[:4] != archives._ZSTANDARD else len(whole), 1201):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        archive.write_bytes(changed)
        # Tar's own padding carries nothing, and neither do fields such as the time.
        with suppress(ArchiveInvalid, ArchiveTooNew):
            assert read(archive) == ENTRIES, f"byte {place}"


def test_a_changed_entry_is_named(tmp_path: Path) -> None:
    """One byte of the settings is another: the message says which entry it is."""

    def change(members: list[Member]) -> list[Member]:
        return [(one, content.replace(b"shop", b"ship")) for one, content in members]

    error = refused(repacked(written(tmp_path / "shop.tar"), change))
    assert error.entry in {"project/ratchet.toml", HEAD}
    assert "not those that were saved" in str(error)


def test_a_removed_and_an_added_entry_are_named(tmp_path: Path) -> None:
    """The list at the end says what there was."""
    error = refused(repacked(written(tmp_path / "shop.tar"), lambda members: [*members[:2], *members[3:]]))
    assert (error.entry, error.problem) == ("project/ratchet.toml", "it is listed and not there")
    extra = (tarfile.TarInfo("state/extra"), b"x")
    error = refused(repacked(written(tmp_path / "other.tar"), lambda members: [*members[:2], extra, *members[2:]]))
    assert (error.entry, "put in later" in error.problem) == ("state/extra", True)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "state/../../x", "other/x", "state//x", "project/"])
def test_no_entry_leads_elsewhere(tmp_path: Path, name: str) -> None:
    """An archive that would write outside of its folder is refused before anything is handed on."""
    strange = (tarfile.TarInfo(name), b"x")
    path = repacked(written(tmp_path / "shop.tar"), lambda members: [members[0], strange, *members[1:]])
    taken: list[str] = []
    with pytest.raises(ArchiveInvalid):
        unpack(path, lambda name, _stream: taken.append(name), lambda _done: None)
    assert taken == []


def test_no_links_are_taken(tmp_path: Path) -> None:
    """A link could make the next entry land elsewhere."""
    link = tarfile.TarInfo("state/keys")
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"  # noqa: S108, a name that is not used
    path = repacked(written(tmp_path / "shop.tar"), lambda members: [members[0], (link, b""), *members[1:]])
    assert refused(path).entry == "state/keys"


def test_a_later_form_is_refused(tmp_path: Path) -> None:
    """An archive of a later version says what to install."""
    path = written(tmp_path / "shop.tar", head={"format": FORMAT + 1, "something": "new"})
    for attempt in (read_head, read):
        with pytest.raises(ArchiveTooNew, match=f"format {FORMAT + 1}, and this Ratchet reads up to {FORMAT}"):
            attempt(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x28\xb5\x2f\xfd", bytes(2048)])
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, text, the beginning of something compressed, zeros."""
    path = tmp_path / "shop.tar"
    path.write_bytes(content)
    assert refused(path).entry == HEAD
    with pytest.raises(ArchiveInvalid):
        read_head(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """The message says what the system says."""
    assert "No such file" in str(refused(tmp_path / "none.tar"))
    assert "directory" in str(refused(tmp_path))
