"""What this process remembers of the ledger: the measure's view of it, brought up to date when somebody asks.

Invariant: it holds what the ledger holds now; what was erased there is not in it any more.
"""

import threading

from ratchet.garbage import without_collector
from ratchet.measure.history import History
from ratchet.store.erasure import ERASED
from ratchet.store.ledger import Ledger


class Recollection:
    """The history of one ledger, read once and then only as far as it has grown.

    Args:
        ledger: What is remembered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._history = History()
        self._until = 0

    def history(self) -> History:
        """Return the history as it stands in the ledger now."""
        with self._lock:
            known = self._until
            if self._take_in() and known:
                self._history, self._until = History(), 0
                self._take_in()
        return self._history

    def _take_in(self) -> bool:
        """Add what is new; tell whether a payload was erased."""
        is_erased = False
        with without_collector():
            for event in self._ledger.read(after=self._until):
                self._history.add(event)
                self._until = event.seq
                is_erased = is_erased or event.type == ERASED
        return is_erased
