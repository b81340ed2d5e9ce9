"""The Merkle tree against what others have published.

Sources: leaves, roots and proofs of github.com/transparency-dev/merkle (testonly/constants.go and testdata), which go
back to the reference implementation of Certificate Transparency; the two digests over all subtrees of trees of up to
130 leaves are those of "Subtree Test Vectors" in draft-ietf-plants-merkle-tree-certs.
"""

import hashlib
from base64 import b64decode
from collections.abc import Iterator

import pytest

from ratchet.store import merkle
from ratchet.store.merkle import Frontier, hash_leaf, root_of

ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
LEAVES = [hash_leaf(entry) for entry in ENTRIES]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MANY = [hash_leaf(bytes([number])) for number in range(130)]


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots_are_those_that_were_published(size: int) -> None:
    """A tree has the published root at each size, also the empty one."""
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


def test_a_frontier_has_the_published_subtrees() -> None:
    """A tree of seven leaves consists of a subtree of four, one of two and one of one."""
    frontier = Frontier()
    frontier.extend(LEAVES[:7])
    assert [one.hex()[:8] for one in frontier.hashes] == ["d37ee418", "0ebc5d34", "b08693ec"]


def subtrees() -> Iterator[tuple[int, int]]:
    """Give the subtrees that the draft's vectors go through, in their order."""
    for end in range(1, len(MANY) + 1):
        for start in range(end):
            if start % (1 << (end - start - 1).bit_length()) == 0:
                yield start, end


def test_every_subtree_has_its_published_root() -> None:
    """The roots of all subtrees of trees of up to 130 leaves have the published digest."""
    digest = hashlib.sha256()
    for start, end in subtrees():
        digest.update(f"[{start}, {end}) {root_of(MANY[start:end]).hex()}\n".encode())
    assert digest.hexdigest() == "94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f"


def test_every_inclusion_proof_is_the_published_one() -> None:
    """The inclusion proofs of each leaf in each of these subtrees have the published digest."""
    roots = {place: root_of(MANY[place[0] : place[1]]) for place in subtrees()}
    digest = hashlib.sha256()
    for start, end in subtrees():
        for index in range(end - start):
            ranges = merkle.inclusion_ranges(index, end - start)
            proof = merkle.prove(ranges, lambda a, b, start=start: roots[start + a, start + b])  # type: ignore[misc]  # the lambda's default is an int
            line = "".join(f" {one.hex()}" for one in proof)
            digest.update(f"{start + index} [{start}, {end}){line}\n".encode())
    assert digest.hexdigest() == "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"


def test_a_published_inclusion_proof_is_made_and_accepted() -> None:
    """The second of five leaves."""
    published = [
        "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
        "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
        "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
    ]
    proof = merkle.prove(merkle.inclusion_ranges(1, 5), lambda start, end: root_of(LEAVES[start:end]))
    assert proof == [b64decode(one) for one in published]
    assert merkle.is_included(LEAVES[1], index=1, size=5, proof=proof, root=bytes.fromhex(ROOTS[5]))


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        (2, 5, ["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="]),
        (
            6,
            7,
            [
                "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
                "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
                "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
            ],
        ),
    ],
)
def test_a_published_consistency_proof_is_made_and_accepted(first: int, second: int, published: list[str]) -> None:
    """From two leaves to five, and from six to seven."""
    proof = merkle.prove(merkle.consistency_ranges(first, second), lambda start, end: root_of(LEAVES[start:end]))
    assert proof == [b64decode(one) for one in published]
    roots = {"first_root": bytes.fromhex(ROOTS[first]), "second_root": bytes.fromhex(ROOTS[second])}
    assert merkle.is_consistent(first=first, second=second, proof=proof, **roots)
    swapped = {"first_root": roots["second_root"], "second_root": roots["first_root"]}
    assert not merkle.is_consistent(first=first, second=second, proof=proof, **swapped)


def test_the_empty_tree_and_the_tree_itself_need_no_proof() -> None:
    """Every tree begins with the empty one and with itself; a hash too many is refused there as well."""
    root = bytes.fromhex(ROOTS[5])
    assert merkle.is_consistent(first=0, second=5, proof=[], first_root=merkle.EMPTY_ROOT, second_root=root)
    assert not merkle.is_consistent(first=0, second=5, proof=[], first_root=root, second_root=root)
    assert merkle.is_consistent(first=5, second=5, proof=[], first_root=root, second_root=root)
    assert not merkle.is_consistent(first=5, second=5, proof=[root], first_root=root, second_root=root)
    assert not merkle.is_consistent(first=3, second=5, proof=[], first_root=root, second_root=root)


def test_a_node_is_no_leaf() -> None:
    """Two hashes as an entry have another hash than the node over them: the tree cannot be told shorter."""
    assert hash_leaf(LEAVES[0] + LEAVES[1]) != merkle.hash_node(LEAVES[0], LEAVES[1])
