"""What DuckDB says of the disk is said as by everybody else."""

import errno
from pathlib import Path

import duckdb
import pytest

from ratchet.store.disk_errors import disk_errors


def _write(path: Path) -> None:
    with disk_errors(path), duckdb.connect() as connection:
        connection.sql("SELECT * FROM range(1000) AS rows (number)").write_parquet(str(path))


def test_a_full_disk_is_the_systems_error() -> None:
    """With its number, its words and the file."""
    with pytest.raises(OSError, match="No space left on device") as caught:
        _write(Path("/dev/full"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


@pytest.mark.parametrize("said", ["Could not truncate file: Input/output error", "x: Read-only file system"])
def test_other_words_of_a_disk_are_known(said: str) -> None:
    """The words of DuckDB stay behind it."""
    with pytest.raises(OSError, match=r"rows\.parquet") as caught, disk_errors(Path("rows.parquet")):
        raise duckdb.IOException(f"IO Error: {said}")
    assert said in str(caught.value.__cause__)


def test_a_source_that_is_missing_is_not_said_of_the_file_that_is_written(tmp_path: Path) -> None:
    """What is read and what is written come in one query."""
    with pytest.raises(duckdb.IOException, match=r"gone\.parquet"), disk_errors(tmp_path / "rows.parquet"):
        duckdb.sql(f"SELECT * FROM '{tmp_path}/gone.parquet'").write_parquet(str(tmp_path / "rows.parquet"))


def test_what_is_no_matter_of_the_disk_stays_as_it_is() -> None:
    """A query that means nothing is a fault of whoever wrote it."""
    with pytest.raises(duckdb.ParserException), disk_errors(Path("rows.parquet")), duckdb.connect() as connection:
        connection.execute("SELEC 1")
