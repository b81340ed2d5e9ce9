"""A comparison as values for programs."""

from ratchet.measure.evaluations.comparison import Comparison
from ratchet.measure.evaluations.export import to_values


def test_numbers_are_there_and_what_is_unknown_is_null(compared: Comparison) -> None:
    """The evaluation's own things first; counts by sentiment; no zero for a cost that nobody named."""
    values = to_values(compared)
    assert list(values)[:3] == ["id", "title", "conclusion"]
    assert (values["id"], values["period"], values["conclusion"]) == ("choice-1", "2024-10-01..2024-12-31", None)
    alpha, beta = values["candidates"]
    assert alpha["counts"] == {"🔴": 2, "🟡": 1, "🟢": 3}
    assert (alpha["is_disqualified"], beta["is_disqualified"]) == (True, False)
    assert (alpha["candidate"]["cost_year"], beta["candidate"]["cost_year"]) == (1200.0, None)
