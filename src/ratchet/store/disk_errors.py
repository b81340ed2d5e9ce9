"""A full or broken disk below DuckDB, told as it is told everywhere else: by ``OSError``.

Invariant: whoever writes a file need not know what it was written by; what else DuckDB says stays as it is.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a disk says that does not take a file. A file that is missing may be one that was to be read.
_SAID = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)}


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
        number = next((number for words, number in _SAID.items() if words in str(error)), None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
