"""Checks a chunk of the ledger's entries, each by itself, and hashes them; several processes may each do some.

Invariant: what is found depends on the chunk alone, and aligned chunks fit together into one tree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from ratchet.catalogue import short_name
from ratchet.records import Record
from ratchet.store import entries, tree
from ratchet.store.checkpoints import CHECKPOINT, ROTATION
from ratchet.store.database import Database
from ratchet.store.entries import Chunk, Row
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
_ENVELOPE, _SOURCE, _ID = 1, 4, 5
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
    try:
        return _check(chunk, sizes, database)
    except TypeError:
        # SQLite lets anybody write text where bytes were; a look at each value would cost every reading.
        return _check(chunk, sizes, database, mended=_as_bytes)


def _as_bytes(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        values = row[_ENVELOPE:_SOURCE]
        yield row[0], *(None if value is None else tree.as_bytes(value) for value in values), *row[_SOURCE:]


def _check(
    chunk: Chunk,
    sizes: Sequence[int],
    database: Database | None,
    *,
    mended: Callable[[Iterable[Row]], Iterable[Row]] = lambda rows: rows,
) -> ChunkReport:
    about = _Contents(is_file=chunk.is_file)
    with entries.reading(chunk, database) as rows:
        about.read(mended(rows))
    leaves = about.leaves
    levels = _levels(leaves)
    # A checkpoint is the entry after those it covers.
    wanted = {len(leaves), *(size - chunk.start for size in sizes)}
    wanted |= {one.seq - 1 - chunk.start for one in about.special if one.type == CHECKPOINT}
    return ChunkReport(
        count=len(leaves),
        is_dense=about.is_dense,
        first=about.first,
        last=about.last,
        subtrees={count: _subtrees(levels, count) for count in wanted if 0 <= count <= len(leaves)},
        findings=about.findings,
        hasty=[] if chunk.is_file else _not_as_kept(database or entries.opened(chunk.place), chunk, levels),
        special=about.special,
        missing=about.missing,
        keys=about.keys,
    )


class _Contents:
    """What the entries of a chunk say, each checked by itself.

    Args:
        is_file: Whether they have no columns to be compared with, and their keys are wanted instead.
    """

    def __init__(self, *, is_file: bool) -> None:
        self.leaves: list[bytes] = []
        self.findings: list[Finding] = []
        self.special: list[Special] = []
        self.missing: list[int] = []
        self.keys: list[tuple[str, str]] = []
        self.first = self.last = 0
        self.is_dense = True
        self._is_file = is_file

    def read(self, rows: Iterable[Row]) -> None:
        """Look at each entry; this is done by the million, so it calls little."""
        names: dict[str, str] = {}
        is_file, expected = self._is_file, 0
        for seq, envelope, body, salt, source, identity, kind, subject, pipeline, cause in rows:
            self.leaves.append(sha256(LEAF_PREFIX + envelope).digest())
            if seq != expected:
                self._jump(expected, seq)
            expected = seq + 1
            try:
                entry = _DECODE(envelope)
            except msgspec.DecodeError as error:
                self.findings.append(Finding(seq=seq, id="", what=f"its envelope cannot be read ({error})"))
                continue
            name = names.get(entry.type)
            if name is None:
                name = names[entry.type] = short_name(entry.type)
            if is_file:
                self.keys.append((entry.source, entry.id))
            if entry.seq != seq:
                what = f"it stands at {seq}, and its envelope says {entry.seq}"
                self.findings.append(Finding(seq=seq, id=entry.id, what=what))
            elif not is_file and not (
                entry.id == identity
                and entry.subject == subject
                and entry.causationid == cause
                and entry.source == source
                and name == kind
                and entry.pipeline == pipeline
            ):
                self._other_columns(seq, entry, (source, identity, kind, subject, pipeline, cause))
            if body is None:
                self.missing.append(seq)
            elif sha256(salt + body).hexdigest() != entry.datadigest:
                what = "its payload is not the one that its envelope was written with"
                self.findings.append(Finding(seq=seq, id=entry.id, what=what))
            elif name in _SPECIAL:
                data = msgspec.json.decode(body)
                self.special.append(Special(seq=seq, id=entry.id, type=name, data=data))
        self.last = expected - 1 if self.leaves else 0

    def _jump(self, expected: int, seq: int) -> None:
        """Take in that an entry has not the number after the one before it; the first may have any."""
        if len(self.leaves) == 1:
            self.first = seq
        else:
            self.findings.append(gap(expected, seq))
            self.is_dense = False

    def _other_columns(self, seq: int, entry: _Envelope, columns: tuple[Any, ...]) -> None:
        kind = short_name(entry.type)
        said = (entry.source, entry.id, kind, entry.subject, entry.pipeline, entry.causationid)
        pairs = zip(_COLUMNS, columns, said, strict=True)
        name, column, other = next(one for one in pairs if one[1] != one[2])
        what = f"its column {name} says '{column}', and its envelope '{other}'"
        self.findings.append(Finding(seq=seq, id=entry.id, what=what))


def gap(expected: int, found: int) -> Finding:
    """Return what is to be said where another number stands than the one that follows."""
    if found < expected:
        return Finding(seq=found, id="", what="its number stands there twice, or out of order")
    which = f"entry {expected} is" if found == expected + 1 else f"entries {expected} to {found - 1} are"
    return Finding(seq=expected, id="", what=f"{which} missing")


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


def _not_as_kept(database: Database, chunk: Chunk, levels: list[list[bytes]]) -> list[Finding]:
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
    with entries.reading(chunk, database) as rows:
        by_number = {row[0]: (str(row[_ID]), leaf) for row, leaf in zip(rows, leaves, strict=True)}
    what = "its envelope was changed after it was appended: it has not the hash that was kept of it"
    return [
        Finding(seq=number, id=by_number[number][0], what=what)
        for number, leaf in enumerate(tree.split(kept), start=chunk.start + 1)
        if number in by_number and by_number[number][1] != leaf
    ]
