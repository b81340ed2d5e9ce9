"""The ML Test Score from evidence."""

from ratchet.catalogue import EVENT_TYPES
from ratchet.measure.ml_test_score import SECTIONS, MlTestScore, TestResult, ml_test_score, rubric
from ratchet.measure.stages import check_where
from tests.ledgers import PERSON, PIPELINE, LedgerBuilder


def score(ledger: LedgerBuilder) -> MlTestScore:
    """Return the score at the ledger's present."""
    return ml_test_score(ledger.history(), PIPELINE, as_of=ledger.now)


def result(ledger: LedgerBuilder, test_id: str) -> TestResult:
    """Return what came of one test."""
    return next(one for one in score(ledger).results if one.test.id == test_id)


def weeks(number: int) -> LedgerBuilder:
    """Return weeks that ran by themselves."""
    ledger = LedgerBuilder()
    for _ in range(number):
        ledger.automated_week()
    return ledger


def answer(ledger: LedgerBuilder, **answers: float) -> None:
    """Answer questions of the questionnaire."""
    given = {name.replace("_", "-"): points for name, points in answers.items()}
    about = {"assessment": "ml-test-score", "pipeline": PIPELINE, "answers": given}
    ledger.add("assessment.recorded", "score", about, actor=PERSON, pipeline="", evidence="declared")


def test_there_are_28_tests_of_which_20_show_in_events() -> None:
    """Seven in each of four sections; the evidence of each names event types and conditions that mean something."""
    known = rubric()
    assert [(one.section, one.number) for one in known] == [(s, n) for s in SECTIONS for n in range(1, 8)]
    assert {one.id for one in known if not one.evidence} == {
        *("data-2", "data-3", "data-4", "data-5", "data-6"),
        *("model-2", "infrastructure-5", "monitoring-1"),
    }
    assert len({one.name for one in known}) == 28
    for one in (evidence for test in known for evidence in test.evidence):
        assert one.type in EVENT_TYPES
        check_where(one.where)


def test_automation_before_each_release_is_a_point() -> None:
    """Three verdicts by automation, one before each deployment, are a whole point."""
    found = result(weeks(3), "infrastructure-4")
    assert (found.points, found.automatic, found.is_declared) == (1.0, 3, False)
    assert len(found.events) == 3


def test_a_release_that_was_not_tested_costs_half() -> None:
    """One deployment of an artifact without a verdict takes half of the point."""
    ledger = weeks(3)
    gate = next(event for event in ledger.events if event.type == "gate.evaluated")
    ledger.deploy(ledger.command("promote"), gate, version="other", digest="other")
    found = result(ledger, "infrastructure-4")
    assert (found.points, found.sentence) == (0.5, "done by automation 3 times, but not before 1 of the deployments")


def test_what_people_do_is_half_a_point() -> None:
    """Two automated verdicts, or trainings that people start, are half a point."""
    assert result(weeks(2), "infrastructure-4").points == 0.5
    ledger = LedgerBuilder()
    for _ in range(5):
        ledger.train(ledger.command())
    found = result(ledger, "monitoring-4")
    assert (found.points, found.automatic, found.by_hand) == (0.5, 0, 5)


def test_old_and_missing_evidence_is_no_point() -> None:
    """What lies before the window, or never was, gives nothing."""
    ledger = weeks(3)
    ledger.wait(days=300)
    assert result(ledger, "infrastructure-4").points == 0.0
    assert result(ledger, "model-7").sentence == "no event shows it"


def test_the_weakest_section_is_the_score() -> None:
    """The score is the lowest of the four sums, and only a questionnaire fills what no event shows."""
    ledger = weeks(4)
    before = score(ledger)
    assert before.sums["data"] == 1.0
    assert before.score == min(before.sums.values())
    assert before.evidence_share == 1.0
    answer(ledger, data_2=0.5, data_6=1)
    after = score(ledger)
    assert after.sums["data"] == 2.5
    assert after.evidence_share is not None
    assert 0 < after.evidence_share < 1
    assert result(ledger, "data-2").is_declared


def test_a_declaration_never_stands_in_for_evidence() -> None:
    """What events can show, no answer changes; an answer that is no point counts for nothing; the last one counts."""
    ledger = weeks(4)
    answer(ledger, model_7=1, data_3=0.7, data_4=1)
    answer(ledger, data_4=0)
    assert [result(ledger, name).points for name in ("model-7", "data-3", "data-4")] == [0.0, 0.0, 0.0]
    ledger.add("assessment.recorded", "x", {"assessment": "ml-test-score", "answers": {"data-5": 1}}, pipeline="other")
    assert result(ledger, "data-5").points == 0.0


def test_a_pipeline_without_events_scores_nothing() -> None:
    """Without evidence the score is 0, and there is no share of it."""
    empty = score(LedgerBuilder())
    assert (empty.score, empty.evidence_share) == (0.0, None)
