"""Proofs about single entries, which somebody who has nothing but a public key can check.

Invariant: a proof carries all that is needed, the entry's exact bytes included; what is said about it comes from those
bytes, never from what stands beside them.
"""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import select

from ratchet.errors import CheckpointInvalid, ProofInvalid
from ratchet.records import Event, Record
from ratchet.store import merkle, notes, tree
from ratchet.store.checkpoints import Checkpoint, Checkpoints, parse_checkpoint
from ratchet.store.database import Database
from ratchet.store.merkle import HASH_BYTES, hash_leaf
from ratchet.store.notes import PublicKey
from ratchet.store.schema import ledger, payload

HEADER = "c2sp.org/tlog-proof@v1"
BUNDLE = "ratchet-proof-v1"
_OLD = "old "
_MOST_HASHES, _MOST_DIGITS = 64, 18


class _Envelope(msgspec.Struct):
    """What a proof's check needs of the entry."""

    seq: int
    datadigest: str


class _Extra(msgspec.Struct, omit_defaults=True):
    """What a proof's text has in its line ``extra``: the entry that the leaf is made of."""

    envelope: str
    payload: str | None = None
    salt: str | None = None


class _Bundle(msgspec.Struct):
    """A proof as JSON values, to be put into a report."""

    format: str
    envelope: str
    payload: str | None
    salt: str | None
    index: int
    hashes: list[str]
    checkpoint: str


class EntryProof(Record, frozen=True):
    """That an entry is in a ledger of which a checkpoint was signed.

    Attributes:
        envelope: The entry's exact bytes, which its leaf is made of.
        payload: The exact bytes of its data; ``None`` where they were erased, or are not to be shown.
        salt: What was hashed together with the payload; ``None`` with it.
        index: Of the leaf, one less than the entry's number.
        hashes: From the leaf's sibling up to the root's child.
        checkpoint: The signed note.
    """

    envelope: bytes
    payload: bytes | None
    salt: bytes | None
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    @property
    def fields(self) -> dict[str, Any]:
        """Return what the envelope says."""
        found: dict[str, Any] = msgspec.json.decode(self.envelope)
        return found

    @property
    def data(self) -> dict[str, Any] | None:
        """Return the payload's values, ``None`` where the proof has none."""
        return None if self.payload is None else msgspec.json.decode(self.payload)

    def faults(self, key: PublicKey, *, where: str = "The proof") -> list[str]:
        """Say what is wrong with the proof; nothing is, where the list is empty."""
        try:
            checkpoint, note = parse_checkpoint(self.checkpoint, where=where)
            fields = msgspec.json.decode(self.envelope, type=_Envelope)
        except CheckpointInvalid as error:
            return [str(error)]
        except msgspec.DecodeError as error:
            return [f"its entry is none of a ledger ({error})"]
        found = []
        if not note.is_signed_by(key):
            found.append("the checkpoint is not signed by this key")
        if not merkle.is_included(
            hash_leaf(self.envelope),
            index=self.index,
            size=checkpoint.size,
            proof=self.hashes,
            root=checkpoint.root,
        ):
            found.append("the entry is not in the ledger that the checkpoint describes")
        if fields.seq != self.index + 1:
            found.append(f"the entry calls itself number {fields.seq}, and the proof is for {self.index + 1}")
        if self.payload is not None and sha256((self.salt or b"") + self.payload).hexdigest() != fields.datadigest:
            found.append("the payload is not the one that the entry was written with")
        return found

    def without_payload(self) -> "EntryProof":
        """Return the proof without what the entry says, for those who may know only that it is there."""
        return msgspec.structs.replace(self, payload=None, salt=None)

    # ---- as text

    def to_text(self) -> str:
        """Return the proof as a text of its own.

        Source: c2sp.org/tlog-proof; the entry is in the line ``extra``.
        """
        extra = _Extra(
            envelope=self.envelope.decode(),
            payload=None if self.payload is None else self.payload.decode(),
            salt=None if self.salt is None else self.salt.hex(),
        )
        lines = [HEADER, f"extra {b64encode(msgspec.json.encode(extra)).decode()}", f"index {self.index}"]
        lines += [b64encode(one).decode() for one in self.hashes]
        return "\n".join(lines) + f"\n\n{self.checkpoint}"

    @classmethod
    def from_text(cls, content: str, *, where: str) -> "EntryProof":
        """Read a proof's text.

        Raises:
            ProofInvalid: It has another form.
        """
        head, separator, checkpoint = content.partition("\n\n")
        lines = head.split("\n")
        if lines[0] != HEADER or not separator:
            raise ProofInvalid(where=where, problem=f"it does not begin with {HEADER}")
        extra = next((line.removeprefix("extra ") for line in lines[1:2] if line.startswith("extra ")), None)
        if extra is None:
            raise ProofInvalid(where=where, problem="its line 'extra', which has the entry, is missing")
        rest = lines[2:]
        index = rest[0].removeprefix("index ") if rest and rest[0].startswith("index ") else ""
        if not (index.isascii() and index.isdecimal() and len(index) <= _MOST_DIGITS):
            raise ProofInvalid(where=where, problem="its line 'index' is missing")
        try:
            entry = msgspec.json.decode(notes.decoded(extra), type=_Extra)
            salt = None if entry.salt is None else bytes.fromhex(entry.salt)
        except (msgspec.DecodeError, ValueError) as error:
            raise ProofInvalid(where=where, problem="its line 'extra' has no entry of a ledger") from error
        return cls(
            envelope=entry.envelope.encode(),
            payload=None if entry.payload is None else entry.payload.encode(),
            salt=salt,
            index=int(index),
            hashes=_hashes(rest[1:], where=where),
            checkpoint=checkpoint,
        )

    # ---- as JSON values

    def to_bundle(self) -> dict[str, Any]:
        """Return the proof as JSON values, to be put into a report."""
        values: dict[str, Any] = msgspec.to_builtins(
            _Bundle(
                format=BUNDLE,
                envelope=self.envelope.decode(),
                payload=None if self.payload is None else self.payload.decode(),
                salt=None if self.salt is None else self.salt.hex(),
                index=self.index,
                hashes=[b64encode(one).decode() for one in self.hashes],
                checkpoint=self.checkpoint,
            )
        )
        return values

    @classmethod
    def from_bundle(cls, values: Any, *, where: str) -> "EntryProof":
        """Read a proof from JSON values.

        Raises:
            ProofInvalid: They have another form.
        """
        try:
            found = msgspec.convert(values, _Bundle)
            salt = None if found.salt is None else bytes.fromhex(found.salt)
        except (msgspec.ValidationError, ValueError) as error:
            raise ProofInvalid(where=where, problem=f"its values have another form ({error})") from error
        if found.format != BUNDLE:
            raise ProofInvalid(where=where, problem=f"its form is '{found.format}', not '{BUNDLE}'")
        return cls(
            envelope=found.envelope.encode(),
            payload=None if found.payload is None else found.payload.encode(),
            salt=salt,
            index=found.index,
            hashes=_hashes(found.hashes, where=where),
            checkpoint=found.checkpoint,
        )


def verify_bundle(bundle: Any, key: PublicKey) -> list[str]:
    """Say what is wrong with a proof given as JSON values; nothing is, where the list is empty.

    Args:
        bundle: What ``EntryProof.to_bundle`` gave, perhaps after a way through a file.
        key: Which must have signed the checkpoint.
    """
    try:
        return EntryProof.from_bundle(bundle, where="The proof").faults(key)
    except ProofInvalid as error:
        return [str(error)]


def prove_entry(checkpoints: Checkpoints, event: Event) -> EntryProof:
    """Return the proof that an entry is in the ledger; where no checkpoint covers it yet, one is made.

    Raises:
        LedgerCut: The ledger contradicts what was signed before; so do ``LedgerDiffers`` and ``LedgerGap``.
        SigningKeyUnusable: A checkpoint is needed and cannot be signed.
    """
    newest = checkpoints.latest()
    if newest is None or newest.size < event.seq:
        newest = checkpoints.seal()
    query = (
        select(ledger.c.envelope, payload.c.body, payload.c.salt)
        .join(payload, payload.c.seq == ledger.c.seq, isouter=True)
        .where(ledger.c.seq == event.seq)
    )
    with checkpoints.database.read() as connection:
        row = connection.execute(query).one()
        hashes = tree.prove_inclusion(connection, index=event.seq - 1, size=newest.size)
    return EntryProof(
        envelope=tree.as_bytes(row.envelope),
        payload=None if row.body is None else tree.as_bytes(row.body),
        salt=None if row.salt is None else tree.as_bytes(row.salt),
        index=event.seq - 1,
        hashes=tuple(hashes),
        checkpoint=newest.note,
    )


class ConsistencyProof(Record, frozen=True):
    """That a ledger of which a checkpoint was signed begins with an older, smaller one.

    Attributes:
        size: Entries of the older one.
        hashes: What leads from its root to the newer one's.
        checkpoint: The signed note of the newer one.
    """

    size: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def faults(self, older: Checkpoint, key: PublicKey) -> list[str]:
        """Say what is wrong with the proof, given the older checkpoint; nothing is, where the list is empty."""
        try:
            newer, note = parse_checkpoint(self.checkpoint, where="The proof")
        except CheckpointInvalid as error:
            return [str(error)]
        found = []
        if not note.is_signed_by(key):
            found.append("the newer checkpoint is not signed by this key")
        if older.origin != newer.origin:
            found.append(f"one checkpoint is of {older.origin}, the other of {newer.origin}")
        if older.size != self.size:
            found.append(f"the older checkpoint has {older.size} entries, and the proof is for {self.size}")
        elif not merkle.is_consistent(
            first=older.size, second=newer.size, proof=self.hashes, first_root=older.root, second_root=newer.root
        ):
            found.append("the newer ledger does not begin with the older one")
        return found

    def to_text(self) -> str:
        """Return the proof as a text of its own.

        Source: c2sp.org/tlog-witness, the request to add a checkpoint.
        """
        lines = [f"{_OLD}{self.size}", *(b64encode(one).decode() for one in self.hashes)]
        return "\n".join(lines) + f"\n\n{self.checkpoint}"

    @classmethod
    def from_text(cls, content: str, *, where: str) -> "ConsistencyProof":
        """Read a proof's text.

        Raises:
            ProofInvalid: It has another form.
        """
        head, separator, checkpoint = content.partition("\n\n")
        first, *rest = head.split("\n")
        size = first.removeprefix(_OLD)
        if (
            not separator
            or not first.startswith(_OLD)
            or not (size.isascii() and size.isdecimal() and len(size) <= _MOST_DIGITS)
        ):
            raise ProofInvalid(where=where, problem="it begins with no line such as 'old 1200'")
        return cls(size=int(size), hashes=_hashes(rest, where=where), checkpoint=checkpoint)


def prove_consistency(database: Database, *, older: int, newer: Checkpoint) -> ConsistencyProof:
    """Return the proof that the ledger of a checkpoint begins with its first entries as they were at a smaller size."""
    with database.read() as connection:
        hashes = tree.prove_consistency(connection, first=older, second=newer.size)
    return ConsistencyProof(size=older, hashes=tuple(hashes), checkpoint=newer.note)


def _hashes(lines: list[str], *, where: str) -> tuple[bytes, ...]:
    found = tuple(notes.decoded(line) for line in lines)
    if len(found) > _MOST_HASHES or any(len(one) != HASH_BYTES for one in found):
        raise ProofInvalid(where=where, problem="its hashes are not 32 bytes each in base 64")
    return found
