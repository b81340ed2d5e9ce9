"""A process that carries out runs and steps for a workspace whose server is elsewhere.

Invariant: it works by what the server has taken in: settings and code come from the database and the artifact store,
never from files that happen to lie beside it; reactions and deployments stay with the server.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet.automation.dispatcher import Reactor
from ratchet.config import STATE_FOLDER
from ratchet.engine import workers
from ratchet.engine.capacity import Capacity
from ratchet.engine.executors import Zygotes
from ratchet.engine.queues import RUNS
from ratchet.engine.runs import INTERPRETER, STEP_JOB, DurableRuns, JobContext
from ratchet.errors import ArtifactsNotShared, NothingTakenIn, WorkerNeedsServer
from ratchet.loop import placement, projects, training
from ratchet.loop.resources import Resources
from ratchet.loop.stores import open_own_store, open_shared_store
from ratchet.preload import MODULES
from ratchet.store import migrations
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger

Job = Callable[[Resources, JobContext, dict[str, Any]], Any]


class WorkerProcess:
    """Carries out runs and steps of one workspace.

    Args:
        url: The workspace's database, on PostgreSQL.
        folder: For logs, unpacked code and what is fetched of the artifact store; it may go when the process ends.
        artifacts: Where the artifacts are, seen from here; by default where the workspace's settings say.
        project: The server's own folder, where this process works beside it on one machine.
        capacity: What this process gives to runs and steps.

    Raises:
        WorkerNeedsServer: The database is a file, which one process carries out alone.
        NothingTakenIn: No server has taken in a project yet.
        ArtifactsNotShared: The artifacts lie in a folder of the server's machine.
        ArtifactsElsewhere: The folder is here, and is not the one that the server keeps artifacts in.
        WorkspaceTooNew: A later version wrote the database.
    """

    def __init__(
        self, url: str, folder: Path, *, capacity: Capacity, artifacts: str = "", project: Path | None = None
    ) -> None:
        self.database = Database(url)
        if self.database.is_sqlite:
            raise WorkerNeedsServer(database=self.database.name)
        migrations.migrate(self.database)
        settings = projects.settings_in_force(self.database)
        if settings is None:
            raise NothingTakenIn(database=self.database.name)
        if project is not None and not artifacts:
            store = open_own_store(settings, project=project, state=project / STATE_FOLDER)
        elif where := artifacts or settings.project.artifacts:
            store = open_shared_store(where, settings, state=folder)
        else:
            raise ArtifactsNotShared(project=settings.project.name)
        self.runs = DurableRuns(self.database)
        self.zygotes = Zygotes(MODULES)
        self.resources = Resources(
            project=folder,
            folder=folder,
            config=settings,
            database=self.database,
            ledger=Ledger(self.database, Reactor(self.runs)),
            runs=self.runs,
            artifacts=store,
            zygotes=self.zygotes,
        )
        self.worker = workers.this_process("worker", capacity=capacity, interpreter=INTERPRETER)
        self._reading = threading.Lock()

    def start(self) -> None:
        """Begin to carry out runs and steps."""
        self.zygotes.start()
        self.runs.register("run", self._by_settings_in_force(training.carry_out))
        self.runs.register(STEP_JOB, self._by_settings_in_force(placement.carry_out))
        self.runs.launch(self.worker, queues=(RUNS,), limits=training.limits(self.resources.config))

    def stop(self) -> None:
        """Take nothing further; what is under way goes on elsewhere."""
        self.runs.close()
        self.zygotes.close()
        self.database.close()

    def _by_settings_in_force(self, job: Job) -> Callable[[JobContext, dict[str, Any]], Any]:
        def carry_out(context: JobContext, spec: dict[str, Any]) -> Any:
            self._refresh()
            return job(self.resources, context, spec)

        return carry_out

    def _refresh(self) -> None:
        """Take over the settings that the server has taken in since the last job."""
        with self._reading:
            self.resources.config = projects.settings_in_force(self.database) or self.resources.config
