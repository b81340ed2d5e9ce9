"""Which artifacts are held, as what, and by whom: versions, runs, releases, kept results, jobs under way, other rows.

Invariant: whatever the registry can still load is held; a table that is not known here holds whatever its rows name.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, String, Table, select

from ratchet import clock
from ratchet.config import RetentionSection
from ratchet.engine import jobs
from ratchet.errors import ArtifactMissing
from ratchet.loop import registry, step_cache
from ratchet.loop.datasets import Manifest
from ratchet.records import DatasetVersion, ModelVersion, Record, Release, Run
from ratchet.store import schema
from ratchet.store.artifacts import Artifacts

R = TypeVar("R", bound=Record)

# A manifest never changes, so it is read once.
_known_parts: dict[str, tuple[str, ...]] = {}

COLLECTING = "artifacts/collecting"
UNNAMED = "unnamed"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ("queued", "running")
# Their rows are read one by one below, by what they mean.
_READ_BY_MEANING = (
    schema.run,
    schema.model_version,
    schema.dataset_version,
    schema.step_result,
)
# What happened, and what was folded out of it: it tells of artifacts and does not need them.
_TOLD_ONLY = (
    schema.ledger,
    schema.payload,
    schema.ledger_tree,
    schema.ledger_tile,
    schema.pseudonym,
    schema.transition,
    schema.transition_fold,
    schema.projection,
    schema.standing,
    schema.answer,
)


class Hold(Record, frozen=True):
    """One reason to keep an artifact, or one that has passed.

    Attributes:
        kind: What the artifact is for it, such as ``model``.
        by: Who holds it, such as ``flight-delay@v7``.
        keeps: Whether it still counts: what held an artifact for its time says so and no longer keeps it.
    """

    kind: str
    by: str
    keeps: bool


class Holders:
    """Who holds which artifact."""

    def __init__(self) -> None:
        self._holds: dict[str, list[Hold]] = {}

    def add(self, kind: str, by: str, digests: Iterable[str], *, keeps: bool = True) -> None:
        """Add a holder of artifacts; an empty digest names none."""
        for sha256 in digests:
            if sha256:
                self._holds.setdefault(sha256, []).append(Hold(kind=kind, by=by, keeps=keeps))

    def of(self, sha256: str) -> list[Hold]:
        """Return who holds an artifact, those that keep it first."""
        return sorted(self._holds.get(sha256, []), key=lambda hold: not hold.keeps)

    def keep(self, sha256: str) -> bool:
        """Tell whether anybody keeps an artifact."""
        return any(hold.keeps for hold in self._holds.get(sha256, []))

    def kind(self, sha256: str) -> str:
        """Return what an artifact is: for the first who keeps it, else for the first who ever held it."""
        return next((hold.kind for hold in self.of(sha256)), UNNAMED)


class Registered(Record, frozen=True):
    """What the registry has rows of, and which of these are kept.

    Attributes:
        kept_versions: Names of model versions.
        kept_runs: Ids.
        kept_datasets: Digests of manifests.
    """

    versions: tuple[ModelVersion, ...]
    runs: tuple[Run, ...]
    datasets: tuple[DatasetVersion, ...]
    kept_versions: frozenset[str]
    kept_runs: frozenset[str]
    kept_datasets: frozenset[str]


def read_holders(connection: Connection, artifacts: Artifacts, policy: RetentionSection) -> Holders:
    """Return who holds which artifact, by a policy.

    Raises:
        ArtifactCorrupt: A manifest is damaged, so that nobody can tell which data it needs.
        ArtifactsUnreachable: It is needed from a store that does not answer.
        JobUnreadable: Nobody can tell what a job under way needs.
    """
    found = read_registered(connection, policy)
    holders = Holders()
    for version in found.versions:
        keeps = version.name in found.kept_versions
        parts = (("model", version.artifact), ("holdout", version.holdout), ("profile", version.profile))
        for kind, sha256 in parts:
            holders.add(kind, version.name, [sha256], keeps=keeps)
    makers = {version.run_id: version.name for version in found.versions if version.name in found.kept_versions}
    for run in found.runs:
        by, keeps = f"run {run.id[:8]}", run.id in found.kept_runs or run.id in makers
        holders.add("code", by, [run.snapshot], keeps=keeps)
        holders.add("libraries", by, [run.lock], keeps=keeps)
        holders.add("log", by, [run.log.sha256 if run.log else ""], keeps=keeps)
        named = _DIGEST.findall(msgspec.json.encode(run.candidate or {}).decode())
        holders.add("candidate", by, named, keeps=run.id in found.kept_runs)
    for dataset in found.datasets:
        keeps = dataset.manifest in found.kept_datasets
        holders.add("manifest", dataset.name, [dataset.manifest], keeps=keeps)
        holders.add("data", dataset.name, _parts(artifacts, dataset.manifest), keeps=keeps)
    holders.add("step result", "results that runs may take", step_cache.held(connection))
    holders.add("under way", "jobs that are not finished", jobs.digests(connection))
    for table in _other_tables():
        holders.add("other", f"table {table.name}", _named(connection, table))
    return holders


def read_registered(connection: Connection, policy: RetentionSection) -> Registered:
    """Return what the registry has rows of, and which of these a policy keeps."""
    young = clock.now() - timedelta(days=policy.days)
    versions = _records(connection, schema.model_version, ModelVersion)
    runs = _records(connection, schema.run, Run)
    datasets = _records(connection, schema.dataset_version, DatasetVersion)
    kept_versions = _kept_versions(versions, registry.releases(connection), policy, young=young)
    kept_runs = {run.id for run in runs if run.status in _UNFINISHED or run.queued_at >= young}
    for pipeline in {run.pipeline for run in runs}:
        of_pipeline = sorted((run for run in runs if run.pipeline == pipeline), key=lambda run: run.queued_at)
        kept_runs.update(run.id for run in of_pipeline[-policy.runs :])
    makers = {version.run_id for version in versions if version.name in kept_versions}
    used = {digest for run in runs if run.id in kept_runs or run.id in makers for digest in run.input_digests.values()}
    newest = {one.dataset: one.manifest for one in sorted(datasets, key=lambda one: one.number)}
    used.update(newest.values())
    used.update(one.manifest for one in datasets if policy.datasets == "all" or one.published_at >= young)
    return Registered(
        versions=tuple(versions),
        runs=tuple(runs),
        datasets=tuple(datasets),
        kept_versions=frozenset(kept_versions),
        kept_runs=frozenset(kept_runs),
        kept_datasets=frozenset(used),
    )


def _kept_versions(
    versions: Sequence[ModelVersion], releases: Sequence[Release], policy: RetentionSection, *, young: datetime
) -> set[str]:
    if policy.models == "all":
        return {version.name for version in versions}
    now = [one for one in releases if one.status in ("live", "desired")]
    kept = {name for one in now for name in (one.model_version, one.previous)}
    if policy.models == "served":
        kept.update(one.model_version for one in releases if one.shifted_at is not None)
    kept.update(version.name for version in versions if version.registered_at >= young)
    for model in {version.model for version in versions}:
        of_model = sorted((one for one in versions if one.model == model), key=lambda one: one.number)
        kept.update(one.name for one in of_model[-policy.runs :])
    return kept


def _records(connection: Connection, table: Table, kind: type[R]) -> list[R]:
    return [msgspec.json.decode(text, type=kind) for text in connection.execute(select(table.c.record)).scalars()]


def _parts(artifacts: Artifacts, manifest: str) -> tuple[str, ...]:
    """Return the data parts of a version; of one that was let go nobody needs to know them."""
    if manifest not in _known_parts:
        try:
            content = artifacts.read(manifest)
        except ArtifactMissing:
            return ()
        _known_parts[manifest] = tuple(part.sha256 for part in msgspec.json.decode(content, type=Manifest).parts)
    return _known_parts[manifest]


def _other_tables() -> list[Table]:
    known = {table.name for table in (*_READ_BY_MEANING, *_TOLD_ONLY)}
    return [table for table in schema.metadata.sorted_tables if table.name not in known]


def _named(connection: Connection, table: Table) -> set[str]:
    """Return everything in a table's texts that looks like a digest: one too many does no harm."""
    columns: list[Any] = [column for column in table.c if isinstance(column.type, String)]
    query = select(*columns)
    if table is schema.state:
        query = query.where(table.c.name != COLLECTING)
    return {
        digest for row in connection.execute(query) for text in row if text for digest in _DIGEST.findall(str(text))
    }
