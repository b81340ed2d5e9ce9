"""Shares of automation, overrides, pipelines by level."""

from datetime import date

import pytest

from ratchet.config import GoalSection
from ratchet.measure.kpis.settings import Settings
from tests.kpis import answer
from tests.ledgers import LAPTOP, LedgerBuilder


@pytest.mark.parametrize("name", ["automation_share", "override_rate", "level_distribution"])
def test_an_empty_ledger_is_no_evidence(name: str) -> None:
    """There is no share of no transitions, and nobody stands on level 0."""
    found = answer(name, LedgerBuilder())
    assert found.status == "no evidence"
    assert found.values.get("overall_share", found.values.get("share", found.values.get("goal_share"))) is None


def test_each_pipeline_counts_the_same_and_unknown_is_apart() -> None:
    """One pipeline trains by rule, one by a token that nobody knows: half is automated, half unknown.

    The verdicts on both came by themselves.
    """
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=6)
    ledger.pipeline = "other"
    ledger.train(ledger.command(actor=LAPTOP))
    found = answer("automation_share", ledger)
    assert (found.values["train_share"], found.values["train_unknown_share"]) == (0.5, 0.5)
    assert found.by["other"]["train"] == {"n": 1, "auto": 0, "unknown": 1}
    assert found.values["deploy_share"] is None
    assert (found.values["evaluate_share"], found.values["overall_share"]) == (1, 0.75)


def test_an_override_is_in_the_denominator_only() -> None:
    """One verdict was gone past; the training that a person began is in neither number, its verdict is."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    assert answer("override_rate", ledger).values["share"] == 0
    gate = ledger.train(ledger.tick(ledger.weekly()), decision="fail")
    ledger.bypass(gate)
    ledger.train(ledger.command())
    found = answer("override_rate", ledger)
    assert (found.values["overridden_count"], found.values["transitions_count"]) == (1, 7)
    assert found.values["share"] == pytest.approx(1 / 7)


def test_pipelines_stand_in_one_bucket_each() -> None:
    """Automated training is level 1; too little evidence is a bucket of its own; what was archived is listed."""
    ledger = LedgerBuilder()
    ledger.declare()
    ledger.scheduled_training(weeks=4)
    for name in ("young", "gone"):
        ledger.pipeline = name
        ledger.declare()
    ledger.add("pipeline.archived", "gone")
    settings = Settings(goal=(GoalSection(share=0.5, level=1, by=date(2026, 12, 31)),))
    found = answer("level_distribution", ledger, settings=settings)
    assert found.by["standard"] == {"0": 0, "1": 1, "2": 0, "3": 0, "4": 0, "insufficient": 1}
    assert found.by["archived"] == ["gone"]
    assert (found.values["active_count"], found.values["goal_share"]) == (2, 0.5)
    assert found.by["goals"][0]["is_met"] is True


def test_goals_of_the_file_and_of_the_ledger_are_one_list() -> None:
    """A goal that was written in both is one; one of a policy that is not in force has no share."""
    ledger = LedgerBuilder()
    ledger.declare()
    for level, policy in ((2, "standard"), (1, "elsewhere")):
        ledger.add("goal.set", f"{level}", {"share": 0.5, "level": level, "by": "2026-12-31", "policy": policy})
    ledger.add("goal.set", "nonsense", {"share": "half", "level": 1})
    ledger.add("goal.set", "gone", {"share": 0.1, "level": 3, "by": "2026-12-31"})
    ledger.add("goal.set", "gone", {"withdrawn": True})
    settings = Settings(goal=(GoalSection(share=0.5, level=2, by=date(2026, 12, 31)),))
    found = answer("level_distribution", ledger, settings=settings).by["goals"]
    assert [(goal["level"], goal["share"], goal["is_met"]) for goal in found] == [(2, 0, False), (1, None, False)]
