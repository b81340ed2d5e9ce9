"""What a file must be like to become part of a dataset: taken as a whole, or refused with column, value and limit."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ratchet.config import ColumnSection, DatasetSection, LabelSection
from ratchet.errors import DataRefused
from ratchet.loop.contracts import Contract, format_of, look
from ratchet.loop.frames import write_parquet
from tests import projects

Change = Callable[[pd.DataFrame], pd.DataFrame]
COLUMNS = {
    "plan": ColumnSection(allowed=("basic", "family", "pro")),
    "visits": ColumnSection(at_least=-20, at_most=40, missing_at_most=0.1),
}


def section(**changes: Any) -> DatasetSection:
    """Return a dataset's section with a contract."""
    fields: dict[str, Any] = {
        "source": "data/*",
        "key": "customer",
        "time": "seen_at",
        "label": LabelSection(column="left"),
        "columns": COLUMNS,
    }
    return DatasetSection(**fields | changes)


def write(folder: Path, rows: pd.DataFrame) -> Path:
    """Write rows as a file to look at."""
    path = folder / "rows.parquet"
    write_parquet(path, rows)
    return path


def test_a_good_file_is_described(tmp_path: Path) -> None:
    """One look gives rows, types, presence and the range of its time column."""
    rows = projects.customers(20)
    facts = Contract("customers", section()).examine(write(tmp_path, rows), file="rows.parquet")
    assert facts.rows == 20
    assert list(facts.columns) == list(rows.columns)
    assert facts.columns["plan"].present == 20
    assert facts.data_from == rows["seen_at"].min().isoformat()
    assert facts.data_until == rows["seen_at"].max().isoformat()


def with_values(column: str, *values: Any) -> Change:
    """Return a change that puts values into a column's first rows."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        changed = rows.copy()
        if any(isinstance(value, str) or value is None for value in values):
            changed[column] = changed[column].astype(object)
        changed.loc[: len(values) - 1, column] = list(values)
        return changed

    return change


BAD: list[tuple[str, Change, str]] = [
    ("no label", lambda rows: rows.drop(columns="left"), r"column 'left' is missing; it has customer.*Add the column"),
    ("no key", lambda rows: rows.drop(columns="customer"), r"column 'customer' is missing"),
    ("no column with a rule", lambda rows: rows.drop(columns="plan"), r"column 'plan' is missing"),
    ("no rows", lambda rows: rows.head(0), r"it has 0 rows, at least 1 is needed.*Remove the file"),
    (
        "unknown category",
        with_values("plan", "gold"),
        r"column 'plan' holds 'gold', which is none of the 3 values allowed.*allowed of plan",
    ),
    (
        "only missing",
        lambda rows: rows.assign(spend=float("nan")),
        r"column 'spend' has only missing values in 20 rows.*missing_at_most = 1.0",
    ),
    (
        "too many missing",
        with_values("visits", *[float("nan")] * 3),
        r"15.0% of column 'visits' are missing, at most 10.0% may be.*raise missing_at_most",
    ),
    ("too low", with_values("visits", -21.0), r"'visits' goes down to -21.0, at least -20 is allowed.*limit of visits"),
    ("too high", with_values("visits", 41.5), r"'visits' goes up to 41.5, at most 40 is allowed.*limit of visits"),
    ("words for numbers", with_values("visits", "many"), r"column 'visits' is VARCHAR.*number"),
    ("words for times", with_values("seen_at", "today"), r"column 'seen_at' is VARCHAR.*date or time"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_file_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    """The message has the dataset, the file, the column, the value, the limit and what to do."""
    rows = change(projects.customers(20))
    if rows["seen_at"].dtype == object if "seen_at" in rows else False:
        rows["seen_at"] = rows["seen_at"].astype(str)
    if "visits" in rows and rows["visits"].dtype == object:
        rows["visits"] = rows["visits"].astype(str)
    with pytest.raises(DataRefused, match=re.compile(r"'customers' refuses rows\.parquet: .*" + message)):
        Contract("customers", section()).examine(write(tmp_path, rows), file="rows.parquet")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """Half a file, or a text with the wrong name, is named and not taken."""
    path = write(tmp_path, projects.customers(20))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataRefused, match=r"it cannot be read.*Write it again"):
        Contract("customers", section()).examine(path, file="rows.parquet")


def test_a_column_of_an_earlier_version_must_stay(tmp_path: Path) -> None:
    """What a model was trained on cannot go missing."""
    with pytest.raises(DataRefused, match="column 'age' is missing"):
        Contract("customers", section(), ("customer", "age")).examine(
            write(tmp_path, projects.customers(20)), file="rows.parquet"
        )


def test_gaps_are_allowed_where_the_contract_says_so(tmp_path: Path) -> None:
    """A column may even be empty, if its section says 1.0."""
    rows = projects.customers(20).assign(spend=float("nan"))
    allowing = section(columns={"spend": ColumnSection(missing_at_most=1.0, at_least=0)})
    assert Contract("customers", allowing).examine(write(tmp_path, rows), file="x").columns["spend"].present == 0


def test_text_files_are_read_as_well(tmp_path: Path) -> None:
    """A CSV's types are found by looking at it; dates without a time are moments at midnight UTC."""
    path = tmp_path / "rows.csv"
    path.write_text("day,n\n2026-01-02,1\n2026-01-03,2\n")
    facts = look(path, time="day")
    assert (facts.rows, facts.data_until) == (2, "2026-01-03T00:00:00+00:00")
    assert [format_of(Path(name)) for name in ("a.csv", "a.parquet", "a")] == ["csv", "parquet", "parquet"]


def test_without_a_time_column_there_is_no_range(tmp_path: Path) -> None:
    """Nothing is guessed."""
    facts = look(write(tmp_path, projects.customers(5)))
    assert (facts.data_from, facts.data_until) == ("", "")


def test_a_files_name_may_hold_a_quote(tmp_path: Path) -> None:
    """A name is data, not a part of the query."""
    path = tmp_path / "it's.parquet"
    write_parquet(path, projects.customers(3))
    assert look(path).rows == 3
