"""The comparison of the small evaluation, worked out by hand."""

from pathlib import Path

import pytest

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.comparison import Comparison, Veto, compare
from ratchet.measure.evaluations.sentiments import Sentiment
from tests.unit.measure.evaluations.conftest import Change

RED, YELLOW, GREEN = Sentiment


def test_coverage_counts_processes_with_a_tool(compared: Comparison) -> None:
    """Alpha has tools for two of four; Beta named none, which is none of four."""
    alpha, beta = compared.candidates
    assert (alpha.covered, alpha.uncovered, alpha.tool_count) == (2, ("Label it", "Watch it"), 1)
    assert (beta.covered, beta.tool_count) == (0, 0)


def test_steps_are_those_between_degrees(compared: Comparison) -> None:
    """Fetch 0, train 1 (semi to automated), label 2 (manual to semi), watch not stated; extra ones do not count."""
    reach = compared.result("Alpha").reach
    assert reach is not None
    assert (reach.total, reach.stated, reach.steps_short, reach.processes_short) == (4, 3, 3, 2)
    assert reach.counts == {
        "automated": 1,
        "semi-automated": 1,
        "non-repeatable": 0,
        "exceptionally manual": 1,
        "absent": 0,
    }
    assert reach.share("automated") == pytest.approx(1 / 3)
    assert reach.short[0] == ("Train it", "semi-automated", "automated")


def test_today_is_measured_by_the_same_steps(compared: Comparison) -> None:
    """Fetch 3, train 2, label 3; watch is unmeasured and not counted."""
    assert compared.today is not None
    assert (compared.today.steps_short, compared.today.stated) == (8, 3)


def test_a_candidate_without_a_map_has_no_steps(compared: Comparison) -> None:
    """Unknown, not zero."""
    assert compared.result("Beta").reach is None


def test_sentiments_are_counted_and_weighed(compared: Comparison) -> None:
    """Weights of Alpha's builders: red gate 3 + local 1, yellow tests 2, green gate 3 + local 1; ten in all."""
    builders, payers = compared.result("Alpha").groups
    assert builders.counts == {RED: 2, YELLOW: 1, GREEN: 2}
    assert builders.shares == pytest.approx({RED: 0.4, YELLOW: 0.2, GREEN: 0.4})
    assert (builders.answered, builders.expected) == (5, 6)
    assert payers.shares == {RED: 0.0, YELLOW: 0.0, GREEN: 1.0}
    assert compared.result("Alpha").counts == {RED: 2, YELLOW: 1, GREEN: 3}


def test_one_red_on_a_must_disqualifies(compared: Comparison) -> None:
    """Also where another respondent finds it green; item and respondent are named."""
    alpha, beta = compared.candidates
    veto = Veto(group="builders", item="gate", respondent="builder-2", text="It can be passed by.")
    assert alpha.vetoes == (veto,)
    assert str(veto) == "builders/gate (builder-2)"
    assert (alpha.is_disqualified, beta.is_disqualified) == (True, False)


def test_a_red_that_is_no_must_disqualifies_nobody(compared: Comparison) -> None:
    """Beta's price is red."""
    assert compared.result("Beta").counts[RED] == 1
    assert compared.result("Beta").vetoes == ()


def test_musts_that_nobody_answered_are_named(compared: Comparison) -> None:
    """An open must is neither passed nor failed."""
    assert [one.open_musts for one in compared.candidates] == [("payers/exit",), ("payers/exit",)]


def test_disagreements_are_red_and_green_about_one_candidate(compared: Comparison) -> None:
    """On gate and on local about Alpha; two candidates with different colours are no disagreement."""
    found = [(one.group, one.item, one.candidate, one.red, one.green) for one in compared.disagreements]
    assert found == [
        ("builders", "gate", "Alpha", ("builder-2",), ("builder-1",)),
        ("builders", "local", "Alpha", ("builder-1",), ("builder-2",)),
    ]


def test_contrasts_are_red_for_one_and_green_for_another(compared: Comparison) -> None:
    """Only where all answers agree: price is green for Alpha and red for Beta."""
    assert [(one.item, one.red, one.green) for one in compared.contrasts] == [("price", ("Beta",), ("Alpha",))]


def test_missing_respondents_are_named_with_what_is_missing(compared: Comparison) -> None:
    """Two candidates times the questions of their groups are expected of each."""
    assert [(one.respondent, one.answered, one.expected) for one in compared.missing] == [
        ("builder-1", 5, 6),
        ("builder-2", 2, 6),
        ("payer-1", 2, 4),
    ]
    assert (compared.answered, compared.expected) == (9, 16)


def test_answers_to_questions_that_are_gone_are_not_counted(place: Path, change: Change) -> None:
    """Without 'local' Alpha's builders have weight 8: red 3, yellow 2, green 3."""
    change("questionnaires/builders.toml", 'id = "local"', 'id = "offline"')
    builders = compare(evaluation.read(place)).result("Alpha").groups[0]
    assert builders.shares == pytest.approx({RED: 0.375, YELLOW: 0.25, GREEN: 0.375})
    assert (builders.answered, builders.expected) == (3, 6)


def test_without_maps_coverage_is_not_known(place: Path, change: Change) -> None:
    """None, and no zero."""
    change("evaluation.toml", 'target_map = "target.toml"\n', "")
    change("evaluation.toml", 'tools = { fetch = "Alpha", train = "Alpha" }\n', "")
    compared = compare(evaluation.read(place))
    assert [(one.covered, one.reach) for one in compared.candidates] == [(None, None)] * 2
    assert compared.today is None
    assert compared.target_counts == {}


def test_a_group_that_nobody_answers_for_is_named(place: Path, change: Change) -> None:
    """It would else look like a group that has not answered yet."""
    change("evaluation.toml", '"payers"]\ntarget', '"payers", "legal"]\ntarget')
    assert compare(evaluation.read(place)).silent == ("legal",)


def test_several_currencies_are_named(place: Path, change: Change) -> None:
    """They are not added up."""
    change("evaluation.toml", 'kind = "bought"', 'kind = "bought"\ncost_year = 5\ncurrency = "USD"')
    assert compare(evaluation.read(place)).currencies == ("EUR", "USD")


def test_without_candidates_there_is_nothing_to_compare(place: Path, change: Change) -> None:
    """No candidate, no answer, no failure."""
    text = (place / "evaluation.toml").read_text()
    (place / "evaluation.toml").write_text(text[: text.index("[[candidate]]")] + text[text.index("[[respondent]]") :])
    (place / "answers.toml").write_text("")
    compared = compare(evaluation.read(place))
    assert (compared.candidates, compared.expected, compared.missing) == ((), 0, ())
