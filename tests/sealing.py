"""A ledger with its checkpoints, on any database: what tests of proofs work on."""

from collections.abc import Sequence
from pathlib import Path

from ratchet import origin
from ratchet.records import Event
from ratchet.store import entries, migrations, verification
from ratchet.store.anchors import Anchor
from ratchet.store.checkpoints import Checkpoint, Checkpoints
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.notes import PublicKey
from ratchet.store.verification import Held, Verification

PROJECT = "flights"
ORIGIN = "ratchet/flights"


class Sealed:
    """A ledger, what signs it, and a way to verify it.

    Args:
        url: Of its database.
        folder: For what lies beside it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        migrations.migrate(self.database)
        self.ledger = Ledger(self.database, lambda _transaction, _events: None)
        self.folder = folder
        self.anchors: list[Anchor] = []

    @property
    def checkpoints(self) -> Checkpoints:
        """Give what signs, as a fresh process would make it."""
        return Checkpoints(
            database=self.database,
            ledger=self.ledger,
            project=PROJECT,
            folder=self.folder,
            key=self.folder / "keys" / "ledger.pem",
            anchors=self.anchors,
        )

    def emit(self, count: int) -> list[Event]:
        """Append so many events more, with something to tell."""
        first = self.ledger.last_seq() + 1
        events = [
            Event(type="custom.emitted", subject=f"s{number}", id=f"e{number}", data={"who": f"person-{number}"})
            for number in range(first, first + count)
        ]
        return self.ledger.record(*events)

    def seal(self) -> Checkpoint:
        """Sign the ledger as it stands."""
        return self.checkpoints.seal()

    def rotate(self, checkpoints: Checkpoints | None = None, *, is_old_lost: bool = False) -> PublicKey:
        """Change the key because of the ledger's first event."""
        with origin.use(origin.following(next(self.ledger.read(limit=1)))):
            return (checkpoints or self.checkpoints).rotate(is_old_lost=is_old_lost)

    def verify(self, *held: Checkpoint, key: PublicKey | None = None, beside: bool = False) -> Verification:
        """Read the database again, and compare with checkpoints that somebody kept.

        Args:
            held: Kept elsewhere.
            key: The key to trust; the ledger's own by default.
            beside: Compare with the file beside the ledger, too.
        """
        kept = [Held(where="a friend", note=one.note) for one in held]
        if beside:
            anchor = self.checkpoints.beside
            kept += [Held(where=anchor.name, note=note, is_own=True) for note in anchor.read()]
        return self.verify_held(kept, key=key)

    def verify_held(self, kept: Sequence[Held], *, key: PublicKey | None = None) -> Verification:
        """Read the database again, and compare with what some places hold."""
        trusted = key or self.checkpoints.known_key()
        chunks = entries.chunks_of_database(self.database)
        return verification.verify(chunks, origin=ORIGIN, key=trusted, held=kept, database=self.database)

    def export(self, path: Path) -> Path:
        """Write an export."""
        path.write_bytes(b"".join(entries.export(self.database, ORIGIN)))
        return path

    def verify_export(
        self, path: Path, *held: Checkpoint, key: PublicKey | None = None, workers: int = 1
    ) -> Verification:
        """Read an export again, with nothing of the database."""
        kept = [Held(where="a friend", note=one.note) for one in held]
        return verification.verify(
            entries.chunks_of_export(path), origin=entries.read_origin(path), key=key, held=kept, workers=workers
        )


def said(done: Verification) -> Sequence[tuple[int, str]]:
    """Return what was found, as numbers and words."""
    return [(one.seq, one.what) for one in done.findings]
