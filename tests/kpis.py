"""Questions of KPIs to ledgers made by hand.

Invariant: nothing is worked out here; what is asked goes the way that the workspace goes.
"""

from collections.abc import Iterable
from datetime import datetime

from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import EVERYTHING, Answer, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests.ledgers import LedgerBuilder

NO_SETTINGS = Settings()


def folded(events: Iterable[Event]) -> Facts:
    """Return events folded."""
    facts = Facts()
    facts.fold(events)
    return facts


def asked(
    ledger: LedgerBuilder,
    *,
    at: datetime | None = None,
    settings: Settings = NO_SETTINGS,
    scope: Scope = EVERYTHING,
) -> Question:
    """Return what can be asked of a ledger, now if no moment is given."""
    return Question(folded(ledger.events).as_of(at or ledger.now), settings, scope)


def answer(
    name: str,
    ledger: LedgerBuilder,
    *,
    at: datetime | None = None,
    settings: Settings = NO_SETTINGS,
    scope: Scope = EVERYTHING,
) -> Answer:
    """Return what a KPI answers to a ledger."""
    return KPIS[name].answer(asked(ledger, at=at, settings=settings, scope=scope))


def rounded(value: object) -> object:
    """Return a value with all its quotients cut to nine places, as the golden year has them."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value
