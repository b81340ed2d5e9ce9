"""What an installation can automate."""

from ratchet.measure.capability import Means, capability
from ratchet.measure.policies import shipped

MEANS = [
    Means(name="the gate after each training", stages=("evaluate",), kind="engine"),
    Means(name="train-weekly", stages=("train",), kind="preset"),
    Means(name="deploy-when-gate-passes", stages=("deploy",), kind="preset"),
    Means(name="start_run", stages=("train",), kind="action"),
    Means(name="monitor", stages=("monitor",), kind="action"),
]


def test_each_stage_says_what_can_automate_it() -> None:
    """A stage is automated by a shipped rule, by one of one's own, or only reported."""
    found = capability(MEANS, shipped("standard"))
    by_stage = {one.stage: one for one in found.stages}
    assert (by_stage["train"].presets, by_stage["train"].actions) == (("train-weekly",), ("start_run",))
    assert (by_stage["monitor"].presets, by_stage["monitor"].actions) == ((), ("monitor",))
    assert found.line == (
        "by itself: evaluate; by shipped rules: train, deploy; by rules of one's own: monitor; "
        "only reported from outside: data, experiment, sample, label, dataset, pipeline-ci"
    )


def test_the_levels_that_it_could_give() -> None:
    """Shipped rules alone, and rules of one's own beside them, come to a level by each policy."""
    found = capability(MEANS, shipped("standard"))
    assert (found.level_by_presets, found.level_with_own_rules) == (2, 2)
    rest = [Means(name=name, stages=(name,), kind="action") for name in ("sample", "label", "dataset")]
    assert capability([*MEANS, *rest], shipped("standard")).level_with_own_rules == 4
