"""What may go: artifacts that nothing needs any more, by a policy that is a setting, and rows of finished jobs.

Invariant: what anybody holds stays, and so does what was written within the hour or since the oldest job under way
began; what went is told in the ledger, also where the process that removed it was killed.
"""

import os
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock
from ratchet.config import RetentionSection
from ratchet.engine import jobs
from ratchet.errors import (
    ArtifactCorrupt,
    ArtifactsElsewhere,
    ArtifactsUnreachable,
    JobUnreadable,
)
from ratchet.loop import ray_steps, registry, stores
from ratchet.loop.holders import COLLECTING, Holders, read_holders, read_registered
from ratchet.loop.refusals import CollectionUnderWay, StoreAhead, StoreNotOurs
from ratchet.loop.resources import Resources
from ratchet.records import Event, Record, digest_of
from ratchet.store.artifacts import Stored

FINISHED_JOB_SECONDS = 86_400.0
YOUNG_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_LEASE_SECONDS = 600.0
_BATCH = 200
_REQUESTS_AT_ONCE = 8
_HINDRANCES = (ArtifactCorrupt, ArtifactsElsewhere, ArtifactsUnreachable, JobUnreadable, StoreAhead, StoreNotOurs)


class Amount(Record, frozen=True):
    """How many artifacts there are, and how large they are together."""

    count: int = 0
    size_bytes: int = 0


class Inventory(Record, frozen=True):
    """What a store has, and what of it would go.

    Attributes:
        address: The store.
        kept: What somebody holds, by kind; ``unnamed`` is what nobody does and is too young to go.
        going: What would go, by what it was.
        let_go: Registered versions that can no longer be loaded then.
        written_before: Nothing goes that was written since (UTC).
        artifacts: What would go, by sha256.
    """

    address: str
    kept: dict[str, Amount]
    going: dict[str, Amount]
    let_go: tuple[str, ...]
    written_before: datetime
    artifacts: tuple[Stored, ...]


class Collection(Record, frozen=True):
    """What was removed.

    Attributes:
        kinds: By what it was.
        let_go: Registered versions that can no longer be loaded.
        artifacts: Their sha256, sorted.
        event_id: Of the event that tells of it, ``""`` where nothing went.
    """

    removed: Amount
    kinds: dict[str, Amount]
    let_go: tuple[str, ...]
    artifacts: tuple[str, ...]
    event_id: str = ""


class _Lease(Record, frozen=True):
    """Who removes artifacts now, since when, and which: sha256 -> kind and size."""

    by: str = ""
    since_seconds: float = 0.0
    going: dict[str, tuple[str, int]] = msgspec.field(default_factory=dict)
    let_go: tuple[str, ...] = ()


def holders(resources: Resources) -> Holders:
    """Return who holds which artifact, by the settings in force.

    Raises:
        ArtifactCorrupt: A manifest is damaged, so that nobody can tell which data it needs.
        ArtifactsUnreachable: The store does not answer.
    """
    with resources.database.read() as connection:
        return read_holders(connection, resources.artifacts, resources.config.retention)


def place(resources: Resources) -> str:
    """Return what the store is called: its address, or ``artifacts`` where it is a folder of the workspace's own."""
    return resources.artifacts.address.partition("?")[0] if resources.config.project.artifacts else "artifacts"


def take_stock(resources: Resources, *, unnamed_days: float | None = None) -> Inventory:
    """Return what the store has, and what of it would go now.

    Args:
        unnamed_days: How old an artifact must be that nobody holds; by default as the settings say.

    Raises:
        ArtifactCorrupt, ArtifactsUnreachable: As for ``holders``.
    """
    return _take_stock(resources, unnamed_days)[0]


def _take_stock(resources: Resources, unnamed_days: float | None) -> tuple[Inventory, Holders, int]:
    """Return the inventory, what it rests on, and how long the ledger was before."""
    # Listed before holders are read: what is written and named in between is then not in the list, or held.
    listed = list(resources.artifacts.listed())
    limit = _limit(resources, unnamed_days)
    seq = resources.ledger.last_seq()
    known = holders(resources)
    kept: dict[str, Amount] = {}
    going: dict[str, Amount] = {}
    leaving: list[Stored] = []
    for one in listed:
        stays = known.keep(one.sha256) or one.written_seconds >= limit
        _add(kept if stays else going, known.kind(one.sha256), one.size_bytes)
        if not stays:
            leaving.append(one)
    stock = Inventory(
        address=place(resources),
        kept=kept,
        going=going,
        let_go=_let_go(resources, {one.sha256 for one in leaving}),
        written_before=datetime.fromtimestamp(limit, UTC),
        artifacts=tuple(leaving),
    )
    return stock, known, seq


def collect(resources: Resources, *, unnamed_days: float | None = None) -> Collection:
    """Remove what nobody holds and what is old enough; who needs it on any machine is in the database.

    Args:
        unnamed_days: How old an artifact must be that nobody holds; by default as the settings say.

    Raises:
        StoreNotOurs: Another workspace keeps artifacts there, too.
        StoreAhead: This database is older than what was removed there last.
        CollectionUnderWay: Another process does this just now.
        ArtifactCorrupt, ArtifactsUnreachable: As for ``holders``.
    """
    _refuse_foreign(resources)
    left = _take_lease(resources)
    try:
        stock, known, seq = _take_stock(resources, unnamed_days)
        going = {one.sha256: (known.kind(one.sha256), one.size_bytes) for one in stock.artifacts}
        lease = _Lease(
            by=_me(),
            since_seconds=clock.real_seconds(),
            going=left.going | going,
            let_go=tuple(sorted({*left.let_go, *stock.let_go})),
        )
        _write_lease(resources, lease)
        if going and (own := stores.workspace_id(resources.database)):
            resources.artifacts.enter(own, seq=resources.ledger.last_seq())
        limit = stock.written_before.timestamp()
        gone = _remove(resources, list(going), limit=limit, known=known, seq=seq)
        # What a killed process was about to remove and did remove is told of now.
        gone |= {sha256 for sha256 in left.going if not resources.artifacts.exists(sha256)}
        return _tell(resources, lease, gone, written_before=stock.written_before)
    except BaseException:
        _let_others(resources)
        raise


def tidy(resources: Resources) -> str:
    """Remove what may go, and leftovers; call it now and then.

    Returns:
        Why nothing could be removed, ``""`` where all is well.
    """
    try:
        ray_steps.tidy(resources)
        resources.artifacts.tidy(older_than_seconds=_DAY_SECONDS)
        collect(resources)
    except CollectionUnderWay:
        return ""
    except _HINDRANCES as error:
        return str(error)
    return ""


def prune_jobs(resources: Resources, *, older_than_seconds: float = FINISHED_JOB_SECONDS) -> int:
    """Forget finished jobs; once-only stands on the ledger's keys, not on their rows."""
    return resources.runs.prune(older_than_seconds=older_than_seconds)


# ---- what may go


def _limit(resources: Resources, unnamed_days: float | None) -> float:
    """Return the moment from which on nothing goes, real seconds since 1970."""
    days = resources.config.retention.unnamed_days if unnamed_days is None else unnamed_days
    limit = clock.real_seconds() - max(days * _DAY_SECONDS, YOUNG_SECONDS)
    with resources.database.read() as connection:
        begun = [job.created_seconds for job in jobs.unfinished(connection)]
    return min([limit, *begun])


def _let_go(resources: Resources, going: set[str]) -> tuple[str, ...]:
    """Return the registered versions that need one of these."""
    with resources.database.read() as connection:
        found = read_registered(connection, resources.config.retention)
    models = [one.name for one in found.versions if {one.artifact, one.holdout, one.profile} & going]
    return tuple(sorted([*models, *(one.name for one in found.datasets if one.manifest in going)]))


def _refuse_foreign(resources: Resources) -> None:
    own = stores.workspace_id(resources.database)
    others = set(resources.artifacts.workspaces()) - {own}
    if others:
        raise StoreNotOurs(address=place(resources), others=", ".join(sorted(others)))
    if own:
        seen, found = resources.artifacts.seq_of(own), resources.ledger.last_seq()
        if seen > found:
            raise StoreAhead(address=place(resources), seen=seen, found=found)


def _remove(resources: Resources, going: list[str], *, limit: float, known: Holders, seq: int) -> set[str]:
    gone: set[str] = set()
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="removal") as pool:
        for start in range(0, len(going), _BATCH):
            now = resources.ledger.last_seq()
            if now != seq:
                # Somebody did something meanwhile, such as promote an old version.
                known, seq = holders(resources), now
            batch = [sha256 for sha256 in going[start : start + _BATCH] if not known.keep(sha256)]
            removed = pool.map(partial(resources.artifacts.delete, written_before=limit), batch)
            gone.update(sha256 for sha256, is_gone in zip(batch, removed, strict=True) if is_gone)
    return gone


# ---- one process at a time, and its word in the ledger


def _take_lease(resources: Resources) -> _Lease:
    """Let this process alone remove artifacts, and return what one that was killed was about to remove."""
    now = clock.real_seconds()
    with resources.database.write() as transaction:
        kept = _read_lease(transaction)
        if kept.by and now - kept.since_seconds < _LEASE_SECONDS and _is_alive(kept.by):
            raise CollectionUnderWay(by=kept.by)
        _put_lease(transaction, msgspec.structs.replace(kept, by=_me(), since_seconds=now))
    return kept


def _tell(resources: Resources, lease: _Lease, gone: set[str], *, written_before: datetime) -> Collection:
    """Say in one transaction what has gone, and that nothing is being removed any more."""
    kinds: dict[str, Amount] = {}
    for sha256 in gone:
        _add(kinds, *lease.going[sha256])
    removed = _sum(kinds.values())
    with resources.database.read() as connection:
        registered = read_registered(connection, resources.config.retention)
    manifests = {one.name: {one.manifest} for one in registered.datasets}
    models = {one.name: {one.artifact, one.holdout, one.profile} for one in registered.versions}
    let_go = tuple(name for name in lease.let_go if (manifests | models).get(name, set()) & gone)
    event_id = ""
    with resources.database.write() as transaction:
        if gone:
            event = Event(
                type="artifacts.collected",
                subject=place(resources),
                data={
                    "removed": removed.count,
                    "size_bytes": removed.size_bytes,
                    "kinds": msgspec.to_builtins(kinds),
                    "let_go": list(let_go),
                    "written_before": written_before.isoformat(),
                    "policy": _policy(resources.config.retention),
                    "artifacts": digest_of(sorted(gone)),
                },
            )
            event_id = resources.ledger.append(transaction, event)[0].id
        registry.put_state(transaction, COLLECTING, None)
    return Collection(removed=removed, kinds=kinds, let_go=let_go, artifacts=tuple(sorted(gone)), event_id=event_id)


def _let_others(resources: Resources) -> None:
    """Give the right to remove back, and keep what was begun, for the next collection to tell of."""
    with resources.database.write() as transaction:
        _put_lease(transaction, msgspec.structs.replace(_read_lease(transaction), by=""))


def _write_lease(resources: Resources, lease: _Lease) -> None:
    with resources.database.write() as transaction:
        _put_lease(transaction, lease)


def _put_lease(transaction: Connection, lease: _Lease) -> None:
    registry.put_state(transaction, COLLECTING, msgspec.to_builtins(lease))


def _read_lease(connection: Connection) -> _Lease:
    return msgspec.convert(registry.state(connection, COLLECTING) or {}, _Lease)


def _me() -> str:
    return f"pid {os.getpid()} on {socket.gethostname()}"


def _is_alive(by: str) -> bool:
    """Tell whether a process may still run; of one on another machine nobody here knows."""
    _, pid, _, host = by.split(" ", 3)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ---- sums


def _add(amounts: dict[str, Amount], kind: str, size_bytes: int) -> None:
    before = amounts.get(kind, Amount())
    amounts[kind] = Amount(count=before.count + 1, size_bytes=before.size_bytes + size_bytes)


def _sum(amounts: Iterable[Amount]) -> Amount:
    listed = list(amounts)
    return Amount(count=sum(one.count for one in listed), size_bytes=sum(one.size_bytes for one in listed))


def _policy(section: RetentionSection) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(section)
    return values
