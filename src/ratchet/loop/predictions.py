"""The prediction log at rest: from the endpoint's spool to Parquet, a sealed segment a day, and usage by caller.

Invariant: a prediction that was answered is in exactly one segment, whatever was killed in between; a segment's hash is
in the ledger, and usage is counted from the segment, so that a repeated request counts once.
"""

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, insert, select

from ratchet import clock, faults, origin
from ratchet.loop import profiles, registry, usage
from ratchet.loop.frames import arrays_of, connect, listed, quoted, write_relation
from ratchet.loop.resources import Resources
from ratchet.loop.serving.log import Frame, read_frames, spool_files
from ratchet.records import Event, Record, derive_id
from ratchet.store import schema
from ratchet.store.artifacts import hash_file

if TYPE_CHECKING:
    import duckdb

# A request that began before midnight may be logged a little after it.
GRACE = timedelta(minutes=30)
META = ("prediction_id", "request_id", "version", "traffic_id", "caller", "time", "latency_us", "status", "score")


class Segment(Record, frozen=True):
    """A sealed day of an endpoint's log.

    Attributes:
        name: Such as ``flight-delay/2013-02-04``.
        counts: Rows per bin of each input, by model version: what drift is computed from.
    """

    name: str
    endpoint: str
    day: str
    file: str
    sha256: str
    rows: int
    versions: dict[str, int]
    min_time: str
    max_time: str
    counts: dict[str, dict[str, list[int]]]


def tend(resources: Resources) -> list[Segment]:
    """Bring new frames to Parquet and seal the days that are over; done now and then by the control plane."""
    with turn(resources):
        _collect(resources)
        today = (clock.now() - GRACE).astimezone(zone(resources)).date()
        sealed: list[Segment] = []
        for endpoint, day in _open_days(resources):
            if date.fromisoformat(day) < today:
                sealed += _seal(resources, endpoint, day)
        return sealed


def collect(resources: Resources) -> int:
    """Bring the endpoint's new frames to Parquet and return how many there were."""
    with turn(resources):
        return _collect(resources)


@contextmanager
def turn(resources: Resources) -> Iterator[None]:
    """Wait for one's turn: outcomes that come in collect as well as the heartbeat, and in other processes."""
    folder = resources.folder / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _collect(resources: Resources) -> int:
    total = 0
    for file in spool_files(resources.serving):
        name = f"spool/{file.path.name}"
        with resources.database.read() as connection:
            start = int(registry.state(connection, name, 0))
        end, frames = start, []
        for frame, following in read_frames(file.path, start):
            frames.append(frame)
            end = following
        if frames:
            # Named by where it starts: done again after a crash it takes the same place.
            _write_open(resources, frames, label=f"{file.path.stem}-{start:012d}")
            faults.point("frames.before_offset")
            with resources.database.write() as transaction:
                registry.put_state(transaction, name, end)
            total += len(frames)
        elif file.is_closed:
            file.path.unlink(missing_ok=True)
    return total


def zone(resources: Resources) -> ZoneInfo:
    """Return the project's time zone."""
    return ZoneInfo(resources.config.project.time_zone)


def _folder(resources: Resources, endpoint: str) -> Path:
    return resources.folder / "predictions" / endpoint


def _open_days(resources: Resources) -> list[tuple[str, str]]:
    found = sorted((resources.folder / "predictions").glob("*/open/*"))
    return [(path.parent.parent.name, path.name) for path in found if path.is_dir()]


def _write_open(resources: Resources, frames: Iterable[Frame], *, label: str) -> None:
    groups: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        moment = datetime.fromtimestamp(frame.time / 1e6, UTC).astimezone(zone(resources))
        groups[frame.endpoint, moment.date().isoformat()].append(frame)
    for (endpoint, day), group in groups.items():
        target = _folder(resources, endpoint) / "open" / day / f"{label}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        with connect() as connection:
            write_relation(target, _rows(connection, group))


def _rows(connection: "duckdb.DuckDBPyConnection", frames: list[Frame]) -> "duckdb.DuckDBPyRelation":
    """Return frames as a table with a row for each prediction; a request that failed has one without id."""
    types = dict.fromkeys(META, "VARCHAR") | _TYPES | usage.READINGS
    columns: dict[str, list[Any]] = {name: [] for name in types}
    names = sorted({name for frame in frames for name in frame.columns})
    features: dict[str, list[Any]] = {name: [] for name in names}
    for frame in frames:
        rows = max(1, len(frame.prediction_ids))
        columns["prediction_id"] += frame.prediction_ids or [None]
        columns["score"] += frame.scores or [None]
        for name in ("request_id", "version", "traffic_id", "caller", "latency_us", "status"):
            columns[name] += [getattr(frame, name)] * rows
        columns["time"] += [frame.time] * rows
        for name in usage.READINGS:
            columns[name] += [getattr(frame, name)] + [0] * (rows - 1)
        for name in names:
            features[name] += frame.columns.get(name) or [None] * rows
    arrays = {name: _array(values, kind=types[name]) for name, values in columns.items()}
    for name, values in features.items():
        kind = "VARCHAR" if any(isinstance(value, str) for value in values) else "DOUBLE"
        arrays[f"feature_{name}"] = _array(values, kind=kind)
    typed = ", ".join(_TYPED.get(kind, "CAST({0} AS {1}) AS {0}").format(name, kind) for name, kind in types.items())
    connection.register("given", arrays)
    return connection.sql(f"SELECT * REPLACE ({typed}) FROM given")  # noqa: S608, our own names


_TYPES = {"time": "TIMESTAMPTZ", "latency_us": "BIGINT", "status": "BIGINT", "score": "DOUBLE"}
# Moments are microseconds in the frames.
_TYPED = {"TIMESTAMPTZ": "make_timestamptz({0}) AS {0}"}


def _array(values: list[Any], *, kind: str) -> Any:
    import numpy as np

    if kind == "VARCHAR":
        return np.array(values, dtype=object)
    if kind == "DOUBLE":
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.array(values, dtype=np.int64)


# ---- sealing


def _seal(resources: Resources, endpoint: str, day: str) -> list[Segment]:
    """Seal a day's parts and return the segments; those that came after the day was sealed make one of their own."""
    folder = _folder(resources, endpoint) / "open" / day
    left = {part.name for part in folder.glob("*.parquet")}
    sealed = []
    number = 0
    while left:
        number += 1
        name = f"{endpoint}/{day}" if number == 1 else f"{endpoint}/{day}-{number}"
        # What a segment consists of is settled before it is written: an attempt that broke off is taken up as it was.
        covered = _claim_parts(resources, name, left)
        parts = [folder / part for part in covered if part in left]
        left.difference_update(covered)
        if not parts:
            continue
        known = segment(resources, name)
        if known is None:
            known = _write_segment(resources, endpoint, day, name=name, parts=parts)
            faults.point("segment.before_removal")
        sealed.append(known)
        for part in parts:
            part.unlink()
    for leftover in folder.iterdir():
        # Half a file of a process that was killed while it wrote; nobody writes here during our turn.
        leftover.unlink()
    folder.rmdir()
    return sealed


def _claim_parts(resources: Resources, name: str, left: set[str]) -> list[str]:
    """Return the names of the parts that a segment consists of: those settled before, or all that are left."""
    with resources.database.write() as transaction:
        covered: list[str] | None = registry.state(transaction, f"segment/{name}")
        if covered is None:
            covered = sorted(left)
            registry.put_state(transaction, f"segment/{name}", covered)
    return covered


def _write_segment(resources: Resources, endpoint: str, day: str, *, name: str, parts: list[Path]) -> Segment:
    target = _folder(resources, endpoint) / f"{name.rpartition('/')[2]}.parquet"
    with connect() as connection:
        usage.open_parts(connection, parts)
        write_relation(target, connection.sql(f"SELECT * FROM {_ANSWERED} ORDER BY time, prediction_id"))  # noqa: S608, our own names
        uses = usage.read(connection)
        rows, first, last = connection.execute(f"SELECT count(*), min(time), max(time) FROM {_ANSWERED}").fetchall()[0]  # noqa: S608, as above
        versions = connection.execute(
            f"SELECT version, count(*) FROM {_ANSWERED} GROUP BY version ORDER BY version"  # noqa: S608, as above
        ).fetchall()
        counts = {str(version): _counts(resources, connection, str(version)) for version, _ in versions}
    made = Segment(
        name=name,
        endpoint=endpoint,
        day=day,
        file=target.relative_to(resources.folder).as_posix(),
        sha256=hash_file(target),
        rows=rows,
        versions={str(version): count for version, count in versions},
        min_time=first.isoformat() if first else "",
        max_time=last.isoformat() if last else "",
        counts=counts,
    )
    faults.point("segment.before_row")
    with resources.database.write() as transaction:
        _record_segment(resources, transaction, made, uses, default_cause=_traffic_event(transaction, endpoint))
    return made


# Of the tables that ``usage.open_parts`` makes: requests that failed are left out.
_ANSWERED = "rows WHERE prediction_id IS NOT NULL"


def _counts(resources: Resources, connection: "duckdb.DuckDBPyConnection", version: str) -> dict[str, list[int]]:
    """Return how many answers of a version fall into each bin of its inputs."""
    profile = profile_of(resources, version)
    if not profile.columns:
        return {}
    names = feature_columns(one.name for one in profile.columns)
    found = connection.execute(f"SELECT {names} FROM {_ANSWERED} AND version = ?", [version])  # noqa: S608, our names or quoted
    return profiles.count(profile, arrays_of(found))


def profile_of(resources: Resources, version_name: str) -> profiles.Profile:
    """Return the bins and reference counts of a model version."""
    with resources.database.read() as connection:
        version = registry.model_version(connection, version_name)
    return msgspec.json.decode(resources.artifacts.read(version.profile), type=profiles.Profile)


def _traffic_event(connection: Connection, endpoint: str) -> str:
    live = registry.live_release(connection, endpoint)
    return live.traffic_event if live else ""


def _record_segment(
    resources: Resources,
    transaction: Connection,
    made: Segment,
    uses: list[usage.Use],
    *,
    default_cause: str,
) -> None:
    pipeline = _pipeline_of(transaction, made)
    causes = [one.traffic_id for one in uses if one.traffic_id]
    cause = causes[-1] if causes else default_cause
    if not cause:
        # Only requests that were refused before anything had ever served: they are nobody's traffic.
        return
    data = {name: value for name, value in msgspec.to_builtins(made).items() if name not in ("counts", "file", "name")}
    with origin.use(_because_of(resources, transaction, cause)):
        resources.ledger.append(
            transaction,
            Event(
                type="prediction_log.segment.sealed",
                subject=made.name,
                id=derive_id("segment", made.name),
                pipeline=pipeline,
                data={"segment": made.name, **data},
            ),
        )
    place = {"segment": made.name, "endpoint": made.endpoint, "day": made.day, "pipeline": pipeline}
    for use in uses:
        with origin.use(_because_of(resources, transaction, use.traffic_id or cause)):
            resources.ledger.append(transaction, usage.recorded(use, **place))
    since, until = (day_start(resources, day) for day in (made.day, _day_after(made.day)))
    with origin.use(_because_of(resources, transaction, cause)):
        resources.ledger.append(transaction, *usage.costs(uses, **place, since=since, until=until))
    record = msgspec.json.encode(made).decode()
    transaction.execute(insert(schema.segment), {"name": made.name, "endpoint": made.endpoint, "record": record})


def _because_of(resources: Resources, transaction: Connection, event_id: str) -> origin.Origin:
    shifted = resources.ledger.find_in(transaction, event_id) or _attempted(resources, transaction, event_id)
    assert shifted is not None, "an endpoint answers only for releases of this workspace"
    return origin.following(shifted)


def _attempted(resources: Resources, transaction: Connection, event_id: str) -> Event | None:
    """Return the start of a deployment that failed after the endpoint had followed it: it answered for a moment."""
    for release in registry.releases(transaction):
        if derive_id(release.deployment_id, "traffic.shifted") == event_id:
            return resources.ledger.find_in(transaction, derive_id(release.deployment_id, "deployment.started"))
    return None


def _pipeline_of(connection: Connection, made: Segment) -> str:
    for version in made.versions:
        return registry.model_version(connection, version).pipeline
    return ""


# ---- reading


def segment(resources: Resources, name: str) -> Segment | None:
    """Return a sealed segment by its name, or ``None``."""
    query = select(schema.segment.c.record).where(schema.segment.c.name == name)
    with resources.database.read() as connection:
        record = connection.execute(query).scalar()
    return None if record is None else msgspec.json.decode(record, type=Segment)


def segments(resources: Resources, endpoint: str) -> list[Segment]:
    """Return an endpoint's sealed segments in the order of days."""
    query = select(schema.segment.c.record).where(schema.segment.c.endpoint == endpoint).order_by(schema.segment.c.name)
    with resources.database.read() as connection:
        return [msgspec.json.decode(record, type=Segment) for record in connection.execute(query).scalars()]


def files(resources: Resources, endpoint: str, *, since: datetime | None = None) -> list[Path]:
    """Return the Parquet files with an endpoint's predictions, sealed or not, from the day of a moment on."""
    first = since.astimezone(zone(resources)).date().isoformat() if since else ""
    sealed = [resources.folder / one.file for one in segments(resources, endpoint) if one.day >= first]
    still_open = sorted((_folder(resources, endpoint) / "open").glob("*/*.parquet"))
    return [*sealed, *(path for path in still_open if path.parent.name >= first)]


def rows_query(paths: list[Path], columns: str = "*") -> str:
    """Return SQL that gives each prediction in these files once."""
    names = listed(paths)
    return (
        f"SELECT {columns} FROM read_parquet([{names}], union_by_name=true) "  # noqa: S608, names that we made
        "WHERE prediction_id IS NOT NULL QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY time) = 1"
    )


def day_start(resources: Resources, day: str) -> datetime:
    """Return the moment (UTC) at which a day of the project's calendar begins."""
    return datetime.combine(date.fromisoformat(day), time(), zone(resources)).astimezone(UTC)


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def feature_columns(names: Iterable[str]) -> str:
    """Return SQL that gives logged inputs back under their own names."""
    return ", ".join(f"{quoted('feature_' + name)} AS {quoted(name)}" for name in names)
