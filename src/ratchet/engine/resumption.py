"""Gives back the jobs that this process has taken and does not carry out: a lost connection broke them off.

Invariant: a job that a living process has taken is under way there, or is given back once the database answers; one
that is under way is left alone.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ratchet.engine.repeating import END_SECONDS
from ratchet.errors import DatabaseAway
from ratchet.store.database import BrokenOff, breaking_off

LOOK_SECONDS = 5.0
_SOON_SECONDS = 0.2
_log = logging.getLogger(__name__)


class Resumption:
    """A thread that looks after the jobs of this process.

    A connection may be lost inside a job, which then ends like one whose process was killed; and just when the engine
    takes a job, so that the database has it as taken and nobody knows of it.

    Args:
        taken: Gives the jobs that the database has as taken by this process, each with the token of its taking.
        active: Gives the jobs that are under way here.
        give_back: Lets a job be taken anew.
    """

    def __init__(
        self,
        *,
        taken: Callable[[], set[tuple[str, str]]],
        active: Callable[[], set[str]],
        give_back: Callable[[str], None],
    ) -> None:
        self._taken = taken
        self._active = active
        self._give_back = give_back
        self._broken: set[str] = set()
        self._idle: set[tuple[str, str]] = set()
        self._stop = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resumption", daemon=True)

    def start(self) -> None:
        """Begin to look, now and then, and at once when a job was broken off."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a thread that waits for the database is left behind."""
        self._stop.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    @contextmanager
    def watching(self, job: str) -> Iterator[None]:
        """Let a job that is carried out inside end at a lost connection, and give it back then."""
        try:
            with breaking_off():
                yield
        except BrokenOff:
            self._broken.add(job)
            self._bell.set()
            raise

    def look(self) -> None:
        """Give back what was broken off, and what has been taken for a while without being under way.

        Raises:
            DatabaseAway: The next look will do it.
        """
        broken = set(self._broken)
        taken = self._taken()
        # Asked after the database: what has begun since is under way, and what has ended is not taken at the next look.
        active = self._active()
        idle = {(job, token) for job, token in taken if job not in active}
        for job, token in sorted(idle):
            if job in broken or (job, token) in self._idle:
                self._give_back(job)
        self._broken -= broken - active
        self._idle = idle

    def _watch(self) -> None:
        while not self._stop.is_set():
            # What was broken off is idle once its thread has ended, and is given back once the server is there.
            self._bell.wait(_SOON_SECONDS if self._broken else LOOK_SECONDS)
            if self._bell.is_set():
                self._bell.clear()
                self._stop.wait(_SOON_SECONDS)
            if not self._stop.is_set():
                try:
                    self.look()
                except DatabaseAway:
                    pass  # the next look will do it
                except Exception:  # noqa: BLE001, the border of a thread: without it, what was broken off would wait for ever
                    _log.exception("jobs that were broken off could not be given back; the next look tries again")
