"""Python's search for garbage, left out while much is read that stays.

Invariant: afterwards it is as it was before, however the work ended.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Leave the search for cycles out: it would look at all that was read again and again, and there are none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
