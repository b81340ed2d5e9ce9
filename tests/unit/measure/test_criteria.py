"""The arithmetic of criteria."""

import pytest

from ratchet.measure.criteria import PipelineEvidence, wilson_lower_bound
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import parse, shipped
from tests.ledgers import PIPELINE, LedgerBuilder

TEXT = 'policy = "p"\n{defaults}\n[[level]]\nid = 1\nname = "T"\nall = [{{ stage = "train", measure = "init" }}]\n'


@pytest.mark.parametrize(("k", "n", "bound"), [(3, 3, 0.646), (4, 5, 0.514), (20, 20, 0.924), (0, 5, 0.0)])
def test_wilson_lower_bound(k: int, n: int, bound: float) -> None:
    """The bound is the published one."""
    assert wilson_lower_bound(k, n) == pytest.approx(bound, abs=0.0005)


@pytest.mark.parametrize(("automated", "by_hand", "met"), [(3, 0, True), (4, 1, True), (5, 1, True), (3, 1, False)])
def test_smallest_shares_that_are_met(automated: int, by_hand: int, met: bool) -> None:
    """4 of 5 and 5 of 6 are met, 3 of 4 is not."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=automated)
    for _ in range(by_hand):
        ledger.train(ledger.command())
    assert (measure_level(ledger.history(), PIPELINE, shipped("standard"), as_of=ledger.now).level == 1) is met


def test_evidence_that_is_too_weak_stays_in_the_sample() -> None:
    """Where a policy asks for better evidence, weaker transitions do not count and still weigh."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    values = [{name: getattr(e, name) for name in e.__struct_fields__} for e in ledger.events]
    ledger.events = [
        type(event)(**(known | {"evidence": "inferred"})) for event, known in zip(ledger.events, values, strict=True)
    ]
    loose = parse(TEXT.format(defaults="").encode(), where="p.toml")
    firm = parse(TEXT.format(defaults='defaults = { evidence_min = "attested" }').encode(), where="p.toml")
    report = measure_level(ledger.history(), PIPELINE, loose, as_of=ledger.now)
    assert (report.level, report.weakest_evidence) == (1, "inferred")
    result = measure_level(ledger.history(), PIPELINE, firm, as_of=ledger.now).levels[0].results[0]
    assert (result.status, result.k, result.n) == ("not met", 0, 3)


def test_policies_that_sample_alike_share_what_was_read() -> None:
    """Through a policy with another sample size the evidence is another; else each transition is read once."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=6)
    evidence = PipelineEvidence(ledger.history().as_of(ledger.now), PIPELINE, shipped("standard"))
    narrow = parse(TEXT.format(defaults="defaults = { N = 4 }").encode(), where="p.toml")
    first = evidence.sample("train")
    again = evidence.through(shipped("strict")).sample("train")
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert [len(first), len(evidence.through(narrow).sample("train")), len(evidence.sample("train"))] == [6, 4, 6]
