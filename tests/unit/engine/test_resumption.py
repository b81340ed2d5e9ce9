"""Which jobs of this process are given back."""

from typing import Any

import pytest

from ratchet.engine.resumption import Resumption
from ratchet.errors import DatabaseAway
from ratchet.store.database import BrokenOff
from tests.waiting import until


class Engine:
    """What a database and an engine say, as a test sets it."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()
        self.active: set[str] = set()
        self.given_back: list[str] = []
        self.is_away = False
        self.resumption = Resumption(taken=self._taken, active=lambda: set(self.active), give_back=self._give_back)

    def _taken(self) -> set[tuple[str, str]]:
        if self.is_away:
            raise DatabaseAway(database="d", reason="r")
        return set(self.taken)

    def _give_back(self, job: str) -> None:
        self.given_back.append(job)
        self.taken = {one for one in self.taken if one[0] != job}


@pytest.fixture
def engine() -> Engine:
    """Give an engine that looks when a test says so."""
    return Engine()


def test_what_is_under_way_is_left_alone(engine: Engine) -> None:
    """However often one looks."""
    engine.taken, engine.active = {("job", "1")}, {"job"}
    for _ in range(3):
        engine.resumption.look()
    assert engine.given_back == []


def test_what_nobody_knows_of_is_given_back_at_the_second_look(engine: Engine) -> None:
    """At the first one it may be about to begin."""
    engine.taken = {("job", "1")}
    engine.resumption.look()
    assert engine.given_back == []
    engine.resumption.look()
    assert engine.given_back == ["job"]


def test_what_was_taken_anew_between_two_looks_waits_again(engine: Engine) -> None:
    """Another taking of the same job may be about to begin as well."""
    engine.taken = {("job", "1")}
    engine.resumption.look()
    engine.taken = {("job", "2")}
    engine.resumption.look()
    assert engine.given_back == []


def test_what_was_broken_off_is_given_back_at_once(engine: Engine) -> None:
    """As soon as its thread has ended."""
    engine.taken, engine.active = {("job", "1")}, {"job"}
    with pytest.raises(BrokenOff), engine.resumption.watching("job"):
        raise BrokenOff
    engine.resumption.look()
    assert engine.given_back == []
    engine.active = set()
    engine.resumption.look()
    engine.resumption.look()
    assert engine.given_back == ["job"]


def test_other_errors_end_a_job_as_ever(engine: Engine) -> None:
    """Only a lost connection lets it be done again."""
    engine.taken = {("job", "1")}
    with pytest.raises(ValueError, match="wrong"), engine.resumption.watching("job"):
        raise ValueError("wrong")
    engine.resumption.look()
    assert engine.given_back == []


def test_it_waits_for_a_database_that_is_away(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread goes on looking, and ends when it is told to."""
    looks: list[Any] = []
    look = engine.resumption.look

    def count() -> None:
        looks.append(1)
        look()

    monkeypatch.setattr(engine.resumption, "look", count)
    engine.taken, engine.is_away = {("job", "1")}, True
    with pytest.raises(BrokenOff), engine.resumption.watching("job"):
        raise BrokenOff
    engine.resumption.start()
    until(lambda: len(looks) > 1, "a second look")
    engine.is_away = False
    until(lambda: engine.given_back == ["job"], "the job to be given back")
    engine.resumption.stop()
