"""Checkpoints: signed states of the whole ledger, written into it, beside it, and to places that others hold.

Invariant: no checkpoint is signed that contradicts one that was signed before; the key lies outside the database, and a
new one is announced in the ledger before it signs anything.
"""

import re
from base64 import b64encode
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, select

from ratchet.errors import AnchorFailed, CheckpointInvalid, LedgerCut, LedgerDiffers, RatchetError, SigningKeyUnusable
from ratchet.records import Event, Record
from ratchet.store import notes, tree
from ratchet.store.anchors import Anchor, FileAnchor
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.merkle import HASH_BYTES
from ratchet.store.notes import Note, PublicKey, SigningKey
from ratchet.store.schema import ledger

EVERY = timedelta(hours=1)
BESIDE = "ledger.checkpoints"
KEY_FILE = "ledger.pem"
ORIGIN_PREFIX = "ratchet/"
CHECKPOINT, ROTATION = "ledger.checkpoint", "ledger.key.rotated"
_LINES = 3


class Checkpoint(Record, frozen=True):
    """A state of the ledger that was signed.

    Attributes:
        origin: Whose ledger it is, such as ``ratchet/flights``.
        size: Entries that it covers, numbers 1 to ``size``.
        root: Of the Merkle tree over them, 32 bytes.
        note: The signed text, as it is written everywhere.
    """

    origin: str
    size: int
    root: bytes
    note: str


def parse_checkpoint(content: str, *, where: str) -> tuple[Checkpoint, Note]:
    """Return a checkpoint and the note it stands in; whose signature counts is for the caller to say.

    Raises:
        CheckpointInvalid: It has not the form of a checkpoint.

    Source: c2sp.org/tlog-checkpoint.
    """
    note = notes.parse_note(content, where=where)
    lines = note.text.split("\n")
    size = lines[1] if len(lines) > _LINES else ""
    root = notes.decoded(lines[2]) if len(lines) > _LINES else b""
    if not lines[0] or not re.fullmatch(r"0|[1-9]\d{0,18}", size) or len(root) != HASH_BYTES:
        raise CheckpointInvalid(where=where, problem="its lines are not a name, a number of entries and a root")
    return Checkpoint(origin=lines[0], size=int(size), root=root, note=content), note


class Checkpoints:
    """Makes checkpoints of a ledger.

    Args:
        database: Where the ledger is.
        ledger: To append to.
        project: The project's name; the origin is made of it, once.
        folder: The workspace's state: the last checkpoints are kept there as a file, too.
        key: The private key's file; made at the first checkpoint.
        anchors: Where else checkpoints are written.
    """

    def __init__(
        self, *, database: Database, ledger: Ledger, project: str, folder: Path, key: Path, anchors: list[Anchor]
    ) -> None:
        self.database = database
        self.key = key
        self.beside = FileAnchor(folder / BESIDE)
        self.anchors = anchors
        self._ledger = ledger
        self._project = project

    # ---- what is there

    @property
    def origin(self) -> str:
        """Return whose ledger this is: what its first checkpoint says, else a name made of the project's."""
        # Of the columns alone: who verifies a ledger must get here whatever somebody did to its payloads.
        query = select(ledger.c.subject).where(ledger.c.type.in_((CHECKPOINT, ROTATION)))
        with self.database.read() as connection:
            first = connection.execute(query.order_by(ledger.c.seq).limit(1)).scalar()
        return first or ORIGIN_PREFIX + re.sub(r"[\s+]+", "-", self._project)

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint in the ledger."""
        event = next(self._ledger.read(types=(CHECKPOINT,), newest_first=True, limit=1), None)
        return None if event is None else _of_event(event)

    def at(self, size: int) -> Checkpoint | None:
        """Return the checkpoint in the ledger that covers so many entries, if there is one."""
        event = next(self._ledger.read(after=size, limit=1), None)
        is_one = event is not None and event.type == CHECKPOINT and event.data.get("size") == size
        return _of_event(event) if event is not None and is_one else None

    def sizes(self) -> list[int]:
        """Return how many entries each checkpoint in the ledger covers, the oldest first."""
        return [event.data["size"] for event in self._ledger.read(types=(CHECKPOINT,))]

    def known_key(self) -> PublicKey | None:
        """Return the public key that belongs to the private one in its file; ``None`` where there is none."""
        return notes.read_key(self.key, self.origin).public if self.key.exists() else None

    def public_key(self) -> PublicKey:
        """Return the key that checks the next checkpoint's signature; it is made where there is none yet."""
        return self._signing_key(self.origin).public

    def is_current(self) -> bool:
        """Tell whether nothing was appended since the newest checkpoint but that checkpoint."""
        latest = self.latest()
        return latest is not None and self._ledger.last_seq() == latest.size + 1

    def is_due(self, now: datetime) -> bool:
        """Tell whether something was appended, and the newest checkpoint, or the first event, is an hour old."""
        if self._ledger.last_seq() == 0 or self.is_current():
            return False
        newest = next(self._ledger.read(types=(CHECKPOINT,), newest_first=True, limit=1), None)
        since = newest or next(self._ledger.read(limit=1))
        assert since.recordedtime is not None, "what stands in the ledger was recorded"
        return now - since.recordedtime >= EVERY

    # ---- signing

    def seal(self) -> Checkpoint:
        """Sign the ledger as it stands, as an event of it; where nothing was appended since, return the newest.

        Raises:
            LedgerCut: The ledger has fewer entries than its tree, or than what was signed before.
            LedgerDiffers: What was signed before is not what the ledger holds now.
            LedgerGap: A number is missing.
            SigningKeyUnusable: The key cannot be read, or is not the one that signed before.
        """
        if self.is_current():
            latest = self.latest()
            assert latest is not None, "a current ledger has a checkpoint"
            # Whoever made it may have been killed before this.
            self.anchor(self.beside)
            return latest
        origin = self.origin
        key = self._signing_key(origin)
        tree.catch_up(self.database)
        with self.database.write() as transaction:
            state = tree.up_to_date(transaction)
            self._refuse_contradiction(transaction, size=state.size, origin=origin)
            text = f"{origin}\n{state.size}\n{b64encode(state.root).decode()}\n"
            made = Checkpoint(origin=origin, size=state.size, root=state.root, note=f"{text}\n{key.sign(text)}")
            data = {"size": made.size, "root": made.root.hex(), "key": key.public.line, "note": made.note}
            self._ledger.append(transaction, Event(type=CHECKPOINT, subject=origin, data=data))
        self.anchor(self.beside)
        return made

    def _refuse_contradiction(self, connection: Connection, *, size: int, origin: str) -> None:
        """Compare with what was signed last and lies beside the database.

        Raises:
            LedgerCut: It covers more entries than there are.
            LedgerDiffers: It has another root.
        """
        for content in self.beside.read()[-1:]:
            before, _ = parse_checkpoint(content, where=self.beside.name)
            if before.origin == origin:
                _refuse(connection, before, size=size, where=self.beside.name)

    def anchor(self, anchor: Anchor) -> bool:
        """Write the newest checkpoint to an anchor; returns whether it was not there yet.

        Raises:
            AnchorFailed: The place cannot be used.
            CheckpointInvalid: It holds something that is no checkpoint; or the ledger has none yet.
            LedgerCut: It knows of more entries than the ledger has.
            LedgerDiffers: It holds another state of the ledger.
        """
        newest = self.latest()
        if newest is None:
            raise CheckpointInvalid(where="The ledger", problem="it has none yet; make one: ratchet ledger checkpoint")
        held = [parse_checkpoint(content, where=anchor.name)[0] for content in anchor.read()]
        own = [one for one in held if one.origin == newest.origin]
        if own:
            with self.database.read() as connection:
                state = tree.load(connection)
                _refuse(connection, own[-1], size=state.size if state else 0, where=anchor.name)
            if own[-1].size >= newest.size:
                return False
        anchor.write(newest.note)
        return True

    def anchor_all(self) -> list[tuple[Anchor, RatchetError | None]]:
        """Write the newest checkpoint to all anchors; one that fails does not keep it from the others."""
        done: list[tuple[Anchor, RatchetError | None]] = []
        for anchor in self.anchors:
            try:
                self.anchor(anchor)
            except (AnchorFailed, CheckpointInvalid, LedgerCut, LedgerDiffers) as error:
                done.append((anchor, error))
            else:
                done.append((anchor, None))
        return done

    # ---- the key

    def rotate(self, *, is_old_lost: bool = False) -> PublicKey:
        """Change the key, inside an origin: the old one signs the new one, as an event, and is then overwritten.

        Args:
            is_old_lost: The old one cannot sign any more; the event says so, and whoever checks has to decide.

        Raises:
            SigningKeyUnusable: The old key cannot be read, and was not said to be lost.
        """
        origin = self.origin
        known = self._announced()
        old = None if is_old_lost else self._signing_key(origin)
        following = self._next_key_path()
        following.unlink(missing_ok=True)
        new = notes.make_key(origin)
        notes.write_key(new, following)
        text = f"{origin}\nkey rotation\n{new.public.line}\n"
        signatures = (old.sign(text) if old else "") + new.sign(text)
        before = old.public.line if old else known
        data = {"from": before, "to": new.public.line, "note": f"{text}\n{signatures}"}
        self._ledger.record(Event(type=ROTATION, subject=origin, data=data))
        self._take_next_key(new)
        return new.public

    def _signing_key(self, origin: str) -> SigningKey:
        """Return the key that the ledger knows, or make the first one.

        Raises:
            SigningKeyUnusable: There is none where there was one, or another one.
        """
        known = self._announced()
        following = self._next_key_path()
        if following.exists():
            # A rotation was broken off: after its event the new key counts, before it the old one.
            new = notes.read_key(following, origin)
            if new.public.line == known:
                self._take_next_key(new)
        if not known and not self.key.exists():
            try:
                notes.write_key(notes.make_key(origin), self.key)
            except FileExistsError:
                pass
            except OSError as error:
                raise SigningKeyUnusable(path=str(self.key), problem=f"it cannot be made ({error.strerror})") from error
        key = notes.read_key(self.key, origin)
        if known and key.public.line != known:
            raise SigningKeyUnusable(path=str(self.key), problem=f"checkpoints so far were signed with {known}")
        return key

    def _announced(self) -> str:
        """Return the line of the key that signed last or was announced last, ``""`` at the beginning."""
        event = next(self._ledger.read(types=(CHECKPOINT, ROTATION), newest_first=True, limit=1), None)
        return str(event.data["key" if event.type == CHECKPOINT else "to"]) if event else ""

    def _next_key_path(self) -> Path:
        return self.key.with_name(f"{self.key.stem}.next{self.key.suffix}")

    def _take_next_key(self, key: SigningKey) -> None:
        following = self._next_key_path()
        following.replace(self.key)
        following.with_suffix(".pub").unlink(missing_ok=True)
        notes.write_public_key(key.public, self.key)


def _of_event(event: Event) -> Checkpoint:
    data = event.data
    return Checkpoint(origin=event.subject, size=data["size"], root=bytes.fromhex(data["root"]), note=data["note"])


def _refuse(connection: Connection, before: Checkpoint, *, size: int, where: str) -> None:
    if before.size > size:
        raise LedgerCut(where=where, expected=before.size, found=size)
    if tree.root_at(connection, before.size) != before.root:
        raise LedgerDiffers(where=where, size=before.size)
