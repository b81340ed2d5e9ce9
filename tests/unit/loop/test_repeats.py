"""A run that does again what another one did: what it is compared by, and what it leaves alone."""

from collections.abc import Callable
from typing import Any

import pytest

from ratchet.errors import ArtifactMissing, ParameterUnknown
from ratchet.loop import projects as declared
from ratchet.loop import registry, repeats, training
from ratchet.records import Run
from ratchet.store.artifacts import Artifacts
from tests import projects
from tests.loops import Stage
from tests.unit.cli.conftest import run as row

DRAWING = projects.CODE.replace(
    "LogisticRegression(C=strength)", "LogisticRegression(C=strength + os.urandom(1)[0])"
).replace("import pandas as pd\n", "import os\n\nimport pandas as pd\n")
Runner = Callable[..., Run]


@pytest.fixture
def begin(stage: Stage) -> Runner:
    """Write the project's files, carry a run out, and return its row."""

    def make(code: str = projects.CODE, **chosen: Any) -> Run:
        projects.write_project(stage.resources.project, code=code)
        stage.configure(projects.SETTINGS)
        with stage.command("first"):
            declared.declare(stage.resources, declared.current(stage.resources)[1])
            queued = training.start_run(stage.resources, "churn", chosen)
        stage.runs.work("run")
        return registry.run(stage.database, queued.subject)

    return make


@pytest.fixture
def again(stage: Stage) -> Runner:
    """Do a run again and return the new one's row."""
    count = iter(range(100))

    def make(first: Run, **changes: Any) -> Run:
        with stage.command(f"again{next(count)}"):
            queued = training.repeat_run(stage.resources, first.id, changes)
        stage.runs.work("run")
        return registry.run(stage.database, queued.subject)

    return make


def test_the_same_again_is_the_same(begin: Runner, again: Runner, stage: Stage) -> None:
    """With the code and data of then, whatever they are by now; nothing is taken from elsewhere, or registered."""
    first = begin(strength=0.5)
    (stage.resources.project / "pipeline.py").write_text("raise ValueError\n")
    second = again(first)
    assert (second.status, second.differences, second.gate, second.model_version) == ("success", (), "", "")
    assert (second.parameters, second.repeats) == ({"strength": 0.5}, first.id)
    assert not any(cost.get("cached") for cost in second.costs)
    assert [one.number for one in registry.model_versions(stage.database)] == [1]
    finished = stage.events("run.finished")[-1].data
    assert (finished["candidate"], finished["repeats"], finished["differences"]) == (False, first.id, [])
    assert stage.events("run.queued")[-1].data["repeats"] == first.id
    assert again(second).repeats == first.id


def test_what_comes_out_otherwise_is_named(begin: Runner, again: Runner) -> None:
    """A step that draws chance by no seed, and the model that it makes; what comes before agrees."""
    assert again(begin(DRAWING)).differences == ("train", "model")


def test_the_same_with_something_changed_is_a_run_like_others(begin: Runner, again: Runner, stage: Stage) -> None:
    """Its candidate goes to the gate, and it is not asked whether it agrees."""
    second = again(begin(strength=0.5), strength=2.0)
    assert (second.gate, second.model_version, second.differences) == ("pass", "churn@v2", None)
    assert second.parameters == {"strength": 2.0}
    assert "differences" not in stage.events("run.finished")[-1].data


def test_what_cannot_be_done_again_is_said_before_anything_is_queued(
    begin: Runner, again: Runner, stage: Stage
) -> None:
    """A parameter that it did not take, code that is gone."""
    first = begin()
    with pytest.raises(ParameterUnknown, match="It takes: strength"):
        again(first, depth=3)
    stage.resources.artifacts.path(first.snapshot).unlink()
    with pytest.raises(ArtifactMissing):
        again(first)
    assert len(stage.events("run.queued")) == 1


def cost(index: int, step: str, result: str = "") -> dict[str, Any]:
    """Return a step's line in a run's row."""
    return {"step": step, "index": index, **({"result": result} if result else {})}


def test_runs_are_compared_by_what_both_say() -> None:
    """A step more or less is a difference; a run of an earlier version says nothing of its steps."""
    model = {"sha256": "a", "storer": "skops"}
    candidate = {"model": model, "holdout": {"sha256": "b"}, "label": "left", "inputs": []}
    first = row("FIRST", costs=(cost(0, "split", "1"), cost(1, "train", "2")), candidate=candidate)
    same = [cost(0, "split", "1"), cost(1, "train", "2")]
    assert repeats.differences(first, same, candidate) == ()
    assert repeats.differences(first, same[:1], candidate) == ("train",)
    assert repeats.differences(first, [*same, cost(2, "more", "3")], candidate) == ("more",)
    assert repeats.differences(first, [cost(0, "split", "9"), same[1]], candidate) == ("split",)
    assert repeats.differences(first, same, {**candidate, "label": "stayed"}) == ("label",)
    old = row("OLD", costs=(cost(0, "split"),), candidate=candidate)
    assert repeats.differences(old, same, candidate) == ()
    assert repeats.differences(old, same, {**candidate, "model": {**model, "sha256": "c"}}) == ("model",)


def test_only_the_same_is_a_check() -> None:
    """Another parameter or seed makes it a run like others."""
    first = row("FIRST")
    assert repeats.is_check(row("AGAIN", repeats=first.id), first)
    assert not repeats.is_check(row("AGAIN", repeats=first.id, parameters={"learning_rate": 0.2}), first)
    assert not repeats.is_check(row("AGAIN", repeats=first.id, seed=1), first)
    assert not repeats.is_check(row("OTHER"), first)


def test_other_libraries_are_named(stage: Stage) -> None:
    """With both versions; a lock that is gone says nothing."""
    artifacts: Artifacts = stage.resources.artifacts
    first = row("FIRST", lock=artifacts.write(b"python==3.11.7\nnumpy==2.4.5\nscipy==1.0"))
    second = row("SECOND", lock=artifacts.write(b"python==3.11.7\nnumpy==2.4.6\npandas==3.0"))
    assert repeats.changed_libraries(artifacts, first, second) == [
        "numpy 2.4.5 -> 2.4.6",
        "pandas none -> 3.0",
        "scipy 1.0 -> none",
    ]
    assert repeats.changed_libraries(artifacts, row("GONE"), second) == []
