"""Days of a small workspace: data, training, release by rule, requests, outcomes, monitoring, sampling, new data.

Run as ``python -m tests.simulation.story FOLDER``. Invariant: what happens is a list of moments made from nothing but
the calendar; a moment that is done again changes nothing, so a story that was killed goes on where its clock stood.
"""

import http.client
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ratchet import clock, faults
from ratchet.loop import credentials, feedback, predictions, releases
from ratchet.loop.feedback import Outcome
from ratchet.loop.frames import write_parquet
from ratchet.loop.serving.protocol import name_predictions
from ratchet.workspace import Workspace
from tests import projects
from tests.waiting import PATIENCE_SECONDS

DAYS = 2
ROWS = 30
TOKEN = "rat_of-the-shop-in-the-simulation"
NEW_FILE_ON = 1
RULES = """
[[rule]]
name = "train on new files"
on = "dataset.version.published"
when = "event.data.dataset == 'customers' && !event.data.generated && event.data.new_files > 0"
do = { start_run = "churn" }

[[rule]]
name = "deploy"
on = "gate.evaluated"
when = "event.data.decision == 'pass' && event.data.environment == 'production' && event.pipeline == 'churn'"
do = "promote"

[[rule]]
name = "monitor"
on = "clock.ticked"
cron = "0 1 * * *"
do = { monitor = "churn" }

[[rule]]
name = "learn"
on = "clock.ticked"
cron = "10 1 * * *"
do = [{ take_sample = "churn" }, { join_feedback = "churn" }, { build_dataset = "churn" }]

[[rule]]
name = "retrain on drift"
on = "monitor.alert.raised"
do = { start_run = "churn" }
"""
SETTINGS = projects.SETTINGS.replace(
    "minimum_rows = 20", "minimum_rows = 20\nwindows_over = 1\nwindow_days = 1\ndrift_threshold = 0.8"
)
Moment = tuple[datetime, Callable[[], object]]


class Story:
    """What happens, in a workspace that runs.

    Args:
        workspace: The workspace, its clock simulated.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def play(self) -> None:
        """Go through all moments that have not been, each when everything before it has settled."""
        reached = clock.now()
        for moment, happens in self._moments():
            if moment >= reached:
                clock.advance(moment)
                faults.point("clock.advanced")
                happens()
                self._workspace.clockwork.tick(clock.now())
                self._workspace.settle(timeout_seconds=PATIENCE_SECONDS)

    def _moments(self) -> Iterator[Moment]:
        yield projects.START, self._issue_token
        # What is due while nothing serves finds nothing to do.
        yield projects.START + timedelta(hours=1), lambda: None
        yield projects.START + timedelta(hours=1, minutes=10), lambda: None
        yield projects.START + timedelta(hours=2), self._workspace.look_for_data
        for day in range(DAYS):
            midnight = projects.START + timedelta(days=day)
            if day == NEW_FILE_ON:
                yield midnight + timedelta(hours=3), self._write_file
            yield midnight + timedelta(hours=10), lambda day=day: self._ask(day)
            yield midnight + timedelta(days=1, minutes=20), lambda day=day: self._send_outcomes(day)
            yield midnight + timedelta(days=1, minutes=45), lambda: predictions.tend(self._workspace.resources)
            yield midnight + timedelta(days=1, hours=1), lambda: None
            yield midnight + timedelta(days=1, hours=1, minutes=10), lambda: None

    def _issue_token(self) -> None:
        projects.issue_token(self._workspace, token=TOKEN)
        releases.publish_routes(self._workspace.resources)

    def _write_file(self) -> None:
        rows = projects.customers(300, start=projects.START + timedelta(days=NEW_FILE_ON), first=5000, seed=2)
        write_parquet(self._workspace.project / "data" / "2026-02.parquet", rows)
        self._workspace.look_for_data()

    def _ask(self, day: int) -> None:
        """Ask about a day's customers until the endpoint has answered; on the last one they come much more often."""
        rows = projects.customers(ROWS, seed=100 + day)
        rows["visits"] += 6.0 * (day >= NEW_FILE_ON)
        body = msgspec.json.encode({"id": f"day-{day}", "inputs": projects.tensors(rows)})
        deadline = clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, content = projects.post(self._workspace, "/v2/models/churn/infer", body, token=TOKEN)
            except (OSError, http.client.HTTPException) as error:
                status, content = 0, str(error).encode()
            if status == http.HTTPStatus.OK:
                return
            assert clock.monotonic() < deadline, f"the endpoint does not answer: {status} {content!r}"
            clock.sleep(0.02)

    def _send_outcomes(self, day: int) -> None:
        left = projects.customers(ROWS, seed=100 + day)["left"]
        ids = name_predictions(
            endpoint=projects.PIPELINE, version="", caller=projects.SYSTEM, request_id=f"day-{day}", rows=len(left)
        )
        outcomes = [
            Outcome(
                prediction_id=name,
                value=int(value),
                fields={"customer": f"d{day}-{row}", "seen_at": projects.START.isoformat()},
            )
            for row, (name, value) in enumerate(zip(ids, left, strict=True))
        ]
        credential = credentials.check(self._workspace.database, TOKEN)
        sender = credential.actor(credentials.pseudonym(self._workspace.resources, credential.name))
        feedback.receive(self._workspace.resources, "churn", outcomes, sender=sender, key=f"day-{day}")


def prepare(folder: Path) -> Path:
    """Write the project and its clock."""
    projects.write_project(folder, settings=SETTINGS + RULES)
    clock.simulate(folder / ".ratchet" / "clock", start=projects.START.astimezone(UTC))
    clock.stop_simulating()
    return folder


def main(folder: Path) -> None:
    """Play what is left of the story; the endpoint stays behind, as it does when we are killed."""
    with Workspace(folder, poll_seconds=0.01) as workspace:
        workspace.start(die_together=False)
        workspace.sync(actor=workspace.person("you"))
        Story(workspace).play()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
