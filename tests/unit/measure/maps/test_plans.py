"""Plans, worked out by hand on four processes."""

from datetime import date

import pytest
from msgspec.structs import replace

from ratchet.errors import ConfigInvalid
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.plans import Plan, StepFile, load_steps, make_plan, parse_steps
from ratchet.measure.maps.process_maps import Edge
from ratchet.measure.maps.recording import RecordedMap
from tests.ledgers import START
from tests.maps import node, process_map

TODAY = date(2026, 3, 1)
CURRENT = process_map(
    node("data", degree="automated"),
    node("train", degree="exceptionally manual"),
    node("deploy", degree="semi-automated"),
    node("watch", degree="absent", benefit="No surprises."),
)
TARGET = process_map(
    node("data", degree="automated"),
    node("train", degree="automated"),
    node("deploy", degree="automated"),
    node("watch", degree="automated", benefit="No surprises.", owner="team-3"),
    edges=(Edge(source="train", target="deploy"), Edge(source="deploy", target="watch")),
    kind="target",
)
STEPS = b"""
[plan]
currency = "CHF"

[[step]]
id = "pipeline"
title = "One pipeline for training and release"
nodes = ["train", "deploy"]
owner = "team-1"
effort_days = 12.5
cost = 4000
by = 2026-02-01
gain = "Two days a month."

[[step]]
title = "Tidy up the data"
nodes = ["data"]
owner = "team-2"
effort_days = 2
by = "2026-06-30"
after = ["pipeline"]
"""


def plan(steps: bytes = b"", **more: object) -> Plan:
    """Return the plan between the two maps."""
    written = parse_steps(steps, where="steps.toml", target=TARGET) if steps else None
    return make_plan(CURRENT, TARGET, written=written, today=TODAY, **more)  # type: ignore[arg-type]


def seen(degree: str) -> Measured:
    """Return something that the ledger says."""
    return Measured(node="", degree=degree, reason="so")  # type: ignore[arg-type]


def test_without_a_file_each_gap_gets_a_step() -> None:
    """In the order of the target's control flow: 3 + 1 + 4 degrees are missing."""
    made = plan()
    assert [(one.step.id, one.steps_gained) for one in made.steps] == [("train", 3), ("deploy", 1), ("watch", 4)]
    assert made.steps_short == 8
    assert made.steps[2].step.title == "Begin 'Do watch'"
    assert made.steps[2].step.gain == "No surprises."
    assert all(one.step.is_proposed for one in made.steps)
    assert made.without_owner == ("train", "deploy")
    assert {one.status for one in made.steps} == {"unknown"}


def test_written_steps_come_with_their_sums_and_dates_and_the_rest_is_proposed() -> None:
    """12.5 and 2 days, 4000 francs, the last at the end of June; the first is overdue."""
    made = plan(STEPS)
    assert [(one.step.id, one.step.is_proposed) for one in made.steps] == [
        ("pipeline", False),
        ("data", False),
        ("watch", True),
    ]
    assert (made.effort_days, made.cost, made.currency) == (14.5, 4000, "CHF")
    assert made.last_date == date(2026, 6, 30)
    assert [one.is_overdue for one in made.steps] == [True, False, False]
    assert made.steps[0].steps_gained == 4
    assert made.idle == ("data",)


def test_progress_is_what_the_ledger_measured() -> None:
    """One of two is done: under way; both: done, and then no longer overdue."""
    half = plan(STEPS, measured={"train": seen("automated"), "deploy": seen("semi-automated")})
    assert (half.steps[0].status, half.steps[0].is_overdue) == ("under way", True)
    assert [(one.now, one.status, one.evidence) for one in half.steps[0].progress] == [
        ("automated", "done", "measured"),
        ("semi-automated", "not begun", "measured"),
    ]
    done = plan(STEPS, measured={"train": seen("automated"), "deploy": seen("automated")})
    assert (done.steps[0].status, done.steps[0].is_overdue) == ("done", False)
    assert done.count_by_status() == {"done": 1, "under way": 0, "not begun": 0, "unknown": 2}


def test_where_nothing_is_measured_the_latest_recorded_map_counts() -> None:
    """It says that it is declared; other maps and other kinds do not count."""
    nodes = {one.id: one for one in CURRENT.nodes}
    first = replace(CURRENT, version="1")
    later = replace(CURRENT, version="2", nodes=(replace(nodes["train"], degree="semi-automated"), nodes["deploy"]))
    other = replace(TARGET, version="3")
    recorded = [
        RecordedMap(event_id="e", at=START, digest=one.digest, process_map=one) for one in (first, later, other)
    ]
    made = plan(recorded=recorded, measured={"deploy": seen("unmeasured")})
    found = {one.progress[0].node: (one.status, one.progress[0].evidence) for one in made.steps}
    assert found == {"train": ("under way", "declared"), "deploy": ("not begun", "declared"), "watch": ("unknown", "")}


def test_a_step_waits_for_those_it_names_whatever_the_dates() -> None:
    """Then the earlier date comes first, then the order of the map."""
    steps = (
        b'[[step]]\nid = "late"\ntitle = "t"\nnodes = ["train"]\nby = 2026-09-01\n'
        b'[[step]]\nid = "first"\ntitle = "t"\nnodes = ["watch"]\nby = 2026-01-01\nafter = ["late"]\n'
        b'[[step]]\nid = "early"\ntitle = "t"\nnodes = ["deploy"]\nby = 2026-02-01\n'
    )
    assert [one.step.id for one in plan(steps).steps] == ["early", "late", "first"]


def test_what_has_no_degree_yet_needs_a_step_too() -> None:
    """Unknown today, known in the target: somebody has to look at it."""
    current = process_map(node("data", degree="unmeasured"))
    target = process_map(node("data", degree="automated"), kind="target")
    made = make_plan(current, target, today=TODAY)
    assert [(one.step.id, one.steps_gained) for one in made.steps] == [("data", 0)]


def test_a_plan_between_equal_maps_is_empty() -> None:
    """Nothing is left to do."""
    made = make_plan(TARGET, TARGET, today=TODAY)
    assert (made.steps, made.steps_short, made.last_date) == ((), 0, None)


def test_findings_of_the_target_are_in_the_plan() -> None:
    """A target that leaves work by hand is no target."""
    target = process_map(node("train", degree="non-repeatable"), kind="target")
    assert [one.kind for one in make_plan(CURRENT, target, today=TODAY).findings] == ["stays non-repeatable"]


ONE = '[[step]]\ntitle = "t"\nnodes = ["train"]\n'
BAD = {
    "odd key": (ONE + "days = 1\n", "s.toml:4: 'days' is not part of a step."),
    "no title": ('[[step]]\nnodes = ["train"]\n', "s.toml:1: 'title' is missing."),
    "no nodes": ('[[step]]\ntitle = "t"\n', "s.toml:1: 'nodes' names none."),
    "node not on the map": (
        ONE.replace("train", "trane"),
        "s.toml:3: 'nodes' names 'trane', which is not on the target map. Known: data, train, deploy, watch.",
    ),
    "no date": (ONE + 'by = "soon"\n', "s.toml:4: 'by' is 'soon', which is no date. Write it as 2025-03-31."),
    "a moment": (ONE + "by = 2026-01-01T00:00:00\n", "s.toml:4: 'by' is datetime.datetime"),
    "negative": (ONE + "cost = -1\n", "s.toml:4: 'cost' is -1. Write a number from 0 upwards."),
    "double id": (ONE + ONE, "s.toml:4: 'id' is 'train' a second time."),
    "unknown step": (ONE + 'after = ["x"]\n', "s.toml:4: 'after' names 'x', which is no step. Known: train."),
    "waits for itself": (
        ONE + 'id = "a"\nafter = ["b"]\n' + ONE + 'id = "b"\nafter = ["a"]\n',
        "s.toml:5: 'after' makes steps wait for one another: a, b.",
    ),
    "odd table": ("[[steps]]\n", "s.toml:1: 'steps' is not part of a file of steps."),
    "odd plan": ("plan = 1\n", "s.toml:1: 'plan' is 1."),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_in_the_steps_is_named_with_its_line(case: str) -> None:
    """Each with what is allowed."""
    text, says = BAD[case]
    with pytest.raises(ConfigInvalid) as error:
        parse_steps(text.encode(), where="s.toml", target=TARGET)
    assert str(error.value).startswith(says)


def test_an_empty_file_of_steps_is_none(tmp_path: object) -> None:
    """Then all steps are proposed; a missing file is a mistake."""
    assert parse_steps(b"", where="s", target=TARGET) == StepFile()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_steps(tmp_path / "none.toml", target=TARGET)  # type: ignore[operator]
