"""The numbers that a condition may name, as they stood when an event was appended.

Invariant: what was recorded later changes none of them, and what cannot be known of the past is said.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from ratchet.automation import conditions
from ratchet.clock import MICROSECOND
from ratchet.measure.history import History, Snapshot
from ratchet.measure.kpis import budgets
from ratchet.measure.kpis.questions import Question, Scope
from ratchet.measure.traffic import live_now, shifts
from ratchet.records import Event

_SECONDS_PER_DAY = 86_400
_MONEY = ("spent_usd_month", "forecast_usd_month")
UNKNOWABLE = {
    "level": "kpi.level is worked out by today's text of the policy 'standard'.",
    "spent_usd_month": "kpi.spent_usd_month is worked out with the prices that ratchet.toml has today.",
    "forecast_usd_month": "kpi.forecast_usd_month is worked out with the prices that ratchet.toml has today.",
}


class Ask(Protocol):
    """How the numbers of a moment are asked for: ``Workspace.ask``."""

    def __call__(self, *, as_of: datetime) -> Question:
        """Return what was known at a moment."""


class Hindsight:
    """Gives numbers as of then.

    Args:
        history: Gives the measure's view of the ledger.
        ask: Gives what KPIs are asked of, at a moment.
        level: Gives the level of a pipeline at a moment.
    """

    def __init__(self, history: Callable[[], History], *, ask: Ask, level: Callable[[str, datetime], float]) -> None:
        self._history = history
        self._ask = ask
        self._level = lru_cache(maxsize=4096)(level)

    def numbers(self, pipeline: str, names: Collection[str], event: Event) -> dict[str, float]:
        """Return those of the numbers that a condition names, as they stood when an event was appended."""
        found: dict[str, float] = {}
        if not pipeline or not names:
            return found
        moment = event.recordedtime or event.at
        if not set(conditions.AGES).isdisjoint(names):
            before = event.seq - 1 if event.seq else None
            found |= _ages(self._history().as_of(moment, seq=before), pipeline)
        # Several things may have happened at one moment; what is asked by the moment alone is asked just before it.
        if "level" in names:
            found["level"] = self._level(pipeline, moment - MICROSECOND)
        if not set(_MONEY).isdisjoint(names):
            known = self._ask(as_of=moment - MICROSECOND)
            asked = Question(known.view, known.settings, Scope(kind="pipeline", name=pipeline), policies=known.policies)
            spent, forecast = budgets.spent_and_forecast(asked)
            found |= dict(zip(_MONEY, (spent, forecast.amount), strict=True))
        return {name: value for name, value in found.items() if name in names}


def _ages(snapshot: Snapshot, pipeline: str) -> dict[str, float]:
    """Return the ages of the version that served; none where none did."""
    live = next(iter(live_now(shifts(snapshot, pipeline)).values()), None)
    if live is None:
        return {}
    version = max(live.shares, key=lambda name: live.shares[name])
    registered = {
        str(event.data.get("version") or event.subject): event
        for event in snapshot.events("model.version.registered", pipeline)
    }.get(version)
    if registered is None:
        return {}
    ages = {"train_age_days": _days(registered.at, snapshot.at)}
    if until := str(registered.data.get("data_until") or ""):
        ages["data_age_days"] = _days(datetime.fromisoformat(until), snapshot.at)
    return ages


def _days(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() / _SECONDS_PER_DAY
