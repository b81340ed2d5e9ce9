"""Where KPIs are asked: keeps the facts up to date and puts settings and policies beside them.

Invariant: one thread at a time takes in what is new; a question that was asked keeps seeing what it saw.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from ratchet.measure.history import History
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.readings import Point, Reading, kpi_named, read, read_all, scope_named
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.policies import Policy
from ratchet.records import digest_of


class Desk:
    """Answers for KPIs.

    Args:
        history: Gives the levels' view of the ledger, up to date.
        settings: Gives what the project's file says now.
        policies: Gives the level policies in force.
    """

    def __init__(
        self,
        history: Callable[[], History],
        *,
        settings: Callable[[], Settings],
        policies: Callable[[], Sequence[Policy]],
    ) -> None:
        self._history = history
        self._settings = settings
        self._policies = policies
        self._facts: Facts | None = None
        self._past: dict[tuple[str, ...], tuple[Reading, int]] = {}
        self._taking = threading.Lock()

    def ask(self, *, as_of: datetime | None = None, scope: str = "", seq: int | None = None) -> Question:
        """Return what KPIs are asked of: what was known at a moment, of the whole or of one part.

        Args:
            as_of: The moment (UTC); now if not given.
            scope: A team, department, cost centre, pipeline, endpoint or model; ``""`` for the whole.
            seq: Leave out what came after this place in the ledger.

        Raises:
            UnknownName: Nothing is called so.
        """
        settings, policies = self._settings(), self._policies()
        with self._taking:
            history = self._history()
            if self._facts is None or self._facts.history is not history:
                self._facts = Facts(history)
            self._facts.catch_up()
            view = self._facts.as_of(as_of, seq=seq)
        question = Question(view, settings, policies=policies)
        return Question(view, settings, scope_named(question, scope), policies=policies) if scope else question

    def kpi(self, name: str, *, as_of: datetime | None = None, scope: str = "") -> Reading:
        """Return a KPI with its meaning and the events behind it.

        Args:
            name: Such as ``time_to_deployment``.
            as_of: The moment (UTC); now if not given.
            scope: Of which part, as in ``ask``.

        Raises:
            UnknownName: There is no such KPI, or no such part.
        """
        return read(kpi_named(name), self.ask(as_of=as_of, scope=scope))

    def over_months(self, name: str, *, scope: str = "") -> list[Point]:
        """Return what a KPI said at the end of each local month, and says now; what is over is kept.

        Args:
            name: Such as ``time_to_deployment``.
            scope: Of which part, as in ``ask``.

        Raises:
            UnknownName: There is no such KPI, or no such part.
        """
        kpi, question = kpi_named(name), self.ask(scope=scope)
        named_by = digest_of([msgspec.to_builtins(question.settings), [one.digest for one in question.policies]])
        found = []
        for month, end in question.month_ends:
            key = (kpi.name, scope, month, named_by)
            reading, seq = self._past.get(key, (None, 0))
            if reading is None or question.view.history.is_past_rewritten(end, since_seq=seq):
                reading, seq = read(kpi, question.at(end)), question.view.seq
            if end < question.as_of:
                self._past[key] = reading, seq
            found.append(Point(month=month, reading=reading))
        return found

    def kpis(self, *, as_of: datetime | None = None, scope: str = "") -> list[Reading]:
        """Return all KPIs, those that people ask for first at the top.

        Args:
            as_of: The moment (UTC); now if not given.
            scope: Of which part, as in ``ask``.

        Raises:
            UnknownName: There is no such part.
        """
        return read_all(self.ask(as_of=as_of, scope=scope))
