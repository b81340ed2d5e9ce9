"""Samples of the traffic, and the rows that the loop makes of them for the next training.

Invariant: a sample is a stored artifact, drawn from sealed segments only and the same at a repeat; a generated row has
the inputs as they were logged and the outcome as it was joined.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ratchet.config import SampleSection
from ratchet.errors import UnknownName
from ratchet.loop import datasets, feedback, predictions, registry
from ratchet.loop.frames import connect, listed, quoted, write_relation
from ratchet.loop.resources import Resources
from ratchet.records import Event, derive_id

if TYPE_CHECKING:
    import duckdb

STRATEGIES = {
    "random": "md5(prediction_id || '{seed}')",
    "least_confidence": "abs(score - 0.5), prediction_id",
}


def take_sample(resources: Resources, pipeline: str) -> Event | None:
    """Draw a sample from the segments that were sealed since the last one, inside an origin with a key.

    Returns:
        ``sample.taken``, or ``None`` where nothing new was sealed; at a repeat with the same key the first one.
    """
    section = resources.config.sample.get(pipeline, SampleSection())
    endpoint = endpoint_of(resources, pipeline)
    known = resources.ledger.done_before("sample.taken", endpoint)
    if known is not None:
        return known
    with resources.database.read() as connection:
        done = set(registry.state(connection, f"sampled/{endpoint}", []))
    fresh = [one for one in predictions.segments(resources, endpoint) if one.name not in done and one.rows]
    if not fresh:
        return None
    rows, artifact = _draw(resources, fresh, section)
    with resources.database.write() as transaction:
        taken = resources.ledger.append(
            transaction,
            Event(
                type="sample.taken",
                subject=endpoint,
                pipeline=pipeline,
                data={
                    "strategy": section.strategy,
                    "rows": rows,
                    "segments": [one.name for one in fresh],
                    "artifact_digest": artifact,
                },
            ),
        )[0]
        registry.put_state(transaction, f"sampled/{endpoint}", sorted(done | {one.name for one in fresh}))
        waiting = registry.state(transaction, f"samples/{endpoint}", [])
        registry.put_state(transaction, f"samples/{endpoint}", [*waiting, taken.data["artifact_digest"]])
    return taken


def endpoint_of(resources: Resources, pipeline: str) -> str:
    """Return the endpoint that serves a pipeline's model.

    Raises:
        UnknownName: No such pipeline was declared.
    """
    with resources.database.read() as connection:
        declared: dict[str, Any] = registry.state(connection, "pipelines", {})
    if pipeline not in declared:
        raise UnknownName(kind="pipeline", name=pipeline, known=", ".join(declared) or "none yet")
    return str(declared[pipeline]["model"])


def _draw(resources: Resources, segments: list[predictions.Segment], section: SampleSection) -> tuple[int, str]:
    """Store rows of segments, and return how many there are and the artifact's digest."""
    order = STRATEGIES[section.strategy].format(seed=section.seed)
    paths = [resources.folder / one.file for one in segments]
    with connect() as connection, tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        query = predictions.rows_query(paths)
        # Without what was measured: the same predictions make the same sample, byte for byte.
        chosen = f"SELECT * EXCLUDE (latency_us) FROM ({query}) ORDER BY {order} LIMIT {section.rows}"  # noqa: S608, names are ours or quoted
        path = Path(folder) / "rows.parquet"
        write_relation(path, connection.sql(chosen))
        return _row_count(connection, path), resources.artifacts.write_file(path)


def _row_count(connection: "duckdb.DuckDBPyConnection", path: Path) -> int:
    return int(connection.execute(f"SELECT count(*) FROM read_parquet([{listed([path])}])").fetchall()[0][0])  # noqa: S608, our own path


def build_dataset(resources: Resources, pipeline: str) -> Event | None:
    """Make rows of sampled predictions whose outcome was joined, and publish them as a new version of the dataset.

    Returns:
        ``dataset.version.published``, or ``None`` where no sampled prediction has an outcome yet; at a repeat with the
        same key the first one.

    Raises:
        UnknownName: The pipeline was not declared or has no dataset.
    """
    endpoint = endpoint_of(resources, pipeline)
    dataset = _dataset_of(resources, pipeline)
    generated = resources.ledger.done_before("dataset.generated", dataset)
    if generated is not None:
        return next(iter(resources.ledger.caused_by(generated.id)), generated)
    with resources.database.read() as connection:
        samples = registry.state(connection, f"samples/{endpoint}", [])
        known = registry.latest_dataset_version(connection, dataset)
    outcomes = feedback.joined_files(resources, endpoint)
    if not samples or not outcomes or known is None:
        return None
    columns = datasets.open_version(known.manifest, name=known.name, artifacts=resources.artifacts)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        path = Path(folder) / "rows.parquet"
        if not _join(resources, columns, samples=samples, outcomes=outcomes, target=path):
            return None

        def use_up(transaction: Connection) -> None:
            waiting = registry.state(transaction, f"samples/{endpoint}", [])
            registry.put_state(transaction, f"samples/{endpoint}", [one for one in waiting if one not in samples])

        version = datasets.add_generated(resources, dataset, rows=path, label=derive_id(*samples), alongside=use_up)
    return resources.ledger.get(version.event_id)


def _dataset_of(resources: Resources, pipeline: str) -> str:
    with resources.database.read() as connection:
        declared: dict[str, Any] = registry.state(connection, "pipelines", {})
    named = list(declared[pipeline]["datasets"].values())
    if not named:
        raise UnknownName(kind="dataset of pipeline", name=pipeline, known="none: it takes no rt.Dataset")
    return str(named[0])


def _join(
    resources: Resources, dataset: datasets.Dataset, *, samples: list[str], outcomes: list[Path], target: Path
) -> int:
    """Write the dataset's columns of all sampled predictions with an outcome, and return how many there are."""
    files = listed(resources.artifacts.checked_path(one) for one in samples)
    with connect() as connection:
        connection.execute(
            f"CREATE TEMP TABLE joined AS SELECT * FROM read_parquet([{files}], union_by_name=true) "  # noqa: S608, names are ours or quoted
            f"JOIN ({feedback.outcomes_query(outcomes)}) USING (prediction_id)"
        )
        have = {str(row[0]) for row in connection.execute("DESCRIBE joined").fetchall()}
        chosen = [f"{_source_of(name, dataset, have)} AS {quoted(name)}" for name in dataset.columns]
        typed = ", ".join(
            f"CAST({one.rpartition(' AS ')[0]} AS {dataset.columns[name]}) AS {quoted(name)}"
            for name, one in zip(dataset.columns, chosen, strict=True)
        )
        count = int(connection.execute("SELECT count(*) FROM joined").fetchall()[0][0])
        if count:
            write_relation(target, connection.sql(f"SELECT {typed} FROM joined ORDER BY prediction_id"))  # noqa: S608, names are ours or quoted
    return count


def _source_of(name: str, dataset: datasets.Dataset, have: set[str]) -> str:
    """Return where a dataset's column comes from: the outcome, the logged input, what the sender told, or nothing."""
    if name == dataset.label:
        return "outcome"
    for prefix in ("feature_", "field_"):
        if prefix + name in have:
            return quoted(prefix + name)
    return "NULL"
