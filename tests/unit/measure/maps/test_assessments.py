"""What is said of a piece of work from its maps, its steps and the ledger."""

from datetime import date
from pathlib import Path

import pytest

from ratchet.measure.maps.assessments import Assessment, assess
from ratchet.measure.maps.files import read_maps
from ratchet.measure.maps.recording import from_events, to_data
from ratchet.measure.project_files import list_files
from tests.ledgers import LedgerBuilder
from tests.unit.measure.maps.written import map_text

TODAY = date(2026, 3, 1)
STEP = """
[[step]]
title = "Automate it"
nodes = ["a"]
owner = "data team"
by = 2026-02-01
"""


def trained(ledger: LedgerBuilder) -> LedgerBuilder:
    """Train four times by rule."""
    ledger.add("source.cursor", "ratchet", {"source": "ratchet", "count": 1})
    for _ in range(4):
        ledger.train(ledger.tick(ledger.weekly()))
        ledger.wait(days=7)
    return ledger


def assessed(project: Path, ledger: LedgerBuilder | None = None) -> list[Assessment]:
    """Return the assessments of a project."""
    ledger = ledger or LedgerBuilder()
    return assess(
        project,
        read_maps(project, list_files(project)),
        history=ledger.history(),
        recorded=from_events(ledger.events),
        today=TODAY,
    )


def put(project: Path, **texts: str) -> None:
    """Write files; a double underscore in a name stands for a folder."""
    for name, text in texts.items():
        path = project / f"{name.replace('__', '/')}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_current_and_target_are_one_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes, the plan with the steps beside the maps, and where people and ledger disagree."""
    put(tmp_path, work__now=map_text(), work__then=map_text(kind="target", degree="automated"), work__way=STEP)
    ledger = trained(LedgerBuilder())
    monkeypatch.setattr("ratchet.clock.now", lambda: ledger.now)
    (one,) = assessed(tmp_path, ledger)
    assert one.name == "flights"
    assert one.current is not None
    assert (one.current.file, one.current.event_id) == ("work/now.toml", "")
    assert one.difference is not None
    assert one.difference.steps_short == 2
    assert one.plan is not None
    assert one.steps_file == "work/way.toml"
    (step,) = one.plan.steps
    assert (step.step.owner, step.status, step.is_overdue) == ("data team", "done", False)
    assert one.measured["a"].degree == "automated"
    assert [(two.declared, two.measured) for two in one.disagreements] == [("non-repeatable", "automated")]


def test_one_map_alone_has_no_plan(tmp_path: Path) -> None:
    """Whichever of both it is, what can be said is said."""
    put(tmp_path, now=map_text())
    (one,) = assessed(tmp_path)
    assert (one.target, one.plan, one.shown.kind) == (None, None, "current")
    put(tmp_path, now=map_text(kind="target"))
    (one,) = assessed(tmp_path)
    assert (one.current, one.difference, one.shown.kind) == (None, None, "target")
    put(tmp_path, now=map_text(kind="candidate"))
    (one,) = assessed(tmp_path)
    assert (one.current, one.target, one.shown.kind) == (None, None, "candidate")


def test_the_latest_version_speaks(tmp_path: Path) -> None:
    """Ten comes after nine; earlier versions are there besides."""
    put(tmp_path, a=map_text(version="10"), b=map_text(version="9"), c=map_text(version="2-draft"))
    (one,) = assessed(tmp_path)
    assert one.current is not None
    assert one.current.process_map.version == "10"
    assert [two.process_map.version for two in one.others] == ["2-draft", "9"]


def test_one_id_in_two_folders_is_two_works(tmp_path: Path) -> None:
    """Two teams that took the same template are kept apart, each with its own steps and its own broken files."""
    put(tmp_path, x__now=map_text(), x__then=map_text(kind="target"), y__now=map_text(), y__bad="[map]\nid=\n")
    first, second = assessed(tmp_path)
    assert (first.name, second.name) == ("x/flights", "y/flights")
    assert first.plan is not None
    assert (second.plan, [one.name for one in second.broken]) == (None, ["y/bad.toml"])
    assert first.broken == ()


def test_maps_in_two_folders_are_one_work(tmp_path: Path) -> None:
    """A folder for today and one for the target belong together by their id."""
    put(tmp_path, today__map=map_text(), target__map=map_text(kind="target", degree="automated"))
    (one,) = assessed(tmp_path)
    assert one.name == "flights"
    assert one.plan is not None


def test_broken_steps_are_named_and_the_plan_is_there(tmp_path: Path) -> None:
    """What they would have said is proposed; file and line are told. Steps of another target are no harm."""
    put(tmp_path, now=map_text(), then=map_text(kind="target", degree="automated"), way=STEP.replace("a", "x", 3))
    (one,) = assessed(tmp_path)
    assert one.plan is not None
    assert [step.step.is_proposed for step in one.plan.steps] == [True]
    assert one.steps_file == ""
    assert [two.problem.split(" ")[0].split(":")[0] for two in one.broken] == ["way.toml"]
    put(tmp_path, zz=STEP)
    (one,) = assessed(tmp_path)
    assert (one.steps_file, one.broken) == ("zz.toml", ())


def test_maps_on_record_are_there_without_files(tmp_path: Path) -> None:
    """A map whose file is gone, and a file that says the same as the record, are both told of."""
    ledger = LedgerBuilder()
    put(tmp_path, now=map_text(), then=map_text(kind="target", map_id="lost"))
    maps = {one.process_map.id: one.process_map for one in read_maps(tmp_path, list_files(tmp_path)).maps}
    events = {name: ledger.add("assessment.recorded", name, to_data(one)) for name, one in maps.items()}
    (tmp_path / "then.toml").unlink()
    flights, lost = assessed(tmp_path, ledger)
    assert flights.current is not None
    assert flights.current.event_id == events["flights"].id
    assert lost.target is not None
    assert (lost.target.file, lost.target.event_id) == ("", events["lost"].id)
    put(tmp_path, now=map_text(degree="absent").replace("bound_to", 'benefit = "b"\nbound_to'))
    flights, _ = assessed(tmp_path, ledger)
    assert flights.current is not None
    assert flights.current.event_id == ""
