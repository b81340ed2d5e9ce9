"""The numbers of conditions as of then: what came later changes none of them."""

from datetime import timedelta

import pytest

from ratchet import clock
from ratchet.automation.conditions import KPIS
from ratchet.automation.hindsight import UNKNOWABLE
from ratchet.records import Event
from tests import projects
from tests.loops import Stage
from tests.unit.automation.past import alert, hindsight_of, later

PRICES = '\n[prices]\ncurrency = "EUR"\n[[prices.item]]\nresource = "cpu"\nunit = "h"\nprice = 2.0\n'


def go_live(stage: Stage, version: str, *, data_until: str) -> None:
    """Let a version be registered and serve."""
    with stage.command(f"live/{version}"):
        registered = {"version": version, "run_id": version, "data_until": data_until}
        shifted = {"endpoint": "churn", "env": "production", "weights": {version: 1.0}}
        stage.ledger.record(
            Event(type="model.version.registered", subject=version, pipeline="churn", data=registered),
            Event(type="traffic.shifted", subject="churn", pipeline="churn", data=shifted),
        )


def test_ages_are_those_of_the_version_that_served_then(stage: Stage, simulated: None) -> None:
    """Nothing served at first; then one version; then another, of which the event before knows nothing."""
    nothing = alert(stage, "nothing")
    later(days=1)
    go_live(stage, "churn@v1", data_until=(projects.START - timedelta(days=2)).isoformat())
    later(days=4)
    old = alert(stage, "old")
    # At the very same moment, but after it in the ledger.
    go_live(stage, "churn@v2", data_until=projects.START.isoformat())
    new = alert(stage, "new")
    later(days=300)
    hindsight = hindsight_of(stage)
    ages = ("train_age_days", "data_age_days")
    assert hindsight.numbers("churn", ages, nothing) == {}
    assert hindsight.numbers("churn", ages, old) == pytest.approx({"train_age_days": 4.0, "data_age_days": 7.0})
    assert hindsight.numbers("churn", ages, new) == pytest.approx({"train_age_days": 0.0, "data_age_days": 5.0})
    assert hindsight.numbers("churn", ["data_age_days"], old) == pytest.approx({"data_age_days": 7.0})
    assert hindsight.numbers("other", ages, old) == {}


def test_level_and_money_are_asked_for_just_before_the_event(stage: Stage, simulated: None) -> None:
    """What the moment itself brought is not in them; without a pipeline there are none."""
    later(days=3)
    event = alert(stage, "one")
    hindsight = hindsight_of(stage)
    assert hindsight.numbers("churn", ["level"], event) == {"level": (clock.now() - timedelta(seconds=1)).day}
    assert hindsight.numbers("churn", ["spent_usd_month", "forecast_usd_month"], event).keys() == {
        "spent_usd_month",
        "forecast_usd_month",
    }
    assert hindsight.numbers("churn", ["spent_usd_month"], event) == {"spent_usd_month": 0.0}
    assert hindsight.numbers("", ["level"], event) == {}


def test_what_cannot_be_known_is_about_numbers_that_there_are() -> None:
    """Each is a number of conditions."""
    assert set(UNKNOWABLE) <= set(KPIS)
