"""What people may tell of incidents."""

from datetime import timedelta

import pytest

from ratchet.errors import RatchetError, UnknownName
from ratchet.measure.incidents.attribution import Attribution, attribute
from ratchet.measure.incidents.candidates import Ground
from ratchet.measure.incidents.outages import incidents
from ratchet.measure.incidents.refusals import (
    CauseRefused,
    IncidentMomentInvalid,
    IncidentNameTaken,
    IncidentOver,
    ReferenceMissing,
)
from ratchet.measure.incidents.telling import adjudicated, incident_named, reported, resolved
from tests.ledgers import ENDPOINT, PIPELINE, LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, judged, release, restore, settled


def ground_of(ledger: LedgerBuilder) -> Ground:
    """Return what incidents are judged by, as of the ledger's present."""
    return Ground(ledger.history().as_of(ledger.now))


def append(ledger: LedgerBuilder, *events: object) -> None:
    """Append events as a command would."""
    for event in events:
        values = {name: getattr(event, name) for name in ("type", "subject", "data")}
        more = {"time": event.time} if event.time else {}  # type: ignore[attr-defined]
        ledger.add(values["type"], values["subject"], values["data"], cause=ledger.command("tell"), **more)


def found_in(ledger: LedgerBuilder, name: str = "INC-1") -> tuple[Ground, Attribution]:
    """Return an incident with what it came from."""
    ground = ground_of(ledger)
    return ground, attribute(ground, incident_named(ground, name))


def test_reported_and_resolved_incident_is_read_back() -> None:
    """What is told by hand is an incident like any other."""
    ledger = settled()
    release(ledger)
    ledger.wait(hours=5)
    ground = ground_of(ledger)
    told = reported(ground, ENDPOINT, opened_at=ledger.now - timedelta(hours=1), title="slow")
    assert (told.subject, told.pipeline, told.data["title"]) == ("INC-01", PIPELINE, "slow")
    append(ledger, told)
    ledger.wait(hours=1)
    append(ledger, *resolved(ground_of(ledger), "INC-01", back_in_bounds=ledger.now))
    (one,) = incidents(ledger.history().as_of(ledger.now))
    assert (one.name, one.onset_from, one.title) == ("INC-01", "ticket", "slow")
    assert one.hours == pytest.approx(2, abs=0.01)


def test_remedy_that_is_named_by_hand_proves_the_cause() -> None:
    """Its mitigation has the time of the remedy."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    detect(ledger)
    undone = configure(ledger.wait(hours=1), "b", "a")
    ledger.wait(hours=1)
    events = resolved(ground_of(ledger), "INC-1", back_in_bounds=ledger.now, remedy=undone.id)
    assert (events[0].type, events[0].time) == ("incident.mitigated", undone.at)
    append(ledger, *events)
    assert (judged(ledger).verdict, judged(ledger).cause) == ("proven", setting.id)


def test_mitigation_is_not_told_twice() -> None:
    """Where a machine has told of it, only the end is added."""
    ledger = settled()
    found = detect(ledger)
    ledger.add("incident.mitigated", "INC-1", {"incident": "INC-1", "remedy": ""}, cause=found)
    undone = configure(ledger, "b", "a")
    events = resolved(ground_of(ledger), "INC-1", back_in_bounds=ledger.now, remedy=undone.id)
    assert [event.type for event in events] == ["incident.resolved"]


def test_names_are_free_ones() -> None:
    """The next number, unless it is taken."""
    ledger = settled()
    detect(ledger, name="INC-02")
    told = reported(ground_of(ledger), "x", opened_at=ledger.now, is_elsewhere=True)
    assert told.subject == "INC-03"
    with pytest.raises(IncidentNameTaken, match="'INC-02' already"):
        reported(ground_of(ledger), "x", name="INC-02", opened_at=ledger.now, is_elsewhere=True)


def test_unknown_services_and_moments_to_come_are_refused() -> None:
    """A slip of the pen would stay in the ledger for ever."""
    ledger = settled()
    release(ledger)
    ground = ground_of(ledger)
    with pytest.raises(UnknownName, match=f"Known: {ENDPOINT}"):
        reported(ground, "dleays", opened_at=ledger.now)
    with pytest.raises(IncidentMomentInvalid, match="lies in the future"):
        reported(ground, ENDPOINT, opened_at=ledger.now + timedelta(hours=1))


def test_ends_that_cannot_be_are_refused() -> None:
    """Before the onset, in the future, twice, or by a remedy from before."""
    ledger = settled()
    early = configure(ledger.wait(days=2), "a", "b")
    found = detect(ledger.wait(hours=1))
    ground = ground_of(ledger)
    with pytest.raises(IncidentMomentInvalid, match="before its onset"):
        resolved(ground, "INC-1", back_in_bounds=early.at)
    with pytest.raises(IncidentMomentInvalid, match="in the future"):
        resolved(ground, "INC-1", back_in_bounds=ledger.now + timedelta(hours=1))
    with pytest.raises(CauseRefused, match="happened before the onset"):
        resolved(ground, "INC-1", back_in_bounds=ledger.now, remedy=early.id)
    with pytest.raises(CauseRefused, match="is not in the ledger"):
        resolved(ground, "INC-1", back_in_bounds=ledger.now, remedy="nothing")
    with pytest.raises(UnknownName, match="Known: INC-1"):
        resolved(ground, "INC-2", back_in_bounds=ledger.now)
    restore(ledger, found)
    with pytest.raises(IncidentOver, match="is over already"):
        resolved(ground_of(ledger), "INC-1", back_in_bounds=ledger.now)


@pytest.mark.parametrize(("verdict", "expected"), [("", "likely"), ("proven", "proven"), ("ambiguous", "ambiguous")])
def test_people_who_agree_are_as_sure_as_the_computation(verdict: str, expected: str) -> None:
    """Unless they say how sure they are."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    detect(ledger)
    ground, found = found_in(ledger)
    told = adjudicated(ground, found, cause=setting.id, reference=" review-1 ", kind="slip", verdict=verdict)
    assert (told.data["verdict"], told.data["reference"]) == (expected, "review-1")
    assert told.data["computed"] == {"cause": setting.id, "verdict": "likely"}
    append(ledger, told)
    one = judged(ledger)
    assert one.said is not None
    assert (one.said.cause, one.said.kind, one.is_disputed) == (setting.id, "slip", expected != "likely")


def test_other_cause_is_proven_if_people_say_nothing_else() -> None:
    """They have looked."""
    ledger = settled()
    other = configure(ledger, "a", "b", service="elsewhere")
    detect(ledger)
    ground, found = found_in(ledger)
    assert adjudicated(ground, found, cause=other.id, reference="x").data["verdict"] == "proven"
    none = adjudicated(ground, found, cause="none", reference="x", kind="omission")
    assert (none.data["cause"], none.data["verdict"], none.data["class"]) == ("", "not change-induced", "omission")


def test_causes_that_cannot_be_are_refused() -> None:
    """Each with what to do."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    detect(ledger)
    late = configure(ledger, "b", "c")
    ground, found = found_in(ledger)

    def refused(error: type[RatchetError], match: str, /, **told: str) -> None:
        with pytest.raises(error, match=match):
            adjudicated(ground, found, **({"cause": setting.id, "reference": "x"} | told))

    refused(ReferenceMissing, "--reference TEXT", reference=" ")
    refused(CauseRefused, "happened after the onset", cause=late.id)
    refused(CauseRefused, "is not in the ledger", cause="nothing")
    refused(CauseRefused, "--cause none", kind="omission")
    refused(CauseRefused, "--cause none", verdict="not change-induced")
    refused(CauseRefused, "cannot be a person's slip", cause="none", kind="slip")
    refused(CauseRefused, "cannot be proven", cause="none", verdict="proven")
    refused(UnknownName, "No class named 'sloth'", kind="sloth")
    refused(UnknownName, "No verdict named 'sure'", verdict="sure")
