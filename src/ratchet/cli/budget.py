"""``ratchet budget``: what was set aside for this month, what is spent, and what will be.

Invariant: it reads the ledger and starts nothing; a state stands there as a word, and never as a colour alone.
"""

from typing import TYPE_CHECKING

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.text import Text

    from ratchet.measure.kpis.budgets import Standing

_CELLS = 12
_STYLES = {"passed": "red", "will pass": "yellow", "within": "green"}


@click.command("budget", epilog=examples("ratchet budget", "ratchet budget --json | jq '.budgets[] | .spent'"))
@with_session
def budget_command(session: Session) -> None:
    """Show this month's budgets: what is spent, what will be, and the limit.

    Budgets are [[budget]] sections of ratchet.toml. The forecast is what was spent so far, the days left at this
    month's rate, and the runs that are still scheduled at the mean cost of the last ten.
    """
    from ratchet.cli import console
    from ratchet.measure.kpis.budgets import METHOD
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        standings = workspace.spending.standings()
        currency = workspace.config.prices.currency
        has_prices = bool(workspace.config.prices.item)
        known = set(Measuring(workspace).pipelines())
    if session.as_json:
        budgets = [msgspec.to_builtins(one) | {"state": _state(one)} for one in standings]
        console.print_json({"currency": currency, "forecast_method": METHOD, "budgets": budgets})
    elif standings:
        _print(standings, currency)
        _print_doubts(standings, has_prices=has_prices, known=known)
    else:
        console.say("No budgets. Add one to ratchet.toml:\n")
        console.say('[[budget]]\nscope = "pipeline"\nname = "PIPELINE"\namount_month = 100.0\nthen = "warn"')


def _state(standing: "Standing") -> str:
    if standing.is_passed:
        return "passed"
    return "will pass" if standing.forecast.amount > standing.amount else "within"


def _print(standings: "list[Standing]", currency: str) -> None:
    from rich.text import Text

    from ratchet.cli import console

    console.say(f"{standings[0].month}, in {currency}\n")
    numbers = ("SPENT", "FORECAST", "LIMIT")
    made = console.table("BUDGET", *numbers, "USED", "STATE", "THEN", right=numbers, whole=("USED", "STATE"))
    for one in standings:
        state = _state(one)
        made.add_row(
            f"{one.scope} {one.name}",
            *(f"{amount:,.2f}" for amount in (one.spent, one.forecast.amount, one.amount)),
            _bar(one),
            Text(state, style=_STYLES[state]),
            one.then.removeprefix("require_"),
        )
    console.say(made)
    passed = [one for one in standings if one.is_passed]
    if passed:
        console.say("")
    for one in passed:
        console.say(Text(f"{one.scope} {one.name} was passed by: ratchet events {one.crossed_by}", style="dim"))


def _print_doubts(standings: "list[Standing]", *, has_prices: bool, known: set[str]) -> None:
    """Say why nothing may be spent although work was done."""
    from ratchet.cli import console

    doubts = [
        f"No pipeline is named {one.name} yet, so nothing counts towards its budget."
        for one in standings
        if one.scope == "pipeline" and one.name not in known
    ]
    if not has_prices:
        doubts.append(
            "ratchet.toml has no [[prices.item]]: what runs use costs nothing here. What has no price: ratchet kpi cost"
        )
    if doubts:
        console.say("")
    for doubt in doubts:
        console.say(doubt)


def _bar(standing: "Standing") -> "Text":
    """Return a bar that is full at the limit: spent, then what the forecast adds, then what is left."""
    from rich.text import Text

    spent, forecast = (_cells(amount / standing.amount) for amount in (standing.spent, standing.forecast.amount))
    ahead = max(0, forecast - spent)
    style = _STYLES[_state(standing)]
    return Text.assemble(
        ("█" * spent, style),
        ("▒" * ahead, style),
        ("·" * (_CELLS - spent - ahead), "dim"),
        f" {standing.spent / standing.amount:.0%}",
    )


def _cells(share: float) -> int:
    return min(_CELLS, max(0, round(share * _CELLS)))
