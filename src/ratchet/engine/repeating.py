"""Threads that do one thing again and again.

Invariant: what one turn raises never keeps the next from coming; the same complaint is logged once, not each second.
"""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

END_SECONDS = 5.0


class Repeated:
    """A thread that calls a function now and then, until it is stopped.

    Args:
        call: What is done.
        name: Of the thread, and in complaints.
        seconds: The pause between two calls.
    """

    def __init__(self, call: Callable[[], None], *, name: str, seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._stopping = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the turn that is under way end, and begin no other."""
        self._stopping.set()
        self._thread.join(END_SECONDS)  # one that waits for a database that is away is left behind

    def _go(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._call()
                self._complaint = ""
            except Exception as error:  # noqa: BLE001, the border of a thread: a database that is away comes back
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    _log.warning("%s: %s", self._thread.name, error)
