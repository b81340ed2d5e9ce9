"""How levels depend on their thresholds."""

import pytest

from ratchet.measure.policies import shipped
from ratchet.measure.sensitivity import THETAS, at_theta, sensitivity
from tests.ledgers import PIPELINE, LedgerBuilder


@pytest.mark.parametrize(("by_hand", "expected"), [(0, [1, 1, 1]), (2, [1, 1, 0]), (3, [1, 0, 0]), (4, [0, 0, 0])])
def test_levels_with_other_thresholds(by_hand: int, expected: list[int]) -> None:
    """With 10 trainings, two by hand lose the highest threshold, three the usual one, four all."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=10 - by_hand)
    for _ in range(by_hand):
        ledger.train(ledger.command())
    found = sensitivity(ledger.history(), PIPELINE, shipped("standard"), as_of=ledger.now)
    assert [one.theta for one in found] == list(THETAS)
    assert [one.level for one in found] == expected
    assert [one.label for one in found] == [str(level) for level in expected]
    assert all(one.explanation for one in found)


def test_counts_have_no_threshold() -> None:
    """Rules and closures are counted, whatever the share."""
    policy = at_theta(shipped("strict"), 0.7)
    shares = {one.measure: one.theta for level in policy.levels for one in level.criteria}
    assert (shares["init"], shares["gate_before_deploy"], shares["loop_closure"]) == (0.7, 0.7, 0.8)
