"""Questions of KPIs to ledgers made by hand.

Invariant: nothing is worked out here; what is asked goes the way that the workspace goes.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from ratchet import clock
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import EVERYTHING, Answer, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from tests.ledgers import LedgerBuilder

NO_SETTINGS = Settings()
GOLDEN = Path(__file__).parent / "golden"
END_OF_YEAR = datetime(2025, 1, 1, 5, tzinfo=UTC)


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


def write_golden_year(folder: Path) -> Path:
    """Make a workspace in whose ledger the golden year has happened, with its settings; returns the folder.

    Each event is recorded when it was, so the clock of the workspace stands at the end of the year.
    """
    rows = [json.loads(line) for line in (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()]
    events = msgspec.convert(rows, list[Event])
    settings = (GOLDEN / "settings.toml").read_text(encoding="utf-8").replace("[project]", '[project]\nname = "golden"')
    (folder / "ratchet.toml").write_text(settings, encoding="utf-8")
    state = folder / ".ratchet"
    state.mkdir()
    try:
        clock.simulate(state / "clock", start=events[0].recordedtime or events[0].at)
        database = Database(sqlite_url(state / "ratchet.db"))
        migrations.migrate(database)
        ledger = Ledger(database, lambda _transaction, _events: None)
        with database.write() as transaction:
            for moment, together in groupby(events, key=lambda event: event.recordedtime or event.at):
                clock.advance(moment)
                ledger.append(transaction, *together)
        database.close()
        clock.advance(END_OF_YEAR)
    finally:
        clock.stop_simulating()
    return folder
