"""Reports of a workspace: published with their proof, and worked out again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ratchet import clock, reporting
from ratchet.errors import UnknownName
from ratchet.measure.maps import process_maps, recording
from ratchet.measure.maps.templates import template_text
from ratchet.records import Event
from ratchet.store.proofs import verify_bundle
from ratchet.workspace import Workspace
from tests.kpis import write_golden_year


@pytest.fixture
def golden(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace in which the golden year has happened."""
    with Workspace(write_golden_year(tmp_path)) as workspace:
        yield workspace
    clock.stop_simulating()


def test_what_is_published_is_in_the_ledger_and_proved(golden: Workspace) -> None:
    """The event names figures, definitions, place and root; the proof holds against the ledger's key."""
    report = reporting.read_report(golden)
    proof = reporting.publish(golden, report)
    event = golden.ledger.get(proof.event)
    assert event is not None
    assert event.type == "report.published"
    assert set(event.data) == {"definition_digest", "seq", "root", "value"}
    assert (event.data["seq"], event.data["root"]) == (report.seq, proof.root)
    cause = golden.ledger.get(event.causationid)
    assert cause is not None
    assert cause.data["action"] == "publish_report"
    key = golden.checkpoints.known_key()
    assert key is not None
    assert (verify_bundle(proof.bundle, key), proof.key) == ([], key.line)
    assert proof.size >= proof.seq > report.seq


def test_figures_are_worked_out_again_from_the_same_events(golden: Workspace) -> None:
    """What came into the ledger since, and a second report, change nothing; another figure is found."""
    report = reporting.read_report(golden)
    reporting.publish(golden, report)
    reporting.publish(golden, reporting.read_report(golden))
    assert reporting.differences(golden, report) == []
    number = msgspec.structs.replace(report.numbers["ten/new_models"], text="9 a month")
    forged = msgspec.structs.replace(report, numbers=report.numbers | {"ten/new_models": number})
    (said,) = reporting.differences(golden, forged)
    assert said.startswith('numbers.ten/new_models.text: published "9 a month", worked out again "0.417')


def test_a_process_that_is_bound_to_reports_is_measured_as_it_was(golden: Workspace) -> None:
    """The report's own event, which comes at the moment of its figures, is not among them."""
    text_of_map = template_text("ml-process", kind="current")
    process_map = process_maps.parse(text_of_map.encode(), where="ml-process.toml")
    assert any(node.bound_to and node.bound_to.event == "report.published" for node in process_map.nodes)
    golden.record_assessment(process_map.reference, recording.to_data(process_map))
    for _ in range(3):
        report = reporting.read_report(golden)
        reporting.publish(golden, report)
        assert reporting.differences(golden, report) == []


def test_other_settings_are_named_as_the_reason(golden: Workspace) -> None:
    """Whoever changes a target afterwards is told why the figures differ."""
    report = reporting.read_report(golden)
    settings = golden.project / "ratchet.toml"
    settings.write_text(settings.read_text().replace("days_to_deployment = 31", "days_to_deployment = 62"))
    golden.reload()
    found = reporting.differences(golden, report)
    assert found[0] == "ratchet.toml has other settings now than when this was published"
    assert any(one.startswith("numbers.bought/days") for one in found)


def test_an_earlier_day_a_part_and_another_policy(golden: Workspace) -> None:
    """Each can be asked for, and is worked out again alike; what there is not is refused."""
    moment = golden.ask().month_ends[5][1]
    report = reporting.read_report(golden, policy="microsoft-0-4", as_of=moment, scope="lending")
    assert (report.at, report.scope, report.policy) == (moment, "node:lending", "microsoft-0-4")
    assert report.policies["microsoft-0-4"]
    assert reporting.differences(golden, report) == []
    with pytest.raises(UnknownName):
        reporting.read_report(golden, scope="marketing")


def test_the_same_figures_are_published_once(golden: Workspace) -> None:
    """Done again where nothing happened since, it is the same event; where something did, another one."""
    person = golden.person("you")
    first = reporting.publish_once(golden, actor=person)
    last = golden.ledger.last_seq()
    assert reporting.publish_once(golden, actor=person) == first
    assert golden.ledger.last_seq() == last
    command = next(golden.ledger.read(types=["command.issued"], newest_first=True, limit=1))
    assert command.authid == person.authid
    golden.ledger.record(Event(type="custom.emitted", subject="something"))
    _, second = reporting.publish_once(golden, actor=person)
    assert second.event != first[1].event


def test_what_came_later_can_be_left_out(golden: Workspace) -> None:
    """A report of the entries that there were is the same however many came since, its levels and maps too."""
    before = reporting.read_report(golden)
    with golden.by_command("look", {}, subject="late"):
        golden.ledger.record(Event(type="run.queued", subject="late", pipeline="late"))
    assert reporting.read_report(golden, seq=before.seq) == before
    assert "late" in {line.name for line in reporting.read_report(golden).pipelines}
