"""The events of a run, and its end: said once, with what it has cost.

Invariant: all events of a run follow from the one that queued it; a run that has ended stays as it ended.
"""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import origin
from ratchet.loop import registry, run_costs, run_environments
from ratchet.loop.resources import Resources
from ratchet.loop.step_cache import StepLog
from ratchet.records import Event, Run, RunLog, derive_id, digest_of


def finish(
    resources: Resources,
    transaction: Connection,
    run: Run,
    *,
    outcome: str,
    error: str = "",
    steps: StepLog | None = None,
    log: RunLog | None = None,
    candidate: dict[str, Any] | None = None,
    cancelled_by: dict[str, str] | None = None,
    differences: tuple[str, ...] | None = None,
) -> Event:
    """End a run, once: one that has ended already stays as it is, and its first end is returned."""
    over = resources.ledger.find_in(transaction, derive_id(run.id, "run.finished"))
    if over is not None:
        if steps and over.data["outcome"] == "cancelled":
            _complete_cancelled(resources, transaction, run.id, over, steps=steps, log=log)
        return over
    costs = steps.costs if steps else []
    data = {
        "outcome": outcome,
        "candidate": candidate is not None,
        "seed": run.seed,
        "environment": run_environments.environment(resources, run),
        **({"error": error} if error else {}),
        **({"cancelled_by": cancelled_by} if cancelled_by else {}),
        **({"repeats": run.repeats} if run.repeats else {}),
        **({} if differences is None else {"differences": list(differences)}),
        **({"cached": steps.cached} if steps and steps.cached else {}),
    }
    cause = derive_id(run.id, "run.started") if run.status == "running" else run.queued_event
    finished = append(resources, transaction, run, "run.finished", data, cause=cause)
    owner = declaration_of(transaction, run.pipeline)["owner"]
    run_costs.tell(resources, transaction, run, finished, costs, owner=owner)
    if steps:
        steps.keep(transaction)
    ended = msgspec.structs.replace(
        run,
        status=finished.data["outcome"],
        finished_at=finished.at,
        candidate=candidate,
        error=error,
        costs=tuple(costs),
        differences=differences,
        log=log,
    )
    registry.put_run(transaction, ended)
    return finished


def _complete_cancelled(
    resources: Resources, transaction: Connection, run_id: str, over: Event, *, steps: StepLog, log: RunLog | None
) -> None:
    """Add to the record of a cancelled run what it had cost and printed: who cancelled it could not know that."""
    run = registry.run_in(transaction, run_id)
    if run.costs or run.log:
        return
    owner = declaration_of(transaction, run.pipeline)["owner"]
    run_costs.tell(resources, transaction, run, over, steps.costs, owner=owner)
    # What was done until then is good for another run.
    steps.keep(transaction)
    registry.put_run(transaction, msgspec.structs.replace(run, costs=tuple(steps.costs), log=log))


def append(
    resources: Resources,
    transaction: Connection,
    run: Run,
    kind: str,
    data: dict[str, Any],
    *,
    event_id: str = "",
    cause: str = "",
) -> Event:
    """Append one of a run's own events, with what identifies its inputs."""
    code = hashlib.sha256(f"{run.snapshot}/{run.lock}".encode()).hexdigest()
    event = Event(
        type=kind,
        subject=run.id,
        id=event_id or derive_id(run.id, kind),
        pipeline=run.pipeline,
        data={
            "run_id": run.id,
            "parameters": run.parameters,
            "params_digest": digest_of(run.parameters),
            "inputs": sorted(run.input_digests.values()),
            "code_sha": code,
            **data,
        },
    )
    if kind == "run.queued":
        return resources.ledger.append(transaction, event)[0]
    queued = resources.ledger.find_in(transaction, run.queued_event)
    assert queued is not None, "a run's row is written with its first event"
    follow = origin.following(queued)
    with origin.use(msgspec.structs.replace(follow, cause=cause or queued.id)):
        return resources.ledger.append(transaction, event)[0]


def declaration_of(connection: Connection, pipeline: str) -> dict[str, Any]:
    """Return what a pipeline says of itself, its model and its owner; of one that is gone, its name and nobody."""
    declared: dict[str, dict[str, Any]] = registry.state(connection, "pipelines", {})
    return declared.get(pipeline, {"model": pipeline, "owner": ""})
