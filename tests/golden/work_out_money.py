"""What the golden year cost and who bears it, by hand.

Invariant: what teams bear, what is idle and what belongs to nobody add up to the total, to the cent and below.
"""

import csv
import tomllib
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ledger_again import Ledger, Row, at

FOLDER = Path(__file__).parent
SETTINGS = tomllib.loads((FOLDER / "settings.toml").read_text(encoding="utf-8"))
ZONE = ZoneInfo(SETTINGS["project"]["time_zone"])


def price(resource: str, when: date) -> float:
    """Return the price of a unit in force on a local day."""
    held = [item for item in SETTINGS["prices"]["item"] if item["resource"] == resource and item["since"] <= when]
    return float(max(held, key=lambda item: item["since"])["amount"])


def above(team: str, when: date) -> list[str]:
    """Return a team and all that it was part of on a local day."""
    found = []
    while team:
        found.append(team)
        held = [entry for entry in SETTINGS["team"] if entry["name"] == team and entry["since"] <= when]
        team = max(held, key=lambda entry: entry["since"])["part_of"] if held else ""
    return found


def owner(ledger: Ledger, pipeline: str, when: datetime) -> str:
    """Return the team that owned a pipeline at a moment."""
    name = ledger.of("pipeline.declared", pipeline)[0]["data"]["owner"]
    for row in ledger.of("ownership.changed", pipeline):
        name = row["data"]["to"] if at(row) <= when else name
    return str(name)


def parts_of(ledger: Ledger, row: Row) -> dict[str, float]:
    """Return who bears a cost: teams by name, ``idle`` and ``unattributed``, in the currency of the prices."""
    data = row["data"]
    if data.get("adjusts"):
        before = parts_of(ledger, ledger.by_id[data["adjusts"]])
        whole = sum(before.values())
        return {name: data["amount"] * part / whole for name, part in before.items()}
    amount = data["qty"] * price(data["resource"], at(row).astimezone(ZONE).date())
    if data["step"] == "serve":
        return {name: amount * part for name, part in serving_shares(ledger, data).items()}
    return {owner(ledger, row["pipeline"], at(row)) if row["pipeline"] else "unattributed": amount}


def serving_shares(ledger: Ledger, data: Row) -> dict[str, float]:
    """Return the shares of the callers by compute-seconds, and of what was idle, of one serving record."""
    used: Counter[str] = Counter()
    since, until = datetime.fromisoformat(data["from"]), datetime.fromisoformat(data["until"])
    for row in ledger.of("usage.recorded"):
        usage = row["data"]
        is_call = (usage["endpoint"], usage["kind"], usage["role"]) == (data["endpoint"], "call", "live")
        if is_call and since <= at(row) < until:
            used[usage["caller"]] += usage["cpu_s"]
    capacity = max(data["capacity_cpu_s"], sum(used.values()))
    shares = {name: seconds / capacity for name, seconds in used.items()}
    return shares | {"idle": 1 - sum(shares.values())}


def cost(ledger: Ledger) -> tuple[Row, Row, list[Row]]:
    """What was spent, by team and by what teams are part of; idle and unattributed apart; against the bill."""
    rows = ledger.of("cost.recorded")
    teams: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    months: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for row in rows:
        when = at(row).astimezone(ZONE).date()
        for name, amount in parts_of(ledger, row).items():
            teams[name] += amount
            steps[row["data"]["step"]] += amount
            months[f"{when:%Y-%m}"] += amount
            for node in above(name, when) if name not in ("idle", "unattributed") else []:
                nodes[node] += amount
    total = sum(teams.values())
    idle, unattributed = teams.pop("idle", 0.0), teams.pop("unattributed", 0.0)
    values: dict[str, Any] = {"total_usd": total, "allocated_usd": sum(teams.values()), "idle_usd": idle,
                              "unattributed_usd": unattributed, "training_usd": steps["train"],
                              "serving_usd": steps["serve"], **_against_bill(ledger, rows)}  # fmt: skip
    by = {"team": teams, "node": nodes, "month": months}
    parts: Row = {name: dict(sorted(counts.items())) for name, counts in by.items()}
    parts["refused_bills"] = refused_bills()
    parts["budgets_exceeded"] = budgets_exceeded(ledger)
    return values, parts, rows + ledger.of("bill.imported")


def _against_bill(ledger: Ledger, rows: list[Row]) -> Row:
    """Compare the ledger's costs in the period of the bill with what was billed."""
    billed = ledger.of("bill.imported")
    if not billed:
        return {"billed_usd": None, "in_bill_period_usd": None, "bill_gap_share": None, "is_within_tolerance": None}
    since = min(datetime.fromisoformat(row["data"]["period_start"]) for row in billed)
    until = max(datetime.fromisoformat(row["data"]["period_end"]) for row in billed)
    inside = sum(sum(parts_of(ledger, row).values()) for row in rows if since <= at(row) < until)
    bill = sum(float(row["data"]["billed_cost"]) for row in billed)
    gap = (inside - bill) / bill
    return {"billed_usd": bill, "in_bill_period_usd": inside, "bill_gap_share": gap,
            "is_within_tolerance": int(abs(gap) <= SETTINGS["bill"]["tolerance_share"])}  # fmt: skip


def budgets_exceeded(ledger: Ledger) -> list[Row]:
    """Return the budgets that a local month's costs passed: of a team, of a pipeline's or of an endpoint's events."""
    found: list[Row] = []
    for budget in SETTINGS["budget"]:
        spent: Counter[str] = Counter()
        for row in ledger.of("cost.recorded"):
            place = {"pipeline": row["pipeline"], "endpoint": row["data"].get("endpoint", "")}
            whole = sum(parts_of(ledger, row).values())
            share = whole if place.get(budget["scope"]) == budget["name"] else 0.0
            if budget["scope"] == "team":
                share = parts_of(ledger, row).get(budget["name"], 0.0)
            spent[f"{at(row).astimezone(ZONE):%Y-%m}"] += share
        found += [{"scope": budget["scope"], "name": budget["name"], "month": month, "spent_usd": amount,
                   "amount_usd": budget["amount_month"], "then": budget["then"]}
                  for month, amount in sorted(spent.items()) if amount > budget["amount_month"]]  # fmt: skip
    return found


def refused_bills() -> list[str]:
    """Return the bills in another currency than the prices: they are refused whole."""
    refused = []
    for path in sorted(FOLDER.glob("bill*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            if any(row["BillingCurrency"] != SETTINGS["prices"]["currency"] for row in csv.DictReader(file)):
                refused.append(path.name)
    return refused
