"""The median of durations of which some have not ended."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ratchet.measure.kpis.survival import product_limit_median

DURATIONS = st.lists(st.integers(0, 50), max_size=30)


def test_open_cases_move_the_median() -> None:
    """Three ended and three are still open: half of all have not ended before the last did."""
    assert product_limit_median([1, 2, 3], []) == 2
    assert product_limit_median([1, 2, 3], [9, 9, 9]) == 3
    assert product_limit_median([1, 2], [9, 9, 9]) is None


def test_a_case_that_was_seen_until_an_end_was_open_then() -> None:
    """A case censored at the moment of an end is still at risk then."""
    assert product_limit_median([5, 7], [5]) == 7
    assert product_limit_median([5, 7], [4]) == 5


def test_nothing_has_no_median() -> None:
    """Of no case at all nothing can be said."""
    assert product_limit_median([], []) is None
    assert product_limit_median([], [3]) is None


@given(DURATIONS, DURATIONS)
def test_the_median_is_that_of_the_survival_function_of_scipy(ended: list[int], censored: list[int]) -> None:
    """It is where the survival function that scipy estimates first is one half or less."""
    assume(ended or censored)
    data = stats.CensoredData(uncensored=ended, right=censored)
    survival = stats.ecdf(data).sf
    below = [
        float(at)
        for at, left in zip(survival.quantiles, survival.probabilities, strict=True)
        if left <= 0.5 + 1e-12 and at in ended
    ]
    assert product_limit_median(ended, censored) == (pytest.approx(below[0]) if below else None)
