"""Threads that do one thing again and again."""

import logging

import pytest

from ratchet.engine.repeating import Repeated
from tests.waiting import until


def test_a_turn_that_fails_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """What a turn raises is told once, however often it is raised, and the next turn comes."""
    turns: list[int] = []

    def call() -> None:
        turns.append(1)
        if len(turns) < 4:
            message = "the database is away"
            raise RuntimeError(message)

    with caplog.at_level(logging.WARNING):
        repeated = Repeated(call, name="beat", seconds=0.001)
        until(lambda: len(turns) > 5, "further turns")
        repeated.stop()
    told = [record.getMessage() for record in caplog.records if record.name == "ratchet.engine.repeating"]
    assert told == ["beat: the database is away"]


def test_nothing_is_called_after_the_stop() -> None:
    """A thread that was stopped has ended."""
    turns: list[int] = []
    repeated = Repeated(lambda: turns.append(1), name="beat", seconds=0.001)
    until(lambda: turns, "a turn")
    repeated.stop()
    before = len(turns)
    assert not any(before != len(turns) for _ in range(1000))
