"""Audit completeness."""

from typing import Any

import pytest

from ratchet.config import KpiSection
from ratchet.measure.kpis.settings import Settings
from tests.kpis import answer
from tests.ledgers import START, LedgerBuilder


def cursor(ledger: LedgerBuilder, count: int, **data: Any) -> None:
    """Let a source claim so many records in the first hour."""
    span = {"source": "scheduler", "from": START.isoformat(), "to": START.replace(hour=START.hour + 1).isoformat()}
    ledger.add("source.cursor", "scheduler", {**span, "count": count, **data})


def test_an_empty_ledger_is_no_evidence() -> None:
    """A source that claims nothing is not complete, and there is nothing to warn of."""
    found = answer("audit_completeness", LedgerBuilder())
    assert (found.status, found.values["share"], found.values["is_warning"]) == ("no evidence", None, None)


def test_what_is_claimed_is_held_against_what_is_here() -> None:
    """Events of the source within its span count, its end is out; other sources do not."""
    ledger = LedgerBuilder()
    ledger.add("run.queued", "a", source="scheduler")
    ledger.add("run.queued", "b", source="elsewhere")
    ledger.wait(minutes=59, seconds=57).add("run.queued", "c", source="scheduler")
    assert ledger.now == START.replace(hour=START.hour + 1)
    cursor(ledger, 2)
    found = answer("audit_completeness", ledger)
    assert found.by == {"scheduler": {"imported_count": 1, "claimed_count": 2}}
    assert (found.values["share"], found.values["is_warning"]) == (0.5, 1)


def test_an_import_that_counts_records_is_taken_at_its_count() -> None:
    """Where the cursor says how many records came in, these count; where the source claims nothing, nothing does."""
    ledger = LedgerBuilder()
    cursor(ledger, 10, imported=9)
    cursor(ledger, 5, imported=5, is_claimed=False)
    low = Settings(kpi={"audit_completeness": KpiSection(target=0.9)})
    assert answer("audit_completeness", ledger, settings=low).values["is_warning"] == 0
    assert answer("audit_completeness", ledger).values == pytest.approx(
        {
            "share": 0.9,
            "imported_count": 9,
            "claimed_count": 10,
            "unknown_initiators_share": None,
            "broken_chains_count": 0,
            "is_warning": 1,
        }
    )


def test_broken_chains_stand_behind_the_answer() -> None:
    """An event whose cause is not here is evidence, also without any source."""
    ledger = LedgerBuilder()
    orphan = ledger.add("run.queued", "a", causationid="NEVER")
    found = answer("audit_completeness", ledger)
    assert (found.status, found.values["broken_chains_count"], found.events) == ("ok", 1, (orphan.id,))
