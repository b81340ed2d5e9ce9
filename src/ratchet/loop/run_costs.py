"""What the steps of runs cost, as the ledger tells it.

Invariant: each step of a run is told of once for each resource, however the run ended, and however often it is told.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ratchet import origin
from ratchet.loop.resources import Resources
from ratchet.records import Event, Run, derive_id

RESOURCES = (("cpu_seconds", "s"), ("wall_seconds", "s"), ("peak_memory_mb", "MB"))


def tell(
    resources: Resources,
    transaction: Connection,
    run: Run,
    finished: Event,
    costs: Sequence[dict[str, Any]],
    *,
    owner: str,
) -> None:
    """Append what the steps of a run have cost.

    Args:
        finished: How the run ended; the costs follow from it.
        costs: One line a step, as the run's row has them.
        owner: Who pays.
    """
    events = [
        Event(
            type="cost.recorded",
            subject=run.id,
            id=derive_id(run.id, "cost", cost["index"], resource),
            pipeline=run.pipeline,
            team=owner,
            data={
                "run_id": run.id,
                "step": cost["step"],
                "resource": resource,
                "qty": cost[resource],
                "unit": unit,
                "owner": owner,
                **({"cached": True, "from_run": cost["from_run"]} if cost.get("cached") else {}),
            },
        )
        for cost in costs
        for resource, unit in RESOURCES
    ]
    if events:
        with origin.use(origin.following(finished)):
            resources.ledger.append(transaction, *events)
