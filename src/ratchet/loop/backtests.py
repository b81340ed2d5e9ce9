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
from ratchet.loop.frames import arrays_of, connect, listed, write_parquet
from ratchet.loop.resources import Resources
from ratchet.records import ModelVersion, Record
from ratchet.store import storers
from ratchet.store.addresses import open_artifacts
from ratchet.store.formats import extras


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
                "artifacts": resources.artifacts.address,
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
    extras.require("pandas", what="Scoring what was asked before")
    version = msgspec.convert(spec["version"], ModelVersion)
    model = storers.open_model(version.storer, open_artifacts(spec["artifacts"]).read(version.artifact))
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


class Gain(Record, frozen=True):
    """The mean over months of what the live versions gained in area under the curve.

    Attributes:
        low, high: Where the middle 95 % of the resamples lie.
    """

    mean: float
    low: float
    high: float


def bootstrap_gain(
    resources: Resources, endpoint: str, *, resamples: int, first: str = "", seed: int = 0
) -> Gain | None:
    """Resample days within each month, the same for both models, and return the spread of the mean monthly gain.

    Args:
        resamples: How many.
        first: First month that counts, such as ``2013-03``.

    Returns:
        The gain, or ``None`` where nothing can be compared.

    Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), the percentile interval; days are
    resampled as blocks because flights of one day share their weather.
    """
    import numpy as np

    months = _paired(resources, endpoint, first=first)
    if not months:
        return None
    chance = np.random.default_rng(seed)
    point = np.mean([month.gain(np.ones(len(month.days))) for month in months])
    spread = []
    for _ in range(resamples):
        gains = []
        for month in months:
            drawn = chance.integers(0, len(month.days), len(month.days))
            gains.append(month.gain(np.bincount(drawn, minlength=len(month.days)).astype(float)))
        spread.append(float(np.mean(gains)))
    low, high = np.quantile(spread, [0.025, 0.975])
    return Gain(mean=float(point), low=float(low), high=float(high))


class _PairedMonth:
    """One month's rows, ordered by each model's score once, so that a resample is a weighted sum."""

    def __init__(self, rows: dict[str, Any]) -> None:
        import numpy as np

        self.days, self._day = np.unique(rows["day"], return_inverse=True)
        self._truth = rows["outcome"] == 1
        self._orders = [self._order(rows[name]) for name in ("live", "other")]

    @staticmethod
    def _order(scores: Any) -> tuple[Any, Any]:
        import numpy as np

        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.concatenate(([True], np.diff(scores[order]) > 0)))
        return order, starts

    def gain(self, day_weights: Any) -> float:
        """Return the live model's area less the other's, with each day counted as often as it was drawn."""
        live, other = (self._area(order, starts, day_weights[self._day]) for order, starts in self._orders)
        return live - other

    def _area(self, order: Any, starts: Any, weights: Any) -> float:
        import numpy as np

        positive = np.add.reduceat(np.where(self._truth, weights, 0.0)[order], starts)
        negative = np.add.reduceat(np.where(self._truth, 0.0, weights)[order], starts)
        below = np.cumsum(negative) - negative
        pairs = positive.sum() * negative.sum()
        return float((positive * (below + negative / 2)).sum() / pairs) if pairs else 0.5


def _paired(resources: Resources, endpoint: str, *, first: str) -> list[_PairedMonth]:
    version = first_version(resources, endpoint)
    outcomes = [resources.folder / one.file for one in feedback.batches(resources, endpoint)]
    paths = predictions.files(resources, endpoint)
    if not version or not outcomes or not paths:
        return []
    local = f"time AT TIME ZONE '{resources.config.project.time_zone}'"
    replayed = listed(replay(resources, version))
    answered = predictions.rows_query(paths, f"prediction_id, score AS live, {local} AS local")
    with connect() as connection:
        query = (
            f"SELECT live, other.score AS other, outcome, strftime(local, '%Y-%m') AS month, "  # noqa: S608, our names
            f"strftime(local, '%Y-%m-%d') AS day FROM ({answered}) "
            f"JOIN read_parquet([{replayed}]) other USING (prediction_id) "
            f"JOIN ({feedback.outcomes_query(outcomes)}) USING (prediction_id) "
            f"WHERE month >= '{first}' ORDER BY prediction_id"
        )
        rows = arrays_of(connection.sql(query))
    months = sorted(set(rows["month"]))
    return [_PairedMonth({name: one[rows["month"] == month] for name, one in rows.items()}) for month in months]
