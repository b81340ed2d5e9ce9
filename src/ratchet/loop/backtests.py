"""What another version would have answered to the same requests: the measure of what keeping a model fresh bought.

Invariant: the same logged rows are scored, by the same loading path as in production; a segment is scored once a
version.
"""

from pathlib import Path
from typing import Any

import msgspec

from ratchet.engine.child import Child
from ratchet.engine.executors import Session, Task, log_file
from ratchet.loop import feedback, fitness, predictions, registry
from ratchet.loop.frames import connect, write_parquet
from ratchet.loop.resources import Resources
from ratchet.records import ModelVersion
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts


def replay(resources: Resources, version_name: str) -> list[Path]:
    """Score all sealed segments of an endpoint with one of its versions and return the files of scores."""
    with resources.database.read() as connection:
        version = registry.model_version(connection, version_name)
    folder = resources.folder / "predictions" / version.model / "replayed" / f"v{version.number}"
    pairs = [
        (resources.folder / one.file, folder / f"{one.name.rpartition('/')[2]}.parquet")
        for one in predictions.segments(resources, version.model)
        if one.rows
    ]
    missing = [(str(source), str(target)) for source, target in pairs if not target.exists()]
    if missing:
        task = Task(
            name=f"replay with {version.name}",
            entry="ratchet.loop.backtests:score_segments",
            spec={
                "artifacts": str(resources.artifacts.folder),
                "version": msgspec.to_builtins(version),
                "segments": missing,
            },
            log=log_file(resources.logs, "replay"),
        )
        session = Session(resources.zygotes, task, limits=resources.limits, is_cancelled=lambda: False)
        session.converse(lambda _request, execute: execute())
    return [target for _, target in pairs]


def score_segments(_child: Child, spec: dict[str, Any]) -> int:
    """Score segments that were not scored yet; the entry of a child process."""
    version = msgspec.convert(spec["version"], ModelVersion)
    model = storers.load(version.storer, Artifacts(Path(spec["artifacts"])).read(version.artifact))
    names = [one["name"] for one in version.inputs]
    for source, target in spec["segments"]:
        with connect() as connection:
            columns = predictions.feature_columns(names)
            query = f"SELECT prediction_id, {columns} FROM read_parquet('{source}')"  # noqa: S608, names that we made
            rows = connection.sql(query).df()
        rows["score"] = fitness.predict(model, rows[names])
        write_parquet(Path(target), rows[["prediction_id", "score"]])
    return len(spec["segments"])


def first_version(resources: Resources, endpoint: str) -> str:
    """Return the version that served first on an endpoint, ``""`` where none did."""
    with resources.database.read() as connection:
        served = registry.releases(connection, endpoint=endpoint, statuses=("live", "replaced"))
    return served[0].model_version if served else ""


def compare(resources: Resources, endpoint: str) -> list[tuple[feedback.PeriodMetric, float | None]]:
    """Return the live metric by month, each with what the first version would have reached on the same rows."""
    live = feedback.metrics(resources, endpoint)
    first = first_version(resources, endpoint)
    if not first or not live:
        return [(one, None) for one in live]
    frozen = {one.period: one.value for one in feedback.metrics(resources, endpoint, scores=replay(resources, first))}
    return [(one, frozen.get(one.period)) for one in live]
