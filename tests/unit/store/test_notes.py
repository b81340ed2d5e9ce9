"""Signed notes and their keys, against what others have published and against OpenSSL.

Source of the published note: golang.org/x/mod/sumdb/note, note_test.go (the key named PeterNeumann).
"""

import shutil
import stat
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ratchet.errors import CheckpointInvalid, SigningKeyUnusable
from ratchet.store import notes
from ratchet.store.notes import SigningKey

PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLISHED_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PUBLISHED_SIGNATURE = (
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
TEXT = "ratchet/flights\n2\nq83vEjRWeJA=\n"


def test_the_published_note_is_signed_by_the_published_key() -> None:
    """The note fits its key, and no longer with a letter changed."""
    key = notes.parse_public_key(PUBLISHED_KEY, where="test")
    assert key.line == PUBLISHED_KEY
    content = f"{PUBLISHED_TEXT}\n{PUBLISHED_SIGNATURE}"
    assert notes.parse_note(content, where="test").is_signed_by(key)
    assert not notes.parse_note(content.replace("answer", "Answer"), where="test").is_signed_by(key)


def test_our_signature_is_the_published_one() -> None:
    """Ed25519 knows no chance: the published key and text give the published line, byte for byte."""
    private = Ed25519PrivateKey.from_private_bytes(b64decode(PUBLISHED_SEED)[1:])
    assert SigningKey("PeterNeumann", private).sign(PUBLISHED_TEXT) == PUBLISHED_SIGNATURE


def test_another_key_has_not_signed() -> None:
    """A signature counts for its own key: not for another, not under another name; a spoilt line spoils the note."""
    key, other = notes.make_key("a"), notes.make_key("a")
    note = notes.parse_note(f"{TEXT}\n{key.sign(TEXT)}", where="test")
    assert note.is_signed_by(key.public)
    assert not note.is_signed_by(other.public)
    renamed = notes.PublicKey(name="b", raw=key.public.raw)
    assert not note.is_signed_by(renamed)
    spoilt = notes.parse_note(f"{TEXT}\n{key.sign(TEXT)}{key.sign(TEXT + 'x')}", where="test")
    assert not spoilt.is_signed_by(key.public)
    both = notes.parse_note(f"{TEXT}\n{other.sign(TEXT)}{key.sign(TEXT)}", where="test")
    assert both.is_signed_by(key.public)
    assert both.is_signed_by(other.public)


@pytest.mark.parametrize(
    "content",
    ["", "a\nb\n", f"{TEXT}\n", f"{TEXT}{PUBLISHED_SIGNATURE}", f"{TEXT}\n- name AAAAAAAA\n", f"{TEXT}\x07\n\n- x y\n"],
)
def test_what_is_no_note_is_refused(content: str) -> None:
    """A text without signature lines after an empty line, or with control characters, is none."""
    with pytest.raises(CheckpointInvalid):
        notes.parse_note(content, where="test")


def test_a_key_is_written_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """The private key's file can be read by nobody else, and a second key does not take its place."""
    path = tmp_path / "keys" / "ledger.pem"
    key = notes.make_key("ratchet/flights")
    notes.write_key(key, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(one.name for one in path.parent.iterdir()) == ["ledger.pem", "ledger.pub"]
    assert notes.read_key(path, "ratchet/flights").public == key.public
    with pytest.raises(FileExistsError):
        notes.write_key(notes.make_key("ratchet/flights"), path)
    assert notes.read_key(path, "ratchet/flights").public == key.public
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_openssl_accepts_our_signatures(tmp_path: Path) -> None:
    """The files are those that OpenSSL reads: its own verdict on a note's text and signature is yes, else no."""
    key = notes.make_key("ratchet/flights")
    notes.write_key(key, tmp_path / "ledger.pem")
    note = notes.parse_note(f"{TEXT}\n{key.sign(TEXT)}", where="test")
    (tmp_path / "text").write_text(note.text)
    (tmp_path / "signature").write_bytes(note.signatures[0][2])
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "ledger.pub", "-rawin", "-in", "text"]
    command += ["-sigfile", "signature"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_text(note.text.replace("2", "3"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_a_public_key_has_two_forms(tmp_path: Path) -> None:
    """A line and a PEM file say the same key; a mistyped line and other keys are refused."""
    key = notes.make_key("ratchet/flights").public
    assert notes.parse_public_key(f"{key.line}\n", where="test") == key
    assert notes.parse_public_key(key.pem.decode(), where="test").raw == key.raw
    name, _, rest = key.line.partition("+")
    wrong = [f"{name}x+{rest}", key.line[:-4], "nonsense", "", key.pem.decode().replace("MCow", "MCox")]
    for content in wrong:
        with pytest.raises(SigningKeyUnusable):
            notes.parse_public_key(content, where="test")


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_an_unusable_key_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is no key is named with what is wrong; so is one that is missing."""
    path = tmp_path / "ledger.pem"
    path.write_bytes(content)
    with pytest.raises(SigningKeyUnusable, match="no PEM file"):
        notes.read_key(path, "x")
    with pytest.raises(SigningKeyUnusable, match="No such file"):
        notes.read_key(tmp_path / "nothing", "x")
