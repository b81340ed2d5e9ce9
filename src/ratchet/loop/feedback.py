"""Outcomes that arrive later: received from systems, joined to predictions, and what they say about a model.

Invariant: an outcome belongs to a prediction that is in the log; a batch counts once, and of two outcomes for one
prediction the later wins.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert, select

from ratchet import clock, faults
from ratchet.errors import UnknownPrediction
from ratchet.loop import predictions, registry
from ratchet.loop.frames import connect, listed, write_parquet
from ratchet.loop.resources import Resources
from ratchet.records import Actor, Event, Record, derive_id
from ratchet.store import schema

# Most outcomes are for predictions of the last days; only what is not found there is looked for in the whole log.
RECENT = timedelta(days=4)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of one prediction.

    Attributes:
        value: The true outcome.
        fields: Further columns of the dataset that the sender knows, such as its key.
    """

    prediction_id: str
    value: float
    fields: dict[str, Any] = {}


class OutcomeBatch(Record, frozen=True):
    """Outcomes that came in one request."""

    id: str
    endpoint: str
    file: str
    rows: int
    received_at: datetime
    sender: Actor


def receive(
    resources: Resources, endpoint: str, outcomes: Sequence[Outcome], *, sender: Actor, key: str
) -> OutcomeBatch:
    """Take outcomes in; with the same key again, nothing is taken twice.

    Raises:
        UnknownPrediction: One of them is for something that was never predicted; none is taken.
    """
    known = _batch(resources, key)
    if known is not None:
        return known
    predictions.collect(resources)
    _refuse_unknown(resources, endpoint, [one.prediction_id for one in outcomes])
    name = derive_id("outcomes", endpoint, key)
    target = resources.folder / "outcomes" / endpoint / f"{name}.parquet"
    write_parquet(target, _table(outcomes))
    faults.point("outcomes.before_row")
    batch = OutcomeBatch(
        id=key,
        endpoint=endpoint,
        file=target.relative_to(resources.folder).as_posix(),
        rows=len(outcomes),
        received_at=clock.now(),
        sender=sender,
    )
    with resources.database.write() as transaction:
        if transaction.execute(select(schema.outcome_batch.c.id).where(schema.outcome_batch.c.id == key)).first():
            return batch
        record = msgspec.json.encode(batch).decode()
        transaction.execute(insert(schema.outcome_batch), {"id": key, "endpoint": endpoint, "record": record})
    return batch


def _table(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return outcomes as arrays by column."""
    import numpy as np

    table = {
        "prediction_id": np.array([one.prediction_id for one in outcomes], dtype=object),
        "outcome": np.array([one.value for one in outcomes], dtype=float),
    }
    for name in sorted({name for one in outcomes for name in one.fields}):
        table[f"field_{name}"] = _array([one.fields.get(name) for one in outcomes])
    return table


def _array(values: Sequence[Any]) -> Any:
    """Return values of JSON as a column: numbers where all that are there are numbers."""
    import numpy as np

    kinds = {type(value) for value in values}
    if kinds == {int}:
        with suppress(OverflowError):
            return np.array(values, dtype=np.int64)
    elif kinds <= {int, float, type(None)} and kinds != {type(None)}:
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    # One by one: lists of one length would make a table.
    return np.fromiter(values, dtype=object, count=len(values))


def _batch(resources: Resources, key: str) -> OutcomeBatch | None:
    query = select(schema.outcome_batch.c.record).where(schema.outcome_batch.c.id == key)
    with resources.database.read() as connection:
        record = connection.execute(query).scalar()
    return None if record is None else msgspec.json.decode(record, type=OutcomeBatch)


def batches(resources: Resources, endpoint: str) -> list[OutcomeBatch]:
    """Return all batches of an endpoint in the order in which they came."""
    query = select(schema.outcome_batch.c.record).where(schema.outcome_batch.c.endpoint == endpoint)
    with resources.database.read() as connection:
        found = [msgspec.json.decode(one, type=OutcomeBatch) for one in connection.execute(query).scalars()]
    return sorted(found, key=lambda one: (one.received_at, one.id))


def _refuse_unknown(resources: Resources, endpoint: str, wanted: list[str]) -> None:
    missing = set(wanted)
    for since in (clock.now() - RECENT, None):
        paths = predictions.files(resources, endpoint, since=since)
        if missing and paths:
            with connect() as connection:
                names = listed(paths)
                query = (
                    f"SELECT prediction_id FROM read_parquet([{names}], union_by_name=true) "  # noqa: S608, our names
                    "WHERE prediction_id IN (SELECT unnest(?))"
                )
                missing -= {str(row[0]) for row in connection.execute(query, [sorted(missing)]).fetchall()}
    if missing:
        raise UnknownPrediction(prediction_id=min(missing), count=len(missing))


# ---- joining


def join_feedback(resources: Resources, endpoint: str) -> Event | None:
    """Join outcomes that came since the last time to their predictions, inside an origin with a key.

    Returns:
        ``feedback.joined``, or ``None`` where nothing has come; at a repeat with the same key the first one.
    """
    known = resources.ledger.done_before("feedback.joined", endpoint)
    if known is not None:
        return known
    with resources.database.read() as connection:
        done = set(registry.state(connection, f"joined/{endpoint}", []))
        live = registry.live_release(connection, endpoint)
    waiting = [one for one in batches(resources, endpoint) if one.id not in done]
    if not waiting or live is None:
        return None
    logged = sum(one.rows for one in predictions.segments(resources, endpoint))
    labelled = sum(one.rows for one in batches(resources, endpoint))
    senders = {msgspec.json.encode(one.sender): one.sender for one in waiting}
    with resources.database.read() as connection:
        pipeline = registry.model_version(connection, live.model_version).pipeline
    delay_hours = _median_delay_hours(resources, endpoint, waiting)
    with resources.database.write() as transaction:
        joined = resources.ledger.append(
            transaction,
            Event(
                type="feedback.joined",
                subject=endpoint,
                pipeline=pipeline,
                data={
                    "rows": sum(one.rows for one in waiting),
                    "predictions": logged,
                    "coverage": round(labelled / logged, 4) if logged else None,
                    "median_delay_hours": delay_hours,
                    "senders": [{"authtype": one.authtype, "claims": one.claims} for _, one in sorted(senders.items())],
                },
            ),
        )[0]
        registry.put_state(transaction, f"joined/{endpoint}", sorted(done | {one.id for one in waiting}))
    return joined


def _median_delay_hours(resources: Resources, endpoint: str, came: Sequence[OutcomeBatch]) -> float | None:
    """Return how long it took from a prediction until its outcome was here, ``None`` where none is in the log."""
    paths = predictions.files(resources, endpoint)
    if not paths:
        return None
    outcomes = " UNION ALL ".join(
        f"SELECT prediction_id, TIMESTAMPTZ '{one.received_at.isoformat()}' AS received "  # noqa: S608, names that we made
        f"FROM read_parquet([{listed([resources.folder / one.file])}])"
        for one in came
    )
    query = (
        "SELECT median(epoch(received) - epoch(time)) / 3600 "  # noqa: S608, names that we made
        f"FROM ({outcomes}) JOIN ({predictions.rows_query(paths, 'prediction_id, time')}) USING (prediction_id)"
    )
    with connect() as connection:
        found = connection.execute(query).fetchall()[0][0]
    return None if found is None else round(float(found), 3)


def joined_files(resources: Resources, endpoint: str) -> list[Path]:
    """Return the files of outcomes that were joined."""
    with resources.database.read() as connection:
        done = set(registry.state(connection, f"joined/{endpoint}", []))
    return [resources.folder / one.file for one in batches(resources, endpoint) if one.id in done]


# ---- what outcomes say

_LATEST_OUTCOMES = (
    "SELECT COLUMNS(lambda name: name IN ('prediction_id', 'outcome') OR starts_with(name, 'field_')) "
    "FROM read_parquet([{files}], union_by_name=true, filename=true, file_row_number=true) "
    "QUALIFY row_number() OVER (PARTITION BY prediction_id "
    "ORDER BY list_position([{files}], filename) DESC, file_row_number DESC) = 1"
)


def outcomes_query(paths: Sequence[Path]) -> str:
    """Return SQL that gives the latest outcome of each prediction.

    Args:
        paths: In the order in which they came; of two outcomes in one file the one that stands below is the later.
    """
    return _LATEST_OUTCOMES.format(files=listed(paths))


# The area under the curve is the share of pairs that are in order, ties counting half: rank sums, as in Mann and
# Whitney (1947). In SQL, so that the control plane need not load scikit-learn for a number on a page.
AREA = """
WITH ranked AS (
    SELECT period, outcome,
           rank() OVER (PARTITION BY period ORDER BY score)
           + (count(*) OVER (PARTITION BY period, score) - 1) / 2.0 AS place
    FROM scored WHERE outcome IS NOT NULL
), sums AS (
    SELECT period, sum(place) FILTER (outcome = 1) AS places, count(*) FILTER (outcome = 1) AS positives,
           count(*) FILTER (outcome = 0) AS negatives FROM ranked GROUP BY period
)
SELECT period, (places - positives * (positives + 1) / 2.0) / nullif(positives * negatives, 0) AS area,
       positives + negatives AS labelled FROM sums ORDER BY period
"""


class PeriodMetric(Record, frozen=True):
    """A metric of the predictions of one period.

    Attributes:
        period: Such as ``2013-03``.
        predictions: Rows that were answered.
        labelled: Those whose outcome is known.
        value: Area under the ROC curve, ``None`` where there is only one class.
    """

    period: str
    predictions: int
    labelled: int
    value: float | None


def metrics(
    resources: Resources,
    endpoint: str,
    *,
    by: str = "month",
    since: datetime | None = None,
    scores: Sequence[Path] = (),
) -> list[PeriodMetric]:
    """Return the area under the ROC curve by period, for what was answered or for other scores of the same rows.

    Args:
        by: ``month``, ``day`` or ``all``.
        since: Only predictions from the day of this moment on.
        scores: Files with ``prediction_id`` and ``score`` that replace what was answered.
    """
    paths = predictions.files(resources, endpoint, since=since)
    outcomes = [resources.folder / one.file for one in batches(resources, endpoint)]
    if not paths or not outcomes:
        return []
    with connect() as connection:
        _make_scored(resources, connection, paths=paths, outcomes=outcomes, by=by, scores=scores)
        counts = dict(connection.execute("SELECT period, count(*) FROM scored GROUP BY period").fetchall())
        found = {row[0]: row for row in connection.execute(AREA).fetchall()}
    return [
        PeriodMetric(
            period=period,
            predictions=int(count),
            labelled=int(found[period][2]) if period in found else 0,
            value=float(found[period][1]) if period in found and found[period][1] is not None else None,
        )
        for period, count in sorted(counts.items())
    ]


def _make_scored(
    resources: Resources,
    connection: Any,
    *,
    paths: list[Path],
    outcomes: list[Path],
    by: str,
    scores: Sequence[Path],
) -> None:
    local = f"time AT TIME ZONE '{resources.config.project.time_zone}'"
    period = {"month": f"strftime({local}, '%Y-%m')", "day": f"strftime({local}, '%Y-%m-%d')", "all": "'all'"}[by]
    rows = predictions.rows_query(paths, f"prediction_id, score, time, {period} AS period")
    connection.execute(f"CREATE TEMP TABLE answered AS {rows}")
    score, join = "answered.score", ""
    if scores:
        names = listed(scores)
        join = f"JOIN read_parquet([{names}]) other USING (prediction_id)"
        score = "other.score"
    connection.execute(
        f"CREATE TEMP TABLE scored AS SELECT period, {score} AS score, outcome, prediction_id FROM answered {join} "  # noqa: S608, names are ours or quoted
        f"LEFT JOIN ({outcomes_query(outcomes)}) USING (prediction_id)"
    )
