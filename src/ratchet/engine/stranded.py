"""Jobs that nobody who lives can carry out, with the reason: what waits is said, never silently pending.

Invariant: a job is named here if and only if no process that gives signs of life would ever take it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ratchet.engine.queues import REACTIONS, demand_of
from ratchet.engine.workers import Seen, Worker
from ratchet.records import Record

PATIENCE_SECONDS = 5.0


class Stranded(Record, frozen=True):
    """A job that waits for somebody who is not there.

    Attributes:
        job_id: The job.
        since_seconds: When it was enqueued, real seconds since 1970.
        reason: What no process has.
    """

    job_id: str
    since_seconds: float
    reason: str


def stranded(connection: Connection, status_table: str, workers: Sequence[Seen]) -> list[Stranded]:
    """Return the waiting jobs that no live worker would take, the oldest first."""
    query = (
        f"SELECT workflow_uuid, queue_name, application_version, created_at FROM {status_table} "  # noqa: S608, a constant
        "WHERE status = 'ENQUEUED' ORDER BY created_at"
    )
    alive = [one.worker for one in workers if one.is_alive]
    found = []
    for job_id, queue, version, created_ms in connection.execute(text(query)):
        reason = why_nobody(str(queue), str(version or ""), alive)
        if reason:
            found.append(Stranded(job_id=str(job_id), since_seconds=(created_ms or 0) / 1000, reason=reason))
    return found


def complaints(found: Sequence[Stranded], *, now_seconds: float) -> list[str]:
    """Return what is to be said of jobs that have waited in vain for a while.

    Args:
        found: The jobs.
        now_seconds: Real seconds since 1970.
    """
    return [f"{one.job_id} waits: {one.reason}" for one in found if now_seconds - one.since_seconds > PATIENCE_SECONDS]


def why_nobody(queue: str, version: str, alive: Sequence[Worker]) -> str:
    """Say what none of the live workers has that a job in a line needs; ``""`` where one of them has it."""
    demand = demand_of(queue)
    if queue == REACTIONS.name:
        fitting = [one for one in alive if one.kind == "server"]
        lacking = "no server runs; start one: ratchet up"
    elif demand is None:
        fitting = [one for one in alive if one.capacity.runs]
        lacking = "no process carries out runs; start ratchet worker, or ratchet up with --runs 1"
    else:
        fitting = [one for one in alive if one.capacity.can_ever(demand)]
        most = ", ".join(sorted(f"{one.id} gives {one.capacity.text}" for one in alive)) or "none runs"
        lacking = f"no process has {demand.text} ({most}); start a worker that has it"
    if not fitting:
        return lacking
    if version in {one.interpreter for one in fitting}:
        return ""
    others = ", ".join(sorted({one.interpreter for one in fitting}))
    return f"it needs {version or 'an unknown version'} of the engine, and what runs is {others}; start that version"
