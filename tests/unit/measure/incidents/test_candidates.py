"""Which changes could have led to an incident."""

import pytest

from ratchet.config import IncidentSection
from ratchet.measure.incidents.candidates import DATA_TYPES, RULE_TYPES, Ground, dataset_of
from ratchet.measure.incidents.outages import incidents
from tests.ledgers import ENDPOINT, LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, judged, release, settled


def near(ledger: LedgerBuilder, **settings: float) -> list[str]:
    """Return the ids of the candidates of the only incident."""
    return list(judged(ledger, **settings).candidates)


def test_changes_of_the_service_before_the_onset_are_candidates() -> None:
    """A deployment, a setting and data, in the order of time."""
    ledger = settled()
    data = ledger.add("dataset.version.published", "flights@v2", {"digest": "d"})
    shift = release(ledger.wait(days=3))
    setting = configure(ledger, "a", "b")
    detect(ledger)
    assert near(ledger) == [data.id, shift.id, setting.id]


@pytest.mark.parametrize(("hours", "is_candidate"), [(23, True), (24, True), (25, False)])
def test_window_of_a_deployment_ends_at_the_onset(hours: float, is_candidate: bool) -> None:
    """Both ends belong to it."""
    ledger = settled()
    shift = release(ledger)
    ledger.now = shift.at
    detect(ledger.wait(hours=hours))
    assert bool(near(ledger)) is is_candidate
    assert near(ledger, deploy_window_hours=hours) == [shift.id]


@pytest.mark.parametrize(("days", "is_candidate"), [(7, True), (8, False)])
@pytest.mark.parametrize("kind", DATA_TYPES)
def test_data_have_a_week(kind: str, days: float, is_candidate: bool) -> None:
    """Versions of data, features and labels take longer to do harm."""
    ledger = settled()
    data = ledger.add(kind, "flights@v2", {"digest": "d"})
    ledger.now = data.at
    detect(ledger.wait(days=days))
    assert near(ledger) == ([data.id] if is_candidate else [])


@pytest.mark.parametrize("kind", RULE_TYPES)
def test_rules_of_the_pipeline_are_candidates_for_a_day(kind: str) -> None:
    """Whoever switches a rule off can cause harm as well."""
    ledger = settled()
    changed = ledger.add(kind, "deploy on pass", {"rule_id": "deploy on pass", "enabled": True})
    ledger.add(kind, "another", {"rule_id": "another", "enabled": True}, pipeline="other")
    detect(ledger)
    assert near(ledger) == [changed.id]
    late = settled()
    late.add(kind, "deploy on pass", {"rule_id": "deploy on pass", "enabled": True})
    detect(late.wait(hours=25))
    assert near(late) == []


def test_deployment_after_the_onset_is_no_candidate() -> None:
    """Not even if it was before the incident was noticed."""
    ledger = settled()
    onset = ledger.now
    release(ledger)
    configure(ledger, "a", "b")
    ledger.add("dataset.version.published", "flights@v2", {"digest": "d"})
    detect(ledger, onset=onset.isoformat())
    assert near(ledger) == []


def test_changes_of_another_service_are_no_candidates() -> None:
    """Neither are shadow traffic, staging, and the data of another pipeline."""
    ledger = settled()
    configure(ledger, "a", "b", service="other")
    shadow = {"endpoint": ENDPOINT, "env": "production", "role": "shadow", "weights": {"x@v1": 1.0}}
    ledger.add("traffic.shifted", ENDPOINT, shadow)
    ledger.add("traffic.shifted", ENDPOINT, {**shadow, "role": "live", "env": "staging"})
    ledger.add("dataset.version.published", "other@v1", {"digest": "d"}, pipeline="other")
    detect(ledger)
    assert near(ledger) == []


def test_what_belongs_to_no_pipeline_is_no_candidate_by_its_pipeline() -> None:
    """An incident of nobody's is not led back to data of nobody's."""
    ledger = settled()
    ledger.add("dataset.version.published", "stray@v1", {"digest": "d"}, pipeline="")
    body = {"incident": "INC-1", "service": "stray", "onset": ledger.now.isoformat(), "onset_from": "monitor"}
    ledger.add("incident.detected", "INC-1", body, pipeline="")
    assert near(ledger) == []


def test_upstreams_that_the_incident_names_count() -> None:
    """What a service depends on can break it."""
    ledger = settled()
    setting = configure(ledger, "a", "b", service="features")
    detect(ledger, upstreams=["features"])
    assert near(ledger) == [setting.id]


def test_late_arrival_is_placed_by_its_own_time() -> None:
    """A setting that was told of after the incident had been recorded still counts."""
    ledger = settled()
    moment = ledger.now
    detect(ledger.wait(hours=2))
    data = {"service": ENDPOINT, "target": "t", "old_digest": "a", "new_digest": "b"}
    late = ledger.wait(days=2).add("config.changed", "t", data, time=moment, evidence="attested")
    assert near(ledger) == [late.id]
    before = ledger.history().as_of(late.recordedtime - (late.recordedtime - moment) / 2)  # type: ignore[operator]
    assert Ground(before, settings=IncidentSection()).candidates(incidents(before)[0]) == []


def test_modes_of_what_is_no_deployment() -> None:
    """A setting is assisted where a person began it, automatic where a rule did, else unknown."""
    ledger = settled()
    configure(ledger, "a", "b")
    configure(ledger.wait(days=2), "b", "c", by_rule=True)
    data = {"service": ENDPOINT, "target": "t", "old_digest": "a", "new_digest": "b"}
    ledger.wait(days=2).add("config.changed", "t", data, evidence="declared")
    modes = []
    for number, event in enumerate(one for one in ledger.events[:] if one.type == "config.changed"):
        detect(ledger, name=f"INC-{number}", onset=event.at.isoformat())
        modes.append(judged(ledger, f"INC-{number}").mode)
    assert modes == ["assisted", "auto", "unknown"]


def test_dataset_of_a_version() -> None:
    """The payload's word comes first, else the subject says it."""
    ledger = settled()
    assert dataset_of(ledger.add("dataset.version.published", "flights@v2")) == "flights"
    assert dataset_of(ledger.add("dataset.version.published", "x", {"dataset": "flights"})) == "flights"
