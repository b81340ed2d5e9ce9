"""What a person did, and what is nobody's fault."""

import pytest

from tests.ledgers import ENDPOINT, PERSON, LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, judged, page, release, restore, settled


def kind(ledger: LedgerBuilder) -> str | None:
    """Return the class of the only incident, and check that all but gaps of a gate count as errors of people."""
    found = judged(ledger)
    class_ = found.conduct.kind if found.conduct else None
    assert found.is_human_induced is (class_ not in (None, "gate-gap"))
    return class_


def test_setting_changed_by_hand_is_a_slip() -> None:
    """The same by a rule is nobody's."""
    ledger = settled()
    configure(ledger, "a", "b")
    detect(ledger)
    assert kind(ledger) == "slip"
    ruled = settled()
    configure(ruled, "a", "b", by_rule=True)
    detect(ruled)
    assert kind(ruled) is None


def test_rule_or_data_changed_by_hand_is_a_slip() -> None:
    """Rules and data are people's work as well."""
    ledger = settled()
    ledger.add("rule.disabled", "deploy on pass", {"rule_id": "x", "enabled": False}, actor=PERSON)
    detect(ledger)
    assert kind(ledger) == "slip"
    delivered = settled()
    delivered.add("dataset.version.published", "flights@v2", {"digest": "d"}, cause=delivered.command("upload"))
    detect(delivered)
    assert kind(delivered) == "slip"


def test_release_of_what_passed_its_gate_is_a_gap_of_the_gate() -> None:
    """Whoever presses the button on a version that passed is not at fault."""
    ledger = settled()
    release(ledger)
    detect(ledger)
    assert kind(ledger) == "gate-gap"


def test_automation_is_never_at_fault_as_a_person() -> None:
    """A release by rule has no class, also where its gate let too much through."""
    ledger = settled()
    release(ledger, by_rule=True)
    detect(ledger)
    assert judged(ledger).mode == "auto"
    assert kind(ledger) is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [("the deployment", "bypass"), ("the bytes, before", "bypass"), ("the bytes, after", "gate-gap")],
)
def test_going_past_the_gate_is_a_bypass(named: str, expected: str) -> None:
    """Recorded for the deployment, or for the bytes before it."""
    ledger = settled()
    gate = ledger.train(ledger.tick(ledger.weekly()))
    if named == "the bytes, before":
        ledger.bypass(gate)
    shift = ledger.deploy(ledger.command("promote"), gate)
    if named == "the deployment":
        ledger.bypass(gate, shift.data["deployment_id"])
    elif named == "the bytes, after":
        ledger.bypass(gate)
    detect(ledger, onset=shift.at.isoformat())
    assert kind(ledger) == expected


@pytest.mark.parametrize(("last", "expected"), [("fail", "bypass"), ("pass", "gate-gap")])
def test_last_verdict_on_the_bytes_counts(last: str, expected: str) -> None:
    """A gate may look again."""
    ledger = settled()
    gate = ledger.train(ledger.tick(ledger.weekly()), decision="pass" if last == "fail" else "fail")
    again = ledger.add("gate.evaluated", gate.subject, {**gate.data, "decision": last}, cause=gate)
    ledger.deploy(ledger.command("promote"), again)
    detect(ledger)
    assert kind(ledger) == expected


def test_bypass_of_another_deployment_is_none() -> None:
    """The version that passed is a gap of the gate, whatever happened to another."""
    ledger = settled()
    other = ledger.train(ledger.tick(ledger.weekly()), decision="fail")
    ledger.bypass(other, "another deployment")
    release(ledger)
    detect(ledger)
    assert kind(ledger) == "gate-gap"


def test_failed_gate_without_any_consent_is_a_bypass() -> None:
    """Nobody recorded going past it, and it was gone past."""
    ledger = settled()
    release(ledger, decision="fail")
    detect(ledger)
    assert kind(ledger) == "bypass"


@pytest.mark.parametrize(("decision", "expected"), [("approved", "approval-of-failing"), ("rejected", "bypass")])
def test_approving_what_failed_its_gate(decision: str, expected: str) -> None:
    """The one who said yes is at fault, and only who said yes."""
    ledger = settled()
    shift = release(ledger, decision="fail")
    target = shift.data["deployment_id"]
    asked = ledger.add("approval.requested", f"{target}/risk", {"target": target, "policy_required": True})
    data = {"target": target, "policy_required": True, "decision": decision}
    ledger.add("approval.decided", f"{target}/risk", data, cause=asked, actor=PERSON)
    detect(ledger, onset=shift.at.isoformat())
    assert kind(ledger) == expected


@pytest.mark.parametrize("touch", ["param_edit", "data_fix", "manual_upload"])
def test_hand_on_the_way_of_a_deployment_is_an_edit(touch: str) -> None:
    """It passed its gate, and then somebody changed it."""
    ledger = settled()
    shift = release(ledger)
    ledger.touch(shift.data["deployment_id"], touch)
    detect(ledger, onset=shift.at.isoformat())
    assert kind(ledger) == "edit"


@pytest.mark.parametrize("touch", ["retry", "abort"])
def test_other_touches_are_no_edit(touch: str) -> None:
    """Trying again changes nothing of what is released."""
    ledger = settled()
    shift = release(ledger)
    ledger.touch(shift.data["deployment_id"], touch)
    detect(ledger, onset=shift.at.isoformat())
    assert kind(ledger) == "gate-gap"


def test_what_was_made_by_hand_is_an_edit_and_what_no_gate_saw_a_slip() -> None:
    """Neither had a verdict."""
    for execution, expected in (("manual", "edit"), ("", "slip")):
        ledger = settled()
        data = {"endpoint": ENDPOINT, "env": "production", "role": "live", "weights": {"m@v1": 1.0}}
        data |= {"deployment_id": "D1", "execution": execution, "artifact_digests": {"m@v1": "bytes"}}
        ledger.add("traffic.shifted", ENDPOINT, data, cause=ledger.command("promote"))
        detect(ledger)
        assert kind(ledger) == expected


def test_verdict_after_the_release_does_not_count() -> None:
    """A gate that looked later had not let it through."""
    ledger = settled()
    gate = ledger.train(ledger.tick(ledger.weekly()))
    late = ledger.events.pop()
    shift = ledger.deploy(ledger.command("promote"), gate)
    ledger.add("gate.evaluated", late.subject, late.data)
    detect(ledger, onset=shift.at.isoformat())
    assert kind(ledger) == "slip"


@pytest.mark.parametrize(
    ("answered_minutes", "expected"), [(None, "omission"), (31, "omission"), (29, None), (30, None)]
)
def test_page_that_nobody_answers_in_time_is_an_omission(answered_minutes: float | None, expected: str | None) -> None:
    """Half an hour is in time."""
    ledger = settled()
    page(ledger, answered_minutes=answered_minutes)
    detect(ledger.wait(hours=1))
    assert kind(ledger) == expected


def test_first_answer_counts() -> None:
    """Whoever answers a second time, later, was not late."""
    ledger = settled()
    sent = page(ledger, answered_minutes=5)
    ledger.wait(minutes=50)
    ledger.add("page.acknowledged", "on-call", {"page": sent.id}, cause=sent, actor=PERSON)
    detect(ledger)
    assert kind(ledger) is None


@pytest.mark.parametrize("why", ["another service", "after the onset", "long before", "a change was the cause"])
def test_unanswered_page_that_is_no_omission(why: str) -> None:
    """It must be about the service, shortly before, and nothing else the cause."""
    ledger = settled()
    onset = ledger.now
    if why == "a change was the cause":
        configure(ledger, "a", "b", by_rule=True)
    page(ledger, service="other" if why == "another service" else ENDPOINT)
    ledger.wait(hours=30 if why == "long before" else 1)
    detect(ledger, **({"onset": onset.isoformat()} if why == "after the onset" else {}))
    assert kind(ledger.wait(days=1)) is None


def test_alert_without_a_page_is_no_omission() -> None:
    """Nobody was called, so nobody was late."""
    ledger = settled()
    ledger.add("monitor.alert.raised", "drift", {"score": 0.3, "service": ENDPOINT})
    detect(ledger.wait(hours=2))
    assert kind(ledger) is None


def test_page_that_may_still_be_answered_is_no_omission_yet() -> None:
    """What is not late at the moment of looking is not held against anybody."""
    ledger = settled()
    page(ledger)
    body = {"incident": "INC-1", "service": ENDPOINT, "onset": ledger.now.isoformat(), "onset_from": "monitor"}
    ledger.add("incident.detected", "INC-1", body)
    assert kind(ledger.wait(minutes=5)) is None
    assert kind(ledger.wait(minutes=30)) == "omission"


def test_several_possible_causes_have_no_class() -> None:
    """Nobody is blamed for one half."""
    ledger = settled()
    configure(ledger, "a", "b")
    configure(ledger, "b", "c")
    found = detect(ledger)
    restore(ledger, found)
    assert judged(ledger).verdict == "ambiguous"
    assert kind(ledger) is None
