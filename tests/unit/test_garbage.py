"""The search for garbage is left out, and comes back."""

import gc
from contextlib import suppress

from ratchet.garbage import without_collector


def test_the_collector_is_as_it_was_however_the_work_ended() -> None:
    """Also inside of itself, and where it was off before: then nobody turns it on."""
    assert gc.isenabled()
    with suppress(ZeroDivisionError), without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
