"""Releases that broke something, rework, repair, and errors made by people."""

import math
from datetime import timedelta
from typing import Any

import pytest

from ratchet.config import IncidentSection
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.failures import KPIS, errors_by_month, relative_risk
from ratchet.measure.kpis.questions import EVERYTHING, Answer, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests.ledgers import ENDPOINT, PERSON, PIPELINE, LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, page, release, restore, settled

BY_NAME = {kpi.name: kpi for kpi in KPIS}


def ask(ledger: LedgerBuilder, scope: Scope = EVERYTHING, **incidents: float) -> Question:
    """Ask about all events of a ledger, as of its present."""
    facts = Facts()
    facts.fold(ledger.events)
    return Question(facts.as_of(ledger.now), Settings(incidents=IncidentSection(**incidents)), scope)


def answer(name: str, ledger: LedgerBuilder, scope: Scope = EVERYTHING, **incidents: float) -> Answer:
    """Return what a KPI answers."""
    return BY_NAME[name].answer(ask(ledger, scope, **incidents))


def value(name: str, field: str, ledger: LedgerBuilder, **incidents: float) -> Any:
    """Return one value of a KPI."""
    return answer(name, ledger, **incidents).values[field]


def broken(ledger: LedgerBuilder, *, name: str = "INC-1", hours: float = 1.0) -> Event:
    """Let something break and be restored some hours later; return the incident."""
    found = detect(ledger, name=name)
    restore(ledger, found, hours=hours)
    return found


# ---- change failure rate


def test_share_of_deployments_that_broke_something() -> None:
    """One of three; it names the one."""
    ledger = settled()
    release(ledger, by_rule=True)
    failed = release(ledger.wait(days=3), by_rule=True)
    broken(ledger)
    release(ledger.wait(days=3), by_rule=True)
    found = answer("change_failure_rate", ledger.wait(days=3))
    assert found.values["share"] == pytest.approx(1 / 3)
    assert found.by == {"failed": [failed.id]}
    assert (found.values["deployments_count"], found.values["immature_count"]) == (3, 0)
    assert len(found.events) == 3


def test_deployment_that_is_too_young_is_left_out_and_counted() -> None:
    """Harm may still come; after the window it is judged."""
    ledger = settled()
    release(ledger, by_rule=True)
    ledger.wait(hours=23)
    found = answer("change_failure_rate", ledger)
    assert (found.values["share"], found.values["immature_count"], found.status) == (None, 1, "ok")
    assert value("change_failure_rate", "immature_count", ledger, deploy_window_hours=12) == 0
    assert value("change_failure_rate", "share", ledger.wait(hours=1)) == 0


def test_no_deployment_is_no_evidence_and_never_zero() -> None:
    """Nothing was done, so nothing can be said."""
    for name in ("change_failure_rate", "rework_rate"):
        found = answer(name, LedgerBuilder())
        assert (found.status, found.values["share"]) == ("no evidence", None)


def test_rollback_is_no_deployment() -> None:
    """It is in no denominator, and a hotfix is."""
    ledger = settled()
    release(ledger, by_rule=True)
    release(ledger.wait(days=2), by_rule=True)
    ledger.wait(hours=1).shift({"flight-delay@v1": 1.0}, cause=ledger.command("rollback"))
    ledger.wait(days=3)
    assert value("change_failure_rate", "deployments_count", ledger) == 2


def test_ambiguous_incidents_make_the_upper_share() -> None:
    """A deployment that may have done it is not blamed."""
    ledger = settled()
    release(ledger, by_rule=True)
    configure(ledger, "a", "b", by_rule=True)
    broken(ledger)
    ledger.wait(days=2)
    assert value("change_failure_rate", "share", ledger) == 0
    assert value("change_failure_rate", "upper_share", ledger) == 1


@pytest.mark.parametrize("named_by", ["deployment", "version"])
@pytest.mark.parametrize("has_incident", [False, True])
def test_canary_that_was_taken_back_in_time_is_caught(named_by: str, has_incident: bool) -> None:
    """Worse, rolled back and no incident; with an incident it failed."""
    ledger = settled()
    shift = release(ledger, by_rule=True)
    deployment = shift.data["deployment_id"]
    ledger.add("canary.judged", "v", {"deployment_id": deployment, "verdict": "worse"})
    if has_incident:
        broken(ledger)
    back = {"endpoint": ENDPOINT, "to": "", "deployment_id": "its own", "from": "flight-delay@v1"}
    if named_by == "deployment":
        back |= {"deployment_id": deployment, "from": ""}
    assert value("change_failure_rate", "caught_share", ledger.wait(days=2)) == 0
    ledger.add("deployment.rolledback", ENDPOINT, back)
    assert value("change_failure_rate", "caught_share", ledger) == (0 if has_incident else 1)
    assert value("change_failure_rate", "share", ledger) == (1 if has_incident else 0)


def test_what_people_say_does_not_change_the_rate() -> None:
    """The computed attribution counts."""
    ledger = settled()
    release(ledger, by_rule=True)
    told = broken(ledger)
    body = {"incident": "INC-1", "cause": "", "verdict": "not change-induced", "reference": "review-1"}
    ledger.add("incident.attributed", "INC-1", body, cause=told, actor=PERSON)
    assert value("change_failure_rate", "share", ledger.wait(days=2)) == 1


# ---- rework


@pytest.mark.parametrize("after", ["incident", "rollback", "schedule"])
def test_deployment_because_of_an_incident_or_rollback_is_rework(after: str) -> None:
    """Its chain of causes tells."""
    ledger = settled()
    cause = ledger.tick(ledger.weekly())
    if after == "incident":
        cause = broken(ledger)
    elif after == "rollback":
        cause = ledger.add("deployment.rolledback", ENDPOINT, {"from": "x", "to": "y"}, cause=cause)
    gate = ledger.train(cause)
    ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)
    found = answer("rework_rate", ledger)
    assert found.values["rework_count"] == (0 if after == "schedule" else 1)
    assert found.values["share"] == (0 if after == "schedule" else 1)


# ---- time to restore


def test_quantiles_and_segments_of_the_time_to_restore() -> None:
    """From the onset: detected after half an hour, mitigated then, over one, two and six hours later."""
    ledger = settled()
    for number, hours in enumerate((1, 2, 6)):
        broken(ledger.wait(days=2), name=f"INC-{number}", hours=hours)
    found = answer("time_to_restore", ledger)
    assert found.values["p50_hours"] == pytest.approx(2.5, abs=0.01)
    assert found.values["p90_hours"] == pytest.approx(2.5 + 0.8 * 4, abs=0.01)
    assert found.values["detect_p50_hours"] == pytest.approx(0.5, abs=0.01)
    assert found.values["mitigate_p50_hours"] == pytest.approx(0.5, abs=0.01)
    assert found.values["kaplan_meier_median_hours"] == pytest.approx(2.5, abs=0.01)
    assert found.by["INC-2"] == pytest.approx(6.5, abs=0.01)


def test_open_incidents_are_censored() -> None:
    """They are in no quantile, and the median of all knows of them."""
    ledger = settled()
    broken(ledger, name="INC-1", hours=1)
    broken(ledger.wait(days=2), name="INC-2", hours=3)
    for name in ("INC-3", "INC-4", "INC-5"):
        detect(ledger, name=name, service=name)
    found = answer("time_to_restore", ledger.wait(days=1))
    assert (found.values["restored_count"], found.values["open_count"]) == (2, 3)
    assert found.values["p50_hours"] == pytest.approx(2.5, abs=0.01)
    assert found.values["kaplan_meier_median_hours"] is None
    assert found.by["INC-3"] is None


def test_flaps_are_one_and_tickets_are_marked() -> None:
    """The time for flapping comes from the settings."""
    ledger = settled()
    broken(ledger, name="INC-1")
    broken(ledger.wait(minutes=20), name="INC-2")
    body = {"incident": "INC-3", "service": "other", "opened_at": ledger.now.isoformat(), "onset_from": "ticket"}
    ledger.wait(days=1).add("incident.reported", "INC-3", body, actor=PERSON)
    found = answer("time_to_restore", ledger)
    assert (found.values["merged_count"], found.values["ticket_only_count"]) == (1, 1)
    assert found.values["restored_count"] == 1
    assert found.values["detect_p50_hours"] == pytest.approx(0.5, abs=0.01)
    assert value("time_to_restore", "merged_count", ledger, flapping_minutes=10) == 0


def test_time_since_the_deployment_that_did_it() -> None:
    """From live traffic to back in bounds, where a deployment was the cause; a setting is none."""
    ledger = settled()
    release(ledger, by_rule=True)
    broken(ledger.wait(hours=2), name="INC-1")
    configure(ledger.wait(days=9), "a", "b")
    broken(ledger.wait(hours=9), name="INC-2")
    assert value("time_to_restore", "since_deployment_p50_hours", ledger) == pytest.approx(3.5, abs=0.02)


# ---- errors made by people


def test_errors_of_people_beside_those_of_automation() -> None:
    """Counts by class, per hundred changes, and the risk of both kinds of change."""
    ledger = settled()
    configure(ledger, "a", "b")
    broken(ledger, name="INC-1")
    configure(ledger.wait(days=2), "b", "c")
    configure(ledger.wait(days=2), "c", "d", by_rule=True)
    broken(ledger, name="INC-2")
    configure(ledger.wait(days=2), "d", "e", by_rule=True)
    page(ledger.wait(days=2))
    broken(ledger.wait(hours=2), name="INC-3")
    found = answer("human_induced_errors", ledger)
    assert found.values["human_induced_count"] == 2
    assert found.values["per_100_human_changes"] == 50
    assert (found.values["human_changes_count"], found.values["human_failed_count"]) == (2, 1)
    assert (found.values["automated_changes_count"], found.values["automated_failed_count"]) == (2, 1)
    assert found.values["relative_risk"] == 1
    assert found.by == {"slip": 1, "bypass": 0, "edit": 0, "omission": 1, "approval-of-failing": 0}
    assert len(found.events) == 7


def test_gap_of_a_gate_is_no_error_of_a_person_and_still_a_failed_change() -> None:
    """The risk counts what failed, whoever is at fault."""
    ledger = settled()
    release(ledger)
    broken(ledger)
    found = answer("human_induced_errors", ledger)
    assert (found.values["human_induced_count"], found.values["gate_gap_count"]) == (0, 1)
    assert (found.values["human_failed_count"], found.values["human_changes_count"]) == (1, 1)
    assert found.values["relative_risk"] is None


def test_changes_by_somebody_unknown_are_counted_apart() -> None:
    """They are neither group's."""
    ledger = settled()
    data = {"service": ENDPOINT, "target": "t", "old_digest": "a", "new_digest": "b"}
    ledger.add("config.changed", "t", data, evidence="declared")
    found = answer("human_induced_errors", ledger)
    assert (found.values["unknown_changes_count"], found.values["human_changes_count"]) == (1, 0)


def test_disagreement_is_a_share_of_what_people_judged() -> None:
    """Of two that were judged one differs; one that was not judged does not count."""
    ledger = settled()
    for name, verdict in (("INC-1", "not change-induced"), ("INC-2", "likely"), ("INC-3", "")):
        told = broken(ledger.wait(days=1), name=name)
        if verdict:
            body = {"incident": name, "cause": "", "verdict": verdict, "reference": "review-1"}
            ledger.add("incident.attributed", name, body, cause=told, actor=PERSON)
    assert value("human_induced_errors", "disagreement_share", ledger) == 0.5
    assert value("human_induced_errors", "disagreement_share", LedgerBuilder()) is None


def test_scope_covers_incidents_and_changes() -> None:
    """Another pipeline's are not asked about, and an endpoint has its own."""
    ledger = settled()
    configure(ledger, "a", "b")
    broken(ledger)
    body = {"incident": "INC-2", "service": "other", "onset": ledger.now.isoformat(), "onset_from": "monitor"}
    ledger.add("incident.detected", "INC-2", body, pipeline="other")
    stray = {"incident": "INC-3", "service": ENDPOINT, "onset": ledger.now.isoformat(), "onset_from": "monitor"}
    ledger.shift({"flight-delay@v1": 1.0}, cause=ledger.command("promote"))
    ledger.add("incident.detected", "INC-3", stray, pipeline="")
    for scope, names in (
        (Scope(kind="pipeline", name=PIPELINE), {"INC-1", "INC-3"}),
        (Scope(kind="pipeline", name="other"), {"INC-2"}),
        (Scope(kind="endpoint", name=ENDPOINT), {"INC-1", "INC-3"}),
        (Scope(kind="endpoint", name="other"), {"INC-2"}),
        (Scope(kind="endpoint", name="none"), set()),
    ):
        assert set(answer("time_to_restore", ledger, scope, flapping_minutes=0.001).by) == names, scope
    other = Scope(kind="pipeline", name="other")
    assert answer("human_induced_errors", ledger, other).values["human_changes_count"] == 0


def test_errors_by_month_have_the_months_without_any() -> None:
    """The month is that of the onset; without changes by people there is no rate."""
    ledger = settled()
    configure(ledger, "a", "b")
    told = broken(ledger)
    page(ledger.wait(days=62))
    broken(ledger.wait(hours=1), name="INC-2")
    months = {one.month: one for one in errors_by_month(ask(ledger))}
    assert list(months) == ["2026-01", "2026-02", "2026-03"]
    assert [one.human_induced_count for one in months.values()] == [1, 0, 1]
    assert [one.per_100_human_changes for one in months.values()] == [100, None, None]
    assert months["2026-01"].events == (told.id,)
    assert errors_by_month(ask(LedgerBuilder())) == []


# ---- relative risk


def test_relative_risk_by_hand() -> None:
    """Five of nine against one of eleven, as worked out on paper."""
    ratio, low, high = relative_risk(5, 9, 1, 11)
    assert ratio == pytest.approx(55 / 9)
    deviation = math.sqrt(1 / 5 - 1 / 9 + 1 - 1 / 11)
    assert low == pytest.approx(math.exp(math.log(55 / 9) - 1.959964 * deviation), rel=1e-6)
    assert high == pytest.approx(math.exp(math.log(55 / 9) + 1.959964 * deviation), rel=1e-6)


@pytest.mark.parametrize("counts", [(0, 4, 1, 5), (4, 4, 1, 5), (1, 4, 0, 5), (1, 4, 5, 5), (0, 3, 0, 3)])
def test_empty_cells_get_one_half(counts: tuple[int, int, int, int]) -> None:
    """A risk of nothing is no infinite ratio."""
    bad, all_, bad_other, all_other = counts
    ratio, low, high = relative_risk(*counts)
    assert ratio == pytest.approx(((bad + 0.5) / (all_ + 1)) / ((bad_other + 0.5) / (all_other + 1)))
    assert low is not None
    assert high is not None
    assert 0 < low < ratio < high < math.inf


@pytest.mark.parametrize("counts", [(0, 0, 1, 5), (1, 5, 0, 0)])
def test_group_without_changes_has_no_risk(counts: tuple[int, int, int, int]) -> None:
    """Nothing can be compared."""
    assert relative_risk(*counts) == (None, None, None)


def test_late_events_are_read_by_their_own_time() -> None:
    """An incident that was imported a week later counts against the deployment of its day."""
    ledger = settled()
    shift = release(ledger, by_rule=True)
    onset = shift.at + timedelta(hours=2)
    body = {"incident": "INC-1", "service": ENDPOINT, "onset": onset.isoformat(), "onset_from": "monitor"}
    ledger.wait(days=7).add("incident.detected", "INC-1", body, time=onset, evidence="imported")
    assert value("change_failure_rate", "share", ledger) == 1
