"""Jobs that nobody who lives can carry out, with the reason: what waits is said, never silently pending.

Invariant: a job is named here if and only if no process that gives signs of life would ever take it; whoever looks each
second has the database count, line by line, and is told of a number once.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ratchet.engine.queues import REACTIONS, RUNS, demand_of
from ratchet.engine.workers import Seen, Worker
from ratchet.records import Record

PATIENCE_SECONDS = 5.0
PAUSE_SECONDS = 10.0


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


class Line(Record, frozen=True):
    """Jobs that wait for the same.

    Attributes:
        kind: What they are: ``run``, ``step`` or ``reaction``.
        count: How many.
        since_seconds: When the oldest was enqueued, real seconds since 1970.
        reason: What no process has.
    """

    kind: str
    count: int
    since_seconds: float
    reason: str


def lines(
    connection: Connection, status_table: str, workers: Sequence[Seen], *, others: Sequence[Stranded] = ()
) -> list[Line]:
    """Return what waits in vain, counted by the database: no row of a job is read, however many there are.

    Args:
        connection: Of the database with the jobs.
        status_table: Where it keeps them.
        workers: All that are known.
        others: Steps that wait elsewhere, such as for a cluster.
    """
    query = (
        f"SELECT queue_name, application_version, COUNT(*), MIN(created_at) FROM {status_table} "  # noqa: S608, a constant
        "WHERE status = 'ENQUEUED' GROUP BY queue_name, application_version"
    )
    alive = [one.worker for one in workers if one.is_alive]
    kinds = {REACTIONS.name: "reaction", RUNS.name: "run"}
    found = [
        Line(kind=kinds.get(str(queue), "step"), count=int(count), since_seconds=(first or 0) / 1000, reason=reason)
        for queue, version, count, first in connection.execute(text(query))
        if (reason := why_nobody(str(queue), str(version or ""), alive))
    ]
    for reason in sorted({one.reason for one in others}):
        since = [one.since_seconds for one in others if one.reason == reason]
        found.append(Line(kind="step", count=len(since), since_seconds=min(since), reason=reason))
    return found


class Teller:
    """Says what waits in vain: when it has done so for a while, and again when there are more or fewer."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[int, float]] = {}

    def news(self, found: Sequence[Line], *, now_seconds: float) -> list[str]:
        """Return what was not said yet, in sentences; a number that keeps changing is said every ten seconds.

        Args:
            found: What waits.
            now_seconds: Real seconds since 1970.
        """
        late = {(one.kind, one.reason): one for one in found if now_seconds - one.since_seconds > PATIENCE_SECONDS}
        self._told = {key: told for key, told in self._told.items() if key in late}
        sentences = []
        for key, one in late.items():
            count, at_seconds = self._told.get(key, (0, 0.0))
            if one.count != count and now_seconds - at_seconds >= PAUSE_SECONDS:
                self._told[key] = (one.count, now_seconds)
                number = f"1 {one.kind} waits" if one.count == 1 else f"{one.count:,} {one.kind}s wait"
                sentences.append(f"{number}: {one.reason}")
        return sentences


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
