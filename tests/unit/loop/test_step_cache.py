"""Results of steps that another run takes: what is a hit, what is a miss, and how long they are kept."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ratchet import clock
from ratchet.loop import datasets, registry, retention, step_cache, training
from ratchet.loop import projects as declared
from ratchet.loop.frames import write_parquet
from ratchet.records import Event, Run
from ratchet.store.addresses import address_of, open_artifacts
from ratchet.store.schema import step_result
from tests import projects
from tests.buckets import Bucket
from tests.loops import BrokenOff, FakeContext, Stage

HELPER = "def share() -> int:\n    return 4\n"
CODE = projects.CODE.replace("import ratchet as rt\n", "import ratchet as rt\n\nimport parts\n").replace(
    "rows.index % 4", "rows.index % parts.share()"
)
ALL_CACHED = {"split": True, "train": True}
NONE_CACHED = {"split": False, "train": False}

Runner = Callable[..., Run]


@pytest.fixture
def run(stage: Stage) -> Runner:
    """Write the project's files, change what a test says, carry a run out, and return its row."""
    count = iter(range(100))

    def make(
        code: str = CODE,
        *,
        helper: str = HELPER,
        settings: str = projects.SETTINGS,
        no_cache: bool = False,
        **chosen: Any,
    ) -> Run:
        folder = stage.resources.project
        if not (folder / "pipeline.py").exists():
            projects.write_project(folder, settings=settings)
        (folder / "pipeline.py").write_text(code)
        (folder / "parts.py").write_text(helper)
        stage.configure(settings)
        with stage.command(f"run{next(count)}"):
            declared.declare(stage.resources, declared.current(stage.resources)[1])
            queued: Event = training.start_run(stage.resources, "churn", chosen, no_cache=no_cache)
        stage.runs.work("run")
        return registry.run(stage.database, queued.subject)

    return make


def cached(run: Run) -> dict[str, bool]:
    """Return which of a run's steps were taken from another."""
    return {cost["step"]: cost.get("cached", False) for cost in run.costs}


def test_the_same_again_is_taken(run: Runner, stage: Stage) -> None:
    """Result and verdict are the same; what was not computed cost nothing, and the ledger says whose work it was."""
    first, second = run(), run()
    assert (cached(first), cached(second)) == (NONE_CACHED, ALL_CACHED)
    assert first.candidate == second.candidate
    assert first.metrics == second.metrics
    assert {cost["from_run"] for cost in second.costs} == {first.id}
    assert [cost["result"] for cost in first.costs] == [cost["result"] for cost in second.costs]
    assert {cost[name] for cost in second.costs for name in ("cpu_seconds", "wall_seconds", "peak_memory_mb")} == {0}
    events = [event for event in stage.events("cost.recorded") if event.subject == second.id]
    assert len(events) == 6
    assert all(event.data["cached"] and not event.data["qty"] for event in events)
    before, after = stage.events("run.finished")
    assert after.data["cached"] == [{"step": name, "from_run": first.id} for name in ("split", "train")]
    assert "cached" not in before.data
    assert not any("cached" in event.data for event in stage.events("cost.recorded") if event.subject == first.id)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"helper": HELPER.replace("4", "5")}, NONE_CACHED),
        ({"helper": HELPER + "\n\ndef unrelated() -> int:\n    return 5\n"}, "train"),
        ({"code": CODE.replace("LogisticRegression(C=strength)", "LogisticRegression(C=strength / 2)")}, "split"),
        ({"code": CODE.replace('FEATURES = ["visits", "spend"', 'FEATURES = ["spend", "visits"')}, "split"),
        ({"code": CODE.replace('"""Propose a model."""', '"""Propose another."""')}, ALL_CACHED),
        ({"strength": 0.5}, "split"),
        ({"code": CODE.replace("strength: float = 1.0)", "strength: float = 1.0, seed: int = 3)")}, NONE_CACHED),
        ({"no_cache": True}, NONE_CACHED),
        ({"settings": projects.SETTINGS + "\n[cache]\nsteps = false\n"}, NONE_CACHED),
        ({"code": CODE.replace("@rt.step\ndef split", "@rt.step(cache=False)\ndef split")}, "train"),
    ],
)
def test_what_changes_is_computed_again(run: Runner, change: dict[str, Any], expected: Any) -> None:
    """A helper, a step, a constant, a parameter, the seed; not the body, and not what gets the same as before."""
    run()
    found = cached(run(**change))
    assert found == (expected if isinstance(expected, dict) else {name: name == expected for name in found})


def test_an_unrelated_file_changes_nothing(run: Runner, stage: Stage) -> None:
    """Although the code's version is another one."""
    first = run()
    (stage.resources.project / "other.py").write_text("def other() -> int:\n    return 1\n")
    second = run()
    assert first.snapshot != second.snapshot
    assert cached(second) == ALL_CACHED


def test_new_data_is_computed(run: Runner, stage: Stage) -> None:
    """A dataset counts by its content."""
    run()
    write_parquet(stage.resources.project / "data" / "2026-02.parquet", projects.customers(100, first=900))
    with stage.command("scan"):
        datasets.scan(stage.resources, "customers")
    assert cached(run()) == NONE_CACHED


def test_a_step_that_failed_is_tried_again(run: Runner) -> None:
    """What it had computed before is taken, what raised is not."""
    failing = CODE.replace("    encode =", '    raise ValueError("no luck")\n    encode =')
    first, second = run(failing), run(failing)
    assert (first.status, second.status) == ("failed", "failed")
    assert cached(second) == {"split": True, "train": False}
    assert "no luck" in second.error


@pytest.mark.parametrize("harm", [projects.damage, lambda path: path.unlink()])
def test_a_result_that_is_damaged_or_gone_is_made_again(run: Runner, stage: Stage, harm: Callable[[Any], Any]) -> None:
    """Never an error; and whoever comes next takes what was made again."""
    first = run()
    assert first.candidate is not None, first.error
    path = stage.resources.artifacts.path(first.candidate["model"]["sha256"])
    harm(path)
    second = run()
    assert cached(second) == {"split": True, "train": False}
    assert second.candidate == first.candidate
    third = run()
    assert {cost["from_run"] for cost in third.costs if cost["step"] == "train"} == {second.id}


def test_a_run_without_cache_renews_what_is_kept(run: Runner) -> None:
    """Whoever doubts a kept result replaces it."""
    run()
    second = run(no_cache=True)
    assert {cost["from_run"] for cost in run().costs} == {second.id}


def test_what_was_computed_among_other_libraries_is_not_kept(run: Runner, stage: Stage) -> None:
    """A process elsewhere makes a key of its own, and what it gave stands for nothing here where the two differ."""
    log = step_cache.StepLog(stage.resources, run())
    request = {"op": "step", "index": 0, "name": "split", "cache": {"key": "ours"}}
    done = {"value": {"storer": "json", "sha256": "0"}, "cost": {}}
    same = log.answer(request, lambda: {**done, "note": {"keep": "ours"}})
    other = log.answer(request, lambda: {**done, "note": {"keep": "theirs"}})
    assert same["key"] == "ours"
    assert "key" not in other
    log.take(request, other)
    assert "other libraries" in log.costs[0]["not_kept"]


def test_why_a_result_is_not_kept_is_said(run: Runner) -> None:
    """In the row of the run."""
    reading = CODE.replace(
        '    """Fit a small model."""', '    open("/tmp").close() if rows is None else open(__file__)'
    )
    clocked = CODE.replace('    """Fit a small model."""', "    pd.Timestamp.now()")
    found = {cost["step"]: cost.get("not_kept", "") for cost in run(clocked).costs}
    assert found == {"split": "", "train": "it reads the clock (now)"}
    assert {cost.get("not_kept", "") for cost in run(reading).costs} == {""}


def test_a_run_that_was_cancelled_leaves_what_it_had_done(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was computed until then is good for the next."""
    slow = CODE.replace("    encode =", "    __import__('time').sleep(60)\n    encode =")

    def is_cancelled(context: FakeContext) -> bool:
        return any(name.startswith("split@") for name in context.recorded_steps())

    with monkeypatch.context() as patched:
        patched.setattr(FakeContext, "is_cancelled", is_cancelled)
        assert run(slow).status == "running"  # whoever cancels it says so in its row
    assert cached(run()) == {"split": True, "train": False}


def test_a_broken_off_run_asks_the_cache_once(run: Runner, stage: Stage) -> None:
    """What was taken is recorded like what was computed: a second attempt goes on with it, whatever is kept by then."""
    first = run()
    with stage.command("again"):
        queued = training.start_run(stage.resources, "churn", {})
    job = stage.runs.jobs[f"run:{queued.subject}"]
    asked: list[str] = []

    def break_off(name: str) -> bool:
        asked.append(name)
        return name.startswith("train") and len(asked) < 4

    with pytest.raises(BrokenOff):
        stage.runs.work("run", break_off=break_off)
    with stage.database.write() as transaction:
        step_cache.forget(transaction, unused_since=clock.now() + timedelta(days=1))
    stage.runs.work("run")
    second = registry.run(stage.database, queued.subject)
    assert job.is_done
    assert cached(second) == {"split": True, "train": False}
    assert second.candidate == first.candidate


def test_what_nobody_used_for_long_goes(run: Runner, stage: Stage) -> None:
    """With the run that ends next; what it has taken stays."""
    week = projects.SETTINGS + "\n[cache]\ndays = 7\n"
    run(settings=week, strength=1.0)
    run(settings=week, strength=2.0)

    def rows() -> int:
        with stage.database.read() as connection:
            return len(connection.execute(step_result.select()).all())

    assert rows() == 3
    with stage.database.write() as transaction:
        old = clock.to_us(clock.now() - timedelta(days=8))
        transaction.execute(step_result.update().values(used_us=old))
    assert cached(run(settings=week, strength=1.0)) == ALL_CACHED
    assert rows() == 2


def test_what_is_kept_is_held(run: Runner, stage: Stage) -> None:
    """Its artifacts are not orphans, however old; once forgotten, they are."""
    run()
    with stage.database.read() as connection:
        held = step_cache.held(connection)
    assert len(held) == 3
    for sha256 in stage.resources.artifacts.all():
        os.utime(stage.resources.artifacts.path(sha256), (0, 0))
    assert held.isdisjoint(retention.collect(stage.resources).artifacts)
    with stage.database.write() as transaction:
        assert step_cache.forget(transaction, unused_since=clock.now() + timedelta(days=1)) == 2
    assert held.intersection(retention.collect(stage.resources).artifacts)


def test_a_result_that_cannot_be_had_is_computed_again(
    run: Runner, stage: Stage, tmp_path: Path, bucket: Bucket
) -> None:
    """A store that does not answer makes a result doubtful, and a doubtful one is never an error."""
    run()
    with stage.database.read() as connection:
        key = connection.execute(select(step_result.c.key)).scalars().first()
    assert key is not None
    assert step_cache.find(stage.resources, key) is not None
    address = address_of(bucket.url, project=tmp_path, state=tmp_path / "elsewhere", cache_bytes=1 << 30)
    stage.resources.artifacts = open_artifacts(address)
    bucket.stop()
    try:
        assert step_cache.find(stage.resources, key) is None
    finally:
        bucket.start()
