"""Bills on the command line: a whole one or nothing, and once."""

import json
from pathlib import Path

import pytest

from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

HEADER = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,ResourceId,Tags\n"
COMPUTE = "73.00,USD,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,Compute,machine-1,{}\n"
STORAGE = "1.10,USD,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,Storage,bucket-7,{}\n"


@pytest.fixture
def bill(project: Path) -> Path:
    """A bill in the current folder."""
    path = project / "march.csv"
    path.write_text(HEADER + COMPUTE + STORAGE)
    return path


def _bills(project: Path) -> list[str]:
    with Workspace(project) as workspace:
        return [event.data["billed_cost"] for event in workspace.ledger.read(types=["bill.imported"])]


def _seq(project: Path) -> int:
    with Workspace(project) as workspace:
        return workspace.ledger.last_seq()


def test_a_bill_is_taken_in_once(call: Call, project: Path, bill: Path) -> None:
    """Again, and under another name, it changes nothing; one command caused it all."""
    answer = call("bill", "import", "march.csv")
    assert answer.code == 0
    assert "march.csv: 2 rows, 74.10 USD, 2026-03-01 to 2026-04-01: 2 new" in answer.out
    assert "In the period of all bills: 74.10 billed" in answer.out
    before = _seq(project)
    bill.rename(project / "again.csv")
    assert "0 new, 2 known already" in " ".join(call("bill", "import", "again.csv").out.split())
    assert (_bills(project), _seq(project)) == (["73.00", "1.10"], before)
    with Workspace(project) as workspace:
        causes = {event.causationid for event in workspace.ledger.read(types=["bill.imported"])}
        (command,) = (event for event in workspace.ledger.read(types=["command.issued"]) if event.id in causes)
    assert command.data["action"] == "import_bill"


def test_new_rows_of_a_known_bill_are_added(call: Call, project: Path, bill: Path) -> None:
    """A longer export of the same month."""
    call("bill", "import", "march.csv")
    bill.write_text(HEADER + STORAGE + COMPUTE + COMPUTE.replace("machine-1", "machine-2"))
    found = json.loads(call("bill", "import", "march.csv", "--json").out)
    assert (found["new"], found["known"], found["overlapping"]) == (1, 2, [])
    assert _bills(project) == ["73.00", "1.10", "73.00"]


def test_a_bill_that_may_be_counted_twice_is_pointed_at(call: Call, project: Path, bill: Path) -> None:
    """A row for the same machine and month with another amount, from another file."""
    call("bill", "import", "march.csv")
    (project / "changed.csv").write_text(HEADER + COMPUTE.replace("73.00", "74.00"))
    printed = " ".join(call("bill", "import", "changed.csv").out.split())
    assert "Rows for the same services and periods came from march.csv: look whether they are the same bill." in printed


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (COMPUTE.replace("USD", "EUR"), "march.csv:4: it is billed in EUR, and [prices] of this project are in USD."),
        ("73.00\n", "march.csv:4: it has 1 columns, and the header has 7."),
    ],
)
def test_nothing_of_a_bad_bill_is_taken_in(call: Call, project: Path, bill: Path, row: str, said: str) -> None:
    """The rows before the bad one neither, nor the command."""
    bill.write_text(HEADER + COMPUTE + STORAGE + row)
    before = _seq(project)
    answer = call("bill", "import", "march.csv")
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert _seq(project) == before


def test_a_dry_run_writes_nothing(call: Call, project: Path, bill: Path) -> None:
    """It says what would be."""
    before = _seq(project)
    assert "2 would be new" in call("bill", "import", "march.csv", "--dry-run").out
    assert _seq(project) == before


def test_the_gap_to_the_ledger_is_said(call: Call, project: Path, bill: Path) -> None:
    """Both as a number and as a word."""
    found = json.loads(call("bill", "import", "march.csv", "--json").out)
    assert (found["billed_usd"], found["is_within_tolerance"]) == (74.1, 0)
    assert "outside the tolerance of 2%" in " ".join(call("bill", "import", "march.csv").out.split())
