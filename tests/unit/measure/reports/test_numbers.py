"""Numbers, and what they mean."""

from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.reports.numbers import OWN, basis_of, counted, definition_of_kpi, definitions_for, worded


def test_a_number_without_a_value_has_no_evidence_and_is_not_zero() -> None:
    """Unknown and 0 are written apart."""
    unknown, zero = counted("goal", "Share", None, unit="share"), counted("goal", "Share", 0.0, unit="share")
    assert (unknown.status, unknown.text) == ("no evidence", "no evidence")
    assert (zero.status, zero.text) == ("ok", "0 %")


def test_events_are_counted_once_each_and_named_by_their_ends() -> None:
    """Order and repetition change nothing; an empty id is no event."""
    found = basis_of(["b", "a", "c", "a", ""])
    assert (found.count, found.first, found.last) == (3, "a", "c")
    assert basis_of([]).count == 0


def test_definitions_are_those_that_are_named() -> None:
    """A KPI's is the catalogue's; one of the report's own has a digest that its formula makes."""
    numbers = [worded("level", "a", "1"), counted("cost", "b", 1.0), worded("level", "c", "2")]
    found = definitions_for(numbers)
    assert list(found) == ["level", "cost"]
    assert found["cost"].digest == KPIS["cost"].digest == definition_of_kpi("cost").digest
    assert len({one.digest for one in OWN.values()}) == len(OWN)
    assert not set(OWN) & set(KPIS)
