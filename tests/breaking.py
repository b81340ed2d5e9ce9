"""Models that break the process which loads them, each in its way: what a trial has to withstand.

Invariant: they break when they are loaded, not when they are made, and only where their file of consent is there.
"""

from pathlib import Path

from ratchet.store import storers
from tests import snapshots

CODE = '''
"""A model that does harm when it is loaded."""

import ctypes
import os
import sys
import time
from pathlib import Path


class Breaking:
    """Breaks in one of several ways."""

    def __init__(self, way, consent):
        self.way = way
        self.consent = consent

    def __getstate__(self):
        return {"way": self.way, "consent": self.consent}

    def __setstate__(self, state):
        self.way, self.consent = state["way"], state["consent"]
        if Path(self.consent).exists():
            getattr(self, self.way)()

    def crash(self):
        ctypes.string_at(0)

    def leave(self):
        sys.exit(3)

    def hang(self):
        while True:
            time.sleep(1)

    def grow(self):
        held = []
        while True:
            held.append(b"x" * (20 << 20))

    def complain(self):
        raise ValueError("it does not like it here")

    def predict_proba(self, rows):
        import numpy as np

        return np.full((len(rows), 2), 0.5)

    def predict(self, rows):
        return self.predict_proba(rows)[:, 1]
'''


def make(folder: Path, way: str, *, consent: Path) -> tuple[str, bytes]:
    """Return the format and the bytes of a model that breaks in one way.

    Args:
        folder: For the snapshot that it comes from.
        way: ``crash``, ``leave``, ``hang``, ``grow`` or ``complain``.
        consent: The file without which it does no harm.
    """
    with snapshots.entered(folder, {"breaking_of_test.py": CODE}, module="breaking_of_test") as module:
        return storers.dump(module.Breaking(way, str(consent)))
