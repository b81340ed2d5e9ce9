"""Words between the processes of one PostgreSQL database: said with a commit, heard by whoever listens.

Invariant: a word is a hint and never the only way to know: who listens looks for itself now and then, and at once after
each time that it could not hear.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from ratchet.store.database import Database, is_away

_CHANNEL = "ratchet_jobs"
_TELL = text("SELECT pg_notify(:channel, :word)")
_HEARING_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


def tell(transaction: Connection, word: str) -> None:
    """Let all listeners hear a word if and when the transaction commits."""
    transaction.execute(_TELL, {"channel": _CHANNEL, "word": word})


class Listener:
    """A thread that hears what others tell.

    Args:
        database: On PostgreSQL.
        heard: Called with each word; with ``""`` where words may have been missed.
    """

    def __init__(self, database: Database, heard: Callable[[str], None]) -> None:
        self._database = database
        self._heard = heard
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nothing further."""
        self._stopping.set()
        self._thread.join()

    def _listen(self) -> None:
        from psycopg import OperationalError

        while not self._stopping.is_set():
            try:
                with self._connected() as connection:
                    self._heard("")
                    while not self._stopping.is_set():
                        for one in connection.notifies(timeout=_HEARING_SECONDS, stop_after=1):
                            self._heard(one.payload)
            except Exception as error:  # noqa: BLE001, the border of a thread: it goes on without words for a moment
                # A server that is away is said by whoever needs it for more than words.
                level = logging.DEBUG if is_away(error) or isinstance(error, OperationalError) else logging.WARNING
                _log.log(level, "no words are heard: %s", error)
                self._stopping.wait(_AGAIN_SECONDS)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Open a connection of its own: one that waits for words is of no use to anybody else."""
        pooled = self._database.engine.raw_connection()
        driver: Any = pooled.driver_connection
        pooled.detach()
        try:
            driver.autocommit = True
            driver.execute(f"LISTEN {_CHANNEL}")
            yield driver
        finally:
            driver.close()
