"""A workspace's own store of artifacts: where the settings say, and known there as one of those who keep things in it.

Invariant: nothing is written to a place that stands in for a store that is not there, and whoever removes artifacts can
tell that another workspace may need them.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet import clock
from ratchet.config import Config
from ratchet.errors import ArtifactCorrupt, ArtifactsUnreachable
from ratchet.loop import registry
from ratchet.loop.resources import Resources
from ratchet.records import Record
from ratchet.store.addresses import address_of, folder_of, open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database

_GIGABYTE = 1 << 30
_STATE = "artifacts/store"


def open_store(config: Config, *, project: Path, state: Path, database: Database) -> Artifacts:
    """Open the store that the settings name, and leave word there that this workspace uses it.

    Args:
        config: The project's settings.
        project: Its folder.
        state: The folder of this machine's state.
        database: The workspace's.

    Raises:
        ArtifactsUnreachable: There is no such folder, or the storage does not answer or refuses.
        ArtifactsElsewhere: There is a folder, and it is not the one that was used before.
    """
    address = _address(config.project.artifacts, config, project=project, state=state)
    if config.project.artifacts:
        _enter(address, database)
    return open_artifacts(address)


def open_own_store(config: Config, *, project: Path, state: Path) -> Artifacts:
    """Open the store of a workspace whose server has its folder on this machine."""
    return open_artifacts(_address(config.project.artifacts, config, project=project, state=state))


def open_shared_store(setting: str, config: Config, *, state: Path) -> Artifacts:
    """Open a store that a workspace's server has entered, by where it is on this machine.

    Raises:
        ArtifactsElsewhere: The folder is none that a workspace keeps artifacts in.
    """
    return open_artifacts(_address(setting, config, project=state, state=state))


class Copied(Record, frozen=True):
    """What came of copying a store.

    Attributes:
        copied, present: How many artifacts were copied, and how many were there already.
        damaged: Those that were not copied, because their bytes are not those that were stored.
    """

    copied: int
    present: int
    damaged: tuple[str, ...]


def copy_from(source: str, resources: Resources, *, report: Callable[[int, int], None]) -> Copied:
    """Copy all artifacts of another store into the workspace's own.

    Args:
        source: A folder or ``s3://BUCKET/PREFIX``.
        resources: The workspace's parts.
        report: Called for each artifact with how many were looked at and how many there are.

    Raises:
        ArtifactsUnreachable: There is no such folder, or one of the stores does not answer.
    """
    into, copied, present, damaged = resources.artifacts, 0, 0, []
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        other = _open_source(source, state=Path(folder))
        names = list(other.all())
        there = set(into.all())
        for done, sha256 in enumerate(names):
            report(done, len(names))
            if sha256 in there:
                present += 1
                continue
            try:
                into.write_file(other.checked_path(sha256))
                copied += 1
            except ArtifactCorrupt:
                damaged.append(sha256)
    return Copied(copied=copied, present=present, damaged=tuple(damaged))


def _open_source(source: str, *, state: Path) -> Artifacts:
    address = address_of(source, project=Path.cwd(), state=state, cache_bytes=_GIGABYTE)
    folder = folder_of(address)
    if folder is None:
        return open_artifacts(address)
    if not folder.is_dir():
        raise ArtifactsUnreachable(
            address=str(folder), problem="there is no such folder", remedy="Name the one that has the artifacts."
        )
    return Artifacts(folder)


def _address(setting: str, config: Config, *, project: Path, state: Path) -> str:
    cache_bytes = int(config.retention.cache_gb * _GIGABYTE)
    return address_of(setting, project=project, state=state, cache_bytes=cache_bytes)


def workspace_id(database: Database) -> str:
    """Return the name by which this workspace is known in a shared store, ``""`` where it uses none."""
    with database.read() as connection:
        known: dict[str, Any] = registry.state(connection, _STATE, {})
    return str(known.get("workspace", ""))


def _enter(address: str, database: Database) -> None:
    """Leave word once; from then on a folder without that word is another one."""
    place = address.partition("?")[0]
    with database.read() as connection:
        known: dict[str, Any] = registry.state(connection, _STATE, {})
    if known.get("place") == place:
        return
    folder = folder_of(address)
    if folder is not None and not folder.is_dir():
        remedy = "Make it, or mount the disk that has it."
        raise ArtifactsUnreachable(address=str(folder), problem="there is no such folder", remedy=remedy)
    with database.write() as transaction:
        known = registry.state(transaction, _STATE, {})
        # Named in a transaction of its own: two processes that begin at once must use one name.
        name = known.get("workspace") or clock.new_id()
        registry.put_state(transaction, _STATE, {"workspace": name, "place": ""})
    store = Artifacts(folder) if folder is not None else open_artifacts(address)
    store.enter(name)
    with database.write() as transaction:
        registry.put_state(transaction, _STATE, {"workspace": name, "place": place})
