"""What callers used of an endpoint in one segment of its log, and what that took of the machine.

Invariant: a repeated request counts once; what the process took adds up over all segments, whoever shares the process.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ratchet.clock import MICROSECOND
from ratchet.loop.frames import listed
from ratchet.records import Event, Record, derive_id

# What is measured of a request, once for all of its rows, and what a part from before it was measured means by that.
READINGS = {"cpu_us": "BIGINT", "process_cpu_us": "BIGINT", "process_wall_us": "BIGINT", "memory_mb": "DOUBLE"}
CPU_SECONDS, MEMORY_MB_SECONDS = "cpu_seconds", "memory_mb_seconds"

_USED = """
SELECT version, caller, traffic_id, count(DISTINCT request_id) AS requests, count(prediction_id) AS rows,
       count(DISTINCT request_id) FILTER (status <> 200) AS errors,
       quantile_cont(latency_us, 0.5) AS p50, quantile_cont(latency_us, 0.99) AS p99
FROM rows GROUP BY ALL
"""
_TOOK = """
SELECT version, caller, traffic_id, coalesce(sum(cpu_us), 0) / 1e6 AS cpu_s,
       coalesce(sum(process_cpu_us), 0) / 1e6 AS process_cpu_s,
       coalesce(sum(process_wall_us), 0) / 1e6 AS process_wall_s,
       coalesce(sum(memory_mb * process_wall_us), 0) / 1e6 AS process_memory_mb_s
FROM logged GROUP BY ALL
"""
_USAGE = f"SELECT * FROM ({_USED}) JOIN ({_TOOK}) USING (version, caller, traffic_id) ORDER BY ALL"  # noqa: S608, fixed


class Use(Record, frozen=True):
    """What one caller asked of one version, and what it took.

    Attributes:
        traffic_id: Id of the event that let the version serve; ``""`` where requests were refused before one was
            chosen.
        requests: Requests, each once.
        rows: Predictions.
        errors: Requests that were refused or failed.
        p50: Half of the requests were answered within so many microseconds.
        p99: Nearly all were.
        cpu_s: Processor time of the answers, seconds.
        process_cpu_s: Processor time of the endpoint process up to these answers, each from the one before, seconds.
        process_wall_s: Real time likewise, seconds.
        process_memory_mb_s: What the process held in memory over that time, MiB times seconds.
    """

    version: str
    caller: str
    traffic_id: str
    requests: int
    rows: int
    errors: int
    p50: float
    p99: float
    cpu_s: float
    process_cpu_s: float
    process_wall_s: float
    process_memory_mb_s: float


def open_parts(connection: Any, parts: Sequence[Path]) -> None:
    """Make two tables of a log's parts: ``logged`` with all that was written, ``rows`` with each prediction once.

    A request that failed is a row without a prediction. ``rows`` has no readings: what is predicted anew after a
    process was killed took its time as well.
    """
    source = f"SELECT * FROM read_parquet([{listed(parts)}], union_by_name=true)"  # noqa: S608, names that we made
    known = {str(row[0]) for row in connection.execute(f"DESCRIBE {source}").fetchall()}
    missing = "".join(f", CAST(0 AS {kind}) AS {name}" for name, kind in READINGS.items() if name not in known)
    connection.execute(f"CREATE TEMP VIEW logged AS SELECT *{missing} FROM ({source})")  # noqa: S608, our names
    connection.execute(
        f"CREATE TEMP TABLE rows AS SELECT * EXCLUDE ({', '.join(READINGS)}) FROM logged "  # noqa: S608, our names
        "QUALIFY row_number() OVER (PARTITION BY caller, coalesce(prediction_id, request_id) ORDER BY time) = 1"
    )


def read(connection: Any) -> list[Use]:
    """Return who used what, from the tables that ``open_parts`` made."""
    found = connection.execute(_USAGE)
    names = [str(column[0]) for column in found.description]
    return [Use(**dict(zip(names, row, strict=True))) for row in found.fetchall()]


def recorded(use: Use, *, segment: str, endpoint: str, day: str, pipeline: str) -> Event:
    """Return the event that somebody used an endpoint."""
    return Event(
        type="usage.recorded",
        subject=endpoint,
        id=derive_id("usage", segment, use.version, use.caller, use.traffic_id),
        pipeline=pipeline,
        data={
            "endpoint": endpoint,
            "segment": segment,
            "day": day,
            "version": use.version,
            "caller": use.caller,
            "count": use.requests,
            "rows": use.rows,
            "errors": use.errors,
            "latency_ms_p50": round(use.p50 / 1000, 3),
            "latency_ms_p99": round(use.p99 / 1000, 3),
            "cpu_s": round(use.cpu_s, 6),
            "process_cpu_s": round(use.process_cpu_s, 6),
            "process_wall_s": round(use.process_wall_s, 3),
            "process_memory_mb_s": round(use.process_memory_mb_s, 3),
        },
    )


def costs(
    uses: Sequence[Use], *, segment: str, endpoint: str, day: str, pipeline: str, since: datetime, until: datetime
) -> list[Event]:
    """Return what serving one segment cost, one event for each resource, at the end of its day.

    Args:
        uses: All of the segment's.
        since: When its day began (UTC).
        until: When that was over.
    """
    cpu_s = round(sum(one.process_cpu_s for one in uses), 6)
    memory_mb_s = round(sum(one.process_memory_mb_s for one in uses), 3)
    resources = ((CPU_SECONDS, cpu_s, "s"), (MEMORY_MB_SECONDS, memory_mb_s, "MB s"))
    return [
        Event(
            type="cost.recorded",
            subject=endpoint,
            id=derive_id("serving cost", segment, resource),
            pipeline=pipeline,
            # It is sealed on the next day, which may be another month's.
            time=until - MICROSECOND,
            data={
                "step": "serve",
                "endpoint": endpoint,
                "segment": segment,
                "day": day,
                "from": since.isoformat(),
                "until": until.isoformat(),
                "resource": resource,
                "qty": qty,
                "unit": unit,
                # What the process took beside its answers is nobody's call.
                "capacity_cpu_s": cpu_s,
            },
        )
        for resource, qty, unit in resources
    ]
