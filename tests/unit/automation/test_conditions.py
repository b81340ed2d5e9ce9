"""Conditions in CEL: what they may name, what they see, and what is said when they cannot be evaluated."""

from datetime import timedelta
from typing import Any

import pytest

from ratchet import clock
from ratchet.automation import conditions
from ratchet.automation.conditions import BrokenCondition, compile_condition, holds
from ratchet.records import Event
from tests import projects
from tests.loops import Stage


def event(**data: Any) -> Event:
    """Return an event with a payload."""
    return Event(type="monitor.alert.raised", subject="churn/drift", pipeline="churn", data=data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("event.data.score > 0.2", True),
        ("event.data.score > 0.3", False),
        ("event.data.kind == 'drift' && event.pipeline == 'churn'", True),
        ("event.type.startsWith('monitor.')", True),
        ("event.data.rows >= 100", True),
        ("kpi.data_age_days > 7.0", True),
        ("kpi.data_age_days > 7", True),
        ("'visits' in event.data.columns", True),
        ("has(event.data.missing) && event.data.missing > 1", False),
    ],
)
def test_a_condition_sees_event_and_numbers(text: str, expected: bool) -> None:
    """An empty one always holds; whole numbers compare with others."""
    seen = event(score=0.25, kind="drift", rows=100, columns=["visits"])
    assert holds(text, seen, {"data_age_days": 8.5}) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("event.data.score >", "cannot be parsed"),
        ("1 +", "cannot be parsed"),
        ("rows > 3", "names 'rows'; a condition knows event and kpi"),
        ("event.data.x > limits.y", "names 'limits'"),
        ("kpi.spend > 1.0", "names 'kpi.spend'; the numbers are kpi.data_age_days, kpi.train_age_days, kpi.level"),
        ("kpi['spend'] > 1.0", "names 'kpi.spend'"),
    ],
)
def test_what_cannot_mean_anything_is_refused_when_it_is_loaded(text: str, problem: str) -> None:
    """Before its event ever comes."""
    with pytest.raises(BrokenCondition, match=problem):
        compile_condition(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("event.data.scroe > 0.2", "scroe"),
        ("kpi.data_age_days > 7", "data_age_days"),
        ("event.data.score", "gave 0.25, and true or false is needed"),
        ("event.data.kind > 3", "."),
        ("1 / 0 > event.data.score", "."),
    ],
)
def test_what_cannot_be_evaluated_says_why(text: str, problem: str) -> None:
    """A name that is not there, a wrong type, a division by zero, or something that is no truth value."""
    with pytest.raises(BrokenCondition, match=problem):
        holds(text, event(score=0.25, kind="drift"), {})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("event.data.score > 0.2", set()),
        ("kpi.level > 2.0 || kpi.data_age_days > 7.0", {"level", "data_age_days"}),
        ("kpi . level > 2.0", {"level"}),
        ("has(kpi.spent_usd_month)", {"spent_usd_month"}),
        ("kpi['level'] > kpi[ \"data_age_days\" ]", {"level", "data_age_days"}),
        ("event.data.kpi.other > 1", set()),
        ("event.data.text == 'kpi.level' || event.data.text == \"it's kpi\"", set()),
        ("event.data.text == r'kpi.level' && '\\'kpi.level' != ''", set()),
        ("'level' in kpi", set(conditions.KPIS)),
        ("kpi[event.data.name] > 1.0", set(conditions.KPIS)),
    ],
)
def test_a_condition_names_its_numbers(text: str, names: set[str]) -> None:
    """Those that it does not name are not worked out; where it can be any, all are."""
    assert not text or compile_condition(text)
    assert conditions.names_used(text) == names


def test_numbers_are_those_of_the_version_that_serves(stage: Stage, simulated: None) -> None:
    """Days since it was trained, and since the latest data that it saw; none where nothing serves."""
    assert conditions.ages(stage.resources, "churn") == {}
    stage.declare()
    assert conditions.ages(stage.resources, "churn") == {}
    stage.make_live(stage.add_version())
    clock.advance(projects.START + timedelta(days=3))
    found = conditions.ages(stage.resources, "churn")
    assert found["train_age_days"] == pytest.approx(3)
    latest = projects.customers(200)["seen_at"].max()
    assert found["data_age_days"] == pytest.approx((clock.now() - latest).total_seconds() / 86_400)
    assert tuple(sorted(found)) == tuple(sorted(conditions.AGES))
