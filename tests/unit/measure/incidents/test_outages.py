"""When incidents began and ended, by what, and which of them are one."""

from datetime import datetime, timedelta

import pytest

from ratchet.measure.incidents.outages import Incident, incidents, merged, moment_in
from ratchet.records import Event
from tests.ledgers import ENDPOINT, PERSON, PIPELINE, LedgerBuilder
from tests.unit.measure.incidents.stories import detect, restore


def found_in(ledger: LedgerBuilder) -> list[Incident]:
    """Return the incidents as of the ledger's present."""
    return incidents(ledger.history().as_of(ledger.now))


def report(ledger: LedgerBuilder, *, opened: datetime | None = None, onset_from: str = "ticket") -> Event:
    """Let a person report an incident."""
    body = {"incident": "INC-1", "service": ENDPOINT, "opened_at": (opened or ledger.now).isoformat()}
    return ledger.add("incident.reported", "INC-1", {**body, "onset_from": onset_from}, actor=PERSON)


def slo(ledger: LedgerBuilder, *, good: int, missing: int = 0, service: str = ENDPOINT) -> Event:
    """Close a window of one hour with a hundred requests, of which so many were good."""
    since = ledger.now
    ledger.wait(hours=1)
    data = {"slo": "quick", "service": service, "target": 0.9, "good": good, "total": 100, "missing": missing}
    return ledger.add(
        "slo.window.closed", "quick", {**data, "from": since.isoformat(), "until": ledger.now.isoformat()}
    )


def test_the_onset_is_what_the_monitor_saw_and_not_the_report() -> None:
    """Onset, detection, mitigation and end stand in four events."""
    ledger = LedgerBuilder()
    onset = ledger.now
    told = detect(ledger)
    over = restore(ledger.wait(hours=1), told, hours=2)
    (one,) = found_in(ledger)
    assert (one.onset, one.detected, one.onset_from) == (onset, told.at, "monitor")
    assert one.mitigated is not None
    assert one.back == moment_in(over, "back_in_bounds")
    assert one.hours == pytest.approx(3.5, abs=0.01)
    assert one.event.id == told.id
    assert not one.is_ticket


def test_incident_without_an_end_is_open() -> None:
    """It has no duration, whatever the moment it is looked at."""
    ledger = LedgerBuilder()
    detect(ledger)
    (one,) = found_in(ledger.wait(days=90))
    assert (one.back, one.resolved, one.hours) == (None, None, None)


def test_ticket_stands_in_where_no_monitor_saw_anything() -> None:
    """Its times are those of the ticket, and it is marked."""
    ledger = LedgerBuilder()
    opened = report(ledger)
    ledger.wait(hours=6)
    over = ledger.add("incident.resolved", "INC-1", {"incident": "INC-1"}, cause=opened, actor=PERSON)
    (one,) = found_in(ledger)
    assert (one.is_ticket, one.back) == (True, over.at)
    assert one.onset == moment_in(opened, "opened_at")


def test_alert_that_was_on_when_a_ticket_was_opened_gives_the_onset() -> None:
    """Monitor evidence comes before the times of people, also for the end."""
    ledger = LedgerBuilder()
    alert = ledger.add("monitor.alert.raised", "drift", {"score": 0.4})
    ledger.wait(hours=2)
    opened = report(ledger)
    ledger.wait(hours=1)
    cleared = ledger.add("monitor.alert.cleared", "drift", {"score": 0.1})
    ledger.wait(hours=4)
    ledger.add("incident.resolved", "INC-1", {"incident": "INC-1"}, cause=opened, actor=PERSON)
    ledger.add("traffic.shifted", ENDPOINT, {"endpoint": ENDPOINT, "env": "production", "weights": {"a": 1.0}})
    (one,) = found_in(ledger)
    assert (one.onset, one.onset_from, one.onset_event) == (alert.at, "monitor", alert.id)
    assert one.back == cleared.at
    assert one.pipeline == PIPELINE


@pytest.mark.parametrize(
    "kind", ["cleared before", "of another pipeline", "of another service", "too long ago", "after it"]
)
def test_alert_that_has_nothing_to_do_with_it_gives_no_onset(kind: str) -> None:
    """One that was over, that belongs elsewhere, or that began days before leaves the ticket's time."""
    ledger = LedgerBuilder()
    other = {"pipeline": "other"} if kind == "of another pipeline" else {}
    data = {"service": "other"} if kind == "of another service" else {}
    ledger.add("monitor.alert.raised", "drift", data, **other)
    if kind == "cleared before":
        ledger.add("monitor.alert.cleared", "drift", {})
    ledger.wait(hours=30 if kind == "too long ago" else 1)
    opened = report(ledger, opened=ledger.now - timedelta(hours=2) if kind == "after it" else None)
    (one,) = found_in(ledger)
    assert (one.onset_from, one.onset) == ("ticket", moment_in(opened, "opened_at"))


def test_ticket_that_claims_a_monitor_is_a_ticket() -> None:
    """Only what a monitor itself told, or left in the ledger, counts as one."""
    ledger = LedgerBuilder()
    report(ledger, onset_from="monitor")
    (one,) = found_in(ledger)
    assert one.is_ticket


def test_first_bad_window_of_a_service_level_gives_the_onset() -> None:
    """Windows without a gap are one stretch; a good one before it, and missing answers, are none of it."""
    ledger = LedgerBuilder()
    slo(ledger, good=60, missing=40)
    ledger.now -= timedelta(seconds=1)
    began = ledger.now
    first = slo(ledger, good=80)
    ledger.now -= timedelta(seconds=1)
    slo(ledger, good=70)
    report(ledger, opened=ledger.now - timedelta(minutes=30))
    (one,) = found_in(ledger)
    assert (one.onset, one.onset_from, one.onset_event) == (began, "slo", first.id)


def test_what_is_told_twice_is_one_incident() -> None:
    """A person who reports what a monitor had found changes neither onset nor number."""
    ledger = LedgerBuilder()
    onset = ledger.now
    told = detect(ledger)
    report(ledger)
    (one,) = found_in(ledger)
    assert (one.onset, one.detected, one.onset_from) == (onset, told.at, "monitor")


def test_report_before_the_monitor_is_detected_when_it_was_reported() -> None:
    """A person may be quicker than a monitor; the onset still is the monitor's."""
    ledger = LedgerBuilder()
    onset = ledger.now - timedelta(minutes=5)
    told = report(ledger)
    detect(ledger, onset=onset.isoformat())
    (one,) = found_in(ledger)
    assert (one.onset, one.detected) == (onset, told.at)


@pytest.mark.parametrize(("pause_minutes", "count"), [(20, 1), (29, 1), (40, 2)])
def test_flaps_within_half_an_hour_are_one_incident(pause_minutes: float, count: int) -> None:
    """It lasts from the first onset to the last end."""
    ledger = LedgerBuilder()
    restore(ledger, detect(ledger, name="INC-1"))
    restore(ledger.wait(minutes=pause_minutes), detect(ledger, name="INC-2"))
    found = merged(found_in(ledger))
    assert len(found) == count
    assert found[0].back is not None
    if count == 1:
        assert found[0].names == ("INC-1", "INC-2")
        assert found[0].back == found_in(ledger)[1].back


def test_flap_that_is_still_open_leaves_the_whole_open() -> None:
    """The end of the first one is not the end."""
    ledger = LedgerBuilder()
    restore(ledger, detect(ledger, name="INC-1"))
    detect(ledger, name="INC-2")
    (one,) = merged(found_in(ledger))
    assert (one.back, one.names) == (None, ("INC-1", "INC-2"))


def test_flap_inside_a_longer_one_does_not_shorten_it() -> None:
    """The last end counts and not the end of the last."""
    ledger = LedgerBuilder()
    first = detect(ledger, name="INC-1")
    restore(ledger, detect(ledger, name="INC-2"), hours=0.5)
    restore(ledger, first, hours=5)
    (one,) = merged(found_in(ledger))
    assert one.names == ("INC-1", "INC-2")
    assert one.hours == pytest.approx(6.5, abs=0.01)


def test_incidents_of_two_services_are_never_one() -> None:
    """However near in time."""
    ledger = LedgerBuilder()
    restore(ledger, detect(ledger, name="INC-1"))
    restore(ledger, detect(ledger, name="INC-2", service="other"))
    assert len(merged(found_in(ledger))) == 2


def test_moments_that_are_none_are_passed_over() -> None:
    """Others may write anything into a payload, also times without a zone."""
    event = Event(type="incident.resolved", subject="x", data={"a": "soon", "b": "2026-01-01T00:00:00", "c": None})
    assert moment_in(event, "a", "b", "c") is None


def test_people_say_nothing_without_a_reference() -> None:
    """The last word with a reference counts."""
    ledger = LedgerBuilder()
    told = detect(ledger)
    for verdict, reference in (("likely", "review-1"), ("proven", "review-2"), ("ambiguous", " ")):
        body = {"incident": "INC-1", "cause": "", "verdict": verdict, "reference": reference}
        ledger.add("incident.attributed", "INC-1", body, cause=told, actor=PERSON)
    (one,) = found_in(ledger)
    assert one.said is not None
    assert one.said.data["reference"] == "review-2"
