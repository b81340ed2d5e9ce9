"""The tree that grows and its proofs, against the definition of RFC 6962 written down naively."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.store import merkle
from ratchet.store.merkle import Frontier, hash_leaf, root_of

sizes = st.integers(1, 200)


def leaves(count: int) -> list[bytes]:
    """Return the leaf hashes of some entries."""
    return [hash_leaf(str(number).encode()) for number in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """Return MTH of RFC 6962, section 2.1, as it stands there."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return sha256(b"\x01" + naive_root(hashes[:half]) + naive_root(hashes[half:])).digest()


@given(st.lists(st.integers(0, 40), max_size=8))
def test_growing_in_any_steps_gives_the_naive_root(steps: list[int]) -> None:
    """However a tree grows, and however often it is put away in between, its root is that of the definition."""
    hashes = leaves(sum(steps))
    frontier, done = Frontier(), 0
    for step in steps:
        frontier.extend(hashes[done : done + step])
        done += step
        frontier = Frontier(frontier.size, frontier.hashes)
        assert frontier.root() == naive_root(hashes[:done])


@given(st.integers(0, 20), st.integers(0, 7))
def test_subtrees_may_be_appended_as_a_whole(blocks: int, rest: int) -> None:
    """Whole subtrees of eight leaves and single leaves give the same tree as all leaves one by one."""
    hashes = leaves(blocks * 8 + rest)
    frontier = Frontier()
    for number in range(blocks):
        frontier.push(root_of(hashes[number * 8 : number * 8 + 8]), level=3)
    frontier.extend(hashes[blocks * 8 :])
    assert (frontier.size, frontier.root()) == (len(hashes), naive_root(hashes))


@given(st.data(), sizes)
def test_inclusion_is_shown_for_the_leaf_and_for_nothing_else(data: st.DataObject, size: int) -> None:
    """A proof is accepted as it is, and not for another leaf, place, size or root, nor with any hash changed."""
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root = naive_root(hashes)
    proof = merkle.prove(merkle.inclusion_ranges(index, size), lambda start, end: naive_root(hashes[start:end]))
    claim = {"index": index, "size": size, "proof": proof, "root": root}

    def holds(leaf: bytes = hashes[index], **changes: object) -> bool:
        return merkle.is_included(leaf, **(claim | changes))  # type: ignore[arg-type]  # what is drawn fits

    assert holds()
    assert not holds(hash_leaf(b"another"))
    assert not holds(root=hash_leaf(b"another"))
    assert not holds(proof=[*proof, root])
    assert not holds(proof=[root, *proof])
    assert not holds(size=2 * size)
    assert not holds(index=data.draw(st.integers(-1, size).filter(lambda other: other != index)))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=[*proof[:place], *proof[place + 1 :]])
        assert not holds(proof=[*proof[:place], root, *proof[place + 1 :]])


@given(st.data(), sizes)
@settings(max_examples=150)
def test_consistency_is_shown_for_the_beginning_and_for_nothing_else(data: st.DataObject, second: int) -> None:
    """A proof is accepted for the true beginning, and refused for another one, or with any hash changed."""
    first = data.draw(st.integers(1, second))
    hashes = leaves(second)
    roots = {"first_root": naive_root(hashes[:first]), "second_root": naive_root(hashes)}
    proof = merkle.prove(merkle.consistency_ranges(first, second), lambda start, end: naive_root(hashes[start:end]))
    claim = {"first": first, "second": second, "proof": proof, **roots}

    def holds(**changes: object) -> bool:
        return merkle.is_consistent(**(claim | changes))  # type: ignore[arg-type]  # what is drawn fits

    assert holds()
    assert not holds(proof=[*proof, roots["second_root"]])
    edited = [*hashes[: first - 1], hash_leaf(b"edited"), *hashes[first:]]
    assert not holds(first_root=naive_root(edited[:first]))
    assert not holds(second_root=naive_root(edited))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=[*proof[:place], *proof[place + 1 :]])
        assert not holds(proof=[*proof[:place], hash_leaf(b"another"), *proof[place + 1 :]])
