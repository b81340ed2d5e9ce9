"""Columns of the events that come by the million."""

from datetime import UTC, datetime

from ratchet.clock import to_us
from ratchet.measure.kpis.bulk import Table
from ratchet.records import Event

AT = datetime(2024, 3, 1, tzinfo=UTC)


def table() -> Table:
    """Return a table with two rows, the second with most left out."""
    made = Table("usage.recorded", words={"caller": "", "kind": "call"}, numbers={"count": 0.0})
    full = {"caller": "web", "kind": "health", "count": 7}
    made.add(Event(type=made.type, subject="x", id="a", time=AT, seq=3, pipeline="p", data=full))
    made.add(Event(type=made.type, subject="x", id="b", time=AT, seq=5, data={"caller": "app", "count": "many"}))
    return made


def test_missing_fields_are_what_the_table_says() -> None:
    """An event without a field, or with nonsense in it, counts as the table says."""
    rows = table().up_to(9)
    assert rows.number("count").tolist() == [7.0, 0.0]
    assert [rows.words("kind")[code] for code in rows.code("kind")] == ["health", "call"]
    assert rows.equals("caller", "web").tolist() == [True, False]
    assert rows.equals("caller", "nobody").tolist() == [False, False]
    assert rows.equals("pipeline", "p").tolist() == [True, False]
    assert rows.time_us.tolist() == [to_us(AT)] * 2


def test_rows_up_to_a_place_are_those_known_then() -> None:
    """Later rows are not seen, also when they came after the view was made."""
    made = table()
    assert [len(made.up_to(seq)) for seq in (2, 3, 4, 5)] == [0, 1, 1, 2]
    early = made.up_to(4)
    made.add(Event(type=made.type, subject="x", id="c", time=AT, seq=6, data={}))
    assert (len(early), early.id(0), early.number("count").tolist()) == (1, "a", [7.0])
