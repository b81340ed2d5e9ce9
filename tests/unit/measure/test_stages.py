"""Stages that all pipelines have, and those that a policy adds."""

import pytest

from ratchet.measure.stages import STAGES, BrokenWhere, CustomStage, check_where, things
from ratchet.measure.transitions import transitions
from tests.ledgers import ENGINE, LAPTOP, PERSON, PIPELINE, SYSTEM, LedgerBuilder

NIGHTLY = CustomStage(name="nightly", type="custom.emitted", where="event.data.name == 'nightly'")


def modes(ledger: LedgerBuilder, stage: str | CustomStage) -> list[str]:
    """Return the modes of a stage's transitions at the ledger's present."""
    return [t.mode for t in transitions(ledger.history().as_of(ledger.now), PIPELINE, stage)]


def test_condition_chooses_events() -> None:
    """Only events for which the condition holds complete a change; one that lacks the field does not."""
    ledger = LedgerBuilder()
    ledger.add("custom.emitted", "go", {"name": "nightly"}, actor=SYSTEM)
    ledger.add("custom.emitted", "go", {"name": "other"}, actor=SYSTEM)
    ledger.add("custom.emitted", "go", {}, actor=SYSTEM)
    assert modes(ledger, NIGHTLY) == ["auto"]


def test_initiator_may_be_the_sender() -> None:
    """Where the policy says so, whoever sent the event counts, whatever led to it."""
    ledger = LedgerBuilder()
    asked = ledger.command()
    ledger.add("experiment.concluded", "e", {}, cause=asked, actor=ENGINE)
    by_cause = CustomStage(name="tried", type="experiment.concluded")
    by_actor = CustomStage(name="tried", type="experiment.concluded", initiator="actor")
    assert (modes(ledger, by_cause), modes(ledger, by_actor)) == (["assisted"], ["auto"])
    ledger.add("experiment.concluded", "e", {}, evidence="declared", actor=ENGINE)
    ledger.add("experiment.concluded", "e", {}, actor=LAPTOP)
    assert modes(ledger, by_actor) == ["auto", "unknown", "unknown"]


def test_a_push_belongs_to_the_stage_before() -> None:
    """A person pushes, a system tests and releases: the release of the pipeline was started by automation."""
    ledger = LedgerBuilder()
    pushed = ledger.add("code.pushed", "repo", {"sha": "1"}, actor=PERSON)
    ledger.add("pipeline_version.released", "p@1", {}, cause=pushed, actor=SYSTEM)
    rule = ledger.rule("release", leads_to=["pipeline-ci"], on="code.pushed", origin="template")
    ledger.add("pipeline_version.released", "p@2", {}, cause=ledger.fire(rule, pushed))
    ledger.add("pipeline_version.released", "p@3", {}, cause=ledger.command("release"))
    ledger.add("pipeline_version.released", "p@4", {}, cause=pushed, actor=LAPTOP)
    assert modes(ledger, "pipeline-ci") == ["auto", "auto", "assisted", "unknown"]


def test_every_stage_has_a_word_for_its_changes() -> None:
    """No sentence calls a stage's changes by a name of the code."""
    assert all("stage" not in things(stage) for stage in STAGES)
    assert things("nightly") == "changes in stage 'nightly'"


@pytest.mark.parametrize("text", ["event.data ==", "other.x == 1"])
def test_condition_that_means_nothing_is_refused(text: str) -> None:
    """A condition that cannot be parsed, or that names something unknown, is refused when it is read."""
    check_where("event.data.x == 1")
    with pytest.raises(BrokenWhere):
        check_where(text)
