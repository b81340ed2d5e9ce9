"""How many hours people spend on keeping models in production."""

import pytest

from ratchet.measure.kpis.effort import model_months, operations_overhead
from ratchet.measure.kpis.questions import Scope
from ratchet.records import Actor
from tests.ledgers import ENGINE, LAPTOP, PERSON, SYSTEM, LedgerBuilder
from tests.unit.measure.kpis.asking import ask

OTHER = Actor(authtype="user", authid="person-2")
_LEAD_IN = 5 / 60


def test_a_gap_of_more_than_fifteen_minutes_begins_a_session() -> None:
    """Exactly fifteen minutes do not; each session has five minutes before it."""
    ledger = LedgerBuilder()
    first = ledger.command()
    ledger.wait(minutes=15, seconds=-1)
    second = ledger.touch("run-1", "retry")
    assert (second.at - first.at).total_seconds() == 900
    ledger.wait(minutes=15)
    third = ledger.command()
    answer = operations_overhead(ask(ledger))
    assert answer.values["sessions_count"] == 2
    assert answer.values["lower_hours"] == pytest.approx(0.25)
    assert answer.values["hours"] == pytest.approx(0.25 + 2 * _LEAD_IN)
    assert answer.events == tuple(sorted([first.id, second.id, third.id]))


def test_two_people_at_once_are_two_sessions() -> None:
    """Work is counted for each person and shown for all together."""
    ledger = LedgerBuilder()
    ledger.command(actor=PERSON)
    ledger.command(actor=OTHER)
    answer = operations_overhead(ask(ledger))
    assert answer.values["sessions_count"] == 2
    assert "anna" not in str(answer.values) + str(answer.by)


@pytest.mark.parametrize("actor", [ENGINE, SYSTEM, LAPTOP])
def test_machines_and_unknown_actors_spend_no_hours(actor: Actor) -> None:
    """Only what a person did is effort; without it there is no evidence."""
    ledger = LedgerBuilder()
    ledger.command(actor=actor)
    answer = operations_overhead(ask(ledger))
    assert (answer.status, answer.values["hours"]) == ("no evidence", None)


def test_annotators_are_apart() -> None:
    """Labelling is work of another kind, with its own sum."""
    ledger = LedgerBuilder()
    ledger.command()
    for _ in range(3):
        ledger.wait(minutes=10).add("label.submitted", "x", {"annotator": "expert"}, actor=OTHER)
    answer = operations_overhead(ask(ledger))
    assert answer.values["hours"] == pytest.approx(_LEAD_IN)
    assert answer.by["annotators"] == {"hours": pytest.approx(1202 / 3600 + _LEAD_IN), "sessions_count": 1}


def test_the_upper_bound_has_the_response_to_pages() -> None:
    """From the first answer to the mitigation, for each who responded; an incident without a page adds nothing."""
    ledger = LedgerBuilder()
    page = ledger.add("page.sent", "on-call")
    ledger.add("page.acknowledged", "on-call", {"page": page.id}, cause=page, actor=PERSON)
    ledger.add("page.acknowledged", "on-call", {"page": page.id}, cause=page, actor=OTHER)
    ledger.wait(hours=2, seconds=-2)
    ledger.add("incident.mitigated", "INC", {"page": page.id, "responders": 3}, actor=PERSON)
    ledger.add("incident.mitigated", "INC", {"page": "", "responders": 9}, actor=PERSON)
    values = operations_overhead(ask(ledger)).values
    assert (values["hours"], values["upper_hours"]) == (
        pytest.approx(_LEAD_IN, abs=1e-3),
        pytest.approx(6.083, abs=1e-3),
    )


def test_waiting_for_an_approval_is_no_effort() -> None:
    """It has a value of its own; approvals that no policy requires are no wait."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    ledger.approve(gate, minutes=120)
    ledger.approve(gate, minutes=60, required=False)
    values = operations_overhead(ask(ledger)).values
    assert values["approval_wait_hours"] == pytest.approx(2, abs=0.001)
    assert values["lower_hours"] == pytest.approx(0, abs=0.001)


def test_model_months_are_months_with_a_moment_in_production() -> None:
    """Two models on one endpoint one after the other; a second before midnight is a month."""
    ledger = LedgerBuilder()
    start = ledger.command()
    ledger.shift({"a@v1": 1.0}, cause=start)
    ledger.wait(days=50)
    ledger.shift({"a@v2": 0.5, "b@v1": 0.5}, cause=start)
    ledger.wait(days=10)
    ledger.shift({}, cause=start)
    ledger.wait(days=100)
    # Served from 5 January to 24 February, then both until 6 March.
    assert model_months(ask(ledger)) == 3 + 2


def test_hours_are_those_of_the_scope() -> None:
    """Another pipeline's commands are not this one's."""
    ledger = LedgerBuilder()
    ledger.command()
    ledger.wait(hours=1).add("command.issued", "x", {"action": "run"}, actor=PERSON, pipeline="other")
    assert operations_overhead(ask(ledger, Scope(kind="pipeline", name="other"))).values["sessions_count"] == 1
    assert operations_overhead(ask(ledger)).values["sessions_count"] == 2
