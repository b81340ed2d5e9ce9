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


def test_a_folder_that_is_missing_is_one(tmp_path: Path) -> None:
    """As where Python writes."""
    with pytest.raises(FileNotFoundError):
        _write(tmp_path / "missing" / "rows.parquet")


def test_words_that_nobody_knows_are_an_error_of_the_disk() -> None:
    """The words of DuckDB stay behind it."""
    with pytest.raises(OSError, match="Input/output error") as caught, disk_errors(Path("rows.parquet")):
        raise duckdb.IOException("IO Error: something else")
    assert "something else" in str(caught.value.__cause__)


def test_what_is_no_matter_of_the_disk_stays_as_it_is() -> None:
    """A query that means nothing is a fault of whoever wrote it."""
    with pytest.raises(duckdb.ParserException), disk_errors(Path("rows.parquet")), duckdb.connect() as connection:
        connection.execute("SELEC 1")
