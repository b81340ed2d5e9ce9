"""Where money and the loop meet: numbers for conditions, runs that budgets refuse, budgets that were passed, bills.

Invariant: a budget that was passed is told once for each month and amount, caused by the cost that passed it; a file
that is no bill leaves nothing behind.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ratchet import config, origin
from ratchet.config import BudgetSection
from ratchet.errors import BudgetSpent
from ratchet.loop.resources import Resources
from ratchet.measure.kpis import budgets
from ratchet.measure.kpis.bills import BillRow
from ratchet.measure.kpis.budgets import Standing
from ratchet.measure.kpis.questions import Question, Scope
from ratchet.records import Actor, Event, derive_id, digest_of

_SPENDING = ("spent_usd_month", "forecast_usd_month")


class ByCommand(Protocol):
    """How a command is recorded that is carried out here and now: ``Workspace.by_command``."""

    def __call__(
        self, action: str, parameters: dict[str, Any], *, subject: str, key: str = ""
    ) -> AbstractContextManager[Event]:
        """Enter what the command causes."""


class Spending:
    """What budgets and conditions ask of the ledger, for one workspace.

    Args:
        resources: The workspace's parts.
        ask: Gives what is known now, to be asked.
        level: Gives the level of a pipeline.
    """

    def __init__(self, resources: Resources, *, ask: Callable[[], Question], level: Callable[[str], float]) -> None:
        self._resources = resources
        self._ask = ask
        self._level = level
        self._told: tuple[int, tuple[BudgetSection, ...]] = (-1, ())

    # ---- numbers for conditions

    def numbers(self, pipeline: str, names: Collection[str]) -> dict[str, float]:
        """Return those of the measured numbers that are asked for; none without a pipeline."""
        found: dict[str, float] = {}
        if not pipeline:
            return found
        if "level" in names:
            found["level"] = float(self._level(pipeline))
        if not set(_SPENDING).isdisjoint(names):
            known = self._ask()
            asked = Question(known.view, known.settings, Scope(kind="pipeline", name=pipeline), policies=known.policies)
            spent, forecast = budgets.spent_and_forecast(asked)
            found |= dict(zip(_SPENDING, (spent, forecast.amount), strict=True))
        return {name: found[name] for name in names}

    # ---- budgets

    def standings(self) -> list[Standing]:
        """Return how all budgets stand this month, in the order of the settings."""
        return budgets.standings(self._ask())

    def admit(self, pipeline: str, actor: Actor) -> None:
        """Let a run be queued, unless a budget that it would be charged to is used up and says that none is.

        Raises:
            BudgetSpent: A budget with ``then = "stop"`` is passed; or one with ``require_approval``, and it is no
                person who asks.
        """
        if all(section.then == "warn" for section in self._resources.config.budget):
            return
        refusing = ("stop",) if actor.actor_class == "human" else ("stop", "require_approval")
        for standing in budgets.covering(self._ask(), pipeline):
            if standing.is_passed and standing.then in refusing:
                self.tell()
                raise BudgetSpent(
                    pipeline=pipeline,
                    scope=standing.scope,
                    name=standing.name,
                    spent=standing.spent,
                    amount=standing.amount,
                    currency=standing.currency,
                    month=standing.month,
                    remedy=_remedy(standing, self._resources.project / config.FILE_NAME),
                )

    def tell(self) -> list[Event]:
        """Record the budgets that were passed, each once for a month and an amount; call it as often as you like.

        Returns:
            The events ``budget.exceeded`` that are new.
        """
        if not self._resources.config.budget:
            return []
        last = self._resources.ledger.read(types=["cost.recorded", "usage.recorded"], newest_first=True, limit=1)
        state = (next((event.seq for event in last), 0), self._resources.config.budget)
        if state == self._told:
            return []
        question = self._ask()
        found = []
        for month in budgets.months_to_look_at(question):
            found += [one for one in budgets.standings(question, month=month) if one.is_passed]
        told = [event for standing in found if (event := self._tell(standing)) is not None]
        self._told = state
        return told

    def _tell(self, standing: Standing) -> Event | None:
        ledger = self._resources.ledger
        cause = ledger.find(standing.crossed_by)
        assert cause is not None, "a budget is passed by a cost of the ledger"
        event_id = derive_id("budget", standing.scope, standing.name, standing.month, standing.amount)
        if ledger.get(event_id) is not None:
            return None
        with origin.use(origin.following(cause)):
            return ledger.record(_passed(standing, event_id))[0]

    # ---- bills

    def import_bill(
        self, rows: Sequence[BillRow], *, file: str, by_command: ByCommand, is_dry: bool = False
    ) -> dict[str, Any]:
        """Record the rows of a bill, all in one transaction; those that are known already are left alone.

        Args:
            rows: At least one.
            file: Where they come from.
            by_command: Records who asked for it.
            is_dry: Record nothing, and say what would be.

        Returns:
            ``new`` and ``known``: how many rows are. ``overlapping``: files from which other rows for the same
            services and periods came before.
        """
        known = list(self._resources.ledger.read(types=["bill.imported"]))
        ids = {event.id for event in known}
        events = [_bill_event(row, file=file) for row in rows]
        new = [event for event in events if event.id not in ids]
        billed = {_billed(event) for event in new}
        overlapping = sorted({str(event.data.get("file")) for event in known if _billed(event) in billed} - {file})
        if new and not is_dry:
            digest = digest_of([event.id for event in new])
            asked = {"file": file, "rows": len(new), "digest": digest}
            with by_command("import_bill", asked, subject=file, key=f"bill/{digest}"):
                self._resources.ledger.record(*new)
        return {"new": len(new), "known": len(events) - len(new), "overlapping": overlapping}


def _bill_event(row: BillRow, *, file: str) -> Event:
    """Return a row of a bill as an event; one that is imported again has the same id."""
    return Event(
        type="bill.imported",
        subject=f"{file}:{row.line}",
        id=derive_id("bill", row.digest),
        data={
            "file": file,
            "line": row.line,
            "row_digest": row.digest,
            "billed_cost": row.billed_cost,
            "currency": row.currency,
            "period_start": row.period_start,
            "period_end": row.period_end,
            "service": row.service,
            "resource": row.resource,
            "tags": row.tags,
        },
    )


def _billed(event: Event) -> tuple[str, ...]:
    """Return what was billed, for when."""
    return tuple(str(event.data.get(name)) for name in ("service", "resource", "period_start", "period_end"))


def _passed(standing: Standing, event_id: str) -> Event:
    return Event(
        type="budget.exceeded",
        subject=f"{standing.scope} {standing.name} {standing.month}",
        id=event_id,
        pipeline=standing.name if standing.scope == "pipeline" else "",
        team=standing.name if standing.scope == "team" else "",
        data={
            "scope": standing.scope,
            "name": standing.name,
            "month": standing.month,
            "amount": standing.amount,
            "spent": round(standing.spent, 6),
            "currency": standing.currency,
            "then": standing.then,
        },
    )


def _remedy(standing: Standing, settings: Path) -> str:
    place = f"[[budget]] of the {standing.scope} '{standing.name}' in {settings}"
    if standing.then == "require_approval":
        return f"Only a person may start one now: ratchet run. Or raise amount_month of {place}."
    return f"Raise amount_month of {place}, or wait until the month is over."
