"""A process that brings frames to Parquet and seals what is over; tests kill it on the way."""

import sys
from pathlib import Path

from ratchet import config
from ratchet.engine.executors import Zygotes
from ratchet.engine.runs import DurableRuns
from ratchet.loop import predictions
from ratchet.loop.resources import Resources
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger


def main(project: Path) -> None:
    """Tend the log of a workspace that a test has made."""
    folder = project / config.STATE_FOLDER
    database = Database(sqlite_url(folder / "ratchet.db"))
    resources = Resources(
        project=project,
        folder=folder,
        config=config.load(project),
        database=database,
        ledger=Ledger(database, lambda _transaction, _events: None),
        runs=DurableRuns(database),
        artifacts=Artifacts(folder / "artifacts"),
        zygotes=Zygotes(),
    )
    predictions.tend(resources)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
