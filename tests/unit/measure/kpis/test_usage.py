"""Who asked which model how often."""

from datetime import UTC, datetime

from ratchet.measure.kpis.questions import Scope
from ratchet.measure.kpis.usage import api_calls
from tests.ledgers import LedgerBuilder
from tests.unit.measure.kpis.asking import ask, call


def test_only_calls_of_callers_count() -> None:
    """Shadow traffic, health checks and synthetic requests are shown apart, and batches are no calls."""
    ledger = LedgerBuilder()
    real = call(ledger, count=10, errors=2, retries=3, minutes_missing=4)
    call(ledger, count=100, role="shadow")
    call(ledger, count=200, kind="health")
    call(ledger, count=400, kind="health", role="shadow")
    call(ledger, count=800, kind="synthetic")
    batch = call(ledger, count=1, rows=50, mode="batch")
    answer = api_calls(ask(ledger))
    assert answer.values == {
        "calls_count": 10,
        "rows_count": 10,
        "errors_count": 2,
        "retries_count": 3,
        "missing_minutes": 4,
        "batch_rows_count": 50,
    }
    assert answer.by["excluded"] == {"health": 200, "shadow": 500, "synthetic": 800}
    assert answer.by["status"] == {"error": 2, "ok": 8}
    assert answer.events == tuple(sorted([real.id, batch.id]))


def test_records_of_the_endpoint_itself_say_nothing_of_their_kind_and_are_calls() -> None:
    """What the product records has no kind, role or mode: those are the ordinary ones."""
    ledger = LedgerBuilder()
    call(ledger, count=7)
    answer = api_calls(ask(ledger))
    assert (answer.status, answer.values["calls_count"], answer.by["excluded"]) == ("ok", 7, {})


def test_without_calls_there_is_no_evidence_and_no_zero() -> None:
    """An empty ledger, and one with health checks only, say nothing."""
    ledger = LedgerBuilder()
    ledger.declare()
    assert set(api_calls(ask(ledger)).values.values()) == {None}
    call(ledger, kind="health")
    answer = api_calls(ask(ledger))
    assert (answer.status, answer.values["calls_count"], answer.by["excluded"]) == ("no evidence", None, {"health": 10})


def test_a_scope_has_its_own_calls() -> None:
    """A department what its teams asked for; pipeline, endpoint and model what was asked of them."""
    ledger = LedgerBuilder()
    call(ledger, "web", 1)
    call(ledger, "growth", 2)
    call(ledger, "lending", 4)
    call(ledger, "", 8)
    call(ledger, "web", 16, endpoint="other", version="churn@v2")
    found = {
        f"{kind} {name}": api_calls(ask(ledger, Scope(kind=kind, name=name))).values["calls_count"]  # type: ignore[arg-type]
        for kind, name in (
            ("node", "consumer"),
            ("node", "lending"),
            ("node", ""),
            ("pipeline", ledger.pipeline),
            ("endpoint", "other"),
            ("model", "churn"),
            ("model", ledger.pipeline),
        )
    }
    assert list(found.values()) == [19, 4, 8, 31, 16, 16, 15]


def test_calls_are_in_the_local_month() -> None:
    """Four hours before midnight in UTC is the day before in New York."""
    ledger = LedgerBuilder(start=datetime(2026, 4, 1, 3, 59, 58, tzinfo=UTC))
    call(ledger, count=1)
    call(ledger, count=2)
    assert api_calls(ask(ledger)).by["month"] == {"2026-03": 1, "2026-04": 2}


def test_what_came_later_changes_no_value_of_before() -> None:
    """As of a moment only what was recorded by then counts."""
    ledger = LedgerBuilder()
    call(ledger, count=1)
    before = ledger.now
    call(ledger.wait(hours=1), count=2)
    assert api_calls(ask(ledger, at=before)).values["calls_count"] == 1
