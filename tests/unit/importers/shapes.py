"""Records in the shapes of GitHub's REST API, with the fields that the importer looks at, and a ledger for them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ratchet.config import ImportSection
from ratchet.importers import github, pulls
from ratchet.importers.readings import Reading, Witness
from ratchet.measure import policies
from ratchet.measure.history import History
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.records import Actor, Event, digest_of
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger

REPOSITORY = "example/churn"
START = datetime(2026, 6, 1, 3, tzinfo=UTC)
# After all that was recorded, and less than half a year after the start.
TODAY = datetime(2026, 11, 22, tzinfo=UTC)
YOU = Actor(authtype="user", authid="you")
WITNESS = Witness(evidence="imported", pseudonym=lambda name: name)
PERSON = {"login": "person-1", "type": "User"}
BOT = {"login": "helper[bot]", "type": "Bot"}
API = f"https://api.github.com/repos/{REPOSITORY}"


def at(days: float, minutes: float = 0) -> str:
    """Return a moment, counted from the start, as GitHub writes it."""
    return (START + timedelta(days=days, minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha(number: int) -> str:
    """Return a commit's name."""
    return digest_of(number)[:40]


def run(
    number: int, name: str = "Retrain", event: str = "schedule", *, day: float = 0, **changes: Any
) -> dict[str, Any]:
    """Return a workflow run that succeeded within ten minutes."""
    values = {
        "id": 1000 + number,
        "name": name,
        "event": event,
        "status": "completed",
        "conclusion": "success",
        "run_attempt": 1,
        "run_number": number,
        "workflow_id": sum(map(ord, name)),
        "created_at": at(day),
        "run_started_at": at(day),
        "updated_at": at(day, 10),
        "head_sha": sha(number),
        "actor": PERSON,
        "triggering_actor": PERSON,
        "repository": {"full_name": REPOSITORY},
    }
    return values | changes


def deployment(number: int, *, day: float, commit: int, creator: dict[str, str] = BOT) -> dict[str, Any]:
    """Return a deployment to production."""
    return {
        "id": number,
        "sha": sha(commit),
        "environment": "production",
        "created_at": at(day, 11),
        "creator": creator,
        "url": f"{API}/deployments/{number}",
        "statuses_url": f"{API}/deployments/{number}/statuses",
    }


def status(number: int, *, day: float, state: str = "success", run_id: int | None = None) -> dict[str, Any]:
    """Return a status of a deployment, which names the run that set it."""
    return {
        "id": number * 10,
        "state": state,
        "environment": "production",
        "created_at": at(day, 12),
        "deployment_url": f"{API}/deployments/{number}",
        "log_url": f"https://github.com/{REPOSITORY}/actions/runs/{run_id}/job/1" if run_id else "",
    }


def approval(run_id: int, *, state: str = "approved", user: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the page of reviews of a run, as the importer's page says to save it."""
    review = {
        "state": state,
        "comment": "",
        "user": user or {"login": "person-2", "type": "User"},
        "environments": [{"id": 1, "name": "production"}],
    }
    return {"run_id": run_id, "approvals": [review]}


def page(*runs: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """Return a page of runs."""
    return {"total_count": len(runs) if total is None else total, "workflow_runs": list(runs)}


class Desk:
    """An empty ledger, and a folder for exports.

    Args:
        folder: Where both lie.
        url: Of another database.
    """

    def __init__(self, folder: Path, *, url: str = "") -> None:
        self.folder = folder
        self.database = Database(url or sqlite_url(folder / "ratchet.db"))
        migrations.migrate(self.database)
        self.ledger = Ledger(self.database, lambda transaction, events: None)

    def save(self, name: str, *documents: Any) -> Path:
        """Write JSON documents one after the other, as paging tools do."""
        path = self.folder / name
        path.write_text("\n".join(json.dumps(one) for one in documents))
        return path

    def read(self, *files: Path, **sections: ImportSection) -> tuple[list[Reading], dict[str, int]]:
        """Read exports of GitHub; names of sections have underscores for spaces."""
        named = {name.replace("_", " "): section for name, section in sections.items()}
        return github.read_files(list(files), sections=named, witness=WITNESS)

    def take(self, *files: Path, sections: dict[str, ImportSection] | None = None, **options: Any) -> pulls.Puller:
        """Import exports of GitHub."""
        readings, claims = github.read_files(list(files), sections=sections or {}, witness=WITNESS)
        puller = pulls.Puller(self.database, actor=YOU, **options)
        puller.take(readings, claimed=claims)
        return puller

    def events(self, *types: str) -> list[Event]:
        """Return the events of some types in order, or all."""
        return list(self.ledger.read(types=types))

    def history(self) -> History:
        """Return the measure's view of the ledger."""
        history = History()
        history.fold(self.ledger.read())
        return history

    def level(self, pipeline: str, *, as_of: datetime | None = None) -> LevelReport:
        """Return the level of a pipeline, now or at a moment."""
        return measure_level(self.history(), pipeline, policies.shipped("standard"), as_of=as_of)


@contextmanager
def desk(folder: Path, *, url: str = "") -> Iterator[Desk]:
    """Give a desk, and close its database."""
    made = Desk(folder, url=url)
    try:
        yield made
    finally:
        made.database.close()


def types_of(events: Sequence[Event]) -> list[str]:
    """Return the types of events."""
    return [event.type for event in events]
