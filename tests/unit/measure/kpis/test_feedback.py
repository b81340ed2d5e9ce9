"""Feedback time."""

from datetime import timedelta

import pytest

from ratchet.config import IncidentSection
from ratchet.measure.kpis.settings import Settings
from tests.kpis import answer
from tests.ledgers import ENDPOINT, LedgerBuilder


def test_an_empty_ledger_is_no_evidence() -> None:
    """Nothing told of anything."""
    found = answer("feedback_time", LedgerBuilder())
    assert found.status == "no evidence"
    assert set(found.values.values()) == {None}


def test_a_verdict_tells_of_its_push_and_its_run() -> None:
    """The push that stands in the verdict's chain, and the run that was judged."""
    ledger = LedgerBuilder()
    pushed = ledger.add("code.pushed", "repo")
    gate = ledger.wait(hours=3).train(pushed)
    ledger.train(ledger.command())
    found = answer("feedback_time", ledger)
    assert (found.by["push_to_verdict"], found.by["run_to_verdict"]) == (1, 2)
    assert found.values["push_to_verdict_p50_hours"] == pytest.approx(3, abs=0.1)
    assert gate.id in found.events


def test_outcomes_tell_of_predictions() -> None:
    """Each join counts with its median delay; one that does not say counts not."""
    ledger = LedgerBuilder()
    for delay in (24, 48, None):
        ledger.label(ledger.command()).data["median_delay_hours"] = delay
    found = answer("feedback_time", ledger)
    assert (found.by["prediction_to_outcome"], found.values["prediction_to_outcome_p50_hours"]) == (2, 36)


def test_open_incidents_count_until_their_detection_and_tickets_not_at_all() -> None:
    """Half an hour from onset to alert; the end is not known yet; nobody knows the onset of a ticket."""
    ledger = LedgerBuilder()
    onset = {"incident": "INC-1", "service": ENDPOINT, "onset": ledger.now.isoformat(), "onset_from": "monitor"}
    ledger.wait(minutes=30).add("incident.detected", "INC-1", onset)
    ticket = {"incident": "INC-2", "service": "other", "opened_at": ledger.now.isoformat(), "onset_from": "ticket"}
    ledger.add("incident.reported", "INC-2", ticket)
    found = answer("feedback_time", ledger, at=ledger.now + timedelta(days=1), settings=Settings())
    assert (found.by["onset_to_alert"], found.by["alert_to_fixed"]) == (1, 0)
    assert found.values["onset_to_alert_p50_hours"] == pytest.approx(0.5, abs=0.01)
    assert found.values["alert_to_fixed_p50_hours"] is None


@pytest.mark.parametrize(("minutes", "count"), [(30.0, 1), (10.0, 2)])
def test_flaps_are_one_by_the_setting(minutes: float, count: int) -> None:
    """What comes back twenty minutes after its end is the same incident or another, as the project says."""
    ledger = LedgerBuilder()
    for name in ("INC-1", "INC-2"):
        onset = {"incident": name, "service": ENDPOINT, "onset": ledger.now.isoformat(), "onset_from": "monitor"}
        told = ledger.add("incident.detected", name, onset)
        over = {"incident": name, "back_in_bounds": ledger.wait(minutes=5).now.isoformat()}
        ledger.add("incident.resolved", name, over, cause=told)
        ledger.wait(minutes=20)
    found = answer(
        "feedback_time", ledger, at=ledger.now, settings=Settings(incidents=IncidentSection(flapping_minutes=minutes))
    )
    assert (found.by["onset_to_alert"], found.by["alert_to_fixed"]) == (count, count)
