"""Steps that were given to a Ray cluster, as rows: which job carries out which step, and what it waits for.

Invariant: a job's name is in the database before the cluster is asked for it, so that whoever takes a run up again
looks for that job, and starts no other beside it.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select

from ratchet.engine.stranded import Stranded
from ratchet.records import Record
from ratchet.store.schema import state

_PREFIX = "ray/"


class Errand(Record, frozen=True):
    """A step that a cluster carries out.

    Attributes:
        run_id: The run that it is of.
        index: Its number in the run, from 0.
        spec: The artifact that says what is to be done.
        attempt: The number of the job: one that the cluster has lost is followed by another.
        deaths: How many jobs ended without an answer because something died.
        is_submitted: Whether the cluster has taken the job.
        waits: Why nothing of it runs now; ``""`` where it does, or is over.
        since_seconds: Since when, real seconds since 1970.
    """

    run_id: str
    index: int
    spec: str
    attempt: int = 1
    deaths: int = 0
    is_submitted: bool = False
    waits: str = ""
    since_seconds: float = 0.0

    @property
    def job(self) -> str:
        """Return the id of the job."""
        return f"{self.stem}-{self.attempt}"

    @property
    def stem(self) -> str:
        """Return what the ids of all its jobs begin with."""
        return f"ratchet-{self.run_id}-{self.index + 1}"

    @property
    def jobs(self) -> list[str]:
        """Return the ids of all its jobs, the latest first."""
        return [f"{self.stem}-{number}" for number in range(self.attempt, 0, -1)]


def put(transaction: Connection, errand: Errand) -> None:
    """Write an errand's row."""
    name = _name(errand.run_id, errand.index)
    transaction.execute(delete(state).where(state.c.name == name))
    transaction.execute(insert(state), {"name": name, "value": msgspec.json.encode(errand).decode()})


def find(connection: Connection, run_id: str, index: int) -> Errand | None:
    """Return what was given to the cluster of a run's step, ``None`` where nothing was."""
    found = connection.execute(select(state.c.value).where(state.c.name == _name(run_id, index))).scalar()
    return None if found is None else msgspec.json.decode(found, type=Errand)


def every(connection: Connection, run_id: str = "") -> list[Errand]:
    """Return all that was given to the cluster, of one run or of all."""
    beginning = f"{_PREFIX}{run_id}/" if run_id else _PREFIX
    query = select(state.c.value).where(state.c.name.startswith(beginning, autoescape=True)).order_by(state.c.name)
    return [msgspec.json.decode(value, type=Errand) for value in connection.execute(query).scalars()]


def forget(transaction: Connection, errands: Sequence[Errand]) -> None:
    """Remove the rows of what nobody will ask for again."""
    for errand in errands:
        transaction.execute(delete(state).where(state.c.name == _name(errand.run_id, errand.index)))


def waiting(connection: Connection) -> list[Stranded]:
    """Return the steps of which nothing runs now, with the reason."""
    return [
        Stranded(job_id=f"step:{one.run_id}:{one.index}", since_seconds=one.since_seconds, reason=one.waits)
        for one in every(connection)
        if one.waits
    ]


def _name(run_id: str, index: int) -> str:
    return f"{_PREFIX}{run_id}/{index}"
