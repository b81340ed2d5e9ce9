"""Datasets: files watched by digest, rows that the loop generates, and immutable versions of both.

Invariant: a version is a list of content-addressed parts and never changes; a file that breaks the dataset's contract
never becomes part of one.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock, origin
from ratchet.config import DatasetSection
from ratchet.errors import DataRefused, NoData, NoTimeColumn, UnknownName
from ratchet.loop import registry
from ratchet.loop.contracts import Contract, FileFacts, format_of, look, reader
from ratchet.loop.frames import arrays_of, connect, quoted
from ratchet.loop.resources import Resources
from ratchet.records import DatasetVersion, Event, Record, derive_id
from ratchet.store.artifacts import Artifacts, hash_file
from ratchet.store.formats import extras

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LATER_PARTS_WIN = "ratchet_part"


class Part(Record, frozen=True):
    """One file of a version.

    Attributes:
        name: The file's path in the project, or a name that the loop gave.
        format: ``parquet`` or ``csv``.
        data_from, data_until: Range of the time column (ISO, UTC), ``""`` without one.
        generated: Whether the loop made it.
    """

    name: str
    sha256: str
    rows: int
    format: str
    data_from: str
    data_until: str
    generated: bool = False


class Manifest(Record, frozen=True):
    """What a version consists of; this record's bytes are the version's digest."""

    dataset: str
    key: str
    time: str
    label: str
    arrives: str
    columns: dict[str, str]
    parts: tuple[Part, ...]


class Dataset:
    """A version of a dataset, as a pipeline gets it.

    Args:
        manifest: What it consists of.
        digest: Sha256 of the manifest.
        artifacts: Where the parts lie.
        name: Such as ``flights@v12``.
    """

    def __init__(self, manifest: Manifest, *, digest: str, artifacts: Artifacts, name: str) -> None:
        self._manifest = manifest
        self._artifacts = artifacts
        self.digest = digest
        self.name = name

    @property
    def label(self) -> str:
        """Return the name of the label column, ``""`` where none is declared."""
        return self._manifest.label

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns' types by name."""
        return dict(self._manifest.columns)

    def latest(self) -> datetime:
        """Return the latest value of the time column (UTC).

        Raises:
            NoTimeColumn: The dataset has none.
        """
        if not self._manifest.time:
            raise NoTimeColumn(dataset=self._manifest.dataset)
        return datetime.fromisoformat(max(part.data_until for part in self._manifest.parts))

    def to_pandas(
        self,
        *,
        columns: Sequence[str] = (),
        since: datetime | None = None,
        before: datetime | None = None,
        sample: int | None = None,
        seed: int = 0,
    ) -> "pd.DataFrame":
        """Return the rows as a data frame, the latest of each key, ordered by time and key.

        Args:
            columns: Only these, in this order, where given.
            since: Only rows whose time is not before this one.
            before: Only rows whose time is before this one.
            sample: At most so many rows, drawn by a hash of key and seed: the same rows each time.
            seed: Of the sample.

        Raises:
            LibraryMissing: pandas is not installed.
        """
        extras.require("pandas", what="to_pandas() of a dataset")
        query = self._selection(columns, since=since, before=before, sample=sample, seed=seed)
        with connect() as connection:
            return connection.sql(query).df()

    def to_arrays(
        self,
        *,
        columns: Sequence[str] = (),
        since: datetime | None = None,
        before: datetime | None = None,
        sample: int | None = None,
        seed: int = 0,
    ) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the rows as NumPy arrays by column, each of shape ``(rows,)``, in the order of ``to_pandas``.

        A missing number is NaN, a missing moment NaT, and all else that is missing ``None``.

        Args:
            columns, since, before, sample, seed: As for ``to_pandas``.
        """
        query = self._selection(columns, since=since, before=before, sample=sample, seed=seed)
        with connect() as connection:
            return arrays_of(connection.sql(query))

    def _selection(
        self,
        columns: Sequence[str],
        *,
        since: datetime | None,
        before: datetime | None,
        sample: int | None,
        seed: int,
    ) -> str:
        """Return SQL for the rows, ordered."""
        manifest = self._manifest
        names = list(manifest.columns)
        wanted = ", ".join(quoted(name) for name in columns or names)
        time = quoted(manifest.time)
        bounds = [
            f"{time} {comparison} TIMESTAMPTZ '{moment.isoformat()}'"
            for comparison, moment in ((">=", since), ("<", before))
            if moment is not None
        ]
        query = self._query(f" WHERE {' AND '.join(bounds)}" if bounds else "", is_end=since is not None)
        if sample is not None:
            identity = quoted(manifest.key or names[0])
            query += f" ORDER BY hash({identity} || '{int(seed)}'), {identity} LIMIT {int(sample)}"
        order = ", ".join(quoted(name) for name in (manifest.time, manifest.key) if name)
        ordered = f" ORDER BY {order}" if order else ""
        return f"SELECT {wanted} FROM ({query}){ordered}"  # noqa: S608, quoted names

    def _query(self, where: str, *, is_end: bool) -> str:
        """Return SQL for rows of all parts, the latest part winning for each key, then narrowed down.

        Args:
            where: The condition, ``""`` for all rows.
            is_end: Whether it leaves the end of a long history. Then the winners are found by their keys alone, and
                other columns are read of the rows that are left: less than half the time and memory.
        """
        key = quoted(self._manifest.key)
        columns = ", ".join(quoted(name) for name in self._manifest.columns)
        if not self._manifest.key:
            return f"SELECT {columns} FROM ({self._union('*')}){where}"  # noqa: S608, names are ours or quoted
        latest = f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {LATER_PARTS_WIN} DESC) = 1"
        if not is_end:
            return f"SELECT {columns} FROM (SELECT * FROM ({self._union('*')}) {latest}){where}"  # noqa: S608, as above
        winners = f"SELECT {key}, max({LATER_PARTS_WIN}) AS {LATER_PARTS_WIN} FROM ({self._union(key)}) GROUP BY {key}"  # noqa: S608, as above
        won = f"({self._union('*')}) SEMI JOIN ({winners}) USING ({key}, {LATER_PARTS_WIN})"
        return f"SELECT {columns} FROM {won}{where} {latest}"  # noqa: S608, as above

    def _union(self, columns: str) -> str:
        selects = []
        for number, part in enumerate(self._manifest.parts):
            path = self._artifacts.checked_path(part.sha256)
            selects.append(f"SELECT {columns}, {number} AS {LATER_PARTS_WIN} FROM {reader(path, part.format)}")  # noqa: S608, names are ours or quoted
        return " UNION ALL BY NAME ".join(selects)


def open_version(digest: str, *, name: str, artifacts: Artifacts) -> Dataset:
    """Return the dataset version with this manifest.

    Raises:
        ArtifactMissing, ArtifactCorrupt: The manifest cannot be trusted.
    """
    manifest = msgspec.json.decode(artifacts.read(digest), type=Manifest)
    return Dataset(manifest, digest=digest, artifacts=artifacts, name=name)


def latest(resources: Resources, name: str) -> DatasetVersion:
    """Return a dataset's latest version, looking at its files first where there is none yet.

    Raises:
        UnknownName: ``ratchet.toml`` has no such dataset.
        NoData: Nothing was found.
        DataRefused: What was found breaks the contract.
    """
    section = _section(resources, name)
    with resources.database.read() as connection:
        found = registry.latest_dataset_version(connection, name)
    found = found or scan(resources, name)
    if found is None:
        raise NoData(dataset=name, source=str(resources.project / section.source))
    return found


def scan(resources: Resources, name: str) -> DatasetVersion | None:
    """Look at a dataset's files and publish a version where they have changed.

    Returns:
        The new version, or ``None`` where nothing has changed.

    Raises:
        DataRefused: A file breaks the contract; nothing is published, the event ``dataset.check.finished`` says why.
    """
    section = _section(resources, name)
    with resources.database.read() as connection:
        previous = registry.latest_dataset_version(connection, name)
    old = _manifest(resources, previous)
    known = {part.name: part for part in old.parts if not part.generated} if old else {}
    files = {path.relative_to(resources.project).as_posix(): path for path in _files(resources, section)}
    digests = {file: hash_file(path) for file, path in files.items()}
    if not files or digests == {part.name: part.sha256 for part in known.values()}:
        return None
    contract = Contract(name, section, tuple(old.columns) if old else ())
    parts = []
    for file, path in files.items():
        part = known.get(file)
        if part is None or part.sha256 != digests[file]:
            part = _take_file(resources, contract=contract, file=file, path=path)
        parts.append(part)
    generated = [part for part in old.parts if part.generated] if old else []
    manifest = _make_manifest(resources, name, section=section, parts=[*parts, *generated])
    new_files = len(set(files) - set(known))
    with resources.database.write() as transaction:
        return _publish(resources, transaction, manifest, generated=False, new_files=new_files)


def add_generated(
    resources: Resources,
    name: str,
    *,
    rows: Path,
    label: str,
    alongside: Callable[[Connection], None] = lambda _transaction: None,
) -> DatasetVersion:
    """Publish a version with rows that the loop made: the union with what was there, the latest of each key.

    Args:
        rows: A Parquet file.
        label: Names the part, the same at a repeat.
        alongside: Called in the transaction that publishes.
    """
    section = _section(resources, name)
    with resources.database.read() as connection:
        previous = registry.latest_dataset_version(connection, name)
    old = _manifest(resources, previous)
    parts = list(old.parts) if old else []
    part = _part(resources, f"generated/{label}", rows, facts=look(rows, time=section.time), generated=True)
    parts = [other for other in parts if other.name != part.name]
    manifest = _make_manifest(resources, name, section=section, parts=[*parts, part])
    with resources.database.write() as transaction:
        generated = resources.ledger.append(
            transaction,
            Event(
                type="dataset.generated",
                subject=name,
                pipeline=_pipeline_of(resources, name),
                data={
                    "dataset": name,
                    "rows": part.rows,
                    "artifact_digest": part.sha256,
                    "parents": [previous.manifest] if previous else [],
                },
            ),
        )[0]
        current = origin.current()
        key = current.key if current else ""
        alongside(transaction)
        with origin.use(origin.following(generated, key=key)):
            return _publish(resources, transaction, manifest, generated=True, new_files=0)


def _publish(
    resources: Resources, transaction: Connection, manifest: Manifest, *, generated: bool, new_files: int
) -> DatasetVersion:
    digest = resources.artifacts.write(msgspec.json.encode(manifest))
    previous = registry.latest_dataset_version(transaction, manifest.dataset)
    if previous and previous.manifest == digest:
        return previous
    number = previous.number + 1 if previous else 1
    version = DatasetVersion(
        dataset=manifest.dataset,
        number=number,
        manifest=digest,
        row_count=sum(part.rows for part in manifest.parts),
        data_from=min((part.data_from for part in manifest.parts if part.data_from), default=""),
        data_until=max((part.data_until for part in manifest.parts), default=""),
        schema_digest=hashlib.sha256(msgspec.json.encode(manifest.columns)).hexdigest(),
        parents=(previous.manifest,) if previous else (),
        generated=generated,
        published_at=clock.now(),
        event_id=derive_id("dataset", manifest.dataset, number, digest),
    )
    resources.ledger.append(
        transaction,
        Event(
            type="dataset.version.published",
            subject=version.name,
            id=version.event_id,
            pipeline=_pipeline_of(resources, manifest.dataset),
            trigger="data",
            data={
                "dataset": manifest.dataset,
                "version": version.name,
                "digest": digest,
                "row_count": version.row_count,
                "data_from": version.data_from,
                "data_until": version.data_until,
                "parents": list(version.parents),
                "schema_digest": version.schema_digest,
                "generated": generated,
                "new_files": new_files,
            },
        ),
    )
    registry.add_dataset_version(transaction, version)
    return version


def _section(resources: Resources, name: str) -> DatasetSection:
    sections = resources.config.dataset
    if name not in sections:
        raise UnknownName(kind="dataset", name=name, known=", ".join(sections) or "none in ratchet.toml")
    return sections[name]


def _pipeline_of(resources: Resources, dataset: str) -> str:
    """Return the pipeline that a dataset feeds, for filters; a dataset of several belongs to none."""
    with resources.database.read() as connection:
        declared: dict[str, Any] = registry.state(connection, "pipelines", {})
    users = [name for name, one in declared.items() if dataset in one["datasets"].values()]
    return users[0] if len(users) == 1 else ""


def _manifest(resources: Resources, version: DatasetVersion | None) -> Manifest | None:
    if version is None:
        return None
    return msgspec.json.decode(resources.artifacts.read(version.manifest), type=Manifest)


def _files(resources: Resources, section: DatasetSection) -> list[Path]:
    return sorted(path for path in resources.project.glob(section.source) if path.is_file())


def _make_manifest(resources: Resources, name: str, *, section: DatasetSection, parts: Sequence[Part]) -> Manifest:
    first = parts[0]
    return Manifest(
        dataset=name,
        key=section.key,
        time=section.time,
        label=section.label.column if section.label else "",
        arrives=section.label.arrives if section.label else "",
        columns=_columns(resources.artifacts.checked_path(first.sha256), first.format),
        parts=tuple(parts),
    )


def _take_file(resources: Resources, *, contract: Contract, file: str, path: Path) -> Part:
    try:
        facts = contract.examine(path, file=file)
    except DataRefused as error:
        _record_refusal(resources, error, digest=hash_file(path))
        raise
    return _part(resources, file, path, facts=facts)


def _part(resources: Resources, name: str, path: Path, *, facts: FileFacts, generated: bool = False) -> Part:
    return Part(
        name=name,
        sha256=resources.artifacts.write_file(path),
        rows=facts.rows,
        format=format_of(path),
        data_from=facts.data_from,
        data_until=facts.data_until,
        generated=generated,
    )


def _record_refusal(resources: Resources, error: DataRefused, *, digest: str) -> None:
    resources.ledger.record(
        Event(
            type="dataset.check.finished",
            subject=error.dataset,
            id=derive_id("check", error.dataset, error.file, digest),
            pipeline=_pipeline_of(resources, error.dataset),
            data={"suite": "contract", "outcome": "failed", "file": error.file, "problem": error.problem},
        )
    )


def _columns(path: Path, kind: str) -> dict[str, str]:
    with connect() as connection:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {reader(path, kind)}").fetchall()  # noqa: S608, our path
    return {str(row[0]): str(row[1]) for row in rows}
