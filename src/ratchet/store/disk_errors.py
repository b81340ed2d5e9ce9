"""A full or broken disk below DuckDB, told as it is told everywhere else: by ``OSError``.

Invariant: whoever writes a file need not know what it was written by; what else DuckDB says stays as it is.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Let DuckDB write a file.

    Args:
        path: The file.

    Raises:
        OSError: The disk did not take it, with the system's number and words.
    """
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        number = _number(str(error))
        raise OSError(number, os.strerror(number), str(path)) from error


def _number(said: str) -> int:
    """Return the number of the system's error that a message ends with in words."""
    found = [number for number in errno.errorcode if os.strerror(number) in said]
    return max(found, key=lambda number: len(os.strerror(number)), default=errno.EIO)
