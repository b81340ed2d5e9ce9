"""The golden year: its files are what its scripts write, its document says what they say, the product agrees."""

import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ratchet.catalogue import EVENT_TYPES
from ratchet.measure.freshness import freshness
from ratchet.measure.history import History
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import shipped
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger, to_export

GOLDEN = Path(__file__).parent
DANGLING = "0000000000000000000MISSING"
ROWS = [json.loads(line) for line in (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()]
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
MOMENTS = {
    "2024-06-30": "2024-07-01T04:00:00+00:00",
    "2024-09-30": "2024-10-01T04:00:00+00:00",
    "2024-12-31": "2025-01-01T05:00:00+00:00",
}


@pytest.fixture(scope="module")
def scripts(monkeypatch_module: pytest.MonkeyPatch) -> None:
    """Let the scripts, which know nothing of the product, import one another."""
    monkeypatch_module.syspath_prepend(str(GOLDEN))


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    """Give a monkeypatch that lasts for the module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def history() -> History:
    """Give the year as the measure reads it."""
    made = History()
    made.fold(msgspec.convert(ROWS, list[Event]))
    return made


def test_the_ledger_is_what_its_script_writes(scripts: None, tmp_path: Path) -> None:
    """The committed year is the one that the script tells."""
    import write_year

    assert write_year.write(tmp_path / "year.jsonl") == (GOLDEN / "year.jsonl").read_text(encoding="utf-8")


def test_the_expected_values_are_what_the_script_works_out(scripts: None) -> None:
    """The committed expectations are those of the independent script."""
    import work_out

    assert work_out.text() == (GOLDEN / "expected.json").read_text(encoding="utf-8")


def test_the_scripts_use_nothing_of_the_product() -> None:
    """What checks the product is not made of it."""
    outside = set(sys.stdlib_module_names) | {path.stem for path in GOLDEN.glob("*.py")}
    for path in GOLDEN.glob("*.py"):
        if not path.name.startswith("test_"):
            used = re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert set(used) <= outside, path.name


def test_the_ledger_is_well_formed() -> None:
    """Places are dense, keys are unique, types are known, what needs a cause has one, and only one cause is lost."""
    assert [row["seq"] for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert len({(row["source"], row["id"]) for row in ROWS}) == len(ROWS)
    assert {row["type"] for row in ROWS} <= set(EVENT_TYPES)
    known = {row["id"] for row in ROWS}
    assert [row["causationid"] for row in ROWS if row["causationid"] not in known | {""}] == [DANGLING]
    assert all(row["causationid"] or EVENT_TYPES[row["type"]].is_root for row in ROWS)
    recorded = [row["recordedtime"] for row in ROWS]
    assert recorded == sorted(recorded)


def test_the_ledger_has_the_exported_form() -> None:
    """Each line is an event as ``ratchet events --json`` prints it."""
    for row in ROWS:
        assert msgspec.to_builtins(msgspec.convert(row, Event)) == row


def test_a_ledger_takes_the_year_and_exports_it_again(tmp_path: Path) -> None:
    """What a real ledger gives back differs in the time of recording only."""
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrations.migrate(database)
    ledger = Ledger(database, lambda _transaction, _events: None)
    with database.write() as transaction:
        ledger.append(transaction, *msgspec.convert(ROWS, list[Event]))
    exported = [
        to_export(event) | {"recordedtime": row["recordedtime"]} for event, row in zip(ledger.read(), ROWS, strict=True)
    ]
    database.close()
    assert exported == ROWS


def test_the_document_says_what_was_worked_out() -> None:
    """Each figure of the document's tables is the expected one, and none is left out."""
    text = (GOLDEN / "README.md").read_text(encoding="utf-8")
    told = {
        (kpi, name): value.strip()
        for kpi, name, value in re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \|", text, re.M)
    }
    wanted = {
        (kpi, name): "none"
        if value is None
        else f"{value:.6f}".rstrip("0").rstrip(".")
        if isinstance(value, float)
        else str(value)
        for kpi, entry in EXPECTED["2024-12-31"].items()
        for name, value in entry["values"].items()
    }
    assert told == wanted


def test_the_document_names_each_level_and_incident() -> None:
    """The tables of levels and of incidents are the expected ones."""
    text = (GOLDEN / "README.md").read_text(encoding="utf-8")
    for pipeline in EXPECTED["levels"]["2024-12-31"]:
        for policy in ("standard", "strict"):
            labels = [EXPECTED["levels"][day][pipeline][policy]["label"] for day in MOMENTS]
            assert f"| `{pipeline}` | {policy} | {' | '.join(labels)} |" in text
    for name, entry in EXPECTED["incidents"]["2024-12-31"].items():
        said = (name, entry["service"], len(entry["candidates"]), entry["verdict"], entry["class"] or "-")
        assert f"| {' | '.join(map(str, said))} |" in text


@pytest.mark.parametrize("policy", ["standard", "strict"])
@pytest.mark.parametrize("day", MOMENTS)
def test_the_measure_finds_the_expected_levels(history: History, day: str, policy: str) -> None:
    """Each pipeline's level, and what keeps it from the next one, is the one that was worked out by hand."""
    for pipeline, expected in EXPECTED["levels"][day].items():
        report = measure_level(history, pipeline, shipped(policy), as_of=datetime.fromisoformat(MOMENTS[day]))
        blocking = [
            {"stage": one.criterion.stage or one.criterion.measure, "status": one.status, "k": one.k, "n": one.n}
            | {"failing": list(one.failing)}
            for one in report.blocking
        ]
        assert (report.label, blocking) == (expected[policy]["label"], expected[policy]["blocking"]), pipeline


@pytest.mark.parametrize("day", MOMENTS)
def test_the_measure_finds_the_expected_ages(history: History, day: str) -> None:
    """The ages of each model that answers calls are those worked out by hand; a batch model has its own rule."""
    for pipeline, ages in EXPECTED[day]["model_freshness"]["by"].items():
        found = freshness(history, pipeline, as_of=datetime.fromisoformat(MOMENTS[day]))
        if pipeline != "restock":
            for name in ("data_age_days", "train_age_days", "serving_age_days"):
                assert getattr(found, name) == (None if ages[name] is None else pytest.approx(ages[name]))
