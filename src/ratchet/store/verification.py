"""Reads a whole ledger again and says whether it is what was written: each entry, each checkpoint, each anchor.

Invariant: nothing that the database says about itself is believed; what was found is compared with signatures, and what
no comparison could show is said, too.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing

import msgspec
from sqlalchemy import text

from ratchet.errors import CheckpointInvalid, SigningKeyUnusable
from ratchet.garbage import without_collector
from ratchet.records import Record
from ratchet.store import notes, tree
from ratchet.store.checkers import check_all
from ratchet.store.checkpoints import CHECKPOINT, ROTATION, Checkpoint, parse_checkpoint
from ratchet.store.database import Database
from ratchet.store.entries import CHUNK_ENTRIES, Chunk
from ratchet.store.erasure import ERASED
from ratchet.store.findings import ChunkReport, Finding, Special, gap
from ratchet.store.merkle import Frontier
from ratchet.store.notes import Note, PublicKey

PARALLEL_FROM_ENTRIES = 100_000
# Until another process has started, this one has read some eight chunks.
CHUNKS_FOR_ANOTHER = 12
_NO_ANCHOR = (
    "No checkpoint kept elsewhere was compared. Whoever holds the database, this folder and the signing key could have "
    "written all of the ledger anew, or cut off its end; only a checkpoint in other hands shows that "
    "(ratchet ledger anchor, or ratchet ledger verify --checkpoint FILE)."
)
_SELF_SIGNED = "Signatures were checked with the key that the ledger itself names; give the one you trust with --key."
_NEVER_RECORDED = "What was never recorded leaves no trace in any ledger."


class Verification(Record, frozen=True):
    """What came of reading a ledger again.

    Attributes:
        origin: Whose ledger it is.
        entries: How many were read.
        root: Of the tree over all of them, 64 hexadecimal digits; ``""`` where entries are missing in between.
        findings: What is not as it was written, by number; the first is the one to look at.
        checkpoints: Signed states inside the ledger that fit.
        anchored: Signed states kept elsewhere that fit, with their place: the largest of each.
        unsigned: Entries after the newest fitting checkpoint.
        erased: Payloads that were erased as recorded.
        remarks: What nobody could see by reading.
    """

    origin: str
    entries: int
    root: str
    findings: tuple[Finding, ...]
    checkpoints: int
    anchored: dict[str, int]
    unsigned: int
    erased: int
    remarks: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings


class Held(Record, frozen=True):
    """A checkpoint that is kept outside the ledger.

    Attributes:
        where: Its place, for messages.
        note: The signed text.
        is_own: Whether it lies beside the ledger, where whoever changes the one may change the other.
    """

    where: str
    note: str
    is_own: bool = False


# ---- all of it


class _Ledger:
    """What is learnt from chunk to chunk.

    Args:
        held: Checkpoints that are kept elsewhere.
    """

    def __init__(self, held: Sequence[tuple[Held, Checkpoint, Note]]) -> None:
        self.held = held
        self.frontier = Frontier()
        self.roots: dict[int, bytes] = {}
        self.findings: list[Finding] = []
        self.hasty: list[Finding] = []
        self.special: list[Special] = []
        self.missing: list[int] = []
        self.count = self.last = 0
        self.is_whole = True
        self._keys: set[tuple[str, str]] = set()

    def take(self, chunk: Chunk, report: ChunkReport) -> None:
        """Take in what a chunk came to, in the order of the chunks."""
        if report.count and report.first != self.last + 1:
            self.findings.append(gap(self.last + 1, report.first))
        is_next = report.is_dense and report.first == self.last + 1
        self.is_whole = self.is_whole and is_next and report.count == chunk.until - chunk.start
        self.findings += report.findings
        self.hasty += report.hasty
        self.special += report.special
        self.missing += report.missing
        self.count += report.count
        self.last = report.last or self.last
        for seq, key in enumerate(report.keys, start=report.first):
            if key in self._keys:
                self.findings.append(Finding(seq=seq, id=key[1], what="an entry before it has its source and id"))
            self._keys.add(key)
        if self.is_whole:
            self._grow(chunk, report)

    def _grow(self, chunk: Chunk, report: ChunkReport) -> None:
        following = self.frontier
        for count, subtrees in report.subtrees.items():
            grown = Frontier(self.frontier.size, self.frontier.hashes)
            for level, root in subtrees:
                grown.push(root, level=level)
            self.roots[chunk.start + count] = grown.root()
            if count == report.count:
                following = grown
        self.frontier = following


def verify(
    chunks: Sequence[Chunk],
    *,
    origin: str,
    key: PublicKey | None = None,
    held: Sequence[Held] = (),
    database: Database | None = None,
    workers: int = 1,
    report: Callable[[int], None] = lambda _entries: None,
) -> Verification:
    """Read a ledger again and compare it with all that is known of it.

    Args:
        chunks: Of the database or of an export.
        origin: Whose ledger it is.
        key: The key to trust; without it, the one that the ledger names.
        held: Checkpoints that are kept elsewhere: files, anchors.
        database: Whose own tree and keys are compared as well, where it is the database that is read.
        workers: Processes that share the work where there is much of it, this one among them.
        report: Called with the entries that were read, after each chunk.

    Raises:
        CheckpointInvalid: One of those that are held is no checkpoint.
        ExportInvalid: The export is none.
    """
    parsed = [(one, *parse_checkpoint(one.note, where=one.where)) for one in held]
    known = _Ledger(parsed)
    sizes = sorted(checkpoint.size for _, checkpoint, _ in parsed)
    with without_collector(), closing(_checked(chunks, sizes, workers=workers, database=database)) as checked:
        for chunk, done in zip(chunks, checked, strict=True):
            known.take(chunk, done)
            report(known.count)
    if database is not None:
        known.findings += _twice(database)
        known.findings += _own_tree(database, known)
        known.findings += _without_entry(database)
    trusted, remarks = _trusted(known, key)
    remarks += _not_in_tree(database, known) if database is not None else []
    signed = _check_checkpoints(known, trusted)
    anchored = _check_held(known, trusted, origin)
    _settle_hasty(known, max(signed, default=0))
    erased = _check_erasures(known)
    if not anchored.keys() - {one.where for one in held if one.is_own}:
        remarks.append(_NO_ANCHOR)
    covered = max([*signed, *anchored.values()], default=0)
    return Verification(
        origin=origin,
        entries=known.count,
        root=known.frontier.root().hex() if known.is_whole else "",
        findings=tuple(sorted(known.findings, key=lambda one: one.seq or known.last + 1)),
        checkpoints=len(signed),
        anchored=anchored,
        unsigned=max(0, known.last - covered),
        erased=erased,
        remarks=(*remarks, _NEVER_RECORDED),
    )


def _checked(
    chunks: Sequence[Chunk], sizes: Sequence[int], *, workers: int, database: Database | None
) -> Generator[ChunkReport]:
    """Check chunks, in several processes where there are many entries; give what they came to in order."""
    jobs = [(chunk, [size for size in sizes if chunk.start < size <= chunk.until]) for chunk in chunks]
    is_long = len(chunks) * CHUNK_ENTRIES >= PARALLEL_FROM_ENTRIES
    others = min(workers - 1, -(-len(chunks) // CHUNKS_FOR_ANOTHER)) if is_long else 0
    yield from check_all(jobs, others=others, database=database)


def _twice(database: Database) -> list[Finding]:
    """Return entries that have the key of an earlier one: the table refuses them, unless somebody took that away."""
    count = text(
        "SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT source, id FROM ledger) AS keys) FROM ledger"
    )
    which = text(
        "SELECT max(seq) AS seq, id FROM ledger GROUP BY source, id HAVING count(*) > 1 ORDER BY max(seq) LIMIT 100"
    )
    with database.read() as connection:
        # Counting takes a fifth of the time, and mostly there is nothing to name.
        rows = connection.execute(which).all() if connection.execute(count).scalar_one() else []
    return [Finding(seq=row.seq, id=row.id, what="an entry before it has its source and id") for row in rows]


def _without_entry(database: Database) -> list[Finding]:
    """Return payloads beyond all entries that there ever were: nothing could be appended in their place."""
    query = text("SELECT seq FROM payload WHERE seq > :last ORDER BY seq LIMIT 100")
    with database.read() as connection:
        state = tree.load(connection)
        last = max(tree.last_seq(connection), state.size if state else 0)
        found = connection.execute(query, {"last": last}).scalars().all()
    return [Finding(seq=seq, id="", what="a payload stands there, and no entry") for seq in found]


def _own_tree(database: Database, known: _Ledger) -> list[Finding]:
    """Compare with the tree that the database keeps: somebody who did not think of it has left it as it was."""
    with database.read() as connection:
        state = tree.load(connection)
        last = tree.last_seq(connection)
        tiles = tree.count_tiles(connection)
    if state is None:
        return [Finding(seq=0, id="", what="the row of the ledger's tree was taken away")]
    if not state.is_whole or tiles != state.size // tree.TILE_LEAVES:
        return [Finding(seq=0, id="", what="the tree that the ledger keeps does not fit together: it was changed")]
    if state.size > last:
        which = f"entry {last + 1} is" if state.size == last + 1 else f"entries {last + 1} to {state.size} are"
        return [Finding(seq=last + 1, id="", what=f"{which} missing: the tree of the ledger had {state.size} leaves")]
    root = known.roots.get(state.size)
    if root is not None and root != state.root:
        what = f"the tree that the ledger keeps has another root over entries 1 to {state.size} than they have"
        return [Finding(seq=0, id="", what=what)]
    return []


def _not_in_tree(database: Database, known: _Ledger) -> list[str]:
    """Say where entries are older than the tree, and nothing but a checkpoint brings them in."""
    with database.read() as connection:
        state = tree.load(connection)
    if state is None or state.size >= known.last:
        return []
    how = "ratchet ledger checkpoint brings it up to date"
    return [f"The tree that the ledger keeps covers {state.size} of {known.last} entries; {how}."]


# ---- keys and signatures


def _trusted(known: _Ledger, key: PublicKey | None) -> tuple[list[PublicKey], list[str]]:
    """Return the keys whose signatures count: the one that is given, and those that a rotation ties to it."""
    named = [one.data["key"] for one in known.special if one.type == CHECKPOINT and "key" in one.data]
    remarks = []
    if key is None:
        if not named:
            return [], []
        remarks.append(_SELF_SIGNED)
        key = notes.parse_public_key(str(named[-1]), where="the ledger's newest checkpoint")
    trusted = [key]
    rotations = [one for one in known.special if one.type == ROTATION]
    # Forwards: the old key has signed the new one. Backwards: the new key's checkpoints cover what names the old one.
    for one in rotations:
        old, new = _keys_of(one)
        if old is None or new is None:
            known.findings.append(Finding(seq=one.seq, id=one.id, what="it names no keys"))
        elif _has(trusted, old) and notes.parse_note(one.data["note"], where="").is_signed_by(old):
            trusted.append(new)
        elif _has(trusted, old):
            remarks.append(f"Entry {one.seq} changes the key without a signature of the old one, which was lost.")
    for one in reversed(rotations):
        old, new = _keys_of(one)
        if old is not None and new is not None and _has(trusted, new) and not _has(trusted, old):
            trusted.append(old)
    return trusted, remarks


def _keys_of(rotation: Special) -> tuple[PublicKey | None, PublicKey | None]:
    try:
        found = [notes.parse_public_key(str(rotation.data[name]), where="") for name in ("from", "to")]
    except (SigningKeyUnusable, KeyError):
        return None, None
    return found[0], found[1]


def _has(trusted: Iterable[PublicKey], key: PublicKey) -> bool:
    return any(one.raw == key.raw for one in trusted)


def _check_checkpoints(known: _Ledger, trusted: Sequence[PublicKey]) -> list[int]:
    """Compare the checkpoints that are entries with what was read; return the sizes of those that fit."""
    fitting = [0]
    for one in known.special:
        if one.type != CHECKPOINT:
            continue
        what = ""
        try:
            checkpoint, note = parse_checkpoint(str(one.data.get("note", "")), where=f"entry {one.seq}")
        except CheckpointInvalid as error:
            known.findings.append(Finding(seq=one.seq, id=one.id, what=str(error)))
            continue
        root = known.roots.get(checkpoint.size)
        if checkpoint.size != one.seq - 1:
            what = f"it covers {checkpoint.size} entries, and should cover the {one.seq - 1} before it"
        elif not any(note.is_signed_by(key) for key in trusted):
            what = "its checkpoint is not signed by the key that is trusted"
        elif root is not None and root != checkpoint.root:
            what = _changed_between(fitting[-1], checkpoint.size, "it was signed")
        elif root is not None:
            fitting.append(checkpoint.size)
        if what:
            known.findings.append(Finding(seq=one.seq, id=one.id, what=what))
    return fitting[1:]


def _changed_between(sound: int, size: int, since: str) -> str:
    first = sound + 1
    which = f"entry {size} was" if first == size else f"among entries {first} to {size}, one or more were"
    return f"{which} changed since {since}"


def _check_held(known: _Ledger, trusted: Sequence[PublicKey], origin: str) -> dict[str, int]:
    """Compare the checkpoints that are kept elsewhere; return the largest that fits, by place."""
    fitting: dict[str, int] = {}
    ours = {one.where for one, checkpoint, _ in known.held if checkpoint.origin == origin}
    for one, checkpoint, note in sorted(known.held, key=lambda held: held[1].size):
        if checkpoint.origin != origin and one.where in ours:
            # Several ledgers may have one anchor; a place that knows only others was named by mistake.
            continue
        if checkpoint.origin != origin:
            what = f"{one.where} has a checkpoint of {checkpoint.origin}, and this is {origin}"
        elif not any(note.is_signed_by(key) for key in trusted):
            what = f"{one.where} has a checkpoint that is not signed by the key that is trusted"
        elif checkpoint.size > known.last:
            which = _entries(known.last + 1, checkpoint.size)
            what = f"{which} missing: {one.where} has a signed checkpoint over {checkpoint.size}"
            known.findings.append(Finding(seq=known.last + 1, id="", what=what))
            continue
        elif (root := known.roots.get(checkpoint.size)) is None:
            # Where entries are missing in between nothing can be said beyond the gap, which was found already.
            continue
        elif root != checkpoint.root:
            changed = _changed_between(max(fitting.values(), default=0), checkpoint.size, "a checkpoint was signed")
            what = f"{changed}, which {one.where} holds"
        else:
            fitting[one.where] = checkpoint.size
            continue
        known.findings.append(Finding(seq=0, id="", what=what))
    return fitting


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _settle_hasty(known: _Ledger, signed: int) -> None:
    """Tell entries that were changed from kept hashes that were: what a signature covers and fits is as it was."""
    for one in known.hasty:
        if not one.id:
            known.findings.append(one)
            continue
        what = "the hash that was kept of it was changed; the entry itself is as it was signed"
        known.findings.append(msgspec.structs.replace(one, what=what) if one.seq <= signed else one)


def _check_erasures(known: _Ledger) -> int:
    """Compare the payloads that are gone with what says so; return how many were erased as recorded."""
    said = {int(one.data["seq"]): str(one.data["id"]) for one in known.special if one.type == ERASED}
    gone = set(known.missing)
    for seq in known.missing:
        if seq not in said:
            what = "its payload is gone, and no payload.erased says who took it away, and why"
            known.findings.append(Finding(seq=seq, id="", what=what))
    for seq in said.keys() - gone:
        known.findings.append(Finding(seq=seq, id=said[seq], what="its erased payload is back"))
    return len(said.keys() & gone)
