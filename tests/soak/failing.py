"""Calls to the store that fail when a test says so: statements, commits, writes, syncs and renames, counted in order.

Invariant: a call fails before it does anything, or, where a commit is told to fail late, after all of it was done.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unittest import mock

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ratchet.errors import RatchetError
from tests.loops import Stage
from tests.soak import scenario

# What a caller may get to see: a message of ours, the disk's, or the database's.
EXPECTED = (RatchetError, OSError, SQLAlchemyError)
_SYSTEM_CALLS = ("fsync", "write", "replace", "ftruncate")
_SAID = "disk I/O error"


class Faulty(Protocol):
    """Something that makes calls fail."""

    def arm(self, number: int) -> None:
        """Let the call of a number fail, counted from now on; 0 for none."""

    def count(self) -> int:
        """Return how many calls were made since ``arm``."""


class FailingCalls:
    """Fails calls of this process to SQLAlchemy and to the operating system.

    Attributes:
        made: What was called since ``arm``, in order: ``statement``, ``commit``, ``confirm`` or a function of ``os``.
    """

    def __init__(self) -> None:
        self._number = 0
        self.made: list[str] = []

    def arm(self, number: int) -> None:
        """Let the call of a number fail, counted from now on; 0 for none."""
        self._number = number
        self.made = []

    def count(self) -> int:
        """Return how many calls were made since ``arm``."""
        return len(self.made)

    @contextmanager
    def installed(self) -> Iterator["FailingCalls"]:
        """Stand between the product and its stores."""
        patches = [mock.patch.object(os, name, self._failing(name)) for name in _SYSTEM_CALLS]
        patches.append(mock.patch("sqlalchemy.engine.default.DefaultDialect.do_commit", self._commit))
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        for patch in patches:
            patch.start()
        try:
            yield self
        finally:
            for patch in patches:
                patch.stop()
            event.remove(Engine, "before_cursor_execute", self._before_statement)

    def _before_statement(self, *_: Any) -> None:
        self._pass("statement", OperationalError("", {}, Exception(_SAID)))

    def _failing(self, name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._pass(name, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            return function(*arguments, **named)

        return call

    def _commit(self, connection: Any) -> None:
        self._pass("commit", sqlite3.OperationalError(_SAID))
        connection.commit()
        # The write has happened, and whoever asked for it does not get to know.
        self._pass("confirm", sqlite3.OperationalError(_SAID))

    def _pass(self, name: str, error: Exception) -> None:
        self.made.append(name)
        if self._number and len(self.made) == self._number:
            raise error


class Disturbed:
    """What came of a story in which one call failed.

    Attributes:
        error: What was raised, ``""`` where nobody was told.
        faults: What is wrong.
        reached: Whether the call was reached at all.
    """

    def __init__(self) -> None:
        self.error = ""
        self.faults: list[str] = []
        self.reached = False


def disturb(
    stage: Stage, moments: tuple[scenario.Moment, ...], faulty: Faulty, number: int, calm: dict[str, Any]
) -> Disturbed:
    """Play a story in which the call of a number fails, go on as a caller would, and compare with a calm one."""
    done = Disturbed()
    faulty.arm(number)
    for moment in moments:
        try:
            moment(stage)
        except EXPECTED as error:
            done.error = f"{moment.__name__}: {type(error).__name__}: {str(error).splitlines()[0]}"
            done.reached = True
            faulty.arm(0)
            moment(stage)
        except Exception as error:  # noqa: BLE001, whatever it is, it is no clear error
            done.faults.append(f"{moment.__name__} raised {type(error).__name__}: {error}")
            faulty.arm(0)
            moment(stage)
    done.reached = done.reached or bool(done.faults) or faulty.count() >= number
    faulty.arm(0)
    done.faults += scenario.differences(calm, scenario.state(stage))
    return done
