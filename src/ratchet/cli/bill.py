"""``ratchet bill``: what others billed, taken into the ledger beside what the ledger adds up to.

Invariant: a bill is taken in as a whole or not at all; taken in again, it changes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import Group
from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.measure.kpis.bills import BillRow
    from ratchet.workspace import Workspace


@click.group("bill", cls=Group, epilog=examples("ratchet bill import june.csv", "ratchet kpi cost --explain"))
def bill_command() -> None:
    """Take in bills, and hold them against what the ledger adds up to."""


@bill_command.command(
    "import",
    short_help="Take in a bill, a CSV file in the form of FOCUS.",
    epilog=examples("ratchet bill import june.csv --dry-run", "ratchet bill import june.csv"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be imported, and write nothing.")
@with_session
def import_command(session: Session, *, file: Path, is_dry: bool) -> None:
    """Take in a bill, a CSV file in the form of FOCUS.

    It needs the columns BilledCost, BillingCurrency, ChargePeriodStart and ChargePeriodEnd; ServiceName, ResourceId and
    Tags are kept where they are there. The currency must be that of [prices]. Import a month when its bill is final:
    a row that has changed since counts as another one.
    """
    from ratchet.cli import console
    from ratchet.measure.kpis.bills import read_bill

    with session.workspace() as workspace:
        rows = read_bill(file, currency=workspace.config.prices.currency)
        found = workspace.spending.import_bill(rows, file=file.name, by_command=workspace.by_command, is_dry=is_dry)
        values = _summary(rows, file) | found | {"is_dry": is_dry} | _against(workspace)
    if session.as_json:
        console.print_json(values)
    else:
        _print(values)


def _summary(rows: "list[BillRow]", file: Path) -> dict[str, Any]:
    from decimal import Decimal

    return {
        "file": file.name,
        "rows": len(rows),
        "billed_cost": str(sum((Decimal(row.billed_cost) for row in rows), start=Decimal(0))),
        "currency": rows[0].currency,
        "period_start": min(row.period_start for row in rows),
        "period_end": max(row.period_end for row in rows),
    }


def _against(workspace: "Workspace") -> dict[str, Any]:
    """Return how far the ledger is from all bills that it has."""
    values = workspace.kpi("cost").values
    names = ("billed_usd", "in_bill_period_usd", "bill_gap_share", "is_within_tolerance")
    return {name: values[name] for name in names} | {"tolerance_share": workspace.config.bill.tolerance_share}


def _print(values: dict[str, Any]) -> None:
    from ratchet.cli import console

    verb = "would be new" if values["is_dry"] else "new"
    period = f"{values['period_start'][:10]} to {values['period_end'][:10]}"
    console.say(
        f"{values['file']}: {console.count(values['rows'], 'row')}, {values['billed_cost']} {values['currency']}, "
        f"{period}: {values['new']} {verb}, {values['known']} known already."
    )
    if values["overlapping"]:
        files = ", ".join(values["overlapping"])
        console.say(f"Rows for the same services and periods came from {files}: look whether they are the same bill.")
    if values["bill_gap_share"] is not None:
        is_near = "within" if values["is_within_tolerance"] else "outside"
        console.say(
            f"In the period of all bills: {values['billed_usd']:,.2f} billed, {values['in_bill_period_usd']:,.2f} in "
            f"the ledger ({values['bill_gap_share']:+.1%}, {is_near} the tolerance of {values['tolerance_share']:.0%})."
        )
    if values["is_dry"]:
        console.say("Nothing was written. Leave out --dry-run to import this.")
