"""Steps given to a Ray cluster, as rows."""

from collections.abc import Iterator

import pytest

from ratchet.engine import ray_errands
from ratchet.engine.ray_errands import Errand
from ratchet.store import migrations
from ratchet.store.database import Database


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """Give a database with its tables."""
    database = Database(sqlite_url)
    migrations.migrate(database)
    yield database
    database.close()


def test_a_row_is_replaced_found_and_forgotten(database: Database) -> None:
    """What was written last is found, under its run and under all, until it is forgotten."""
    first, other = Errand(run_id="R1", index=0, spec="a"), Errand(run_id="R10", index=0, spec="b")
    with database.write() as transaction:
        for errand in (first, other, Errand(run_id="R1", index=0, spec="a", attempt=2)):
            ray_errands.put(transaction, errand)
    with database.read() as connection:
        found = ray_errands.find(connection, "R1", 0)
        assert found is not None
        assert (found.job, found.jobs) == ("ratchet-R1-1-2", ["ratchet-R1-1-2", "ratchet-R1-1-1"])
        assert ray_errands.find(connection, "R1", 1) is None
        assert ray_errands.every(connection, "R1") == [found]
        assert ray_errands.every(connection) == [found, other]
    with database.write() as transaction:
        ray_errands.forget(transaction, [found])
    with database.read() as connection:
        assert ray_errands.every(connection) == [other]


def test_what_waits_is_told_as_the_engine_s_own(database: Database) -> None:
    """A step that waits is named like a job of the engine, with its reason; one that runs is not."""
    with database.write() as transaction:
        ray_errands.put(transaction, Errand(run_id="R", index=0, spec="a"))
        ray_errands.put(transaction, Errand(run_id="R", index=1, spec="a", waits="no node", since_seconds=5.0))
    with database.read() as connection:
        (waiting,) = ray_errands.waiting(connection)
    assert (waiting.job_id, waiting.since_seconds, waiting.reason) == ("step:R:1", 5.0, "no node")
