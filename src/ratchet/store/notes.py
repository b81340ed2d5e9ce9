"""Signed notes and the keys behind them: short texts that anybody can check with a public key of one line.

Invariant: a text counts only when a signature of a key that is asked for fits it; a private key is a file that only its
owner can read, and never in the database.

Source: c2sp.org/signed-note, Ed25519 signatures (type 1).
"""

import binascii
import os
import re
import shlex
import stat
from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ratchet import clock
from ratchet.errors import CheckpointInvalid, SigningKeyUnusable
from ratchet.records import Record
from ratchet.store.artifacts import sync_path, write_durably

_ED25519 = b"\x01"
_KEY_BYTES, _ID_BYTES = 32, 4
_DASH = "\N{EM DASH}"
_SIGNATURE_LINE = re.compile(rf"{_DASH} ([^\s+]+) (\S+)")
_MOST_BYTES, _MOST_SIGNATURES = 1 << 20, 64


class PublicKey(Record, frozen=True):
    """A key that checks signatures.

    Attributes:
        name: Of the signer, such as ``ratchet/flights``; ``""`` where a PEM file does not say it.
        raw: 32 bytes.
    """

    name: str
    raw: bytes

    @property
    def line(self) -> str:
        """Return the key as one line, ``name+id+key``, as tools for transparency logs read it."""
        return f"{self.name}+{self.id_for(self.name).hex()}+{b64encode(_ED25519 + self.raw).decode()}"

    @property
    def pem(self) -> bytes:
        """Return the key as a PEM file, as OpenSSL reads it."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def id_for(self, name: str) -> bytes:
        """Return the four bytes by which a signature line names this key."""
        return sha256(name.encode() + b"\n" + _ED25519 + self.raw).digest()[:_ID_BYTES]

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        """Tell whether a signature, 64 bytes, fits a text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except InvalidSignature:
            return False
        return True


class Note(Record, frozen=True):
    """A text with signature lines.

    Attributes:
        text: With its last newline.
        signatures: Name, four bytes that name the key, and 64 bytes, for each line.
    """

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def is_signed_by(self, key: PublicKey) -> bool:
        """Tell whether a key has signed the text; a line that names the key and does not fit spoils the note."""
        named = [
            key.has_signed(self.text.encode(), signature)
            for name, key_id, signature in self.signatures
            if key.name in ("", name) and key.id_for(name) == key_id
        ]
        return bool(named) and all(named)


def parse_note(content: str, *, where: str) -> Note:
    """Return a note; whether anybody has signed it is another question.

    Raises:
        CheckpointInvalid: It has not the form of a signed note.
    """
    text, separator, lines = content.rpartition("\n\n")
    signatures = []
    for line in lines.splitlines():
        found = _SIGNATURE_LINE.fullmatch(line)
        blob = decoded(found[2]) if found else b""
        if found is None or len(blob) <= _ID_BYTES:
            raise CheckpointInvalid(where=where, problem=f"it ends with '{line[:40]}', which is no signature")
        signatures.append((found[1], blob[:_ID_BYTES], blob[_ID_BYTES:]))
    if not separator or not text or not 1 <= len(signatures) <= _MOST_SIGNATURES or len(content) > _MOST_BYTES:
        raise CheckpointInvalid(where=where, problem="it is no text with signature lines after an empty line")
    if any(ord(letter) < ord(" ") and letter != "\n" for letter in content):
        raise CheckpointInvalid(where=where, problem="it has control characters")
    return Note(text=f"{text}\n", signatures=tuple(signatures))


class SigningKey:
    """A key that signs.

    Args:
        name: What the signature lines say.
        private: The key.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = PublicKey(name=name, raw=raw)
        self._private = private

    def sign(self, text: str) -> str:
        """Return the signature line for a text that ends with a newline."""
        key_id = self.public.id_for(self.public.name)
        blob = key_id + self._private.sign(text.encode())
        return f"{_DASH} {self.public.name} {b64encode(blob).decode()}\n"

    @property
    def pem(self) -> bytes:
        """Return the private key as a PEM file."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_key(name: str) -> SigningKey:
    """Return a new key, which is written nowhere yet."""
    return SigningKey(name, Ed25519PrivateKey.generate())


def write_key(key: SigningKey, path: Path) -> None:
    """Write a private key where there is none yet, readable by its owner only, and the public key beside it.

    Raises:
        FileExistsError: There is one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}-{clock.new_id()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.pem)
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: of two processes that make a key at once, one must see that it came second.
        os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_path(path.parent)
    write_public_key(key.public, path)


def write_public_key(key: PublicKey, path: Path) -> None:
    """Write the public key beside the place of the private one."""
    write_durably(path.with_suffix(".pub"), key.pem)


def read_key(path: Path, name: str) -> SigningKey:
    """Return the key in a PEM file.

    Raises:
        SigningKeyUnusable: The file cannot be read, or holds another kind of key.
    """
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeyUnusable(path=str(path), problem=str(error.strerror)) from error
    except (ValueError, TypeError) as error:
        raise SigningKeyUnusable(path=str(path), problem="it is no PEM file without a password") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SigningKeyUnusable(path=str(path), problem="it is a key for another algorithm")
    return SigningKey(name, private)


def exposure(path: Path) -> str:
    """Say that others may read a private key, with the command that mends it; ``""`` where they may not."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    return (
        f"other accounts may use the private key {path} (mode {mode:04o}): whoever reads it can sign in the name of "
        f"this ledger. Mend it: chmod 600 {shlex.quote(str(path))}"
    )


def parse_public_key(content: str, *, where: str) -> PublicKey:
    """Return a public key given as one line, or as the content of a PEM file.

    Raises:
        SigningKeyUnusable: It is neither.
    """
    text = content.strip()
    if text.startswith("-----BEGIN"):
        return _parse_pem(text, where=where)
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    blob = decoded(encoded)
    if not name or len(blob) != 1 + _KEY_BYTES or blob[:1] != _ED25519:
        raise SigningKeyUnusable(path=where, problem="it has neither form of a public key")
    key = PublicKey(name=name, raw=blob[1:])
    if key.id_for(name).hex() != key_id:
        raise SigningKeyUnusable(path=where, problem="its parts do not belong together, so one of them was mistyped")
    return key


def _parse_pem(text: str, *, where: str) -> PublicKey:
    try:
        found = load_pem_public_key(text.encode())
    except ValueError as error:
        raise SigningKeyUnusable(path=where, problem="it is a PEM file, but of no public key") from error
    if not isinstance(found, Ed25519PublicKey):
        raise SigningKeyUnusable(path=where, problem="it is a key for another algorithm")
    return PublicKey(name="", raw=found.public_bytes(Encoding.Raw, PublicFormat.Raw))


def decoded(text: str) -> bytes:
    """Return what base 64 stands for, empty bytes where the text is none."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
