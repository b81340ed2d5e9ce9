"""A workspace's own store of artifacts: where the settings say, and known there as one of those who keep things in it.

Invariant: nothing is written to a place that stands in for a store that is not there, and whoever removes artifacts can
tell that another workspace may need them.
"""

from pathlib import Path
from typing import Any

from ratchet import clock
from ratchet.config import Config
from ratchet.errors import ArtifactsUnreachable
from ratchet.loop import registry
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


def open_shared_store(setting: str, config: Config, *, state: Path) -> Artifacts:
    """Open a store that a workspace's server has entered, by where it is on this machine.

    Raises:
        ArtifactsElsewhere: The folder is none that a workspace keeps artifacts in.
    """
    return open_artifacts(_address(setting, config, project=state, state=state))


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
