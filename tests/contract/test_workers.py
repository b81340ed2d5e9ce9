"""Signs of life on SQLite and PostgreSQL: who counts, who is forgotten, and who comes back."""

import subprocess
import sys

import msgspec
import pytest

from ratchet.engine import workers
from ratchet.engine.capacity import Capacity
from ratchet.engine.workers import Worker
from ratchet.store.database import Database
from tests.contract.databases import DatabaseContract, OnPostgreSQL, OnSQLite
from tests.waiting import until

HERE = workers.this_process("worker", capacity=Capacity(runs=2, gpu=1), interpreter="interpreter-9")


def elsewhere(worker: Worker) -> Worker:
    """Return the same worker on another machine, where its process number says nothing here."""
    return msgspec.structs.replace(worker, machine="another/1", pid=1, started_ticks=1)


class WorkersContract(DatabaseContract):
    """What each database promises."""

    def test_who_entered_is_seen_as_it_described_itself(self, database: Database) -> None:
        """A worker's own words come back, and it is alive."""
        with database.aside() as connection:
            workers.enter(connection, HERE)
            (found,) = workers.seen(connection)
        assert (found.worker, found.is_alive) == (HERE, True)

    def test_a_process_that_ended_on_this_machine_is_dead_at_once(self, database: Database) -> None:
        """Nobody waits for signs of life of a process that the kernel does not know any more."""
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            other = msgspec.structs.replace(
                HERE, id="other", pid=process.pid, started_ticks=workers._started_ticks(process.pid)
            )
            with database.aside() as connection:
                workers.enter(connection, other)
                assert workers.seen(connection)[0].is_alive
            process.kill()
        with database.aside() as connection:
            (found,) = workers.seen(connection)
            assert not found.is_alive
            workers.bury(connection, found)
            assert workers.seen(connection) == []

    def test_a_number_that_another_process_has_now_is_not_taken_for_it(self, database: Database) -> None:
        """The process number alone does not prove that somebody lives."""
        with database.aside() as connection:
            workers.enter(connection, msgspec.structs.replace(HERE, started_ticks=HERE.started_ticks - 1))
            assert not workers.seen(connection)[0].is_alive

    def test_who_enters_again_is_there_once(self, database: Database) -> None:
        """The same id means the same worker, as it describes itself now."""
        with database.aside() as connection:
            workers.enter(connection, HERE)
            workers.enter(connection, msgspec.structs.replace(HERE, host="renamed"))
            assert [one.worker.host for one in workers.seen(connection)] == ["renamed"]


class TestSqlite(OnSQLite, WorkersContract):
    """The promises on SQLite, where one process carries out all."""


class TestPostgres(OnPostgreSQL, WorkersContract):
    """The promises on PostgreSQL, and those that only count among several machines."""

    def test_silence_makes_dead_and_a_beat_brings_back(self, database: Database) -> None:
        """Who says nothing for the lease is dead to the others, and alive again with its next beat."""
        with database.aside() as connection:
            workers.enter(connection, elsewhere(HERE))
            assert workers.seen(connection)[0].is_alive
            workers.retire(connection, HERE.id)
            (found,) = workers.seen(connection)
            assert (found.is_alive, found.silent_seconds > workers.LEASE_SECONDS) == (False, True)
            workers.beat(connection, elsewhere(HERE))
            assert workers.seen(connection)[0].is_alive

    def test_who_beats_while_it_is_being_buried_stays(self, database: Database) -> None:
        """Between the look at the dead and their burial one of them may have woken up."""
        with database.aside() as connection:
            workers.enter(connection, elsewhere(HERE))
            workers.retire(connection, HERE.id)
            (dead,) = workers.seen(connection)
            workers.beat(connection, elsewhere(HERE))
            workers.bury(connection, dead)
            assert [one.worker.id for one in workers.seen(connection)] == [HERE.id]

    def test_who_was_buried_comes_back_with_its_next_beat(self, database: Database) -> None:
        """A worker that was only slow is known again, with all that it said about itself."""
        with database.aside() as connection:
            workers.beat(connection, elsewhere(HERE))
            assert workers.seen(connection)[0].worker == elsewhere(HERE)

    def test_jobs_are_given_back_before_the_dead_one_is_forgotten(self, database: Database) -> None:
        """Whoever dies in between leaves the dead worker's row, so that the next one gives the jobs back."""
        with database.aside() as connection:
            workers.enter(connection, elsewhere(msgspec.structs.replace(HERE, id="dead")))
            workers.retire(connection, "dead")
        given: list[str] = []

        def die(worker_id: str) -> int:
            given.append(worker_id)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            workers.Heart(database, HERE, claimants=lambda: {"dead"}, give_back=die)
        with database.read() as connection:
            assert {one.worker.id for one in workers.seen(connection)} == {"dead", HERE.id}
        heart = workers.Heart(database, HERE, claimants=set, give_back=given.append)  # type: ignore[arg-type,return-value]
        heart.stop()
        with database.read() as connection:
            assert (given, [one.worker.id for one in workers.seen(connection)]) == (["dead"], [HERE.id])

    def test_jobs_of_nobody_are_given_back(self, database: Database) -> None:
        """A claim whose worker has no row, whatever became of it, waits for nobody."""
        given: list[str] = []

        def note(worker_id: str) -> int:
            given.append(worker_id)
            return 1

        heart = workers.Heart(database, HERE, claimants=lambda: {"unknown", HERE.id}, give_back=note)
        until(lambda: given, "the jobs of nobody")
        heart.stop()
        assert set(given) == {"unknown"}
