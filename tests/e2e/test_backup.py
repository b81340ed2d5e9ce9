"""A backup that is taken while a server acts on events, and the workspace that is made of it: real processes."""

import http
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from ratchet.records import Event
from ratchet.workspace import Workspace
from tests import projects
from tests.e2e.test_cli import as_json, ratchet, up
from tests.servers import PostgresServer
from tests.soak.load import post
from tests.unit.backups.test_restoring import rows
from tests.waiting import PATIENCE_SECONDS, until

RULES = """
[limits]
rule_fires_per_hour = 100000

[[rule]]
name = "hold"
on = "custom.emitted"
when = "event.data.kind == 'hold'"
do = { start_run = "tiny", number = 0 }

[[rule]]
name = "note"
on = "custom.emitted"
when = "event.data.kind == 'note'"
do = { start_run = "tiny", number = 1 }
"""
CODE = '''"""A pipeline that leaves a mark each time that it is carried out; with the number 0 it waits for the test."""

import time
from pathlib import Path

import ratchet as rt

FOLDER = Path({folder!r})


@rt.step(cache=False)
def first(number: int) -> int:
    """Wait where that is asked for."""
    while number == 0 and not (FOLDER / "go").exists():
        (FOLDER / "held").touch()
        time.sleep(0.01)
    return number


@rt.step(cache=False)
def second(number: int) -> int:
    """Leave a mark outside of the workspace."""
    with (FOLDER / "marks").open("a") as marks:
        marks.write(f"{{number}}\\n")
    return number


@rt.pipeline(model="tiny")
def tiny(number: int = 1) -> None:
    """Do next to nothing, in two steps."""
    second(first(number))
'''


class Places(NamedTuple):
    """Where the ledgers of the workspace and of what is made of it are: URLs, ``""`` for a file in the folder."""

    shop: str
    back: str


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def places(request: pytest.FixtureRequest) -> Iterator[Places]:
    """Two files, or two databases of a server."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield Places("", "")
            return
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield Places(stack.enter_context(server.database()), stack.enter_context(server.database()))


class Sender:
    """Sends one event after the other, and remembers which were accepted.

    Args:
        address: Of the web interface.
        token: Of a system.
    """

    def __init__(self, address: str, token: str) -> None:
        self.accepted: list[str] = []
        self._address = (str(urlsplit(address).hostname), urlsplit(address).port or 0)
        self._token = token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_on, daemon=True)

    def send(self, name: str, kind: str) -> int:
        """Send one event and return the status: 201 for one that is new, 200 for one that is known."""
        sent = {
            "specversion": "1.0",
            "id": name,
            "source": "load",
            "type": "custom.emitted",
            "pipeline": "tiny",
            "data": {"name": name, "kind": kind},
        }
        body, media = json.dumps(sent).encode(), "application/cloudevents+json"
        status, _ = post(self._address, "/api/v1/events", body, token=self._token, media=media)
        return status

    def __enter__(self) -> "Sender":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, also in the midst of a request that nobody answers any more."""
        self._stop.set()
        self._thread.join()

    def _send_on(self) -> None:
        while not self._stop.wait(0.05):
            name = f"n{len(self.accepted)}"
            if self.send(name, "note") != http.HTTPStatus.CREATED:
                return
            self.accepted.append(name)


def write_shop(folder: Path, url: str) -> Path:
    """Write the project."""
    place = f'database = "{url}"\n' if url else ""
    settings = f'[project]\nname = "shop"\n{place}{RULES}'
    return projects.write_project(folder / "shop", settings=settings, code=CODE.format(folder=str(folder)))


def ledger(folder: Path, up_to: int | None = None) -> list[tuple[object, ...]]:
    """Return the entries of a workspace as they lie in its database."""
    with Workspace(folder) as workspace:
        return rows(workspace.database)[:up_to]


def told(folder: Path) -> dict[str, list[Event]]:
    """Return the events of a workspace by their type."""
    found: dict[str, list[Event]] = {}
    with Workspace(folder) as workspace:
        for event in workspace.ledger.read():
            found.setdefault(event.type, []).append(event)
    return found


def settle(folder: Path) -> None:
    """Wait until nothing is left to do in a workspace that runs."""
    with Workspace(folder) as workspace:
        workspace.settle(timeout_seconds=PATIENCE_SECONDS)


def causes(events: list[Event]) -> Counter[str]:
    """Return how many events there are of each cause."""
    return Counter(event.causationid for event in events)


def once(ids: list[str]) -> Counter[str]:
    """Return what there is where each of these has one consequence, and no other."""
    return Counter(dict.fromkeys(ids, 1))


def ends(found: dict[str, list[Event]]) -> int:
    """Return how many runs have ended."""
    return len(found.get("run.finished", []))


@pytest.mark.slow
def test_what_is_restored_goes_on_where_the_server_was(places: Places, tmp_path: Path) -> None:
    """Each event that was accepted before has its reaction once, whatever was under way when the backup was taken."""
    shop, back, archive = write_shop(tmp_path, places.shop), tmp_path / "back", tmp_path / "shop.tar.zst"
    token = ratchet(shop, "token", "issue", "load", "--kind", "system", "--system", "load").split()[-1]
    with up(shop) as (_, announced), Sender(announced["address"], token) as sender:
        until((tmp_path / "marks").exists, "a run that has ended")
        # One run at a time: from here on those of later events wait behind it.
        assert sender.send("held", "hold") == http.HTTPStatus.CREATED
        until((tmp_path / "held").exists, "the run that waits")
        count = len(sender.accepted)
        until(lambda: len(sender.accepted) > count + 5, "events that wait")
        before = {*sender.accepted, "held"}
        taken = as_json(shop, "backup", str(archive), "--with-keys")
        count = len(sender.accepted)
        until(lambda: len(sender.accepted) > count + 2, "events after the backup")
    as_it_was = ledger(shop, taken["entries"])
    made = as_json(tmp_path, "restore", str(archive), str(back), *(("--database", places.back) if places.back else ()))
    assert (made["entries"], made["root"], made["findings"]) == (taken["entries"], taken["root"], [])
    assert ledger(back) == as_it_was
    found = told(back)
    accepted = [event.id for event in found["custom.emitted"]]
    assert before <= {event.data["name"] for event in found["custom.emitted"]}
    unfinished = len(accepted) - ends(found)
    assert unfinished > 1
    (tmp_path / "marks").unlink()
    (tmp_path / "go").touch()
    with up(back) as (process, announced):
        assert Sender(announced["address"], token).send("held", "hold") == http.HTTPStatus.OK
        settle(back)
        assert "all as they were written" in ratchet(back, "ledger", "verify")
        process.terminate()
        assert process.wait() == 0
    found = told(back)
    assert ledger(back, taken["entries"]) == as_it_was
    assert [event.id for event in found["custom.emitted"]] == accepted
    assert causes(found["rule.fired"]) == once(accepted)
    fired = [event.id for event in found["rule.fired"]]
    assert causes(found["run.queued"]) == once(fired)
    queued = {event.id: event.subject for event in found["run.queued"]}
    assert causes(found["rule.action.succeeded"]) == once(fired)
    assert Counter(event.subject for event in found["run.finished"]) == once(list(queued.values()))
    assert {event.data["outcome"] for event in found["run.finished"]} == {"success"}
    # What had ended was not done again, and the run that was under way went on once.
    marks = Counter((tmp_path / "marks").read_text().split())
    assert marks == {"0": 1, "1": unfinished - 1}
