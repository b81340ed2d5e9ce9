"""DuckDB and Parquet: files that appear whole, names that need quoting, times in UTC."""

from pathlib import Path

import pandas as pd
import pytest

from ratchet.loop.frames import connect, quoted, write_parquet


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
