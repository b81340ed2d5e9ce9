"""Goals on the command line."""

import json

import click
import pytest

from ratchet.cli.goals import parse_share
from tests.unit.cli.conftest import Call

SET = ("goals", "set", "all trained", "--share", "100%", "--level", "1", "--by", "2099-12-31", "--owner", "you")


@pytest.mark.parametrize(("text", "share"), [("50%", 0.5), ("0.5", 0.5), ("100%", 1.0), ("1", 1.0)])
def test_a_share_may_be_written_in_two_ways(text: str, share: float) -> None:
    """Percent or a fraction."""
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["0", "101%", "50", "half", "-1%", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """The message shows how one is written."""
    with pytest.raises(click.BadParameter, match=r"Write it as 50% or 0\.5"):
        parse_share(text)


@pytest.mark.usefixtures("project")
def test_without_goals_the_distribution_is_shown(call: Call) -> None:
    """Pipelines by level at the end of each month, and how to set a goal."""
    shown = call("goals").out
    assert "TOO LITTLE" in shown
    assert "No goals yet: ratchet goals set" in shown
    values = json.loads(call("goals", "--json").out)
    assert values["goals"] == []
    assert values["months"][-1]["buckets"]["insufficient"] == values["months"][-1]["active"] == 1


@pytest.mark.usefixtures("project")
def test_a_goal_names_who_is_behind_and_what_to_do(call: Call) -> None:
    """A goal that was set is shown with its share, its status and the cheapest steps."""
    assert "Goal 'all trained': 100%" in call(*SET).out
    shown = call("goals").out
    assert "all trained: 100% at level 1 or above by 2099-12-31 ('standard', you)" in shown.replace("\n", " ")
    assert "0% now, " in shown
    assert "ratchet rules adopt train-weekly --pipeline returns" in shown
    (goal,) = json.loads(call("goals", "--json").out)["goals"]
    assert (goal["behind"], goal["steps"][0]["stage"]) == (["returns"], "train")


@pytest.mark.usefixtures("project")
def test_a_goal_can_be_dropped(call: Call) -> None:
    """A dropped goal is gone; one that is not there is answered with those that are."""
    call(*SET)
    answer = call("goals", "drop", "none")
    assert (answer.code, "Known: all trained" in answer.err) == (1, True)
    assert call("goals", "drop", "all trained").code == 0
    assert "No goals yet" in call("goals").out


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("--level", "9"), 1, "The policy 'standard' has no level 9 to reach. Choose one of 1, 2, 3, 4."),
        (("--by", "soon"), 2, "'soon' is no day. Write it as 2026-12-31."),
        (("--policy", "lax"), 1, "No level policy named 'lax'"),
    ],
)
def test_what_no_goal_can_be_is_refused(call: Call, change: tuple[str, str], code: int, message: str) -> None:
    """Nothing is recorded for a goal that could not be reached."""
    words = list(SET)
    if change[0] in words:
        words[words.index(change[0]) + 1] = change[1]
    else:
        words += change
    answer = call(*words)
    assert answer.code == code
    assert message in answer.err.replace("\n", " ")
    assert "No goals yet" in call("goals").out
