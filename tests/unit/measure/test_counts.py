"""Counts in words."""

import pytest

from ratchet.measure.counts import several, times


@pytest.mark.parametrize(
    ("count", "things", "often"),
    [(0, "0 libraries", "0 times"), (1, "1 library", "once"), (2, "2 libraries", "2 times")],
)
def test_only_one_is_one(count: int, things: str, often: str) -> None:
    """None of a thing are several, as in English."""
    assert several(count, "library", "libraries") == things
    assert times(count) == often
