"""Whatever is registered, in whatever order and under whatever policy: after a collection all that is kept loads."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ratchet import clock
from ratchet.config import RetentionSection
from ratchet.engine.executors import Zygotes
from ratchet.loop import holders, registry, retention
from tests import registered
from tests.loops import Stage

POLICIES = st.builds(
    RetentionSection,
    runs=st.integers(1, 4),
    days=st.sampled_from([0.0, 30.0, 200.0]),
    models=st.sampled_from(["all", "served", "recent"]),
    datasets=st.sampled_from(["all", "used"]),
)
TRIES = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A workspace's parts; each example begins with nothing in them."""
    made = Stage(tmp_path_factory.mktemp("kept") / "project", Zygotes())
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _all_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two weeks have passed since everything was written."""
    later = clock.real_seconds() + 14 * 86_400
    monkeypatch.setattr(clock, "real_seconds", lambda: later)


def collected(stage: Stage, seed: int, policy: RetentionSection, runs: int) -> retention.Collection:
    """Fill the workspace anew, and collect."""
    registered.clear(stage.resources)
    registered.Filler(stage.resources, seed).fill(runs=runs)
    stage.resources.config = replace(stage.resources.config, retention=policy)
    assert registered.missing(stage.resources) == []
    return retention.collect(stage.resources)


def must_load(stage: Stage, policy: RetentionSection) -> dict[str, Any]:
    """Return what has to be there by the words of the settings, worked out once more."""
    runs = registry.runs(stage.database, limit=10**6)
    unfinished = {run.id for run in runs if run.status in ("queued", "running")}
    last = {
        run.id
        for pipeline in {run.pipeline for run in runs}
        for run in [one for one in runs if one.pipeline == pipeline][: policy.runs]
    }
    young = {run.id for run in runs if (clock.now() - run.queued_at).total_seconds() < policy.days * 86_400}
    kept_runs = frozenset(unfinished | last | young)
    if policy.models == "all" and policy.datasets == "all":
        return {"models": None, "runs": kept_runs}
    versions = registry.model_versions(stage.database)
    names = {one.name for one in versions}
    if policy.models != "all":
        with stage.database.read() as connection:
            releases = registry.releases(connection)
        live = [one for one in releases if one.status == "live"]
        names = {one.model_version for one in live} | {one.previous for one in live if one.previous}
        if policy.models == "served":
            names |= {one.model_version for one in releases}
        for model in {one.model for one in versions}:
            names |= {one.name for one in [one for one in versions if one.model == model][-policy.runs :]}
    return {"models": frozenset(names), "runs": kept_runs}


@TRIES
@given(seed=st.integers(0, 10**6), policy=POLICIES, runs=st.integers(1, 7))
def test_what_is_kept_loads(stage: Stage, seed: int, policy: RetentionSection, runs: int) -> None:
    """Versions, runs and datasets that the settings keep are whole after a collection, and what went is told of."""
    made = collected(stage, seed, policy, runs)
    assert registered.missing(stage.resources, **must_load(stage, policy)) == []
    assert made.removed.count == len(made.artifacts) >= runs, "each run leaves an orphan"
    assert not set(made.artifacts) & set(stage.resources.artifacts.all())
    if policy.models == "all" and policy.datasets == "all":
        assert made.let_go == ()
    # Whatever can no longer be loaded was said to be so.
    lost = {line.split(" ")[0] for line in registered.missing(stage.resources) if "@v" in line.split(" ")[0]}
    assert lost <= set(made.let_go)
    assert retention.collect(stage.resources).removed.count == 0, "there is nothing left to do"


@pytest.mark.parametrize("forgotten", ["model", "holdout", "profile", "code", "libraries", "manifest", "data"])
def test_a_holder_that_is_forgotten_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    """A collection that overlooks one kind of holder loses something, and the look above sees it."""
    add = holders.Holders.add

    def forget(self: holders.Holders, kind: str, by: str, digests: Any, *, keeps: bool = True) -> None:
        if kind not in (forgotten, *(["candidate"] if forgotten in ("model", "holdout") else [])):
            add(self, kind, by, digests, keeps=keeps)

    monkeypatch.setattr(holders.Holders, "add", forget)
    collected(stage, 7, RetentionSection(), 2)
    assert registered.missing(stage.resources) != []
