"""Asks KPIs about ledgers that were made by hand.

Invariant: the question is asked at the builder's own time, of all its events.
"""

from datetime import datetime
from typing import Any

from ratchet.config import BudgetSection, PriceSection, PricesSection, TeamSection
from ratchet.measure.kpis.questions import EVERYTHING, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests.kpis import asked
from tests.ledgers import ENDPOINT, LedgerBuilder

ZONE = "America/New_York"
PRICES = PricesSection(
    item=(
        PriceSection(resource="cpu_seconds", unit="s", amount=0.01),
        PriceSection(resource="machine_hours", unit="h", amount=0.10),
    )
)
TEAMS = (
    TeamSection(name="consumer", kind="department"),
    TeamSection(name="web", part_of="consumer"),
    TeamSection(name="growth", part_of="consumer"),
    TeamSection(name="lending"),
)


def settings(**sections: Any) -> Settings:
    """Return settings with teams and prices, and what else is given."""
    return Settings(**({"time_zone": ZONE, "team": TEAMS, "prices": PRICES} | sections))


def ask(
    ledger: LedgerBuilder, scope: Scope = EVERYTHING, *, at: datetime | None = None, using: Settings | None = None
) -> Question:
    """Ask something about a ledger."""
    return asked(ledger, at=at, settings=using or settings(), scope=scope)


def budget(scope: Any, name: str, amount: float, **more: Any) -> BudgetSection:
    """Return a budget."""
    return BudgetSection(scope=scope, name=name, amount_month=amount, **more)


def call(ledger: LedgerBuilder, caller: str = "web", count: int = 10, **data: Any) -> Event:
    """Record calls of an endpoint."""
    version = f"{ledger.pipeline}@v1"
    known = {"endpoint": ENDPOINT, "version": version, "caller": caller, "count": count, "rows": count, "errors": 0}
    return ledger.add("usage.recorded", ENDPOINT, known | data)


def spend(ledger: LedgerBuilder, seconds: float = 100.0, run_id: str = "run-1", **envelope: Any) -> Event:
    """Record what a step of a run took."""
    data = {"run_id": run_id, "step": "fit", "resource": "cpu_seconds", "qty": seconds, "unit": "s"}
    return ledger.add("cost.recorded", run_id, data, **envelope)


def serve(ledger: LedgerBuilder, since: datetime, *, hours: float = 100.0, **data: Any) -> Event:
    """Record what serving took from a moment until now, the last call included."""
    ledger.wait(seconds=1)
    known = {"step": "serve", "resource": "machine_hours", "qty": hours, "unit": "h", "endpoint": ENDPOINT}
    period = {"from": since.isoformat(), "until": ledger.now.isoformat()}
    return ledger.add("cost.recorded", ENDPOINT, known | period | data)


def adjust(ledger: LedgerBuilder, before: Event, amount: float) -> Event:
    """Correct a cost."""
    data = {"adjusts": before.id, "amount": amount, "currency": "USD", "resource": "adjustment", "qty": 0, "unit": ""}
    return ledger.add("cost.recorded", before.subject, data)
