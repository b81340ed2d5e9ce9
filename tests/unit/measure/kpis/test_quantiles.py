"""Quantiles of whatever was measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.measure.kpis.quantiles import quantile


def test_a_quantile_of_nothing_is_nothing() -> None:
    """There is no middle where there is nothing."""
    assert quantile([], 0.5) is None


def test_places_between_two_values_are_interpolated() -> None:
    """The place is (n - 1) x share, counted from 0."""
    assert quantile([6, 1, 2], 0.5) == 2
    assert quantile([6, 1, 2], 0.9) == pytest.approx(5.2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[float], share: float) -> None:
    """The definition is the one that numpy calls linear."""
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-6)
