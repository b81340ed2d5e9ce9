"""How often people are called, and when."""

from datetime import UTC, datetime

import pytest

from ratchet.config import WorkingHoursSection
from ratchet.measure.kpis.pages import is_working, pages
from tests.ledgers import PERSON, LedgerBuilder
from tests.unit.measure.kpis.asking import ask

DAY = WorkingHoursSection()
NIGHT = WorkingHoursSection(days=("fri",), since="22:00", until="06:00")


@pytest.mark.parametrize(
    ("local", "is_day", "is_night"),
    [
        ("2026-04-03T08:59:59", False, False),
        ("2026-04-03T09:00:00", True, False),
        ("2026-04-03T16:59:59", True, False),
        ("2026-04-03T17:00:00", False, False),
        ("2026-04-03T22:00:00", False, True),
        ("2026-04-04T05:59:00", False, True),
        ("2026-04-04T06:00:00", False, False),
        ("2026-04-04T12:00:00", False, False),
        ("2026-04-04T22:30:00", False, False),
        ("2026-04-03T05:00:00", False, False),
    ],
)
def test_the_end_of_working_hours_is_out(local: str, is_day: bool, is_night: bool) -> None:
    """Hours over midnight belong to the day on which they begin: the night from Friday to Saturday."""
    moment = datetime.fromisoformat(local)
    assert (is_working(moment, DAY), is_working(moment, NIGHT)) == (is_day, is_night)


def test_until_midnight_is_the_whole_evening() -> None:
    """24:00 ends the day."""
    evening = WorkingHoursSection(since="18:00", until="24:00")
    assert is_working(datetime.fromisoformat("2026-04-03T23:59:59"), evening)


def test_pages_are_counted_by_local_time() -> None:
    """Half past two in the afternoon in UTC is out of hours on a Sunday, and at work on a Monday in New York."""
    ledger = LedgerBuilder(start=datetime(2026, 4, 5, 14, 30, tzinfo=UTC))
    ledger.add("page.sent", "on-call")
    ledger.wait(days=1)
    page = ledger.add("page.sent", "on-call")
    ledger.add("page.acknowledged", "on-call", {"page": page.id}, actor=PERSON)
    values = pages(ask(ledger.wait(days=1))).values
    assert (values["count"], values["out_of_hours_count"], values["out_of_hours_share"]) == (2, 1, 0.5)
    # From the first of April, local, to the seventh: six days.
    assert values["per_week"] == pytest.approx(2 / (6 / 7))
    assert (values["late_count"], values["per_100_deployments"]) == (1, None)


def test_an_open_page_is_late_once_its_time_is_over() -> None:
    """Before that it is not, and an answer that came too late does not help."""
    ledger = LedgerBuilder()
    page = ledger.add("page.sent", "on-call")
    assert pages(ask(ledger.wait(minutes=30))).values["late_count"] == 0
    assert pages(ask(ledger.wait(minutes=1))).values["late_count"] == 1
    ledger.add("page.acknowledged", "on-call", {}, cause=page, actor=PERSON)
    assert pages(ask(ledger)).values["late_count"] == 1


def test_without_pages_there_is_no_evidence() -> None:
    """Perhaps nobody is called, perhaps nothing sends pages here."""
    ledger = LedgerBuilder()
    ledger.declare()
    answer = pages(ask(ledger))
    assert (answer.status, set(answer.values.values())) == ("no evidence", {None})
