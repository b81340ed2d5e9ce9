"""Data contracts: what a file must be like to become part of a dataset.

Invariant: a file is read once; it is accepted as a whole or refused with the column, the value and the limit.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from ratchet.config import ColumnSection, DatasetSection
from ratchet.errors import DataRefused
from ratchet.loop.frames import connect, quoted
from ratchet.records import Record

FORMATS = {".csv": "csv", ".parquet": "parquet"}
# How DuckDB calls them, without precision and zone.
_MOMENTS = ("DATE", "TIMESTAMP")
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMBERS = (*_INTEGERS, "FLOAT", "DOUBLE", "DECIMAL")


class ColumnFacts(Record, frozen=True):
    """One column of a file: its type, how many values are present, the lowest and the highest."""

    type: str
    present: int
    low: str | None
    high: str | None


class FileFacts(Record, frozen=True):
    """What one look at a file tells.

    Attributes:
        data_from, data_until: Range of the time column (ISO, UTC), ``""`` without one.
    """

    rows: int
    columns: dict[str, ColumnFacts]
    data_from: str
    data_until: str


class Contract:
    """What a dataset demands of its files.

    Args:
        dataset: The dataset's name.
        section: Its section in ``ratchet.toml``.
        columns: Columns that earlier versions had, by name.
    """

    def __init__(self, dataset: str, section: DatasetSection, columns: Sequence[str] = ()) -> None:
        self._dataset = dataset
        self._section = section
        label = [section.label.column] if section.label else []
        self._needed = [name for name in (section.key, section.time, *label, *section.columns, *columns) if name]

    def examine(self, path: Path, *, file: str) -> FileFacts:
        """Hold a file against the contract and return what it is like.

        Raises:
            DataRefused: It cannot be read, has no rows, lacks a column, or a column breaks what is demanded of it.
        """
        try:
            facts = look(path, time=self._section.time)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            remedy = "Write it again, as Parquet or CSV."
            raise self._refuse(file, f"it cannot be read ({reason})", remedy) from error
        missing = sorted(set(self._needed) - set(facts.columns))
        if missing:
            have = ", ".join(facts.columns)
            raise self._refuse(
                file,
                f"column '{missing[0]}' is missing; it has {have}",
                "Add the column, or start a new dataset in ratchet.toml.",
            )
        if facts.rows == 0:
            raise self._refuse(file, "it has 0 rows, at least 1 is needed", "Remove the file, or write it again.")
        self._check_time(facts, file=file)
        for name, column in facts.columns.items():
            self._check_column(name, column, facts.rows, path=path, file=file)
        return facts

    def _check_time(self, facts: FileFacts, *, file: str) -> None:
        name = self._section.time
        if name and not facts.columns[name].type.startswith(_MOMENTS) and facts.columns[name].present:
            kind = facts.columns[name].type
            problem = f"column '{name}' is {kind}, which must be a date or time (DATE or TIMESTAMP)"
            raise self._refuse(file, problem, f"Write it as one, or name another column: time, {self._where()}.")

    def _where(self) -> str:
        return f"[dataset.{self._dataset}]"

    def _refuse(self, file: str, problem: str, remedy: str) -> DataRefused:
        return DataRefused(dataset=self._dataset, file=file, problem=problem, remedy=remedy)

    def _check_column(self, name: str, column: ColumnFacts, rows: int, *, path: Path, file: str) -> None:
        demanded = self._section.columns.get(name, ColumnSection())
        section = f"[dataset.{self._dataset}.columns]"
        allowed = demanded.missing_at_most
        if column.present == 0 and allowed is None:
            raise self._refuse(
                file,
                f"column '{name}' has only missing values in {rows} rows",
                f"Fill it, or allow it under {section}: {name} = {{ missing_at_most = 1.0 }}",
            )
        missing_share = 1 - column.present / rows
        if allowed is not None and missing_share > allowed:
            raise self._refuse(
                file,
                f"{missing_share:.1%} of column '{name}' are missing, at most {allowed:.1%} may be",
                f"Fill the gaps, or raise missing_at_most of {name} under {section}.",
            )
        self._check_range(name, column, demanded, file=file, section=section)
        if demanded.allowed:
            self._check_values(name, demanded, path=path, file=file, section=section)

    def _check_range(self, name: str, column: ColumnFacts, demanded: ColumnSection, *, file: str, section: str) -> None:
        remedy = f"Mend the values, or change the limit of {name} under {section}."
        is_limited = demanded.at_least is not None or demanded.at_most is not None
        if is_limited and column.present and not column.type.startswith(_NUMBERS):
            problem = f"column '{name}' is {column.type}, which must be a number to be held against its limits"
            raise self._refuse(file, problem, remedy)
        if demanded.at_least is not None and column.low is not None and float(column.low) < demanded.at_least:
            problem = f"column '{name}' goes down to {column.low}, at least {demanded.at_least:g} is allowed"
            raise self._refuse(file, problem, remedy)
        if demanded.at_most is not None and column.high is not None and float(column.high) > demanded.at_most:
            problem = f"column '{name}' goes up to {column.high}, at most {demanded.at_most:g} is allowed"
            raise self._refuse(file, problem, remedy)

    def _check_values(self, name: str, demanded: ColumnSection, *, path: Path, file: str, section: str) -> None:
        column = quoted(name)
        query = f"SELECT DISTINCT {column}::VARCHAR FROM {reader(path)} WHERE {column} IS NOT NULL"  # noqa: S608, names are ours or quoted
        with connect() as connection:
            found = {str(row[0]) for row in connection.execute(query).fetchall()}
        unknown = sorted(found - {str(value) for value in demanded.allowed})
        if unknown:
            raise self._refuse(
                file,
                f"column '{name}' holds '{unknown[0]}', which is none of the {len(demanded.allowed)} values allowed",
                f"Mend the value, or add it to allowed of {name} under {section}.",
            )


def look(path: Path, *, time: str = "") -> FileFacts:
    """Return what a file is like: one query for its columns, one for all their values.

    Raises:
        duckdb.Error: It cannot be read.
    """
    source = reader(path)
    with connect() as connection:
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608, our own path
        names = [str(row[0]) for row in described]
        parts = ["count(*)"]
        for name in names:
            column = quoted(name)
            parts += [f"count({column})", f"min({column})::VARCHAR", f"max({column})::VARCHAR"]
        parts += [f"min({quoted(time)})", f"max({quoted(time)})"] if time in names else ["NULL", "NULL"]
        values = connection.execute(f"SELECT {', '.join(parts)} FROM {source}").fetchone()  # noqa: S608, quoted
    assert values is not None, "an aggregate gives a row"
    columns = {
        str(row[0]): ColumnFacts(
            type=str(row[1]), present=values[1 + 3 * number], low=values[2 + 3 * number], high=values[3 + 3 * number]
        )
        for number, row in enumerate(described)
    }
    return FileFacts(rows=values[0], columns=columns, data_from=_iso(values[-2]), data_until=_iso(values[-1]))


def reader(path: Path, kind: str = "") -> str:
    """Return SQL that reads a file.

    Args:
        path: The file.
        kind: ``parquet`` or ``csv``; by the name's ending where not given.
    """
    escaped = str(path).replace("'", "''")
    function = "read_csv" if (kind or format_of(path)) == "csv" else "read_parquet"
    return f"{function}('{escaped}')"


def format_of(path: Path) -> str:
    """Return a file's format by the ending of its name."""
    return FORMATS.get(path.suffix, "parquet")


def _iso(moment: Any) -> str:
    if not isinstance(moment, date):
        return ""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC).isoformat()
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
