"""What is said about an import: what is mapped, what is odd, what is missing."""

from ratchet.config import ImportSection
from ratchet.importers.overview import Overview, overview
from ratchet.importers.pulls import broken_starts
from tests.unit.importers.shapes import Desk, page, run

TRAIN = ImportSection(pipeline="churn", stages=("train",))


def _overview(desk: Desk, *runs: dict[str, object], total: int | None = None) -> Overview:
    path = desk.save("runs.json", page(*runs, total=total))
    puller = desk.take(path, sections={"Retrain": TRAIN})
    readings, _ = desk.read(path, Retrain=TRAIN)
    return overview(readings, puller.tallies, broken=broken_starts(desk.database, readings))


def test_a_whole_import_needs_no_notes(desk: Desk) -> None:
    """Rows by name, triggers and outcomes counted."""
    found = _overview(desk, run(1), run(2, conclusion="failure"), run(3, status="queued", conclusion=""))
    (row,) = found.rows
    assert (row.name, row.pipeline, row.stages, row.records) == ("Retrain", "churn", ("train",), 3)
    assert (row.triggers, row.outcomes) == ({"schedule": 3}, {"success": 1, "failed": 1, "open": 1})
    assert (found.notes, found.sources[0]["completeness"]) == ((), 1.0)


def test_all_that_does_not_count_is_said(desk: Desk) -> None:
    """What is not mapped, what contradicts, whose start is unknown, what is missing."""
    found = _overview(
        desk,
        run(1),
        run(1) | {"id": 2000},
        run(3, "Lint"),
        run(4, event="workflow_run"),
        total=9,
    )
    text = "\n".join(found.notes)
    assert "Lint is mapped to no stage" in text
    assert '[import.github."Lint"]' in text
    assert "1 records claim to be the same run" in text
    assert "Nobody says who started 1 records (run/1004/1)" in text
    assert "claims 9 records, and 4 are imported" in text


def test_conflicts_are_said(desk: Desk) -> None:
    """The first stays, and the person learns of it."""
    desk.take(desk.save("a.json", page(run(1, conclusion="failure"))), sections={"Retrain": TRAIN})
    assert "run/1001/1" in "".join(_overview(desk, run(1)).notes)


def test_an_empty_export_is_said_so(desk: Desk) -> None:
    """An answer without a word would look like a success."""
    assert _overview(desk, total=0).notes == ("Nothing was found: there are no records here.",)
