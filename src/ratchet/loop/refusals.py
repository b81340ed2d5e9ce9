"""Errors that only the loop raises: artifacts that are not removed, steps that a cluster does not carry out.

Invariant: like all others, each says what was refused, why, and what to do; none leaves anything half removed.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class StoreNotOurs(RatchetError):
    """Artifacts were to be removed from a store in which other workspaces keep theirs."""

    address: str
    others: str
    template: ClassVar[str] = (
        "Nothing was removed from {address}: other workspaces keep artifacts there as well ({others}), and nobody here "
        "knows what they need. Give each workspace a folder or prefix of its own; ratchet artifacts copy FROM brings "
        "over what is there."
    )


@dataclass
class StoreAhead(RatchetError):
    """Artifacts were to be removed by a workspace whose database is older than the store."""

    address: str
    seen: int
    found: int
    template: ClassVar[str] = (
        "Nothing was removed from {address}: when artifacts were removed there last, this workspace's ledger had "
        "{seen} entries, and here it has {found}. This is an older copy, which does not know what was written since. "
        "Give a copy a store of its own: [project] artifacts in ratchet.toml."
    )


@dataclass
class CollectionUnderWay(RatchetError):
    """Artifacts are being removed by another process."""

    by: str
    template: ClassVar[str] = (
        "Another process ({by}) is removing artifacts just now. Nothing was done here; ask again in a few minutes."
    )


@dataclass
class RayUnusable(RatchetError):
    """A step was to be carried out on a Ray cluster, and was not."""

    step: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Step '{step}' was not carried out on Ray: {problem}. {remedy}"
