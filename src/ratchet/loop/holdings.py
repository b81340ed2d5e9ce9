"""What a workspace holds beside its database: the files and artifacts that rows name.

Invariant: whatever a registered version, a sealed day or an outcome needs is named here; what can be computed anew,
such as kept results of steps, is not.
"""

import re

import msgspec
from sqlalchemy import Connection, select

from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.loop import registry
from ratchet.loop.feedback import OutcomeBatch
from ratchet.loop.predictions import Segment
from ratchet.records import DatasetVersion, Record
from ratchet.store import schema
from ratchet.store.artifacts import Artifacts

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMING = (
    schema.run.c.record,
    schema.model_version.c.record,
    schema.dataset_version.c.record,
    schema.segment.c.record,
    schema.state.c.value,
)


class Holdings(Record, frozen=True):
    """What rows name.

    Attributes:
        named: Everything that looks like an artifact's sha256; not all of it is one.
        needed: Artifacts without which what serves could not serve, or the newest data could not be read.
        files: Sealed days and outcomes by their path in the state folder, with their sha256 where one is kept.
    """

    named: frozenset[str]
    needed: frozenset[str]
    files: dict[str, str]


def holdings(connection: Connection, artifacts: Artifacts) -> Holdings:
    """Return what the rows of a workspace name, and what the manifests of its datasets name in turn."""
    named: set[str] = set()
    for column in _NAMING:
        for text in connection.execute(select(column)).scalars():
            named.update(_DIGEST.findall(text))
    newest: dict[str, DatasetVersion] = {}
    inside: dict[str, set[str]] = {}
    for record in connection.execute(select(schema.dataset_version.c.record)).scalars():
        version = msgspec.json.decode(record, type=DatasetVersion)
        inside[version.manifest] = _parts(artifacts, version.manifest)
        if version.dataset not in newest or newest[version.dataset].number < version.number:
            newest[version.dataset] = version
    needed = {one.manifest for one in newest.values()}
    needed = needed.union(*(inside[manifest] for manifest in needed), _serving(connection))
    return Holdings(named=frozenset(named.union(*inside.values())), needed=frozenset(needed), files=_files(connection))


def _serving(connection: Connection) -> set[str]:
    """Return the artifacts of the versions that serve, and of those that are to."""
    live = registry.releases(connection, statuses=("live", "desired"))
    versions = [registry.model_version(connection, one.model_version) for one in live]
    return {digest for one in versions for digest in (one.artifact, one.profile)}


def _parts(artifacts: Artifacts, manifest: str) -> set[str]:
    try:
        return set(_DIGEST.findall(artifacts.read(manifest).decode(errors="ignore")))
    except (ArtifactMissing, ArtifactCorrupt):
        return set()


def _files(connection: Connection) -> dict[str, str]:
    segments = connection.execute(select(schema.segment.c.record)).scalars()
    sealed = [msgspec.json.decode(record, type=Segment) for record in segments]
    batches = connection.execute(select(schema.outcome_batch.c.record)).scalars()
    outcomes = [msgspec.json.decode(record, type=OutcomeBatch) for record in batches]
    return {one.file: one.sha256 for one in sealed} | {one.file: "" for one in outcomes}
