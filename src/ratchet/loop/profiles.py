"""How the values of a model's inputs are distributed: bins fixed at training time, and integer counts.

Invariant: counts of the same profile can be added; nothing is estimated, so a count is exact however many rows it
covers.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ratchet.errors import ShapeMismatch
from ratchet.records import Record

NUMBER_BINS = 10
TOP_VALUES = 100
# Half a row in an empty bin: without it one missing value would make the index infinite.
_SMOOTHING = 0.5


class ColumnProfile(Record, frozen=True):
    """One input's bins and the counts of the reference rows.

    Attributes:
        edges: Inner edges of a number's bins, ascending; a value equal to an edge belongs to the bin above.
        values: The most frequent values of a category.
        counts: Rows per bin; the last one is "missing", and a category's last but one is "other".
    """

    name: str
    kind: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


class Profile(Record, frozen=True):
    """The bins and reference counts of all inputs."""

    columns: tuple[ColumnProfile, ...]


def make(rows: Any, inputs: Sequence[dict[str, str]]) -> Profile:
    """Fix bins on reference rows and count them.

    Args:
        rows: A data frame.
        inputs: The model's inputs: ``{"name", "kind"}``.
    """
    columns = []
    for one in inputs:
        values = rows[one["name"]].to_numpy()
        empty = _with_bins(one, values)
        columns.append(msgspec.structs.replace(empty, counts=tuple(count_column(empty, values))))
    return Profile(columns=tuple(columns))


def _with_bins(one: dict[str, str], values: Any) -> ColumnProfile:
    if one["kind"] == "category":
        present = np.array([str(value) for value in values if not _is_missing(value)])
        names, counts = np.unique(present, return_counts=True)
        order = np.lexsort((names, -counts))[:TOP_VALUES]
        return ColumnProfile(name=one["name"], kind="category", values=tuple(str(name) for name in names[order]))
    numbers = np.asarray(values, dtype=float)
    # An infinite value would make an edge that no JSON file can hold; it is counted all the same.
    numbers = numbers[np.isfinite(numbers)]
    quantiles = np.linspace(0, 1, NUMBER_BINS + 1)[1:-1]
    edges = np.unique(np.quantile(numbers, quantiles)) if len(numbers) else np.array([])
    return ColumnProfile(name=one["name"], kind="number", edges=tuple(float(edge) for edge in edges))


def count_column(column: ColumnProfile, values: Any) -> list[int]:
    """Count values into a column's bins.

    Args:
        column: Gives the bins.
        values: Shape ``(rows,)``; numbers with NaN, or text with ``None``.

    Returns:
        Counts, shape ``(bins,)``, the last bin for missing values.
    """
    if column.kind == "category":
        position = {value: number for number, value in enumerate(column.values)}
        other, missing = len(position), len(position) + 1
        places = [missing if _is_missing(value) else position.get(str(value), other) for value in values]
        return [int(count) for count in np.bincount(places, minlength=missing + 1)]
    numbers = np.asarray(values, dtype=float)
    bins = np.searchsorted(np.asarray(column.edges), numbers, side="right")
    bins[np.isnan(numbers)] = len(column.edges) + 1
    return [int(count) for count in np.bincount(bins, minlength=len(column.edges) + 2)]


def count(profile: Profile, columns: dict[str, Any]) -> dict[str, list[int]]:
    """Count the rows of a batch into a profile's bins; columns that it does not have are left out."""
    return {one.name: count_column(one, columns[one.name]) for one in profile.columns if one.name in columns}


def population_stability_index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Measure how far a feature's distribution has moved since training.

    Args:
        expected: Counts at training time, shape ``(bins,)``.
        actual: Counts in the window, shape ``(bins,)``.

    Returns:
        Index in nats, 0 when equal, never negative: the sum of the two relative entropies.

    Raises:
        ShapeMismatch: The two have different numbers of bins.

    Source: S. Kullback and R. A. Leibler, "On Information and Sufficiency" (1951), the symmetric divergence J(1,2).
    """
    if len(expected) != len(actual):
        raise ShapeMismatch(what="bins", expected=len(expected), found=len(actual))
    first, second = (_shares(np.asarray(one, dtype=float)) for one in (expected, actual))
    return float(np.sum((second - first) * np.log(second / first)))


def _shares(counts: Any) -> Any:
    smoothed = counts + _SMOOTHING
    return smoothed / smoothed.sum()


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124, NaN is what differs from itself
