"""What a question asks of columns."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ratchet.clock import to_us
from ratchet.config import TeamSection
from ratchet.measure.kpis.columns import dated, eras, months, of_node, sums_by
from ratchet.measure.kpis.questions import Scope
from tests.ledgers import LedgerBuilder
from tests.unit.measure.kpis.asking import ask, settings

MOVED = (
    TeamSection(name="consumer", kind="department"),
    TeamSection(name="risk", kind="department"),
    TeamSection(name="growth", part_of="consumer"),
    TeamSection(name="growth", part_of="risk", since=date(2026, 3, 8)),
)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"])
def test_months_are_those_that_each_moment_has_by_itself(zone: str) -> None:
    """Each quarter of an hour over fourteen months, midnights and changes of the clocks included."""
    start = datetime(2025, 12, 20, tzinfo=UTC)
    moments = [start + timedelta(minutes=15 * step) for step in range(4 * 24 * 425)]
    names, codes = months(np.array([to_us(moment) for moment in moments]), ZoneInfo(zone))
    assert [names[code] for code in codes] == [f"{moment.astimezone(ZoneInfo(zone)):%Y-%m}" for moment in moments]


def test_no_moments_are_in_no_month() -> None:
    """An empty column has no months."""
    names, codes = months(np.array([], dtype=np.int64), ZoneInfo("UTC"))
    assert (names, len(codes)) == ([], 0)


def test_a_team_belongs_to_what_it_was_part_of_then() -> None:
    """The day on which a team moves is a local one, and begins at midnight there."""
    ledger = LedgerBuilder()
    ledger.declare()
    midnight = datetime(2026, 3, 8, 5, tzinfo=UTC)
    moments = [midnight - timedelta(microseconds=1), midnight]
    times = np.array([to_us(moment) for moment in moments])
    found = {}
    for name in ("consumer", "risk", "growth"):
        question = ask(ledger, Scope(kind="node", name=name), using=settings(team=MOVED))
        found[name] = of_node(question, times, names=["", "growth"], codes=np.array([1, 1])).tolist()
        assert not of_node(question, times, names=["", "growth"], codes=np.array([0, 0])).any()
    assert found == {"consumer": [True, False], "risk": [False, True], "growth": [True, True]}


def test_eras_cover_each_moment_once() -> None:
    """Also before the first change, and where nothing is declared at all."""
    ledger = LedgerBuilder()
    ledger.declare()
    times = np.array([to_us(datetime(year, 3, 8, tzinfo=UTC)) for year in (1960, 1999, 2026, 2027)])
    for teams in (MOVED, ()):
        rows = [mask for _, mask in eras(ask(ledger, using=settings(team=teams)), times)]
        assert np.sum(rows, axis=0).tolist() == [1, 1, 1, 1]


def test_a_word_stands_for_what_it_stood_for_then() -> None:
    """From the instant of a change on; before the first for the first; without any for itself."""
    changes = {"a": [(datetime(2026, 1, day, tzinfo=UTC), name) for day, name in ((2, "x"), (4, "y"))]}
    times = np.array([to_us(datetime(2026, 1, day, tzinfo=UTC)) for day in (5, 1, 4, 3, 1)])
    names, codes = dated(["b", "a", "c"], np.array([1, 1, 1, 1, 0]), times, lambda word: changes.get(word, []))
    assert [names[code] for code in codes] == ["y", "x", "y", "x", "b"]


def test_sums_are_by_name_also_where_a_name_stands_twice() -> None:
    """What does not occur is left out, not 0."""
    found = sums_by(["b", "a", "b", "c"], np.array([0, 1, 2, 1]), np.array([1.0, 2.0, 4.0, -2.0]))
    assert found == {"a": 0.0, "b": 5.0}
    assert list(found) == ["a", "b"]
