"""The Merkle tree of RFC 6962: hashes, roots, inclusion and consistency proofs; it knows no database and no events.

Invariant: a proof is accepted only if each of its hashes is used and the roots that come out are the roots given; a
leaf can never be taken for a node, because their hashes begin with different bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = sha256(b"").digest()

Range = tuple[int, int]


def hash_leaf(entry: bytes) -> bytes:
    """Return the hash of an entry, 32 bytes.

    Source: RFC 6962, section 2.1.
    """
    return sha256(LEAF_PREFIX + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children, 32 bytes.

    Source: RFC 6962, section 2.1.
    """
    return sha256(NODE_PREFIX + left + right).digest()


class Frontier:
    """The roots of the complete subtrees that a growing tree consists of: all that is needed to let it grow.

    A tree of 2**a + 2**b + ... leaves is a subtree of 2**a leaves, one of 2**b, and so on; so at most 64 hashes stand
    for any ledger.

    Args:
        size: Leaves so far.
        hashes: Roots of the complete subtrees, the largest first, as many as ``size`` has binary ones.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        assert size.bit_count() == len(hashes), "one hash for each binary one of the size"
        self.size = size
        self.hashes = list(hashes)

    def push(self, node: bytes, *, level: int = 0) -> None:
        """Append a leaf, or a complete subtree of ``2**level`` leaves that begins at a multiple of its size."""
        hashes = self.hashes
        carry = self.size >> level
        assert carry << level == self.size, "a subtree begins at a multiple of its size"
        while carry & 1:
            node = sha256(NODE_PREFIX + hashes.pop() + node).digest()
            carry >>= 1
        hashes.append(node)
        self.size += 1 << level

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaves by their hashes."""
        hashes, size = self.hashes, self.size
        for leaf in leaves:
            node, carry = leaf, size
            while carry & 1:
                node = sha256(NODE_PREFIX + hashes.pop() + node).digest()
                carry >>= 1
            hashes.append(node)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """Return the root of the tree, 32 bytes."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = hash_node(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of a tree of these leaf hashes, 32 bytes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


# ---- proofs: which subtrees they consist of


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the subtrees ``[start, end)`` whose roots prove that a leaf is in a tree, from the leaf upwards.

    Args:
        index: Of the leaf, from 0.
        size: Leaves of the tree, more than ``index``.

    Source: RFC 6962, section 2.1.1.
    """
    assert 0 <= index < size, "the leaf lies in the tree"
    found: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """Return the subtrees whose roots prove that a tree of ``second`` leaves begins with one of ``first``.

    Args:
        first: Leaves of the smaller tree, at least 1.
        second: Leaves of the larger one.

    Source: RFC 6962, section 2.1.2.
    """
    assert 1 <= first <= second, "the smaller tree has leaves, and comes first"
    found: list[Range] = []
    start, end, is_whole = 0, second, True
    while first < end:
        middle = start + _split(end - start)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, is_whole = middle, False
    if not is_whole:
        found.append((start, end))
    return found[::-1]


def _split(count: int) -> int:
    """Return the largest power of two below a number."""
    return 1 << ((count - 1).bit_length() - 1)


def prove(ranges: Iterable[Range], subtree: Callable[[int, int], bytes]) -> list[bytes]:
    """Return the hashes of a proof, given what computes the root of the leaves ``[start, end)``."""
    return [subtree(start, end) for start, end in ranges]


# ---- proofs: checking them


def is_included(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows that a leaf stands at an index of the tree with this root.

    Args:
        leaf: The leaf's hash.
        index: From 0.
        size: Leaves of the tree.
        proof: Hashes from the leaf's sibling up to the root's child.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = hash_node(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = hash_node(found, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(*, first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Tell whether a proof shows that the tree of ``second`` leaves begins with the tree of ``first`` leaves.

    Every tree begins with the empty one, and with itself; both need an empty proof.

    Source: RFC 9162, section 2.1.4.2.
    """
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        expected = EMPTY_ROOT if first == 0 else second_root
        return not proof and first_root == expected
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    older = newer = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = hash_node(node, older), hash_node(node, newer)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            newer = hash_node(newer, node)
        position, last = position >> 1, last >> 1
    return last == 0 and older == first_root and newer == second_root
