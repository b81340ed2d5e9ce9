"""What stands beside a level."""

import json

import pytest

from tests.unit.cli.conftest import Call


@pytest.mark.usefixtures("project")
def test_three_levels_stand_side_by_side(call: Call) -> None:
    """Configured, measured and declared level, and the next step."""
    shown = call("level").out
    assert "configured: 0, measured: too little evidence, declared: nothing" in shown
    assert "Next step: 4 more trainings started by automation" in shown
    assert "\n  ratchet rules adopt train-weekly --pipeline returns\n" in shown


@pytest.mark.usefixtures("project")
def test_a_claim_is_recorded_and_counts_for_nothing(call: Call) -> None:
    """The claimed level is shown as declared, with the difference; the measured one stays."""
    answer = call("level", "returns", "--declare", "3", "--because", "the review")
    assert "It counts for nothing" in answer.out
    report = json.loads(call("level", "returns", "--json").out)
    assert (report["level"], report["three_levels"]["declared"]["level"]) == (0, 3)
    assert report["three_levels"]["findings"][-1]["sentence"].startswith("declared 3, too little evidence: level 1")
    lines = call("level", "returns").out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  declared 3, too little"))
    assert lines[first + 1].startswith("  ")
    assert "the review" in call("events", "--type", "assessment.recorded", "--json").out


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--declare", "3"), "Say of which pipeline"),
        (("returns", "--declare", "7"), "The policy 'standard' has no level 7. Choose one of 0, 1, 2, 3, 4."),
    ],
)
def test_a_claim_that_means_nothing_is_refused(call: Call, words: tuple[str, ...], message: str) -> None:
    """It names a pipeline, and a level of the policy."""
    answer = call("level", *words)
    assert answer.code == 1
    assert message in answer.err


@pytest.mark.usefixtures("project")
def test_other_thresholds_stand_below_one_another(call: Call) -> None:
    """One line for each of three thresholds."""
    shown = call("level", "--sensitivity").out
    assert [part in shown for part in ("70%", "80%", "90%")] == [True] * 3
    values = json.loads(call("level", "--sensitivity", "--json").out)
    assert [one["theta"] for one in values["returns"]] == [0.7, 0.8, 0.9]


@pytest.mark.usefixtures("project")
def test_capability_is_of_the_installation(call: Call) -> None:
    """Each stage says what can automate it, and the levels that this can give."""
    shown = call("level", "--capability").out.replace("\n", " ")
    assert "By itself: data, evaluate; by shipped rules: train, deploy, monitor, sample, label, dataset;" in shown
    assert "level 3, with rules of your own level 4" in shown
    values = json.loads(call("level", "--capability", "--policy", "google-0-2", "--json").out)
    assert (values["level_by_presets"], values["line"].endswith("experiment, pipeline-ci")) == (1, True)


@pytest.mark.usefixtures("project")
def test_the_score_has_28_lines(call: Call) -> None:
    """Each test has its line, the score its four sums."""
    shown = call("level", "returns", "--ml-test-score").out
    assert shown.startswith("returns: ML Test Score 0, the lowest of four sums")
    assert (
        sum(line.startswith(("data-", "model-", "infrastructure-", "monitoring-")) for line in shown.splitlines()) == 28
    )
    (score,) = json.loads(call("level", "--ml-test-score", "--json").out)
    assert (score["score"], len(score["results"])) == (0, 28)


@pytest.mark.usefixtures("project")
def test_questions_are_answered_and_stay_declared(call: Call) -> None:
    """An answer gives its points, marked as declared; what events can show is not asked."""
    shown = call("level", "returns", "--answer", "data-5=1", "--answer", "model-2=0.5").out
    assert "0% from evidence" in shown
    assert next(line for line in shown.splitlines() if line.startswith("data-5")).split()[-2:] == ["1", "declared"]
    for wrong in ("data-1=1", "data-5=2", "data-5"):
        answer = call("level", "returns", "--answer", wrong)
        assert (answer.code, f"'{wrong}' answers nothing" in answer.err) == (1, True)
    assert "Say of which pipeline" in call("level", "--answer", "data-5=1").err
