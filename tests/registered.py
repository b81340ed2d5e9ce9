"""A registry filled by chance, and a look at whether all that is registered can still be loaded.

Invariant: the look knows rows and stores, and nothing of retention: what it misses is missing.
"""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.loop import datasets, registry
from ratchet.loop.resources import Resources
from ratchet.loop.step_cache import StepResult
from ratchet.records import DatasetVersion, ModelVersion, Release, Run
from ratchet.store import schema

TABLES = (
    schema.run,
    schema.model_version,
    schema.dataset_version,
    schema.release,
    schema.step_result,
    schema.state,
)
_LONG_AGO = 400


class Filler:
    """Writes rows and the artifacts that they name.

    Args:
        resources: An empty workspace's parts.
        seed: Of the chance.
    """

    def __init__(self, resources: Resources, seed: int) -> None:
        self._resources = resources
        self._chance = Random(seed)
        self._made = 0
        self._now = clock.now()
        self._datasets: dict[str, list[DatasetVersion]] = {}
        self._parts: list[str] = []
        self._versions: list[ModelVersion] = []

    def fill(self, *, runs: int) -> None:
        """Write dataset versions, runs with their versions, releases, kept results, samples and orphans, mixed."""
        for _ in range(runs):
            if not self._datasets or self._chance.random() < 0.4:
                self.add_dataset(self._chance.choice(["orders", "visits"]))
            self.add_run(self._chance.choice(["returns", "churn"]))
            if self._versions and self._chance.random() < 0.4:
                self.add_release(self._chance.choice(self._versions))
            if self._chance.random() < 0.3:
                self.add_result()
            if self._chance.random() < 0.2:
                self.add_state()
            self.write(b"orphan")

    def write(self, about: bytes) -> str:
        """Store bytes of their own."""
        self._made += 1
        return self._resources.artifacts.write(about + b" %d %d" % (self._made, self._chance.getrandbits(64)))

    def moment(self) -> datetime:
        """Return a moment of the last year and a bit."""
        return self._now - timedelta(days=self._chance.uniform(0, _LONG_AGO))

    def add_dataset(self, name: str) -> DatasetVersion:
        """Publish a version that may share parts with others."""
        parts = [self.write(b"rows") for _ in range(self._chance.randint(1, 3))]
        parts += self._chance.sample(self._parts, min(len(self._parts), 2))
        self._parts += parts
        manifest = datasets.Manifest(
            dataset=name,
            key="",
            time="",
            label="",
            arrives="",
            columns={"a": "BIGINT"},
            parts=tuple(
                datasets.Part(name=one, sha256=one, rows=1, format="csv", data_from="", data_until="") for one in parts
            ),
        )
        known = self._datasets.setdefault(name, [])
        version = DatasetVersion(
            dataset=name,
            number=len(known) + 1,
            manifest=self._resources.artifacts.write(_encode(manifest)),
            row_count=1,
            data_from="",
            data_until="",
            schema_digest="",
            parents=(),
            generated=False,
            published_at=self.moment(),
            event_id="",
        )
        known.append(version)
        with self._resources.database.write() as transaction:
            registry.add_dataset_version(transaction, version)
        return version

    def add_run(self, pipeline: str, *, status: str = "") -> Run:
        """Write a run, with the version that it registered where it ended well."""
        data = self._chance.choice([one for versions in self._datasets.values() for one in versions])
        model, holdout = self.write(b"model"), self.write(b"holdout")
        ended = status or self._chance.choice(["success", "success", "success", "failed", "queued", "running"])
        candidate = {"model": {"storer": "skops", "sha256": model}, "holdout": {"storer": "frame", "sha256": holdout}}
        run = Run(
            id=clock.new_id(),
            pipeline=pipeline,
            status=ended,
            parameters={},
            snapshot=self.write(b"code"),
            lock=self.write(b"libraries"),
            inputs={data.dataset: data.name},
            input_digests={data.dataset: data.manifest},
            seed=0,
            hardware={},
            queued_at=self.moment(),
            queued_event="",
            candidate=candidate if ended == "success" or self._chance.random() < 0.5 else None,
        )
        with self._resources.database.write() as transaction:
            registry.put_run(transaction, run)
            if ended == "success":
                self._add_version(transaction, run, model=model, holdout=holdout)
        return run

    def _add_version(self, transaction: Any, run: Run, *, model: str, holdout: str) -> None:
        version = ModelVersion(
            model=run.pipeline,
            number=registry.next_model_number(transaction, run.pipeline),
            run_id=run.id,
            pipeline=run.pipeline,
            artifact=model,
            storer="skops",
            inputs=(),
            output="probability",
            profile=self.write(b"profile"),
            holdout=holdout,
            label="a",
            data_until="",
            registered_at=run.queued_at,
            event_id="",
        )
        registry.add_model_version(transaction, version)
        self._versions.append(version)

    def add_release(self, version: ModelVersion) -> None:
        """Let a version serve, or have served, in place of another."""
        with self._resources.database.write() as transaction:
            live = registry.live_release(transaction, version.model)
            if live is not None:
                registry.put_release(transaction, msgspec.structs.replace(live, status="replaced"))
            registry.put_release(
                transaction,
                Release(
                    deployment_id=clock.new_id(),
                    endpoint=version.model,
                    environment="production",
                    model_version=version.name,
                    status="live",
                    previous=live.model_version if live else "",
                    requested_at=self._now,
                    shifted_at=self._now,
                ),
            )

    def add_result(self) -> None:
        """Keep a result of a step."""
        reference = {"tuple": [{"storer": "frame", "sha256": self.write(b"result")} for _ in range(2)]}
        key = clock.new_id()
        kept = StepResult(key=key, pipeline="returns", step="s", run_id="", reference=reference, made_at=self._now)
        with self._resources.database.write() as transaction:
            row = {"key": key, "used_us": 0, "record": _encode(kept).decode()}
            transaction.execute(schema.step_result.insert().values(**row))

    def add_state(self) -> None:
        """Let a row of no particular meaning name an artifact."""
        with self._resources.database.write() as transaction:
            registry.put_state(transaction, f"samples/{clock.new_id()}", [self.write(b"sample")])


def clear(resources: Resources) -> None:
    """Forget all rows and artifacts."""
    with resources.database.write() as transaction:
        for table in TABLES:
            transaction.execute(table.delete())
    for sha256 in list(resources.artifacts.all()):
        resources.artifacts.path(sha256).unlink()


def missing(
    resources: Resources, *, models: frozenset[str] | None = None, runs: frozenset[str] = frozenset()
) -> list[str]:
    """Return what is registered and cannot be loaded, each with what it lacks.

    Args:
        resources: The workspace's parts.
        models: Only these versions, and no dataset versions but what they were made from.
        runs: These runs as well, with all that they used and made.
    """
    look = _Look(resources)
    all_runs = {run.id: run for run in registry.runs(resources.database, limit=10**6)}
    for version in registry.model_versions(resources.database):
        if models is None or version.name in models:
            look.at(version.name, [version.artifact, version.holdout, version.profile])
            look.at_run(all_runs[version.run_id])
    for run_id in runs:
        look.at_run(all_runs[run_id], candidate=True)
    with resources.database.read() as connection:
        for record in connection.execute(schema.step_result.select()):
            look.at("kept result", _names(msgspec.json.decode(record.record)["reference"]))
        for row in connection.execute(schema.state.select()):
            if row.name.startswith("samples/"):
                look.at(row.name, msgspec.json.decode(row.value))
    for name in ("orders", "visits") if models is None else ():
        for one in registry.dataset_versions(resources.database, name):
            look.at_dataset(one.name, one.manifest)
    return look.missing


class _Look:
    def __init__(self, resources: Resources) -> None:
        self._artifacts = resources.artifacts
        self.missing: list[str] = []

    def at(self, who: str, digests: list[str]) -> None:
        for sha256 in digests:
            try:
                self._artifacts.read(sha256)
            except (ArtifactMissing, ArtifactCorrupt):
                self.missing.append(f"{who} lacks {sha256}")

    def at_dataset(self, who: str, manifest: str) -> None:
        self.at(who, [manifest])
        if self._artifacts.exists(manifest):
            listed = msgspec.json.decode(self._artifacts.read(manifest), type=datasets.Manifest)
            self.at(who, [part.sha256 for part in listed.parts])

    def at_run(self, run: Run, *, candidate: bool = False) -> None:
        self.at(run.id, [run.snapshot, run.lock])
        for name, manifest in run.input_digests.items():
            self.at_dataset(f"{run.id} {name}", manifest)
        if candidate:
            self.at(run.id, _names(run.candidate))


def _names(reference: Any) -> list[str]:
    if isinstance(reference, dict):
        own = [reference["sha256"]] if "sha256" in reference else []
        return own + [one for value in reference.values() for one in _names(value)]
    return [one for item in reference for one in _names(item)] if isinstance(reference, list) else []


def _encode(record: Any) -> bytes:
    return msgspec.json.encode(record)
