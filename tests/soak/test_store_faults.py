"""Every call to the store fails once: the error is clear, nothing is half-written, and the story ends as a calm one."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.config import STATE_FOLDER
from ratchet.records import Event
from ratchet.store import database
from ratchet.store.artifacts import sync_path
from tests.loops import Stage
from tests.soak import scenario
from tests.soak.failing import Disturbed, FailingCalls, disturb
from tests.soak.scenario import Moment


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with empty stores."""
    return scenario.prepare(tmp_path_factory.mktemp("stores") / "template")


@pytest.fixture
def faulty() -> Iterator[FailingCalls]:
    """Calls that may fail."""
    with FailingCalls().installed() as faulty:
        yield faulty


class Player:
    """Plays a story in copies of a project, disturbed and not.

    Args:
        template: The project.
        folder: Where the copies lie.
        faulty: Calls that may fail.
        moments: The story.
    """

    def __init__(self, template: Path, folder: Path, faulty: FailingCalls, moments: Sequence[Moment]) -> None:
        self._template = template
        self._folder = folder
        self._faulty = faulty
        self._moments = tuple(moments)
        with self._copy("calm") as stage:
            faulty.arm(0)
            for moment in moments:
                moment(stage)
            self.calls = list(faulty.made)
            self.calm = scenario.state(stage)

    def disturbed(self, *kinds: str, at_most: int | None = None) -> dict[int, Disturbed]:
        """Let each call of some kinds fail in turn; returns what came of it by number."""
        numbers = [number for number, kind in enumerate(self.calls, start=1) if kind in kinds]
        return {number: self._disturb(number) for number in numbers[:at_most]}

    def _disturb(self, number: int) -> Disturbed:
        with self._copy(str(number)) as stage:
            return disturb(stage, self._moments, self._faulty, number, self.calm)

    @contextmanager
    def _copy(self, name: str) -> Iterator[Stage]:
        folder = self._folder / name
        shutil.copytree(self._template, folder)
        clock.simulate(folder / STATE_FOLDER / "clock", start=clock.now())
        stage = scenario.open_stage(folder)
        try:
            yield stage
        finally:
            stage.close()
            clock.stop_simulating()
            shutil.rmtree(folder)


@pytest.fixture
def player(template: Path, tmp_path: Path, faulty: FailingCalls, monkeypatch: pytest.MonkeyPatch) -> Player:
    """A player of the short story; who waits for a lock in vain does not wait for long."""
    monkeypatch.setitem(database.SQLITE_SETTINGS, "busy_timeout", "500")
    monkeypatch.setattr(database, "UNCERTAIN_SECONDS", 0.1)
    return Player(template, tmp_path, faulty, scenario.LIGHT)


def test_every_call_may_fail_once(player: Player) -> None:
    """Whichever fails, somebody is told in clear words, and the work done again leads to the same end."""
    assert player.calm["faults"] == []
    assert set(player.calls) == {"statement", "commit", "confirm", "fsync", "replace"}
    found = player.disturbed("statement", "confirm", "fsync", "replace")
    assert [number for number, one in found.items() if not one.reached] == []
    assert {number: (one.error, one.faults) for number, one in found.items() if one.faults} == {}
    # A commit of which only the reply was lost is looked for and found.
    assert {player.calls[number - 1] for number, one in found.items() if not one.error} <= {"confirm"}


def test_a_commit_may_fail(player: Player) -> None:
    """What was not committed is taken back, and the connection that tried serves the next."""
    found = player.disturbed("commit", at_most=1)
    assert {number: (one.error, one.faults) for number, one in found.items() if one.faults or not one.error} == {}


def twice(stage: Stage) -> None:
    """A moment that forgets what it did: each attempt adds something."""
    with stage.database.write() as transaction:
        number = len(list(stage.ledger.read()))
        event = Event(type="custom.emitted", subject="s", source="soak", id=f"t{number}")
        stage.ledger.append(transaction, event)
    sync_path(stage.resources.folder)


def test_a_moment_that_is_not_repeatable_is_found(template: Path, tmp_path: Path, faulty: FailingCalls) -> None:
    """What is done once more after a failure behind its commit shows in the comparison."""
    found = Player(template, tmp_path, faulty, [twice]).disturbed("fsync")
    assert [fault for one in found.values() for fault in one.faults if ": 2 times instead of 1" in fault]
