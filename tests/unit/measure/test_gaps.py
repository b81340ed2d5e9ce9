"""Configured, measured and declared levels, and why they differ."""

import pytest

from ratchet.measure.gaps import ThreeLevels, configured_level, declared_level, level_of_stages, three_levels
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import shipped
from tests.ledgers import PERSON, PIPELINE, LedgerBuilder

STANDARD = shipped("standard")


def levels(ledger: LedgerBuilder) -> ThreeLevels:
    """Return the three levels at the ledger's present."""
    history = ledger.history()
    return three_levels(history, measure_level(history, PIPELINE, STANDARD, as_of=ledger.now), STANDARD)


def configured() -> LedgerBuilder:
    """Return weekly trainings, with rules for all operations of which none has fired."""
    ledger = LedgerBuilder()
    ledger.release_rule()
    for stage in ("monitor", "sample", "label", "dataset"):
        ledger.rule(f"{stage}-batch", leads_to=[stage], cron="0 5 * * *", origin="template")
    ledger.scheduled_training(weeks=3)
    return ledger


def test_rules_that_never_fired_are_findings() -> None:
    """What is configured and does not happen is named, rule by rule."""
    found = levels(configured())
    assert (found.configured, found.measured, found.declared) == (3, 1, None)
    sentences = [finding.sentence for finding in found.findings]
    assert "configured 3, measured 1: rule 'label-batch' never fired" in sentences
    assert {finding.rule_id for finding in found.findings} >= {"deploy on pass", "sample-batch"}


def test_rules_that_were_held_back_or_failed_are_findings() -> None:
    """A rule that was suppressed, or whose action failed, is named with the events."""
    ledger = configured()
    label, sample = (next(e for e in ledger.events if e.subject == f"{name}-batch") for name in ("label", "sample"))
    held = ledger.add("rule.suppressed", "label-batch", {**label.data, "condition_result": False}, cause=label)
    fired = ledger.tick(sample)
    failed = ledger.add("rule.action.failed", "sample-batch", {**sample.data, "error": "x"}, cause=fired)
    found = {finding.rule_id: finding for finding in levels(ledger).findings}
    assert found["label-batch"].sentence.endswith("was held back once and never fired")
    assert found["label-batch"].events == (held.id,)
    assert found["sample-batch"].sentence.endswith("fired, and its action failed once")
    assert found["sample-batch"].events == (failed.id,)


def test_people_who_are_faster_than_a_rule_are_a_finding() -> None:
    """Where the rule works and people still start the work, the finding names what people started."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    for _ in range(3):
        ledger.train(ledger.command())
    found = levels(ledger)
    assert (found.configured, found.measured) == (1, 0)
    assert found.findings[0].sentence.startswith("configured 1, measured 0: 3 of the last 6 trainings were started by")
    assert len(found.findings[0].events) == 3


def test_a_level_without_its_rules_will_fall() -> None:
    """What was measured and is not configured any more is a finding, too."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    ledger.toggle(ledger.weekly(), is_enabled=False)
    found = levels(ledger)
    assert (found.configured, found.measured) == (0, 1)
    assert found.findings[0].sentence == (
        "measured 1, configured 0: no enabled rule leads to trainings; the level will fall when the evidence is old"
    )


def test_the_last_claim_counts_as_declared_and_never_as_measured() -> None:
    """An assessment for the pipeline and the policy is shown beside the level, and the difference is a finding."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    for claimed, more in ((2, {}), (4, {"pipeline": PIPELINE}), (3, {"pipeline": "other"}), (1, {"policy": "strict"})):
        about = {"assessment": "level", "level": claimed, **more}
        place = "" if "pipeline" in more else PIPELINE
        ledger.add("assessment.recorded", "x", about, evidence="declared", actor=PERSON, pipeline=place)
    found = levels(ledger)
    assert found.declared is not None
    assert (found.declared.level, found.measured) == (4, 1)
    assert found.findings[-1].sentence.startswith(
        "declared 4, measured 1: level 2 (Deployment automated) is not reached"
    )
    ledger.declare(level=0)
    assert levels(ledger).findings[-1].sentence == "declared 0, measured 1: more is automated than was claimed"


def test_claims_that_are_no_levels_are_not_read() -> None:
    """An assessment of something else claims no level."""
    ledger = LedgerBuilder()
    ledger.add("assessment.recorded", "x", {"assessment": "map", "level": "high"}, actor=PERSON)
    ledger.add("assessment.recorded", "x", {"assessment": "map", "level": True}, actor=PERSON)
    assert declared_level(ledger.history().as_of(ledger.now), PIPELINE, STANDARD) is None


@pytest.mark.parametrize(
    ("policy", "stages", "own", "expected"),
    [
        ("standard", ["train"], 0, 1),
        ("standard", ["train", "deploy", "monitor", "sample", "label", "dataset"], 0, 3),
        ("strict", ["train", "deploy", "monitor", "sample", "label", "dataset"], 1, 4),
        ("google-0-2", ["train", "deploy", "monitor"], 0, 1),
        ("google-0-2", ["train", "deploy", "monitor", "pipeline-ci"], 0, 2),
        ("microsoft-0-4", ["train", "deploy", "monitor"], 0, 0),
        ("microsoft-0-4", ["pipeline-ci", "train"], 0, 2),
        ("microsoft-0-4", ["pipeline-ci", "train", "deploy", "monitor"], 0, 4),
        ("manual-semi-full", ["train", "deploy", "monitor"], 0, 0),
    ],
)
def test_level_that_stages_would_give(policy: str, stages: list[str], own: int, expected: int) -> None:
    """Each policy says what automation of some stages would come to."""
    assert level_of_stages(shipped(policy), stages, own_rules=own) == expected


def test_stages_that_do_not_apply_need_no_rule() -> None:
    """A stage that may be left out, and was with a reason, is not asked of the rules."""
    ledger = LedgerBuilder()
    ledger.declare(na={"sample": "all is labelled", "label": "outcomes come with the data"})
    for stage in ("train", "deploy", "monitor", "dataset"):
        ledger.rule(stage, leads_to=[stage], origin="template")
    assert configured_level(ledger.history(), PIPELINE, STANDARD, as_of=ledger.now) == 3
