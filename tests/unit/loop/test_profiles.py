"""Bins and counts of a model's inputs, and the index that says how far they have moved."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import ShapeMismatch
from ratchet.loop import profiles
from ratchet.loop.profiles import ColumnProfile, population_stability_index

INPUTS = ({"name": "visits", "kind": "number"}, {"name": "plan", "kind": "category"})
COUNTS = st.integers(min_value=0, max_value=10**7)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Two rows of counts with the same number of bins."""
    bins = draw(st.integers(min_value=1, max_value=12))
    row = st.lists(COUNTS, min_size=bins, max_size=bins)
    return draw(row), draw(row)


def frame(*, visits: Any, plan: Any) -> pd.DataFrame:
    """Return rows of the two inputs."""
    return pd.DataFrame({"visits": visits, "plan": plan})


@given(st.lists(COUNTS, min_size=1, max_size=12))
def test_equal_counts_have_not_moved(counts: list[int]) -> None:
    """The index of a distribution with itself is 0."""
    assert population_stability_index(counts, counts) == 0


@given(pairs())
def test_the_index_is_symmetric_and_never_negative(pair: tuple[list[int], list[int]]) -> None:
    """It does not matter which of the two came first."""
    there, back = population_stability_index(*pair), population_stability_index(*reversed(pair))
    assert there >= 0
    assert there == pytest.approx(back, rel=1e-9, abs=1e-12)


def test_the_index_is_the_sum_of_both_relative_entropies() -> None:
    """A case worked by hand: half a row is added to each bin, then (q - p) ln (q / p) is summed."""
    expected, actual = np.array([30.5, 70.5]) / 101, np.array([60.5, 40.5]) / 101
    by_hand = float(((actual - expected) * np.log(actual / expected)).sum())
    assert population_stability_index([30, 70], [60, 40]) == pytest.approx(by_hand)


def test_an_empty_bin_leaves_the_index_finite() -> None:
    """One value that was never seen must not look like infinite drift."""
    assert 0 < population_stability_index([1000, 0], [999, 1]) < 0.01


def test_different_bins_are_refused() -> None:
    """Both numbers are named."""
    with pytest.raises(ShapeMismatch, match="2 bins were expected, 3 were given"):
        population_stability_index([1, 2], [1, 2, 3])


def test_numbers_are_cut_at_the_deciles() -> None:
    """A hundred different values fill ten bins equally, and none is missing."""
    made = profiles.make(frame(visits=np.arange(100.0), plan=["a"] * 100), INPUTS)
    assert made.columns[0].counts == (*[10] * 10, 0)


def test_missing_and_other_values_have_bins_of_their_own() -> None:
    """None, NaN and values that training did not see are counted, not lost."""
    made = profiles.make(frame(visits=[1.0, 2.0, np.nan], plan=["a", "b", None]), INPUTS)
    counted = profiles.count(made, {"visits": [np.nan, 5.0, None], "plan": ["a", "zz", None, float("nan")]})
    assert counted["visits"][-1] == 2
    assert sum(counted["visits"]) == 3
    assert counted["plan"] == [1, 0, 1, 2]


def test_only_the_most_frequent_values_get_a_bin() -> None:
    """Categories without end do not make a profile without end."""
    values = [f"v{number:03d}" for number in range(150)] + ["v149"]
    column = profiles.make(frame(visits=[0.0] * 151, plan=values), INPUTS).columns[1]
    assert len(column.values) == profiles.TOP_VALUES
    assert column.values[0] == "v149"
    assert sum(column.counts) == 151


def test_infinite_and_constant_values_make_a_profile_that_can_be_stored() -> None:
    """An infinite value must not make an edge that no file can hold."""
    made = profiles.make(frame(visits=[1.0, np.inf, -np.inf, 1.0], plan=["a"] * 4), INPUTS)
    assert msgspec.json.decode(msgspec.json.encode(made), type=profiles.Profile) == made
    assert sum(made.columns[0].counts) == 4


def test_a_column_without_any_value_has_a_profile() -> None:
    """All rows fall into the bin of missing values."""
    made = profiles.make(frame(visits=[np.nan] * 3, plan=[None] * 3), INPUTS)
    assert made.columns[0].counts == (0, 3)
    assert made.columns[1].counts == (0, 3)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40), st.integers(0, 40))
def test_counts_of_parts_add_up(values: list[float], cut: int) -> None:
    """Counting a whole is the same as counting its parts and adding."""
    column = ColumnProfile(name="visits", kind="number", edges=(-1.0, 0.0, 2.5))
    whole = profiles.count_column(column, values)
    parts = [profiles.count_column(column, part) for part in (values[:cut], values[cut:])]
    assert whole == [one + other for one, other in zip(*parts, strict=True)]
    assert sum(whole) == len(values)


@given(st.lists(st.sampled_from(["a", "b", "new", None]), max_size=40), st.integers(0, 40))
def test_counts_of_categories_add_up(values: list[str | None], cut: int) -> None:
    """It holds for categories, too."""
    column = ColumnProfile(name="plan", kind="category", values=("a", "b"))
    whole = profiles.count_column(column, values)
    parts = [profiles.count_column(column, part) for part in (values[:cut], values[cut:])]
    assert whole == [one + other for one, other in zip(*parts, strict=True)]


def test_columns_that_a_profile_lacks_are_left_out() -> None:
    """A batch may have more columns than the model takes."""
    made = profiles.make(frame(visits=[1.0], plan=["a"]), INPUTS)
    assert set(profiles.count(made, {"visits": [1.0], "unknown": [1.0]})) == {"visits"}
