"""Reads a whole ledger again and says whether it is what was written: each entry, each checkpoint, each anchor.

Invariant: nothing that the database says about itself is believed; what was found is compared with signatures, and what
no comparison could show is said, too.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from multiprocessing import get_context
from typing import Any

import msgspec
from sqlalchemy import text

from ratchet.catalogue import short_name
from ratchet.errors import CheckpointInvalid, SigningKeyUnusable
from ratchet.records import Record
from ratchet.store import entries, notes, tree
from ratchet.store.checkpoints import CHECKPOINT, ROTATION, Checkpoint, parse_checkpoint
from ratchet.store.database import Database
from ratchet.store.entries import CHUNK_ENTRIES, Chunk
from ratchet.store.erasure import ERASED
from ratchet.store.merkle import LEAF_PREFIX, NODE_PREFIX, Frontier
from ratchet.store.notes import Note, PublicKey

PARALLEL_FROM_ENTRIES = 100_000
_SPECIAL = {CHECKPOINT, ROTATION, ERASED}
_NO_ANCHOR = (
    "No checkpoint kept elsewhere was compared. Whoever holds the database, this folder and the signing key could have "
    "written all of the ledger anew, or cut off its end; only a checkpoint in other hands shows that "
    "(ratchet ledger anchor, or ratchet ledger verify --checkpoint FILE)."
)
_SELF_SIGNED = "Signatures were checked with the key that the ledger itself names; give the one you trust with --key."
_NEVER_RECORDED = "What was never recorded leaves no trace in any ledger."


class Finding(Record, frozen=True):
    """Something that is not as it was written.

    Attributes:
        seq: The entry's number; 0 where it concerns no single one.
        id: The entry's id, where it has one.
        what: What differs.
    """

    seq: int
    id: str
    what: str


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


# ---- one chunk, perhaps in another process


class _Envelope(msgspec.Struct, gc=False):
    seq: int
    source: str
    id: str
    type: str
    subject: str
    pipeline: str
    causationid: str
    datadigest: str


class _Special(Record, frozen=True):
    """An entry that says something about the ledger itself."""

    seq: int
    id: str
    type: str
    data: dict[str, Any]


class _Report(Record, frozen=True):
    """What a chunk came to.

    Attributes:
        count: Entries that were read.
        is_dense: Whether each has the number after the one before it.
        first: The number of the first, 0 for none.
        last: The number of the last.
        subtrees: Roots of complete subtrees with their levels, by the number of the chunk's leaves they stand for.
        hasty: Findings that an entry is not the one whose hash was kept; the kept hash may be what was changed.
        missing: Numbers of entries without a payload.
        keys: Source and id of each entry, where nothing else looks for doubles.
    """

    count: int
    is_dense: bool
    first: int
    last: int
    subtrees: dict[int, list[tuple[int, bytes]]]
    findings: list[Finding]
    hasty: list[Finding]
    special: list[_Special]
    missing: list[int]
    keys: list[tuple[str, str]]


_DECODE = msgspec.json.Decoder(_Envelope).decode
_ENVELOPE, _SALT, _COLUMNS_FROM = 1, 3, 4
_COLUMNS = ("source", "id", "type", "subject", "pipeline", "cause")


def check_chunk(chunk: Chunk, sizes: Sequence[int], database: Database | None = None) -> _Report:
    """Check the entries of a chunk, each by itself, and hash them.

    Args:
        chunk: Where they are.
        sizes: Of trees whose roots are wanted, those that end in this chunk.
        database: The chunk's database where this process has it open already.

    Raises:
        ExportInvalid: A line of an export is no entry.
    """
    found = entries.rows(chunk, database)
    try:
        return _check(chunk, found, sizes, database)
    except TypeError:
        # SQLite lets anybody write text where bytes were; a look at each value would cost every reading.
        return _check(chunk, [tuple(_as_bytes(row)) for row in found], sizes, database)


def _as_bytes(row: entries.Row) -> Iterator[Any]:
    for position, value in enumerate(row):
        is_bytes = _ENVELOPE <= position <= _SALT and value is not None and not isinstance(value, bytes)
        yield str(value).encode() if is_bytes else value


def _check(chunk: Chunk, found: list[entries.Row], sizes: Sequence[int], database: Database | None) -> _Report:
    leaves = [sha256(LEAF_PREFIX + row[1]).digest() for row in found]
    about = _Contents()
    with _without_collector():
        about.read(found)
    levels = _levels(leaves)
    # A checkpoint is the entry after those it covers.
    wanted = {len(leaves), *(size - chunk.start for size in sizes)}
    wanted |= {one.seq - 1 - chunk.start for one in about.special if one.type == CHECKPOINT}
    return _Report(
        count=len(found),
        is_dense=about.is_dense,
        first=found[0][0] if found else 0,
        last=found[-1][0] if found else 0,
        subtrees={count: _subtrees(levels, count) for count in wanted if 0 <= count <= len(leaves)},
        findings=about.findings,
        hasty=[] if chunk.is_file else _not_as_kept(database or entries.opened(chunk.place), chunk, found, leaves),
        special=about.special,
        missing=about.missing,
        keys=about.keys,
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Leave Python's search for cycles out: it would look through all entries again and again, and there are none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Contents:
    """What the entries of a chunk say, each checked by itself."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.special: list[_Special] = []
        self.missing: list[int] = []
        self.keys: list[tuple[str, str]] = []
        self.is_dense = True

    def read(self, rows: list[entries.Row]) -> None:
        """Look at each entry; this is done by the million, so it calls little."""
        names: dict[str, str] = {}
        expected = rows[0][0] if rows else 0
        for row in rows:
            seq, envelope, body, salt = row[:_COLUMNS_FROM]
            if seq != expected:
                self.findings.append(_gap(expected, seq))
                self.is_dense = False
            expected = seq + 1
            try:
                entry = _DECODE(envelope)
            except msgspec.DecodeError as error:
                self.findings.append(Finding(seq=seq, id="", what=f"its envelope cannot be read ({error})"))
                continue
            kind = names.get(entry.type)
            if kind is None:
                kind = names[entry.type] = short_name(entry.type)
            columns = row[_COLUMNS_FROM:]
            said = (entry.source, entry.id, kind, entry.subject, entry.pipeline, entry.causationid)
            if not columns:
                self.keys.append(said[:2])
            if entry.seq != seq or (columns and columns != said):
                self.findings.append(_misplaced(seq, entry, columns, said))
            if body is None:
                self.missing.append(seq)
            elif sha256(salt + body).hexdigest() != entry.datadigest:
                what = "its payload is not the one that its envelope was written with"
                self.findings.append(Finding(seq=seq, id=entry.id, what=what))
            elif kind in _SPECIAL:
                data = msgspec.json.decode(body)
                self.special.append(_Special(seq=seq, id=entry.id, type=kind, data=data))


def _gap(expected: int, found: int) -> Finding:
    if found < expected:
        return Finding(seq=found, id="", what="its number stands there twice, or out of order")
    which = f"entry {expected} is" if found == expected + 1 else f"entries {expected} to {found - 1} are"
    return Finding(seq=expected, id="", what=f"{which} missing")


def _misplaced(seq: int, entry: _Envelope, columns: tuple[Any, ...], said: tuple[str, ...]) -> Finding:
    if entry.seq != seq:
        return Finding(seq=seq, id=entry.id, what=f"it stands at {seq}, and its envelope says {entry.seq}")
    differing = [name for name, one, other in zip(_COLUMNS, columns, said, strict=True) if one != other]
    place = differing[0]
    position = _COLUMNS.index(place)
    what = f"its column {place} says '{columns[position]}', and its envelope '{said[position]}'"
    return Finding(seq=seq, id=entry.id, what=what)


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """Return the roots of all complete subtrees, by level."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = iter(levels[-1])
        levels.append([sha256(NODE_PREFIX + left + right).digest() for left, right in zip(below, below, strict=False)])
    return levels


def _subtrees(levels: list[list[bytes]], count: int) -> list[tuple[int, bytes]]:
    """Return the complete subtrees that the first leaves consist of, the largest first."""
    return [
        (level, levels[level][(count >> level) - 1])
        for level in range(count.bit_length() - 1, -1, -1)
        if count >> level & 1
    ]


def _not_as_kept(database: Database, chunk: Chunk, found: list[entries.Row], leaves: list[bytes]) -> list[Finding]:
    """Compare the entries with the hashes that were kept of them when they were appended."""
    with database.read() as connection:
        kept = tree.leaves_between(connection, chunk.start, chunk.until)
    if b"".join(leaves).startswith(kept):
        return []
    by_number = {row[0]: (row, leaf) for row, leaf in zip(found, leaves, strict=True)}
    differing = []
    for number, leaf in enumerate(tree.split(kept), start=chunk.start + 1):
        row, now = by_number.get(number, (None, leaf))
        if row is not None and now != leaf:
            what = "its envelope was changed after it was appended: it has not the hash that was kept of it"
            differing.append(Finding(seq=number, id=str(row[5]), what=what))
    return differing


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
        self.special: list[_Special] = []
        self.missing: list[int] = []
        self.count = self.last = 0
        self.is_whole = True
        self._keys: set[tuple[str, str]] = set()

    def take(self, chunk: Chunk, report: _Report) -> None:
        """Take in what a chunk came to, in the order of the chunks."""
        if report.count and report.first != self.last + 1:
            self.findings.append(_gap(self.last + 1, report.first))
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

    def _grow(self, chunk: Chunk, report: _Report) -> None:
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
        workers: Processes that share the work where there is much of it. More than one need a main module that can be
            imported without doing anything, as that of the command line can.
        report: Called with the entries that were read, after each chunk.

    Raises:
        CheckpointInvalid: One of those that are held is no checkpoint.
        ExportInvalid: The export is none.
    """
    parsed = [(one, *parse_checkpoint(one.note, where=one.where)) for one in held]
    known = _Ledger(parsed)
    sizes = sorted(checkpoint.size for _, checkpoint, _ in parsed)
    for chunk, done in _checked(chunks, sizes, workers=workers, database=database):
        known.take(chunk, done)
        report(known.count)
    if database is not None:
        known.findings += _twice(database)
        known.findings += _own_tree(database, known)
    trusted, remarks = _trusted(known, key)
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
) -> Iterator[tuple[Chunk, _Report]]:
    """Check chunks, in several processes where there are many entries; give them in order."""
    wanted = [[size for size in sizes if chunk.start < size <= chunk.until] for chunk in chunks]
    if workers == 1 or len(chunks) * CHUNK_ENTRIES < PARALLEL_FROM_ENTRIES:
        for chunk, some in zip(chunks, wanted, strict=True):
            yield chunk, check_chunk(chunk, some, database)
        return
    # A server process that forks: forking this one, which may have threads and connections, would be asking for it.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        todo = iter(zip(chunks, wanted, strict=True))
        # No more at once than are worked on, and one waiting for each: what is done lies in memory.
        waiting: list[tuple[Chunk, Future[_Report]]] = [
            (chunk, pool.submit(check_chunk, chunk, some)) for chunk, some in islice(todo, 2 * workers)
        ]
        while waiting:
            chunk, future = waiting.pop(0)
            done = future.result()
            waiting += [(one, pool.submit(check_chunk, one, some)) for one, some in islice(todo, 1)]
            yield chunk, done


def _twice(database: Database) -> list[Finding]:
    """Return entries that have the key of an earlier one: the table refuses them, unless somebody took that away."""
    query = text(
        "SELECT max(seq) AS seq, id FROM ledger GROUP BY source, id HAVING count(*) > 1 ORDER BY max(seq) LIMIT 100"
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [Finding(seq=row.seq, id=row.id, what="an entry before it has its source and id") for row in rows]


def _own_tree(database: Database, known: _Ledger) -> list[Finding]:
    """Compare with the tree that the database keeps: somebody who did not think of it has left it as it was."""
    with database.read() as connection:
        state = tree.load(connection)
        last = tree.last_seq(connection)
    if state is None:
        return [Finding(seq=0, id="", what="the row of the ledger's tree was taken away")]
    if state.size > last:
        which = f"entry {last + 1} is" if state.size == last + 1 else f"entries {last + 1} to {state.size} are"
        return [Finding(seq=last + 1, id="", what=f"{which} missing: the tree of the ledger had {state.size} leaves")]
    root = known.roots.get(state.size)
    if root is not None and root != state.root:
        what = f"the tree that the ledger keeps has another root over entries 1 to {state.size} than they have"
        return [Finding(seq=0, id="", what=what)]
    return []


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


def _keys_of(rotation: _Special) -> tuple[PublicKey | None, PublicKey | None]:
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
    for one, checkpoint, note in sorted(known.held, key=lambda held: held[1].size):
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
