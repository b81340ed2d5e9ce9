"""The golden year's bills: what is refused, and what the rows of the other one are."""

import json
from pathlib import Path

from ratchet.errors import BillRefused
from ratchet.measure.kpis.bills import read_bill

GOLDEN = Path(__file__).parent
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def _is_refused(path: Path) -> bool:
    try:
        read_bill(path, currency="USD")
    except BillRefused:
        return True
    return False


def test_the_refused_bills_are_those_that_were_worked_out() -> None:
    """One in another currency than that of the prices."""
    refused = [path.name for path in sorted(GOLDEN.glob("bill*.csv")) if _is_refused(path)]
    for day in ("2024-06-30", "2024-09-30", "2024-12-31"):
        assert refused == EXPECTED[day]["cost"]["by"]["refused_bills"]


def test_the_other_bill_says_what_the_ledger_of_the_year_has() -> None:
    """Cost, currency, period and service of each row."""
    lines = (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()
    events = [row for row in map(json.loads, lines) if row["type"] == "bill.imported"]
    rows = read_bill(GOLDEN / "bill.csv", currency="USD")
    for row, event in zip(rows, events, strict=True):
        said = event["data"]
        found = (row.billed_cost, row.currency, row.period_start, row.period_end, row.service)
        ends = (said[name].replace("Z", "+00:00") for name in ("period_start", "period_end"))
        assert found == (said["billed_cost"], said["currency"], *ends, said["service"])
