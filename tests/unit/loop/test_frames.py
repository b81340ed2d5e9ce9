"""DuckDB and Parquet: files that appear whole, names that need quoting, times in UTC."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ratchet.loop.frames import arrays_of, connect, quoted, write_parquet, write_relation


def test_a_frame_is_written_whole(tmp_path: Path) -> None:
    """The folder is made, and no temporary file stays."""
    target = tmp_path / "deep" / "rows.parquet"
    write_parquet(target, pd.DataFrame({"a": [1, 2]}))
    assert [path.name for path in target.parent.iterdir()] == ["rows.parquet"]
    with connect() as connection:
        assert connection.execute(f"SELECT sum(a) FROM '{target}'").fetchall() == [(3,)]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """What stood there before still does, and no temporary file stays."""
    target = tmp_path / "rows.parquet"
    write_parquet(target, pd.DataFrame({"a": [1]}))
    before = target.read_bytes()
    with pytest.raises(TypeError):
        write_parquet(target, "no frame")
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_arrays_and_queries_are_written_like_frames(tmp_path: Path) -> None:
    """What is missing in an array is missing in the file, and the order of a query is kept."""
    arrays, chosen = tmp_path / "arrays.parquet", tmp_path / "chosen.parquet"
    write_parquet(arrays, {"n": np.array([1.5, np.nan]), "t": np.array([None, "x"], dtype=object)})
    with connect() as connection:
        assert connection.execute(f"SELECT * FROM '{arrays}'").fetchall() == [(1.5, None), (None, "x")]
        write_relation(chosen, connection.sql(f"SELECT t FROM '{arrays}' ORDER BY n NULLS FIRST"))
        assert connection.execute(f"SELECT t FROM '{chosen}'").fetchall() == [("x",), (None,)]
    assert sorted(tmp_path.iterdir()) == [arrays, chosen]


def test_what_is_missing_is_told_in_arrays() -> None:
    """NaN for numbers, NaT for moments, None for text and truth values; without gaps a column keeps its type."""
    query = (
        "SELECT * FROM (VALUES (1, 2, 'x', true, TIMESTAMP '2026-01-05', 0.5), (3, NULL, NULL, NULL, NULL, NULL)) "
        "AS t(whole, gap, text, truth, moment, number)"
    )
    with connect() as connection:
        found = arrays_of(connection.sql(query))
        assert arrays_of(connection.execute("SELECT 1 AS n"))["n"].tolist() == [1]
    assert (found["whole"].dtype.kind, found["whole"].tolist()) == ("i", [1, 3])
    assert (found["gap"][0], np.isnan(found["gap"][1]), np.isnan(found["number"][1])) == (2, True, True)
    assert (found["text"].tolist(), found["truth"].tolist()) == (["x", None], [True, None])
    assert (found["moment"].dtype.kind, np.isnat(found["moment"]).tolist()) == ("M", [False, True])


@pytest.mark.parametrize("name", ["a", "two words", 'quo"te', "select"])
def test_any_name_can_be_a_column(name: str) -> None:
    """A quoted name is taken as it is."""
    with connect() as connection:
        result = connection.execute(f"SELECT 1 AS {quoted(name)}")
        assert result.description[0][0] == name


def test_connections_do_not_share_tables() -> None:
    """Two threads that both make a table of the same name do not meet."""
    with connect() as first, connect() as second:
        first.execute("CREATE TEMP TABLE rows AS SELECT 1 AS a")
        second.execute("CREATE TEMP TABLE rows AS SELECT 2 AS a")
        assert first.execute("SELECT a FROM rows").fetchall() == [(1,)]


def test_times_are_utc() -> None:
    """A moment without zone is read as UTC, whatever the machine's zone."""
    with connect() as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
