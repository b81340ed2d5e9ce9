"""The ledger's Merkle tree in the database: it grows in the transaction of each append, and gives roots and proofs.

Invariants: entry number n is leaf n - 1; a tile of 64 leaf hashes is written once, when it is full; what is kept here
proves nothing by itself, it says fast what a reading of all envelopes must come to.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from ratchet.errors import LedgerCut, LedgerDiffers, LedgerGap
from ratchet.records import Record
from ratchet.store import merkle
from ratchet.store.database import Database
from ratchet.store.merkle import HASH_BYTES, Frontier, hash_leaf
from ratchet.store.schema import ledger, ledger_tile, ledger_tree

TILE_LEVEL = 6
TILE_LEAVES = 1 << TILE_LEVEL
_TILE_BYTES = TILE_LEAVES * HASH_BYTES
_CATCH_UP_ENTRIES = 20_000
ONLY_ROW = 1
_LOAD = select(ledger_tree.c.size, ledger_tree.c.frontier, ledger_tree.c.leaves).where(ledger_tree.c.id == ONLY_ROW)
_LAST = select(func.coalesce(func.max(ledger.c.seq), 0))
_LAST_AND_STATE = _LOAD.add_columns(_LAST.scalar_subquery().label("last"))
_STORE = ledger_tree.update().where(ledger_tree.c.id == ONLY_ROW)


class State(Record, frozen=True):
    """How far the tree has grown.

    Attributes:
        size: Leaves so far.
        frontier: Roots of its complete subtrees, one after the other.
        leaves: Hashes of the leaves that fill no tile yet, one after the other.
    """

    size: int
    frontier: bytes
    leaves: bytes

    @property
    def is_whole(self) -> bool:
        """Tell whether it has as many hashes as a tree of its size; else somebody has changed the row."""
        subtrees, waiting = self.size.bit_count(), self.size % TILE_LEAVES
        return (len(self.frontier), len(self.leaves)) == (subtrees * HASH_BYTES, waiting * HASH_BYTES)

    @property
    def root(self) -> bytes:
        """Return the tree's root; only where it is whole."""
        return self.grown().root()

    def grown(self) -> Frontier:
        """Return the frontier, ready to grow."""
        return Frontier(self.size, split(self.frontier))


class Growth(Record, frozen=True):
    """What the tree becomes by some more leaves.

    Attributes:
        size: Leaves then.
        frontier: Roots of its complete subtrees then.
        leaves: Hashes of the leaves that fill no tile yet then.
        first_tile: Number of the first tile that becomes full.
        tiles: The hashes of each that does.
    """

    size: int
    frontier: bytes
    leaves: bytes
    first_tile: int
    tiles: list[bytes]


def split(hashes: bytes) -> list[bytes]:
    """Return hashes that stand one after the other."""
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


def load(connection: Connection) -> State | None:
    """Return how far the tree has grown, or ``None`` where its row was taken away."""
    row = connection.execute(_LOAD).first()
    return None if row is None else state_of(row)


def last_and_state(connection: Connection) -> tuple[int, State | None]:
    """Return the number of the last entry and how far the tree has grown, in one question: each append asks it."""
    row = connection.execute(_LAST_AND_STATE).first()
    return (last_seq(connection), None) if row is None else (row.last, state_of(row))


def state_of(row: Any) -> State:
    """Return how far the tree has grown, from the columns of its row."""
    return State(size=row.size, frontier=as_bytes(row.frontier), leaves=as_bytes(row.leaves))


def as_bytes(value: object) -> bytes:
    """Return bytes as they were kept; SQLite lets anybody write text where bytes were."""
    return value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]  # what drivers give


def growth(state: State | None, leaves: Sequence[bytes], *, first: int) -> Growth | None:
    """Return how the tree grows by the leaves of entries that are appended.

    A tree that is not as far as the ledger stays as it is: the next checkpoint brings it up to date, or says why not.

    Args:
        state: How far it has grown, read in the transaction that appends.
        leaves: Hashes of the leaves.
        first: Number of the first of these entries.
    """
    if state is None or state.size != first - 1 or not state.is_whole:
        return None
    frontier = state.grown()
    frontier.extend(leaves)
    waiting = state.leaves + b"".join(leaves)
    full = len(waiting) // _TILE_BYTES * _TILE_BYTES
    return Growth(
        size=frontier.size,
        frontier=b"".join(frontier.hashes),
        leaves=waiting[full:],
        first_tile=state.size // TILE_LEAVES,
        tiles=[waiting[start : start + _TILE_BYTES] for start in range(0, full, _TILE_BYTES)],
    )


def keep(transaction: Connection, growth: Growth) -> None:
    """Write down how the tree has grown."""
    keep_tiles(transaction, growth)
    state = {"size": growth.size, "frontier": growth.frontier, "leaves": growth.leaves}
    transaction.execute(_STORE, state)


def keep_tiles(transaction: Connection, growth: Growth) -> None:
    """Write down the tiles that have become full, for which there is mostly nothing to do."""
    if growth.tiles:
        rows = [
            {"number": number, "leaves": tile, "root": merkle.root_of(split(tile))}
            for number, tile in enumerate(growth.tiles, start=growth.first_tile)
        ]
        transaction.execute(ledger_tile.insert(), rows)


def catch_up(database: Database, *, report: Callable[[int], None] = lambda _size: None) -> None:
    """Bring the entries into the tree that are in the ledger from before there was a tree.

    Args:
        report: Called with the tree's size after each step.

    Raises:
        LedgerGap: A number is missing in the ledger.
        LedgerCut: The tree has more leaves than the ledger entries.
        LedgerDiffers: Somebody has changed the tree's row.
    """
    is_behind = True
    while is_behind:
        with database.write() as transaction:
            size = _step(transaction)
            is_behind = size < last_seq(transaction)
        report(size)


def up_to_date(transaction: Connection) -> State:
    """Return the tree's state, which stands for the whole ledger.

    Raises:
        LedgerGap: A number is missing in the ledger.
        LedgerCut: The tree has more leaves than the ledger entries.
        LedgerDiffers: Somebody has changed the tree's row.
    """
    while _step(transaction) < last_seq(transaction):
        pass
    state = load(transaction)
    assert state is not None, "the step has made the row"
    return state


def last_seq(connection: Connection) -> int:
    """Return the highest number in the ledger, 0 where it is empty."""
    return int(connection.execute(_LAST).scalar_one())


def _step(transaction: Connection) -> int:
    """Bring some entries into the tree; return its size."""
    state = load(transaction)
    if state is None:
        empty = State(size=0, frontier=b"", leaves=b"")
        transaction.execute(ledger_tree.insert(), {"id": ONLY_ROW, "size": 0, "frontier": b"", "leaves": b""})
        state = empty
    last = last_seq(transaction)
    if not state.is_whole:
        raise LedgerDiffers(where="its own tree", size=state.size)
    if state.size > last:
        raise LedgerCut(where="its own tree", expected=state.size, found=last)
    query = select(ledger.c.seq, ledger.c.envelope).where(ledger.c.seq > state.size).order_by(ledger.c.seq)
    rows = transaction.execute(query.limit(_CATCH_UP_ENTRIES)).all()
    for expected, row in enumerate(rows, start=state.size + 1):
        if row.seq != expected:
            raise LedgerGap(expected=expected, found=row.seq)
    if rows:
        grown = growth(state, [hash_leaf(bytes(row.envelope)) for row in rows], first=state.size + 1)
        assert grown is not None, "the rows begin where the tree ends"
        keep(transaction, grown)
    return state.size + len(rows)


# ---- roots and proofs


def subtree_root(connection: Connection, start: int, end: int) -> bytes:
    """Return the root of the leaves ``[start, end)``, computed from tiles.

    Args:
        start: A multiple of the smallest power of two that is not below ``end - start``.
        end: At most the tree's size.
    """
    frontier = Frontier()
    whole = range(-(-start // TILE_LEAVES), end // TILE_LEAVES) if end - start >= TILE_LEAVES else range(0)
    if whole:
        query = select(ledger_tile.c.root).where(ledger_tile.c.number >= whole.start, ledger_tile.c.number < whole.stop)
        for root in connection.execute(query.order_by(ledger_tile.c.number)).scalars():
            frontier.push(as_bytes(root), level=TILE_LEVEL)
    position = start + frontier.size
    if position < end:
        first = position // TILE_LEAVES
        leaves = _leaves_of_tile(connection, first)
        frontier.extend(leaves[position - first * TILE_LEAVES : end - first * TILE_LEAVES])
    assert frontier.size == end - start, "the tree has all leaves that are asked for"
    return frontier.root()


def root_at(connection: Connection, size: int) -> bytes:
    """Return the root that the tree had when it had so many leaves."""
    return subtree_root(connection, 0, size)


def prove_inclusion(connection: Connection, *, index: int, size: int) -> list[bytes]:
    """Return the hashes that prove that a leaf is in the tree of a size."""
    ranges = merkle.inclusion_ranges(index, size)
    return merkle.prove(ranges, lambda start, end: subtree_root(connection, start, end))


def prove_consistency(connection: Connection, *, first: int, second: int) -> list[bytes]:
    """Return the hashes that prove that the larger tree begins with the smaller; none where one is empty or all."""
    if first in (0, second):
        return []
    ranges = merkle.consistency_ranges(first, second)
    return merkle.prove(ranges, lambda start, end: subtree_root(connection, start, end))


def leaves_between(connection: Connection, start: int, end: int) -> bytes:
    """Return the hashes of the leaves ``[start, end)`` that are kept, one after the other, from where a tile begins.

    Args:
        start: A multiple of ``TILE_LEAVES``.
        end: Leaves from here on are left out; fewer may be kept than are asked for.
    """
    number, after_last = start // TILE_LEAVES, -(-end // TILE_LEAVES)
    # Two bare bounds: anything computed from the column would have the database read all tiles up to the last.
    query = select(ledger_tile.c.leaves).where(ledger_tile.c.number >= number, ledger_tile.c.number < after_last)
    found = [as_bytes(tile) for tile in connection.execute(query.order_by(ledger_tile.c.number)).scalars()]
    state = load(connection)
    if state is not None and state.size // TILE_LEAVES == number + len(found):
        found.append(state.leaves)
    return b"".join(found)[: (end - start) * HASH_BYTES]


def tile_roots(connection: Connection, start: int, end: int) -> list[bytes]:
    """Return the roots that are kept of the tiles whose leaves all lie in ``[start, end)``.

    Args:
        start: A multiple of ``TILE_LEAVES``.
        end: Where the last leaf is out.
    """
    numbers = ledger_tile.c.number
    query = select(ledger_tile.c.root).where(numbers >= start // TILE_LEAVES, numbers < end // TILE_LEAVES)
    return [as_bytes(root) for root in connection.execute(query.order_by(numbers)).scalars()]


def count_tiles(connection: Connection) -> int:
    """Return how many tiles are kept."""
    return int(connection.execute(select(func.count()).select_from(ledger_tile)).scalar_one())


def _leaves_of_tile(connection: Connection, number: int) -> list[bytes]:
    query = select(ledger_tile.c.leaves).where(ledger_tile.c.number == number)
    kept = connection.execute(query).scalar()
    if kept is not None:
        return split(as_bytes(kept))
    state = load(connection)
    return split(state.leaves) if state is not None and state.size // TILE_LEAVES == number else []
