"""Steps that are carried out elsewhere: by a process that has what they need, on this machine or another.

Invariant: the run that asked gets one answer, the same one however often it asks and whoever dies meanwhile; a run
that is cancelled ends its steps wherever they are.
"""

from typing import Any

import msgspec

from ratchet import clock
from ratchet.engine.capacity import Demand
from ratchet.engine.executors import Session, Task
from ratchet.engine.runs import STEP_JOB, JobContext
from ratchet.errors import RatchetError, RunCancelled, StepFailed
from ratchet.loop import projects, ray_steps, run_logs
from ratchet.loop.resources import Resources
from ratchet.records import Run, RunLog

_FIRST_LOOK_SECONDS = 0.01
_LONGEST_LOOK_SECONDS = 0.5
_UNDER_WAY = ("ENQUEUED", "PENDING", "DELAYED", "UNKNOWN")


def ask(resources: Resources, context: JobContext, run: Run, request: dict[str, Any]) -> dict[str, Any]:
    """Have a step of a run carried out elsewhere and wait for the answer: value or error, and cost.

    Raises:
        RunCancelled: Somebody cancelled the run.
        ChildDied: The process that carried it out died too often; ``StepTimeout`` and ``MemoryExceeded`` alike.
        RayUnusable: The cluster that it asks for did not carry it out.
    """
    if request["elsewhere"]["executor"] == "ray":
        return ray_steps.ask(resources, context, run, request)
    job = _job(run.id, request["index"])
    demand = msgspec.convert(request["elsewhere"]["demand"], Demand)
    spec = {"run_id": run.id, "snapshot": run.snapshot, "seed": run.seed, "request": request}
    with resources.database.write() as transaction:
        resources.runs.enqueue(transaction, STEP_JOB, job, spec, demand=demand)
    pause = _FIRST_LOOK_SECONDS
    while True:
        status, result = resources.runs.outcome(job)
        if status == "SUCCESS":
            return _answer(resources, run, request, dict(result))
        if context.is_cancelled() or status == "CANCELLED":
            raise RunCancelled(run_id=run.id)
        if status not in _UNDER_WAY:
            raise _error_of(result, step=request["name"])
        clock.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)


def _answer(resources: Resources, run: Run, request: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Take what the step printed into the log of its run, and return the rest.

    Raises:
        RatchetError: The step could not be carried out.
    """
    printed, failure = result.pop("log", None), result.pop("failure", None)
    if printed is not None:
        run_logs.take_over(resources, run.id, msgspec.convert(printed, RunLog), step=request["name"])
    if failure is not None:
        raise failure
    return result


def cancel(resources: Resources, run_id: str) -> None:
    """End the steps of a run wherever they are carried out."""
    ray_steps.cancel(resources, run_id)
    mine = _job(run_id, "")
    for job in resources.runs.pending():
        if job.startswith(mine):
            resources.runs.cancel(job)


def carry_out(resources: Resources, context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Carry out one step for a run that is elsewhere; the job ``step``.

    Returns:
        What came of it; under ``failure`` why nothing did, and under ``log`` what it printed, where that is anything.
    """
    request = spec["request"]
    run_id, index = spec["run_id"], request["index"]
    demand = msgspec.convert(request["elsewhere"]["demand"], Demand)
    with resources.runs.budget.hold(demand) as gpus:
        task = Task(
            name=request["name"],
            entry="ratchet.loop.pipelines:step_elsewhere",
            spec={
                **projects.child_spec(resources, spec["snapshot"]),
                "seed": spec["seed"],
                "request": request,
                "gpus": gpus,
            },
            log=str(run_logs.path_of_step(resources, run_id, index)),
        )
        limits = resources.limits
        if demand.memory_gb:
            limits = msgspec.structs.replace(limits, memory_mb=demand.memory_gb * 1024)
        session = Session(resources.zygotes, task, limits=limits, is_cancelled=context.is_cancelled)
        try:
            answer = session.converse_one_step()
        except RunCancelled:
            raise
        except RatchetError as error:
            answer = {"failure": error}
    printed = run_logs.keep_step(resources, run_id, index)
    return answer if printed is None else {**answer, "log": msgspec.to_builtins(printed)}


def _job(run_id: str, index: int | str) -> str:
    return f"step:{run_id}:{index}"


def _error_of(result: Any, *, step: str) -> RatchetError:
    if isinstance(result, RatchetError):
        return result
    return StepFailed(step=step, error_type=type(result).__name__, message=str(result))
