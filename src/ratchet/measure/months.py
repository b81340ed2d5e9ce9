"""What was said about months that are over, worked out once and kept.

Invariant: what is kept is what the events give; it is thrown away as soon as anything that came later speaks of that
time, and where it was asked by another definition.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from ratchet.clock import to_us
from ratchet.measure.kpis.questions import Question
from ratchet.records import KeptAnswer, digest_of

_Made = TypeVar("_Made")
# Raised whenever the same events give other answers and no definition says so.
VERSION = 2


class Shelf(Protocol):
    """What the store gives and takes; ``ratchet.store.answers`` has it."""

    def of(self, name: str) -> dict[int, KeptAnswer]:
        """Return the kept answers of a name by their moment."""

    def keep(self, found: Sequence[KeptAnswer]) -> bool:
        """Keep answers."""


class ClosedMonths:
    """Answers about months that are over.

    Args:
        shelf: Where answers are kept; ``None`` keeps nothing, and all is worked out from the events.
        ratchet: The version that asks: what another one has said is not believed.
    """

    def __init__(self, shelf: Shelf | None = None, *, ratchet: str = "") -> None:
        self._shelf = shelf
        self._ratchet = ratchet
        self._known: dict[str, dict[int, KeptAnswer]] = {}
        self._new: list[KeptAnswer] = []

    def answer(
        self,
        name: str,
        question: Question,
        end: datetime,
        *,
        definition: str,
        kind: type[_Made],
        make: Callable[[Question], _Made],
    ) -> _Made:
        """Return what is said about the end of a month: what was kept, where that is known to hold, else afresh.

        Args:
            name: Names the answer among all that are kept, but for scope and moment.
            question: What is asked now.
            end: The end of the month (UTC); that of the month that is not over is the moment of the question.
            definition: Digest of what decides on the answer beside events, settings and policies.
            kind: What the answer is.
            make: Works it out from the question as of the end.
        """
        view = question.view
        if self._shelf is None or end >= question.as_of or not view.history.is_over(end, seq=view.until):
            return make(question.at(end))
        scope = question.scope
        called = f"{name}/{scope.kind}:{scope.name}"
        decided = self._digest(question, definition)
        found = self._of(called).get(to_us(end))
        if found is not None and found.definition == decided and self._holds(found, question, end):
            return msgspec.json.decode(found.record, type=kind)
        made = make(question.at(end))
        record = msgspec.json.encode(made).decode()
        self._new.append(
            KeptAnswer(name=called, moment_us=to_us(end), definition=decided, seq=view.until, record=record)
        )
        return made

    def keep(self) -> None:
        """Keep what was worked out since the last time."""
        if self._shelf is not None and self._new:
            self._shelf.keep(self._new)
        self._new = []

    def _of(self, called: str) -> dict[int, KeptAnswer]:
        if called not in self._known:
            assert self._shelf is not None, "asked where there is one"
            self._known[called] = self._shelf.of(called)
        return self._known[called]

    def _digest(self, question: Question, definition: str) -> str:
        policies = sorted(one.digest for one in question.policies)
        settings = msgspec.to_builtins(question.settings)
        return digest_of([VERSION, self._ratchet, definition, settings, policies])

    def _holds(self, found: KeptAnswer, question: Question, end: datetime) -> bool:
        """Tell whether nothing that came after the answer speaks of its time."""
        until, history = question.view.until, question.view.history
        return found.seq <= until and not history.is_past_rewritten(end, since_seq=found.seq)
