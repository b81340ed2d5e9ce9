"""Incidents on the command line: what broke, what it came from, and what people tell."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

LIVE = {
    "endpoint": "returns",
    "env": "production",
    "role": "live",
    "deployment_id": "D1",
    "weights": {"returns@v1": 1.0},
}


@pytest.fixture
def broken(project: Path) -> dict[str, str]:
    """Let a version go live by command and break an hour later; return the ids of what happened."""
    with Workspace(project) as workspace:
        with workspace.by_command("promote", {}, subject="returns") as asked:
            at = asked.at - timedelta(hours=3)
            (shift,) = workspace.ledger.record(
                Event(type="traffic.shifted", subject="returns", pipeline="returns", time=at, data=LIVE)
            )
        onset = at + timedelta(hours=1)
        data = {"incident": "INC-01", "service": "returns", "onset": onset.isoformat(), "onset_from": "monitor"}
        found = Event(type="incident.detected", subject="INC-01", pipeline="returns", time=onset, data=data)
        (incident,) = workspace.ledger.record(found)
    return {"shift": shift.id, "incident": incident.id, "onset": onset.isoformat()}


@pytest.mark.usefixtures("project")
def test_without_any_it_says_how_to_report_one(call: Call) -> None:
    """An empty list is no empty page."""
    assert "Report one with: ratchet incidents report" in call("incidents").out
    assert json.loads(call("incidents", "--json").out) == []


@pytest.mark.usefixtures("broken")
def test_list_has_a_line_for_each(call: Call) -> None:
    """With service, duration, verdict and what people did, within 80 columns."""
    answer = call("incidents")
    line = next(line for line in answer.out.splitlines() if line.startswith("INC-01"))
    assert all(word in line for word in ("returns", "open", "likely", "slip"))
    assert all(len(line) <= 80 for line in answer.out.splitlines())


def test_one_shows_its_events_and_how_it_came_to_them(call: Call, broken: dict[str, str]) -> None:
    """The cause by its id, and each step with its events."""
    assert broken["shift"] in call("incidents", "INC-01").out
    explained = call("incidents", "INC-01", "--explain").out
    assert "what changed near it: One change near returns" in explained
    assert explained.count(broken["shift"]) > 1


def test_json_has_all_of_it(call: Call, broken: dict[str, str]) -> None:
    """One object for one, a list for all."""
    one = json.loads(call("incidents", "INC-01", "--json").out)
    assert (one["cause"], one["verdict"], one["weights"]) == (broken["shift"], "likely", {broken["shift"]: 1.0})
    assert (one["class"], one["is_human_induced"], one["hours"]) == ("slip", True, None)
    assert json.loads(call("incidents", "--json").out) == [one]


def test_reported_and_resolved_by_hand(call: Call, broken: dict[str, str], project: Path) -> None:
    """Each is caused by a command of the person; the number is the next one."""
    told = call("incidents", "report", "--service", "returns", "--title", "slow [again]", "--since", broken["onset"])
    assert "Incident INC-02 is reported" in told.out
    assert "slow [again]" in call("incidents", "INC-02").out
    over = json.loads(call("incidents", "resolve", "INC-02", "--remedy", broken["incident"], "--json").out)
    assert [one["type"] for one in over] == ["incident.mitigated", "incident.resolved"]
    with Workspace(project) as workspace:
        events = list(workspace.ledger.read(subject="INC-02"))
        causes = [workspace.ledger.get(one.causationid) for one in events if one.type != "command.issued"]
    assert [cause.data["action"] for cause in causes if cause] == ["report_incident", *["resolve_incident"] * 2]
    assert {event.actor_class for event in events} == {"human"}
    one = json.loads(call("incidents", "INC-02", "--json").out)
    assert one["onset_from"] == "ticket"
    assert one["hours"] == pytest.approx(2, abs=0.1)
    assert "over already" in call("incidents", "resolve", "INC-02").err


def test_cause_that_people_name_stands_beside_the_computed_one(call: Call, broken: dict[str, str]) -> None:
    """The computed verdict stays, and the difference is told."""
    agreed = call("incidents", "attribute", "INC-01", "--cause", broken["shift"], "--reference", "review-1")
    assert "Recorded for INC-01: likely (as computed)." in agreed.out
    assert not json.loads(call("incidents", "INC-01", "--json").out)["is_disputed"]
    other = call("incidents", "attribute", "INC-01", "--cause", "none", "--reference", "review-2")
    assert "Recorded for INC-01: not change-induced (computed: likely)." in other.out
    one = json.loads(call("incidents", "INC-01", "--json").out)
    assert (one["verdict"], one["is_disputed"], one["adjudicated"]["reference"]) == ("likely", True, "review-2")
    assert "not as computed" in call("incidents", "INC-01").out
    assert "People name another cause for INC-01." in call("incidents").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("INC-9",), "No incident named 'INC-9'. Known: INC-01."),
        (("resolve", "INC-9"), "No incident named 'INC-9'"),
        (("report", "--service", "retruns"), "No service named 'retruns'. Known: returns."),
        (("report", "INC-01", "--service", "returns"), "called 'INC-01' already"),
        (("report", "--service", "returns", "--since", "2026-03-31"), "Write it as 2026-03-31T18:00"),
        (("report", "--service", "returns", "--since", "2999-01-01T00:00"), "lies in the future"),
        (("resolve", "INC-01", "--since", "2001-01-01T00:00"), "lies before its onset"),
        (("resolve", "INC-01", "--remedy", "nothing"), "No event named 'nothing'"),
        (("attribute", "INC-01", "--cause", "none", "--reference", " "), "without a reference"),
        (("attribute", "INC-01", "--cause", "none"), "Missing option '--reference'"),
        (("attribute", "INC-01", "--cause", "none", "--reference", "x", "--class", "sloth"), "No class named 'sloth'"),
    ],
)
@pytest.mark.usefixtures("broken")
def test_refusals_change_nothing(call: Call, project: Path, arguments: tuple[str, ...], message: str) -> None:
    """The message says what to do, and the ledger is as it was."""
    with Workspace(project) as workspace:
        before = workspace.ledger.last_seq()
    answer = call("incidents", *arguments)
    assert answer.code != 0
    assert message in answer.err.replace("\n", " ")
    with Workspace(project) as workspace:
        assert workspace.ledger.last_seq() == before


@pytest.mark.usefixtures("broken")
def test_service_elsewhere_is_taken_on_request(call: Call) -> None:
    """The ledger need not know of it."""
    assert call("incidents", "report", "--service", "billing", "--elsewhere").code == 0
    one = json.loads(call("incidents", "INC-02", "--json").out)
    assert (one["service"], one["verdict"], one["pipeline"]) == ("billing", "not change-induced", "")
