"""Checks a chunk of the ledger's entries, each by itself, and hashes them; several processes may each do some.

Invariant: what is found depends on the chunk alone, and aligned chunks fit together into one tree.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import msgspec

from ratchet.catalogue import short_name
from ratchet.records import Record
from ratchet.store import entries, tree
from ratchet.store.checkpoints import CHECKPOINT, ROTATION
from ratchet.store.database import Database
from ratchet.store.entries import Chunk
from ratchet.store.erasure import ERASED
from ratchet.store.merkle import LEAF_PREFIX, NODE_PREFIX

_SPECIAL = {CHECKPOINT, ROTATION, ERASED}


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


class _Envelope(msgspec.Struct, gc=False):
    seq: int
    source: str
    id: str
    type: str
    subject: str
    pipeline: str
    causationid: str
    datadigest: str


class Special(Record, frozen=True):
    """An entry that says something about the ledger itself."""

    seq: int
    id: str
    type: str
    data: dict[str, Any]


class ChunkReport(Record, frozen=True):
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
    special: list[Special]
    missing: list[int]
    keys: list[tuple[str, str]]


_DECODE = msgspec.json.Decoder(_Envelope).decode
_SUBTREE = f"the hash that was kept of the {tree.TILE_LEAVES} entries from here on was changed, or they were"
_ENVELOPE, _SALT, _COLUMNS_FROM = 1, 3, 4
_COLUMNS = ("source", "id", "type", "subject", "pipeline", "cause")


def check_chunk(chunk: Chunk, sizes: Sequence[int], database: Database | None = None) -> ChunkReport:
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


def _check(chunk: Chunk, found: list[entries.Row], sizes: Sequence[int], database: Database | None) -> ChunkReport:
    leaves = [sha256(LEAF_PREFIX + row[1]).digest() for row in found]
    about = _Contents()
    with _without_collector():
        about.read(found)
    levels = _levels(leaves)
    # A checkpoint is the entry after those it covers.
    wanted = {len(leaves), *(size - chunk.start for size in sizes)}
    wanted |= {one.seq - 1 - chunk.start for one in about.special if one.type == CHECKPOINT}
    return ChunkReport(
        count=len(found),
        is_dense=about.is_dense,
        first=found[0][0] if found else 0,
        last=found[-1][0] if found else 0,
        subtrees={count: _subtrees(levels, count) for count in wanted if 0 <= count <= len(leaves)},
        findings=about.findings,
        hasty=[] if chunk.is_file else _not_as_kept(database or entries.opened(chunk.place), chunk, found, levels),
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
        self.special: list[Special] = []
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
                self.findings.append(gap(expected, seq))
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
                self.special.append(Special(seq=seq, id=entry.id, type=kind, data=data))


def gap(expected: int, found: int) -> Finding:
    """Return what is to be said where another number stands than the one that follows."""
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


def _not_as_kept(
    database: Database, chunk: Chunk, found: list[entries.Row], levels: list[list[bytes]]
) -> list[Finding]:
    """Compare the entries with the hashes that were kept of them when they were appended."""
    leaves, tiles = levels[0], levels[tree.TILE_LEVEL] if len(levels) > tree.TILE_LEVEL else []
    with database.read() as connection:
        kept = tree.leaves_between(connection, chunk.start, chunk.until)
        roots = tree.tile_roots(connection, chunk.start, chunk.until)
    if b"".join(leaves).startswith(kept):
        return [
            Finding(seq=chunk.start + number * tree.TILE_LEAVES + 1, id="", what=_SUBTREE)
            for number, (root, now) in enumerate(zip(roots, tiles, strict=False))
            if root != now
        ]
    by_number = {row[0]: (row, leaf) for row, leaf in zip(found, leaves, strict=True)}
    differing = []
    for number, leaf in enumerate(tree.split(kept), start=chunk.start + 1):
        row, now = by_number.get(number, (None, leaf))
        if row is not None and now != leaf:
            what = "its envelope was changed after it was appended: it has not the hash that was kept of it"
            differing.append(Finding(seq=number, id=str(row[5]), what=what))
    return differing
