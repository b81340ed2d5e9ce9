"""Runs: from a request to the gate, taken up again wherever they broke off, and all that they used is kept."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from ratchet.errors import NoData, ParameterMissing, ParameterUnknown, RunOver, UnknownName
from ratchet.loop import projects as declared
from ratchet.loop import registry, training
from ratchet.records import Event, Run
from tests import projects
from tests.loops import BrokenOff, Stage, once

FAILING = projects.CODE.replace("    encode =", '    raise ValueError("no luck")\n    encode =')
LOOKING = """import ratchet as rt


@rt.step
def count(customers: rt.Dataset) -> int:
    return len(customers.to_pandas())


@rt.pipeline(model="churn")
def churn(customers: rt.Dataset) -> int:
    return count(customers)
"""


@pytest.fixture
def make_project(stage: Stage) -> Callable[..., Stage]:
    """Write the project's files, and let it declare its pipeline."""

    def make(code: str = projects.CODE, *, settings: str = projects.SETTINGS) -> Stage:
        projects.write_project(stage.resources.project, code=code, settings=settings)
        stage.configure(settings)
        with stage.command("declare"):
            declared.declare(stage.resources, declared.current(stage.resources)[1])
        return stage

    return make


def start(stage: Stage, key: str = "start", **parameters: Any) -> Event:
    """Ask for a run by a command."""
    with stage.command(key):
        return training.start_run(stage.resources, "churn", parameters)


def row(stage: Stage, queued: Event) -> Run:
    """Return a run's row."""
    return registry.run(stage.database, queued.subject)


def test_a_run_ends_at_the_gate(make_project: Callable[..., Stage]) -> None:
    """All its events follow from the one that queued it; the row has what it used, made and cost."""
    stage = make_project()
    before = stage.ledger.last_seq()
    queued = start(stage, strength=0.5)
    stage.runs.work("run")
    assert stage.runs.jobs[f"run:{queued.subject}"].result == "pass"
    found = [event for event in stage.ledger.read(after=before) if event.type != "cost.recorded"]
    assert [event.type for event in found] == [
        "command.issued",
        "dataset.version.published",
        "run.queued",
        "run.started",
        "run.finished",
        "artifact.published",
        "model.version.registered",
        "fitness.suite.finished",
        "fitness.suite.finished",
        "gate.evaluated",
    ]
    assert {event.correlationid for event in found[2:]} == {queued.correlationid}
    causes = {event.id: event.causationid for event in found}
    chain = [found[-1].id]
    while causes.get(chain[-1]):
        chain.append(causes[chain[-1]])
    assert queued.id in chain
    run = row(stage, queued)
    assert (run.status, run.gate, run.model_version) == ("success", "pass", "churn@v1")
    assert run.parameters == {"strength": 0.5}
    assert run.inputs == {"customers": "customers@v1"}
    assert run.metrics["roc_auc"] > 0.6
    assert b"scikit-learn==" in stage.resources.artifacts.read(run.lock)
    assert run.hardware["cores"] >= 1


def test_each_step_has_its_costs(make_project: Callable[..., Stage]) -> None:
    """Three resources a step, by run and owner, in the ledger and in the row."""
    stage = make_project()
    queued = start(stage)
    stage.runs.work("run")
    costs = stage.events("cost.recorded")
    assert sorted((event.data["step"], event.data["resource"]) for event in costs) == sorted(
        (step, resource)
        for step in ("split", "train")
        for resource in ("cpu_seconds", "wall_seconds", "peak_memory_mb")
    )
    assert {event.data["owner"] for event in costs} == {"growth"}
    assert all(event.data["qty"] >= 0 for event in costs)
    finished = stage.events("run.finished")[0]
    assert {event.causationid for event in costs} == {finished.id}
    assert [cost["step"] for cost in row(stage, queued).costs] == ["split", "train"]


def test_the_end_of_a_run_says_what_it_takes_to_do_it_again(make_project: Callable[..., Stage]) -> None:
    """Code, inputs, parameters, seed and environment stand in the event; a damaged lock names no environment."""
    stage = make_project()
    queued = start(stage)
    stage.runs.work("run")
    data = stage.events("run.finished")[0].data
    assert all(data[name] for name in ("code_sha", "inputs", "params_digest"))
    assert data["seed"] == row(stage, queued).seed
    assert data["environment"]["frameworks"][0] == "scikit-learn"
    assert any(library.startswith("numpy==") for library in data["environment"]["libraries"])
    assert not any(library.startswith("python==") for library in data["environment"]["libraries"])
    again = start(stage, key="again")
    projects.damage(stage.resources.artifacts.path(row(stage, again).lock))
    stage.runs.work("run")
    assert stage.events("run.finished")[-1].data["environment"] == {}


def test_the_version_knows_where_it_comes_from(make_project: Callable[..., Stage]) -> None:
    """Run, inputs, latest moment of its data, profile and holdout."""
    stage = make_project()
    queued = start(stage)
    stage.runs.work("run")
    with stage.database.read() as connection:
        version = registry.model_version(connection, "churn@v1")
        dataset = registry.latest_dataset_version(connection, "customers")
    assert version.run_id == queued.subject
    assert [one["name"] for one in version.inputs] == list(projects.FEATURES)
    assert dataset is not None
    assert version.data_until == dataset.data_until
    assert stage.resources.artifacts.read(version.profile)
    assert stage.resources.artifacts.read(version.holdout)


def test_a_failed_run_keeps_what_it_used(make_project: Callable[..., Stage]) -> None:
    """Data, code and settings are there for whoever looks for the cause; the log has the traceback."""
    stage = make_project(FAILING)
    queued = start(stage)
    stage.runs.work("run")
    run = row(stage, queued)
    assert run.status == "failed"
    assert run.error == "Step 'train' failed: ValueError: no luck (its traceback is in .ratchet/logs)"
    assert run.inputs == {"customers": "customers@v1"}
    assert stage.resources.artifacts.read(run.snapshot)
    assert stage.events("run.finished")[0].data["error"] == run.error
    assert [cost["step"] for cost in run.costs] == ["split", "train"]
    log = (stage.resources.logs / "runs" / f"{run.id}.log").read_text()
    assert "pipeline.py" in log
    assert "no luck" in log
    assert registry.model_versions(stage.database) == []


def test_what_a_run_printed_is_kept_however_it_ends(make_project: Callable[..., Stage]) -> None:
    """With the traceback of the one that failed; one that printed nothing keeps nothing."""
    stage = make_project(FAILING.replace("    raise", '    print("on my way")\n    raise'))
    failed = start(stage)
    stage.runs.work("run")
    log = row(stage, failed).log
    assert log is not None
    text = stage.resources.artifacts.read(log.sha256).decode()
    assert text.startswith("on my way")
    assert "ValueError: no luck" in text
    make_project(LOOKING.replace("    return len", '    print("looking")\n    return len'))
    looked = start(stage, "look")
    make_project()
    quiet = start(stage, "quiet")
    stage.runs.work("run")
    log = row(stage, looked).log
    assert log is not None
    assert stage.resources.artifacts.read(log.sha256) == b"looking\n"
    assert (row(stage, quiet).status, row(stage, quiet).log) == ("success", None)


def test_a_model_that_cannot_be_measured_fails_its_run(make_project: Callable[..., Stage]) -> None:
    """What goes wrong in the model's own code is told, and not tried again for ever."""
    code = projects.CODE.replace("holdout=holdout", 'holdout=holdout.assign(visits="many")')
    stage = make_project(code=code)
    queued = start(stage)
    stage.runs.work("run")
    run = row(stage, queued)
    assert run.status == "failed"
    assert "could not convert string to float" in run.error


def test_a_label_of_three_classes_fails_its_gate(make_project: Callable[..., Stage]) -> None:
    """The run has done its work; the gate says what is wrong with the label."""
    stage = make_project(code=projects.CODE.replace('label="left"', 'label="plan"'))
    queued = start(stage)
    stage.runs.work("run")
    assert (row(stage, queued).status, row(stage, queued).gate) == ("success", "fail")
    assert "label 'plan' has more than two classes" in stage.events("gate.evaluated")[0].data["reason"]


def test_a_fault_of_ours_ends_the_run_visibly(
    make_project: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not stay under way for ever: the run says why, and its log has the traceback."""
    stage = make_project()
    queued = start(stage)

    def broken(*_args: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(training, "_register", broken)
    stage.runs.work("run")
    run = row(stage, queued)
    assert (run.status, run.error) == ("failed", "KeyError: 'no such thing'")
    assert "in broken" in (stage.resources.logs / "runs" / f"{run.id}.log").read_text()


def test_a_run_may_end_without_a_candidate(make_project: Callable[..., Stage]) -> None:
    """One that only looks at data registers nothing and meets no gate."""
    stage = make_project(LOOKING)
    queued = start(stage)
    stage.runs.work("run")
    assert row(stage, queued).status == "success"
    assert "gate.evaluated" not in stage.types()


def test_parameters_are_checked_before_anything_is_queued(make_project: Callable[..., Stage]) -> None:
    """The message lists those that the pipeline takes."""
    stage = make_project()
    with pytest.raises(ParameterUnknown, match=r"no parameter 'depth'. It takes: strength"):
        start(stage, depth=3)
    with stage.command("other"), pytest.raises(UnknownName, match=r"No pipeline named 'value'. Known: churn"):
        training.start_run(stage.resources, "value")
    assert stage.runs.jobs == {}


def test_a_parameter_without_a_value_is_asked_for(make_project: Callable[..., Stage]) -> None:
    """A dataset whose type was forgotten is not handed over as nothing: the message says how to write it."""
    stage = make_project(projects.CODE.replace("customers: rt.Dataset, strength", "customers, strength"))
    with pytest.raises(ParameterMissing, match=r"write .customers: rt.Dataset. where the function"):
        start(stage)
    assert stage.runs.jobs == {}
    assert "run.queued" not in stage.types()


def test_without_data_nothing_is_queued(make_project: Callable[..., Stage]) -> None:
    """The message says where a file is looked for."""
    stage = make_project()
    (stage.resources.project / "data" / "2026-01.parquet").unlink()
    with pytest.raises(NoData, match="Put a file there"):
        start(stage)


def test_a_request_that_is_repeated_leaves_the_run_alone(make_project: Callable[..., Stage]) -> None:
    """Killed behind the commit: the run may have ended meanwhile, and its row must not go back to queued."""
    stage = make_project()
    queued = start(stage)
    stage.runs.work("run")
    before = row(stage, queued)
    assert start(stage) == queued
    assert row(stage, queued) == before
    assert len(stage.runs.jobs) == 1


@pytest.mark.parametrize("step", ["start", "split", "train", "score", "register", "gate"])
def test_a_run_that_broke_off_ends_the_same(make_project: Callable[..., Stage], step: str) -> None:
    """Killed behind any step, before it is recorded: each event once, and finished steps are not run again."""
    stage = make_project()
    queued = start(stage)
    waiting = once(step)
    with pytest.raises(BrokenOff):
        stage.runs.work("run", break_off=lambda name: waiting(name.partition("@")[0]))
    stage.runs.work("run")
    run = row(stage, queued)
    assert (run.status, run.gate) == ("success", "pass")
    types = stage.types()
    for kind in ("run.started", "run.finished", "model.version.registered", "gate.evaluated"):
        assert types.count(kind) == 1
    assert types.count("cost.recorded") == 6
    finished = stage.events("run.finished")[0]
    assert finished.causationid == stage.events("run.started")[0].id


class DyingChildren:
    """Children that are gone before they say a word."""

    is_ready = True

    def new_child(self) -> socket.socket:
        """Give one end of a connection whose other end is closed."""
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    def exit_reason(self, _pid: int) -> str:
        """Say how a child ended."""
        return "signal 9"


@pytest.mark.parametrize(
    ("step", "status", "gate", "result"),
    [
        ("start", "failed", "", "failed"),
        ("train", "failed", "", "failed"),
        ("score", "failed", "", "failed"),
        ("register", "success", "pass", "pass"),
        ("gate", "success", "pass", "pass"),
        ("", "success", "pass", "pass"),
    ],
)
def test_a_replay_that_comes_less_far_ends_the_run(
    make_project: Callable[..., Stage], step: str, status: str, gate: str, result: str
) -> None:
    """Its children die, other than those of the attempt before it: the run ends once, by what was recorded."""
    stage = make_project()
    queued = start(stage)
    waiting = once(step)
    if step:
        with pytest.raises(BrokenOff):
            stage.runs.work("run", break_off=lambda name: waiting(name.partition("@")[0]))
    else:
        stage.runs.work("run")
        stage.runs.jobs[f"run:{queued.subject}"].is_done = False
    stage.resources.zygotes = DyingChildren()  # type: ignore[assignment]
    stage.runs.work("run")
    run = row(stage, queued)
    assert (run.status, run.gate) == (status, gate)
    assert stage.runs.jobs[f"run:{queued.subject}"].result == result
    for kind in ("run.started", "run.finished"):
        assert stage.types().count(kind) == 1


def test_a_run_can_be_cancelled_while_it_waits(make_project: Callable[..., Stage]) -> None:
    """Its job is told, and what comes too late changes nothing."""
    stage = make_project()
    queued = start(stage)
    for key in ("cancel", "again"):
        with stage.command(key):
            finished = training.cancel_run(stage.resources, queued.subject[:10])
        assert finished.data["outcome"] == "cancelled"
        by = stage.events("run.finished")[0].data["cancelled_by"]
        assert (by["authtype"], by["authid"]) == ("user", "anna")
        assert by["command"] in [event.id for event in stage.events("command.issued")]
    assert stage.runs.cancelled[0] == f"run:{queued.subject}"
    assert row(stage, queued).status == "cancelled"
    stage.runs.work("run")
    assert row(stage, queued).status == "cancelled"
    assert stage.types().count("run.finished") == 1
    assert "run.started" not in stage.types()


def test_a_run_that_is_cancelled_under_way_registers_nothing(make_project: Callable[..., Stage]) -> None:
    """However late it comes: a version of a cancelled run never meets the gate."""
    stage = make_project()
    queued = start(stage)

    def cancel(name: str) -> bool:
        if name == "score":
            with stage.command("cancel"):
                training.cancel_run(stage.resources, queued.subject)
        return False

    stage.runs.work("run", break_off=cancel)
    run = row(stage, queued)
    assert run.status == "cancelled"
    assert "was cancelled" in run.error
    assert registry.model_versions(stage.database) == []
    assert stage.runs.jobs[f"run:{queued.subject}"].result == "cancelled"
    # What it had cost is known only now, and follows from the end that is in the ledger already.
    assert [cost["step"] for cost in run.costs] == ["split", "train"]
    costs, finished = stage.events("cost.recorded"), stage.events("run.finished")
    assert [event.causationid for event in costs] == [finished[0].id] * 6
    # Another run begins where it was broken off.
    again = start(stage, "again")
    stage.runs.work("run")
    assert [bool(cost.get("cached")) for cost in row(stage, again).costs] == [True, True]


def test_a_run_that_is_over_cannot_be_cancelled(make_project: Callable[..., Stage]) -> None:
    """Its row keeps candidate and costs."""
    stage = make_project()
    queued = start(stage)
    stage.runs.work("run")
    before = row(stage, queued)
    with stage.command("cancel"), pytest.raises(RunOver, match=r"is over \(success\)"):
        training.cancel_run(stage.resources, queued.subject)
    assert row(stage, queued) == before
