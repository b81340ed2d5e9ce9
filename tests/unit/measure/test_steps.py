"""The cheapest next step."""

import pytest
from msgspec.structs import replace

from ratchet.measure.capability import Means
from ratchet.measure.criteria import CriterionResult, Status
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import Criterion, shipped
from ratchet.measure.rulebook import Rule
from ratchet.measure.steps import Step, cheapest_first, lacking, next_step, runs_here
from tests.ledgers import LAPTOP, PIPELINE, LedgerBuilder

STANDARD = shipped("standard")
MEANS = [
    Means(name="label-weekly", stages=("label",), kind="preset"),
    Means(name="train-weekly", stages=("train",), kind="preset"),
]


def step(ledger: LedgerBuilder) -> Step | None:
    """Return the next step at the ledger's present."""
    history = ledger.history()
    report = measure_level(history, PIPELINE, STANDARD, as_of=ledger.now)
    snapshot = history.as_of(ledger.now)
    is_here = runs_here(snapshot, PIPELINE)
    enabled = snapshot.rules.enabled(PIPELINE)
    return next_step(report, STANDARD, enabled=enabled, means=MEANS, is_here=is_here)


def elsewhere(ledger: LedgerBuilder) -> LedgerBuilder:
    """Have another system's word for all of it."""
    ledger.events = [replace(event, source="towers", evidence="attested") for event in ledger.events]
    return ledger


def test_a_shipped_rule_is_named() -> None:
    """Without any rule, the step is the shipped rule that begins what is lacking."""
    found = step(LedgerBuilder())
    assert found is not None
    assert (found.level, found.stage, found.lacking, found.preset) == (1, "train", 3, "train-weekly")
    assert found.sentence == "3 more trainings started by automation: the shipped rule 'train-weekly' does it."
    assert found.command == "ratchet rules adopt train-weekly --pipeline flight-delay"


def test_a_rule_that_is_on_is_left_to_it() -> None:
    """Where an enabled rule does it already, the step is to wait."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    found = step(ledger)
    assert found is not None
    assert (found.lacking, found.rule_id, found.preset) == (1, "retrain weekly", "")


def test_the_nearest_stage_is_chosen() -> None:
    """Of all that lacks for the next level, the stage that is nearest to its threshold is the step."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    for kind, left in (("feedback.joined", 2), ("dataset.generated", 0)):
        chosen = [event for event in ledger.events if event.type == kind][left:]
        ledger.events = [event for event in ledger.events if event not in chosen]
    found = step(ledger)
    assert found is not None
    assert (found.level, found.stage, found.lacking) == (3, "label", 1)


def test_own_rules_have_no_preset() -> None:
    """Level 4 asks for a rule of one's own; at the top there is no step."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    found = step(ledger)
    assert found is not None
    assert (found.measure, found.preset, found.sentence[:24]) == ("user_rules_fired", "", "Write a rule of your own")
    ledger.own_rule_at_work()
    assert step(ledger) is None


def test_what_runs_elsewhere_is_not_told_to_adopt_rules() -> None:
    """Rules that ship act only here; what runs in another system is to be changed, or told of, there."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.train(ledger.command())
        ledger.wait(days=7)
    here = step(ledger)
    assert here is not None
    assert (here.preset, here.runs_here) == ("train-weekly", True)
    found = step(elsewhere(ledger))
    assert found is not None
    assert (found.stage, found.preset, found.command, found.runs_here) == ("train", "", "", False)
    assert found.sentence.endswith(
        "trainings started by automation: it runs elsewhere; let a schedule or an event start them there."
    )
    assert "adopt" not in found.sentence


def test_unknown_initiators_elsewhere_are_to_be_told() -> None:
    """Where nobody knows who started what came from elsewhere, that is what lacks first."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.train(ledger.command(actor=LAPTOP))
    found = step(elsewhere(ledger))
    assert found is not None
    assert "nobody knows who started 4 of the trainings that are here" in found.sentence
    assert found.sentence.endswith("let the source's mapping say who starts them.")


def test_where_a_pipeline_runs() -> None:
    """Declared or run here, or nothing known of it: here. Known by what another system sent alone: elsewhere."""
    ledger = LedgerBuilder()
    assert runs_here(ledger.history().as_of(ledger.now), PIPELINE)
    ledger.add("code.pushed", source="towers", evidence="attested")
    assert not runs_here(ledger.history().as_of(ledger.now), PIPELINE)
    found = step(ledger)
    assert found is not None
    assert "none has come from there" in found.sentence
    ledger.declare()
    assert runs_here(ledger.history().as_of(ledger.now), PIPELINE)


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ("user_rules_fired", "Let a rule of your own do something where it runs"),
        ("loop_closure", "let each event that is sent name its cause"),
        ("tracked", "It runs elsewhere: do it there, or let that system send what shows it."),
        ("exec", "it runs elsewhere; change that there"),
        ("stale", "nothing came from there of late"),
        ("rule", "the rule 'there' is on where it runs"),
    ],
)
def test_each_kind_of_criterion_has_words_for_elsewhere(measure: str, words: str) -> None:
    """Whatever lacks, the sentence says what to do in the other system, and names no command of ours."""
    stage = "train" if measure in ("exec", "stale", "rule") else ""
    status: Status = "stale" if measure == "stale" else "not met"
    criterion = Criterion(measure="exec" if stage else measure, stage=stage, min=1)
    blocking = CriterionResult(criterion=criterion, status=status, k=0, n=4)
    ledger = LedgerBuilder()
    report = measure_level(ledger.history(), PIPELINE, STANDARD, as_of=ledger.now)
    levels = (replace(report.levels[0], results=(blocking,)),)
    report = replace(report, blocking=(blocking,), levels=levels)
    rules = [Rule(rule_id="there", pipeline=PIPELINE, leads_to=("train",))] if measure == "rule" else []
    found = next_step(report, STANDARD, enabled=rules, means=MEANS, is_here=False)
    assert found is not None
    assert words in found.sentence
    assert not found.command


@pytest.mark.parametrize(
    ("k", "n", "theta", "status", "expected"),
    [
        (0, 0, 0.8, "insufficient", 3),
        (2, 2, 0.8, "insufficient", 1),
        (3, 4, 0.8, "not met", 1),
        (1, 2, 0.8, "insufficient", 3),
        (0, 5, 0.8, "not met", 16),
        (0, 20, 0.8, "not met", 16),
        (19, 20, 1.0, "not met", 20),
        (20, 20, 0.8, "stale", 1),
    ],
)
def test_how_much_is_lacking(k: int, n: int, theta: float, status: Status, expected: int) -> None:
    """So many more suffice, and one fewer does not, unless old ones have dropped out of the sample before."""
    criterion = Criterion(measure="init", stage="train", theta=theta)
    result = CriterionResult(criterion=criterion, status=status, k=k, n=n)
    assert lacking(result, 20) == expected
    if status != "stale" and expected < 16:
        assert (k + expected) / (n + expected) >= theta
        short = (k + expected - 1, n + expected - 1)
        assert short[1] < 3 or short[0] / short[1] < theta


def test_what_costs_least_comes_first() -> None:
    """A rule that is on comes before one that ships, and that before one to be written."""

    def made(rule: str, preset: str, missing: int) -> Step:
        return Step(
            pipeline=f"{rule}{preset}{missing}",
            level=1,
            measure="init",
            stage="train",
            lacking=missing,
            rule_id=rule,
            preset=preset,
            sentence="",
        )

    steps = [made("", "", 1), made("", "p", 5), made("r", "", 9), made("", "p", 2)]
    assert [one.pipeline for one in cheapest_first(steps)] == ["r9", "p2", "p5", "1"]
