"""Runs: from a request to a registered version that went to its gate, resumable at every step.

Invariant: every run ends at the gate or says why it did not; what it used and made is kept whether it passed or not;
all its events follow from the event that queued it.
"""

import logging
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock, origin
from ratchet.config import Config
from ratchet.engine.executors import Session, Task, asked_for
from ratchet.engine.queues import RUNS, Limit
from ratchet.engine.runs import JobContext
from ratchet.errors import (
    NondeterministicPipeline,
    ParameterMissing,
    ParameterUnknown,
    RatchetError,
    RunCancelled,
    RunOver,
)
from ratchet.loop import (
    datasets,
    fitness,
    placement,
    projects,
    registry,
    repeats,
    run_endings,
    run_environments,
    run_logs,
)
from ratchet.loop.pipelines import PipelineDeclaration
from ratchet.loop.resources import Resources
from ratchet.loop.step_cache import StepLog
from ratchet.records import Event, ModelVersion, Run, derive_id

_log = logging.getLogger(__name__)
# Steps behind which nothing comes; each says how the run ended.
_ENDS = ("gate", "check", "finish", "fail")


# ---- asking for a run


def start_run(
    resources: Resources, pipeline: str, parameters: dict[str, Any] | None = None, *, no_cache: bool = False
) -> Event:
    """Queue a run of a pipeline on its datasets' latest versions; inside an origin with a key.

    Args:
        pipeline: Its name.
        parameters: Those that are not to have their defaults.
        no_cache: Whether each step is computed, whatever results are kept.

    Returns:
        The event ``run.queued``; at a repeat with the same key the first one.

    Raises:
        UnknownName: No such pipeline.
        ParameterUnknown: The pipeline takes no such parameter.
        ParameterMissing: The pipeline cannot do without one that was not given.
        NoData: A dataset has no version.
        BudgetSpent: A budget that it would be charged to is used up, and says that nothing more is started.
    """
    snapshot, project = projects.current(resources)
    declaration = projects.pipeline_of(project, pipeline)
    chosen = _check_parameters(declaration, parameters or {})
    versions = {name: datasets.latest(resources, dataset) for name, dataset in declaration.datasets.items()}
    run = _new_run(
        resources,
        pipeline,
        parameters=chosen,
        snapshot=snapshot,
        inputs={name: version.name for name, version in versions.items()},
        input_digests={name: version.manifest for name, version in versions.items()},
        seed=int(chosen.get("seed") or 0),
        no_cache=no_cache,
    )
    return _queue(resources, run)


def repeat_run(resources: Resources, run_id: str, changes: dict[str, Any] | None = None) -> Event:
    """Queue a run that does again what another one did: the same code, data, parameters and seed; inside an origin.

    With nothing changed it is a check: it says what came out otherwise, and registers nothing.

    Args:
        run_id: The run, or the beginning of its id.
        changes: Parameters that are to be others.

    Returns:
        The event ``run.queued``.

    Raises:
        UnknownName: No such run.
        ParameterUnknown: It took no such parameter.
        ArtifactMissing: Its code or its data are no longer there; ``ArtifactCorrupt`` alike.
        BudgetSpent: As for any run.
    """
    first = registry.run(resources.database, run_id)
    while first.repeats and repeats.is_check(first, before := registry.run(resources.database, first.repeats)):
        first = before  # a check has made nothing of its own that could be made again
    unknown = sorted(set(changes or {}) - set(first.parameters))
    if unknown:
        known = ", ".join(first.parameters) or "none"
        raise ParameterUnknown(pipeline=first.pipeline, name=unknown[0], known=known)
    for sha256 in (first.snapshot, *first.input_digests.values()):
        resources.artifacts.checked_path(sha256)
    chosen = {**first.parameters, **(changes or {})}
    run = _new_run(
        resources,
        first.pipeline,
        parameters=chosen,
        snapshot=first.snapshot,
        inputs=first.inputs,
        input_digests=first.input_digests,
        seed=int(chosen["seed"] or 0) if "seed" in (changes or {}) else first.seed,
        no_cache=True,
        repeats=first.id,
    )
    return _queue(resources, run)


def _new_run(resources: Resources, pipeline: str, **values: Any) -> Run:
    source = origin.current()
    assert source is not None, "a run is queued inside an origin"
    assert source.key, "a run is queued inside an origin with a key"
    return Run(
        id=derive_id("run", source.key, pipeline),
        pipeline=pipeline,
        status="queued",
        lock=resources.artifacts.write(run_environments.lock()),
        hardware=run_environments.hardware(),
        queued_at=clock.now(),
        queued_event=derive_id(source.key, "run.queued", pipeline),
        **values,
    )


def _queue(resources: Resources, run: Run) -> Event:
    source = origin.current()
    assert source is not None, "a run is queued inside an origin"
    if resources.ledger.get(run.queued_event) is None:
        # What was let in stays let in, when the work is done again after a crash.
        resources.admit_run(run.pipeline, source.actor)
    data = {"repeats": run.repeats} if run.repeats else {}
    with resources.database.write() as transaction:
        queued = run_endings.append(resources, transaction, run, "run.queued", data, event_id=run.queued_event)
        # At a repeat the run may be under way already, and its row far ahead.
        registry.add_run(transaction, run)
        resources.runs.enqueue(transaction, "run", f"run:{run.id}", {"run_id": run.id})
        resources.database.conclude(transaction)
    return queued


def _check_parameters(declaration: PipelineDeclaration, parameters: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(parameters) - set(declaration.parameters))
    if unknown:
        known = ", ".join(declaration.parameters) or "none"
        raise ParameterUnknown(pipeline=declaration.name, name=unknown[0], known=known)
    missing = [name for name in declaration.required if parameters.get(name) is None]
    if missing:
        raise ParameterMissing(pipeline=declaration.name, name=missing[0])
    return {**declaration.parameters, **parameters}


def cancel_run(resources: Resources, run_id: str) -> Event:
    """Stop a run that is queued or running; inside an origin.

    Raises:
        UnknownName: No such run.
        RunOver: It has ended by itself.
    """
    run = registry.run(resources.database, run_id)
    source = origin.current()
    assert source is not None, "a run is cancelled inside an origin"
    by = {"authtype": source.actor.authtype, "authid": source.actor.authid, "command": source.cause}
    with resources.database.write() as transaction:
        error = str(RunCancelled(run_id=run.id))
        finished = run_endings.finish(resources, transaction, run, outcome="cancelled", error=error, cancelled_by=by)
    if finished.data["outcome"] != "cancelled":
        raise RunOver(run_id=run.id, outcome=finished.data["outcome"])
    resources.runs.cancel(f"run:{run.id}")
    placement.cancel(resources, run.id)
    return finished


# ---- carrying a run out


def limits(settings: Config) -> dict[str, Limit]:
    """Return what all machines together may do at a time, by line of jobs."""
    section = settings.runs
    return {RUNS.name: Limit(at_once=section.at_once, starts=section.starts, seconds=section.seconds)}


def carry_out(resources: Resources, context: JobContext, spec: dict[str, Any]) -> str:
    """Carry out a queued run; the job ``run``.

    Returns:
        How it ended: ``pass`` or ``fail`` at the gate, ``success`` without candidate, ``failed`` or ``cancelled``.
    """
    with resources.carrying_out(spec["run_id"]):
        return _carry_out(resources, context, spec["run_id"])


def _carry_out(resources: Resources, context: JobContext, run_id: str) -> str:
    run = registry.run(resources.database, run_id)
    steps = StepLog(resources, run)
    try:
        with closing(_session(resources, context, run)) as session:
            if run.status != "cancelled":
                _load_early(resources, context, run, session)
            context.step("start", lambda: _start(resources, run_id))
            run = registry.run(resources.database, run_id)
            return "cancelled" if run.status == "cancelled" else _body_and_gate(resources, context, run, steps, session)
    except RunCancelled:
        return _end_cancelled(resources, run_id, steps)
    except RatchetError as error:
        message, trace = str(error), getattr(error, "traceback", "")
    except Exception as error:  # noqa: BLE001, the border of the worker
        # A fault of ours must end the run visibly, not leave it running for ever.
        _log.exception("run %s failed", run_id)
        message, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
    ended = _end_by_what_is_recorded(resources, context, run_id)
    return ended or str(context.step("fail", lambda: _fail(resources, run_id, message, trace, steps)))


def _load_early(resources: Resources, context: JobContext, run: Run, session: Session) -> None:
    """Have a child load the code while the start is recorded; what is wrong with the log shows behind the start."""
    with suppress(OSError):
        run_logs.begin(resources, run.id, steps_before=_body_steps(context))
        session.begin()


def _session(resources: Resources, context: JobContext, run: Run) -> Session:
    task = Task(
        name=run.pipeline,
        entry="ratchet.loop.pipelines:body",
        spec={
            **projects.child_spec(resources, run.snapshot),
            "pipeline": run.pipeline,
            "parameters": run.parameters,
            "datasets": {name: (run.inputs[name], run.input_digests[name]) for name in run.inputs},
            "seed": run.seed,
            "cache": resources.config.cache.steps,
        },
        log=str(run_logs.path_of(resources, run.id)),
    )
    return Session(resources.zygotes, task, limits=resources.limits, is_cancelled=context.is_cancelled)


def _end_by_what_is_recorded(resources: Resources, context: JobContext, run_id: str) -> str:
    """Say how a run has ended where an attempt that was broken off came further than this one; ``""`` where none did.

    What keeps an attempt from coming as far, such as children that are killed again and again, is no failure of a run
    whose candidate was registered.
    """
    passed = dict(context.catch_up())
    ended = [str(passed[name]) for name in _ENDS if name in passed]
    if ended or "score" not in passed:
        return ended[0] if ended else ""
    with resources.database.read() as connection:
        if registry.model_version_of_run(connection, run_id) is None:
            return ""
    if "register" not in passed:
        context.step("register", lambda: True)
    return str(context.step("gate", lambda: _judge(resources, run_id, passed["score"])))


def _body_and_gate(resources: Resources, context: JobContext, run: Run, steps: StepLog, session: Session) -> str:
    result = _converse(resources, context, run, steps, session)
    candidate = result["candidate"]
    first = registry.run(resources.database, run.repeats) if run.repeats else None
    if first is not None and repeats.is_check(run, first):
        found = repeats.differences(first, steps.costs, candidate)
        return str(context.step("check", lambda: _succeed(resources, run.id, steps, differences=found)))
    if candidate is None:
        return str(context.step("finish", lambda: _succeed(resources, run.id, steps)))
    return _to_the_gate(resources, context, run, candidate, steps)


def _to_the_gate(resources: Resources, context: JobContext, run: Run, candidate: dict[str, Any], steps: StepLog) -> str:
    scores = context.step("score", lambda: _score(resources, run, candidate))
    if "error" in scores:
        return str(context.step("fail", lambda: _fail(resources, run.id, scores["error"], "", steps)))
    if not context.step("register", lambda: _register(resources, run.id, candidate, scores, steps)):
        return "cancelled"
    return str(context.step("gate", lambda: _judge(resources, run.id, scores)))


def _end_cancelled(resources: Resources, run_id: str, steps: StepLog) -> str:
    """Record of a run that was broken off what only the process knows that carried it out: costs, log and results."""
    run = registry.run(resources.database, run_id)
    log = run_logs.keep(resources, run_logs.path_of(resources, run_id))
    with resources.database.write() as transaction:
        if run.status == "cancelled":
            run_endings.finish(resources, transaction, run, outcome="cancelled", steps=steps, log=log)
        else:
            steps.keep(transaction)
    return "cancelled"


def _start(resources: Resources, run_id: str) -> None:
    run = registry.run(resources.database, run_id)
    if run.status != "queued":
        return
    with resources.database.write() as transaction:
        run_endings.append(resources, transaction, run, "run.started", {})
        registry.put_run(transaction, msgspec.structs.replace(run, status="running", started_at=clock.now()))


def _converse(resources: Resources, context: JobContext, run: Run, steps: StepLog, session: Session) -> Any:
    recorded_before = _body_steps(context)
    run_logs.begin(resources, run.id, steps_before=recorded_before)

    def record(request: dict[str, Any], execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        name = f"{request['name']}@{request['code']}"
        asked = asked_for(request)
        if "elsewhere" in request:
            execute = partial(placement.ask, resources, context, run, request)
        kept = context.step(name, lambda: {"request": asked, "answer": steps.answer(request, execute)})
        if kept["request"] != asked:
            raise NondeterministicPipeline(pipeline=run.pipeline, expected=str(kept["request"]), found=str(asked))
        return steps.take(request, kept["answer"])

    try:
        result = session.converse(record)
    except RatchetError:
        steps.break_off(session.broken_off)
        raise
    # DBOS sees a step that differs, but not a body that ends early.
    if session.steps < recorded_before:
        raise NondeterministicPipeline(
            pipeline=run.pipeline, expected=f"{recorded_before} steps", found=f"the end after {session.steps}"
        )
    return result


def _body_steps(context: JobContext) -> int:
    """Return how many steps of the body earlier attempts have recorded: their names carry the code's digest."""
    return sum(1 for name in context.recorded_steps() if "@" in name)


def _score(resources: Resources, run: Run, candidate: dict[str, Any]) -> dict[str, Any]:
    """Measure a candidate; what goes wrong in the model's own code is a result, not a reason to try again."""
    try:
        return fitness.score(resources, pipeline=run.pipeline, candidate=candidate)
    except RatchetError as error:
        return {"error": str(error)}


def _succeed(resources: Resources, run_id: str, steps: StepLog, *, differences: tuple[str, ...] | None = None) -> str:
    """Finish a run that has no candidate, such as one that only looks at data, or only does again what was done."""
    run = registry.run(resources.database, run_id)
    log = run_logs.keep(resources, run_logs.path_of(resources, run_id))
    with resources.database.write() as transaction:
        run_endings.finish(
            resources, transaction, run, outcome="success", steps=steps, log=log, differences=differences
        )
    return "success"


def _register(
    resources: Resources, run_id: str, candidate: dict[str, Any], scores: dict[str, Any], steps: StepLog
) -> bool:
    """Finish a run and register its candidate, in one transaction; not where somebody has cancelled it meanwhile."""
    run = registry.run(resources.database, run_id)
    log = run_logs.keep(resources, run_logs.path_of(resources, run_id))
    with resources.database.write() as transaction:
        if registry.model_version_of_run(transaction, run_id) is not None:
            return True
        finished = run_endings.finish(
            resources, transaction, run, outcome="success", steps=steps, log=log, candidate=candidate
        )
        if finished.data["outcome"] != "success":
            return False
        declaration = run_endings.declaration_of(transaction, run.pipeline)
        version = ModelVersion(
            model=declaration["model"],
            number=registry.next_model_number(transaction, declaration["model"]),
            run_id=run.id,
            pipeline=run.pipeline,
            artifact=candidate["model"]["sha256"],
            storer=candidate["model"]["storer"],
            inputs=tuple(candidate["inputs"]),
            output=scores["output"],
            profile=scores["profile"],
            holdout=candidate["holdout"]["sha256"],
            label=candidate["label"],
            data_until=_data_until(transaction, run),
            registered_at=clock.now(),
            event_id=derive_id(run.id, "model.version.registered"),
        )
        registry.add_model_version(transaction, version)
        _append_version_events(resources, transaction, run, version, finished)
    return True


def _append_version_events(
    resources: Resources, transaction: Connection, run: Run, version: ModelVersion, finished: Event
) -> None:
    with origin.use(origin.following(finished, key=run.id)):
        resources.ledger.append(
            transaction,
            Event(
                type="artifact.published",
                subject=version.artifact,
                id=derive_id(run.id, "artifact.published"),
                pipeline=run.pipeline,
                data={"digest": version.artifact, "kind": "model"},
            ),
            Event(
                type="model.version.registered",
                subject=version.name,
                id=version.event_id,
                pipeline=run.pipeline,
                data={
                    "model": version.model,
                    "version": version.name,
                    "run_id": run.id,
                    "artifact_digest": version.artifact,
                    "data_until": version.data_until,
                },
            ),
        )


def _data_until(connection: Connection, run: Run) -> str:
    untils = []
    for name in run.inputs.values():
        dataset, _, number = name.partition("@v")
        version = registry.dataset_version(connection, dataset, int(number))
        untils.append(version.data_until)
    return max(untils, default="")


def _judge(resources: Resources, run_id: str, scores: dict[str, Any]) -> str:
    run = registry.run(resources.database, run_id)
    with resources.database.write() as transaction:
        version = registry.model_version_of_run(transaction, run_id)
        assert version is not None, "a candidate is registered before it is judged"
        decision = fitness.judge(resources, transaction, version, scores)
        judged = msgspec.structs.replace(run, gate=decision, metrics=scores["metrics"], model_version=version.name)
        registry.put_run(transaction, judged)
    return decision


def _fail(resources: Resources, run_id: str, message: str, trace: str, steps: StepLog) -> str:
    run = registry.run(resources.database, run_id)
    if trace:
        run_logs.append(resources, run_id, trace)
    log = run_logs.keep(resources, run_logs.path_of(resources, run_id))
    with resources.database.write() as transaction:
        run_endings.finish(resources, transaction, run, outcome="failed", error=message, steps=steps, log=log)
    return "failed"
