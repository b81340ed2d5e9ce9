"""An engine on a database, that carries out jobs of a test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ratchet.engine.runs import DurableRuns, JobContext
from ratchet.store import migrations
from ratchet.store.database import Database
from tests.waiting import until

Job = Callable[[JobContext, dict[str, Any]], Any]
FINAL = ("SUCCESS", "ERROR", "CANCELLED")


class Host:
    """Runs jobs on a database and waits for them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = DurableRuns(database, poll_seconds=0.02)
        self.runs.prepare()

    def launch(self, job: Job, *, name: str = "act") -> None:
        """Carry out the jobs of one name by a function."""
        self.runs.register(name, job)
        self.runs.launch()

    def enqueue(self, job_id: str, spec: dict[str, Any] | None = None, *, name: str = "act") -> None:
        """Enqueue a job in a transaction of its own."""
        with self.database.write() as transaction:
            self.runs.enqueue(transaction, name, job_id, spec or {})

    def wait(self, job_id: str) -> tuple[str, Any]:
        """Return status and result of a job once it has one."""
        until(lambda: self.runs.outcome(job_id)[0] in FINAL, f"job {job_id}")
        return self.runs.outcome(job_id)


class HostContract:
    """Promises about an engine; a subclass says on which database."""

    @pytest.fixture
    def host(self, url: str) -> Iterator[Host]:
        """Give an engine that is not launched yet."""
        database = Database(url)
        migrations.migrate(database)
        host = Host(database)
        yield host
        host.runs.close()
        database.close()
