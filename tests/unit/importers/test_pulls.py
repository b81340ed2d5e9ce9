"""Pages, cursors and conflicts: together or not at all, and twice is once."""

from pathlib import Path
from typing import Any

import pytest

from ratchet import faults
from ratchet.config import ImportSection
from ratchet.importers import pulls
from ratchet.measure.completeness import completeness
from tests.unit.importers import shapes
from tests.unit.importers.shapes import Desk, approval, deployment, page, run, status, types_of

SECTIONS = {"Retrain": ImportSection(pipeline="churn", stages=("train", "evaluate"))}


def test_importing_twice_changes_nothing(desk: Desk) -> None:
    """Not an event more, not even a cursor."""
    path = desk.save("runs.json", page(run(1), run(2, day=7)))
    first = desk.take(path, sections=SECTIONS).tallies["github/example/churn"]
    before = desk.events()
    again = desk.take(path, sections=SECTIONS).tallies["github/example/churn"]
    assert desk.events() == before
    assert (first.new_events, first.known_events) == (12, 0)
    assert (again.new_events, again.known_events, again.conflicts) == (0, 12, [])


def test_a_run_that_has_ended_meanwhile_brings_only_what_is_new(desk: Desk) -> None:
    """The events of the first import stay as they are."""
    desk.take(desk.save("a.json", page(run(1, status="in_progress", conclusion=None))), sections=SECTIONS)
    before = desk.events()
    tally = desk.take(desk.save("b.json", page(run(1))), sections=SECTIONS).tallies["github/example/churn"]
    assert desk.events()[: len(before)] == before
    assert types_of(desk.events()[len(before) :]) == [
        "run.finished",
        "fitness.suite.finished",
        "gate.evaluated",
        "source.cursor",
    ]
    assert (tally.new_events, tally.known_events, tally.imported) == (3, 3, 1)


def test_another_body_under_one_id_is_a_conflict(desk: Desk) -> None:
    """A failure that is a success the next time is not believed: the first stays, the difference is recorded once."""
    desk.take(desk.save("a.json", page(run(1, conclusion="failure"))), sections=SECTIONS)
    changed = desk.save("b.json", page(run(1)))
    for _ in range(2):
        tally = desk.take(changed, sections=SECTIONS).tallies["github/example/churn"]
        assert (tally.conflicts, tally.imported, tally.completeness) == (["run/1001/1"], 0, 0.0)
    assert [event.data["outcome"] for event in desk.events("run.finished")] == ["failed"]
    (conflict,) = desk.events("ledger.conflict.detected")
    assert conflict.data["type"] == "run.finished"


def test_the_same_record_twice_in_a_file_counts_once(desk: Desk) -> None:
    """Pages that overlap are usual while the list grows."""
    puller = desk.take(desk.save("a.json", page(run(1), total=1), page(run(1), total=1)), sections=SECTIONS)
    assert len(desk.events("run.finished")) == 1
    assert puller.tallies["github/example/churn"].new_events == 6


def test_events_stand_in_the_order_in_which_they_happened(desk: Desk) -> None:
    """GitHub lists the newest first; the ledger has the oldest first."""
    desk.take(desk.save("runs.json", page(run(3, day=14), run(1), run(2, day=7))), sections=SECTIONS)
    assert [event.subject for event in desk.events("run.finished")] == ["1001.1", "1002.1", "1003.1"]
    times = [event.at for event in desk.events() if event.type != "source.cursor"]
    assert times == sorted(times)


def test_the_order_holds_over_several_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the source lists first is the newest; the first page of the ledger has the oldest all the same."""
    monkeypatch.setattr(pulls, "PAGE_RECORDS", 2)
    desk.take(desk.save("runs.json", page(*(run(number, day=number) for number in (4, 2, 3, 1)))), sections=SECTIONS)
    assert [event.subject for event in desk.events("run.finished")] == ["1001.1", "1002.1", "1003.1", "1004.1"]


def test_a_cursor_says_what_the_source_claims(desk: Desk) -> None:
    """What is missing is in the count, so that the hole can be seen."""
    puller = desk.take(desk.save("runs.json", page(run(1), run(2, day=7), total=5)), sections=SECTIONS)
    (cursor,) = desk.events("source.cursor")
    assert cursor.data == {
        "source": "github/example/churn",
        "from": "2026-06-01T03:00:00+00:00",
        "to": "2026-06-08T03:10:00+00:00",
        "count": 5,
        "imported": 2,
        "kinds": {"run": 2},
        "is_claimed": True,
        "position": "",
    }
    assert (cursor.source, cursor.evidence, cursor.authid) == ("ratchet", "native", "you")
    assert puller.tallies["github/example/churn"].completeness == 0.4


def test_pages_in_several_files_repeat_one_claim(desk: Desk) -> None:
    """Each page says how many there are in all; that is not added up."""
    files = [desk.save("1.json", page(run(1), total=2)), desk.save("2.json", page(run(2, day=7), total=2))]
    assert desk.take(*files, sections=SECTIONS).tallies["github/example/churn"].claimed == 2


def test_a_list_that_claims_nothing_is_not_called_complete(desk: Desk) -> None:
    """A bare list says nothing of what is missing."""
    tally = desk.take(desk.save("runs.json", [run(1)]), sections=SECTIONS).tallies["github/example/churn"]
    assert (tally.claimed, tally.completeness) == (None, None)
    assert desk.events("source.cursor")[0].data["is_claimed"] is False


class Killed(BaseException):
    """The process was killed here."""


def test_an_import_that_broke_off_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is there with its cursor, or neither is; the next import brings the rest, and nothing twice."""
    monkeypatch.setattr(pulls, "PAGE_RECORDS", 2)
    path = desk.save("runs.json", page(*(run(number, day=number) for number in range(1, 6))))
    whole = _break_off_before_commit(desk, path, monkeypatch, commits=2)
    assert [len(desk.events(kind)) for kind in ("source.cursor", "run.finished")] == [1, 2]
    assert pulls.last_position(desk.database, "github/example/churn") == "page 2"
    monkeypatch.setattr(faults, "point", whole)
    tally = desk.take(path, sections=SECTIONS).tallies["github/example/churn"]
    assert [len(desk.events(kind)) for kind in ("source.cursor", "run.finished")] == [3, 5]
    assert (tally.imported, tally.known_events) == (5, 12)
    assert pulls.last_position(desk.database, "github/example/churn") == ""
    counts = [event.data["count"] for event in desk.events("source.cursor")]
    assert (counts, sum(counts)) == ([2, 2, 1], 5)


def _break_off_before_commit(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch, *, commits: int) -> Any:
    """Let the process die before so many commits; return what stood in the place of the fault."""
    whole, left = faults.point, [commits]

    def point(name: str) -> None:
        if name == "write.before_commit":
            left[0] -= 1
            if not left[0]:
                raise Killed

    monkeypatch.setattr(faults, "point", point)
    with pytest.raises(Killed):
        desk.take(path, sections=SECTIONS)
    return whole


def test_a_dry_run_writes_nothing_and_counts_the_same(desk: Desk) -> None:
    """What it says is what the import then does."""
    path = desk.save("runs.json", page(run(1), run(2, day=7)))
    dry = desk.take(path, sections=SECTIONS, is_dry=True).tallies["github/example/churn"]
    assert desk.events() == []
    wet = desk.take(path, sections=SECTIONS).tallies["github/example/churn"]
    assert (dry.new_events, dry.known_events, dry.imported) == (wet.new_events, wet.known_events, wet.imported)
    assert desk.take(path, sections=SECTIONS, is_dry=True).tallies["github/example/churn"].known_events == 12


def test_a_dry_run_sees_conflicts(desk: Desk) -> None:
    """Also what would be refused is said beforehand."""
    desk.take(desk.save("a.json", page(run(1, conclusion="failure"))), sections=SECTIONS)
    dry = desk.take(desk.save("b.json", page(run(1))), sections=SECTIONS, is_dry=True)
    assert dry.tallies["github/example/churn"].conflicts == ["run/1001/1"]
    assert desk.events("ledger.conflict.detected") == []


def test_progress_is_reported_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar can be drawn from it."""
    monkeypatch.setattr(pulls, "PAGE_RECORDS", 2)
    seen: list[tuple[int, int]] = []
    path = desk.save("runs.json", page(*(run(number, day=number) for number in range(1, 6))))
    desk.take(path, report=lambda done, every: seen.append((done, every)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.postgres
def test_a_server_keeps_pages_as_a_file_does(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL, too: new, known, changed, contradicted."""
    with shapes.desk(tmp_path, url=postgres_url) as desk:
        counts = []
        for changes in ({"status": "in_progress", "conclusion": None}, {}, {}, {"conclusion": "failure"}):
            path = desk.save("runs.json", page(run(1, **changes)))
            tally = desk.take(path, sections=SECTIONS).tallies["github/example/churn"]
            counts.append((tally.new_events, tally.known_events, len(tally.conflicts)))
        assert counts == [(3, 0, 0), (3, 3, 0), (0, 6, 0), (0, 4, 1)]
        assert desk.level("churn").profile["train"].init.n == 1


def test_a_start_that_nobody_recorded_is_found(desk: Desk) -> None:
    """A run of unknown origin and a deployment by an app lead back to nothing; others do not."""
    runs = desk.save("runs.json", page(run(1), run(2, event="workflow_run", day=1)))
    others = desk.save("deployments.json", [deployment(5, day=2, commit=1)])
    readings, _ = desk.read(runs, others, Retrain=SECTIONS["Retrain"])
    assert [one.key for one in pulls.broken_starts(desk.database, readings)] == ["run/1002/1", "deployment/5"]


def test_reviews_and_statuses_go_back_to_the_run(desk: Desk) -> None:
    """Nothing is broken where all pages are there."""
    files = [
        desk.save("runs.json", page(run(1))),
        desk.save("deployments.json", [deployment(5, day=2, commit=1)]),
        desk.save("statuses.json", [status(5, day=2, run_id=1001)]),
        desk.save("approvals.json", approval(1001)),
    ]
    readings, _ = desk.read(*files)
    assert pulls.broken_starts(desk.database, readings) == []


def test_an_import_in_pieces_is_complete_in_the_end(desk: Desk) -> None:
    """The measure adds cursors up: what came in two pieces, and then once more as a whole, is there once."""
    runs = [run(number, day=number) for number in range(1, 7)]
    pieces = (runs[:2], runs[2:4], runs)
    shares = []
    for name, piece in enumerate(pieces):
        taken = desk.take(desk.save(f"{name}.json", page(*piece, total=6)), sections=SECTIONS)
        shares.append(taken.tallies["github/example/churn"].completeness)
    assert shares == pytest.approx([2 / 6, 4 / 6, 1])
    found = completeness(desk.history().as_of(), "churn", [])
    assert [(one.imported, one.claimed) for one in found.sources] == [(6, 6)]


def test_pages_that_come_again_bring_no_cursor(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing twice changes nothing, however many pages there are."""
    monkeypatch.setattr(pulls, "PAGE_RECORDS", 2)
    path = desk.save("runs.json", page(*(run(number, day=number) for number in range(1, 6))))
    desk.take(path, sections=SECTIONS)
    before = desk.ledger.last_seq()
    desk.take(path, sections=SECTIONS)
    assert desk.ledger.last_seq() == before
