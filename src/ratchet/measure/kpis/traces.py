"""What the chain of causes of each event holds, handed on from cause to effect as the ledger is read.

Invariant: a trace is said only of a chain that nothing can change any more: each cause came before its effect, from the
same source, and the first has none. Of all others it is open, and the chain has to be walked.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from ratchet.clock import to_us
from ratchet.measure.kpis.logs import NEVER
from ratchet.records import Event

REASONS = ("code.pushed", "dataset.version.published", "monitor.alert.raised")
_PUSH, _DATA = REASONS[:2]


class Trace(NamedTuple):
    """What stands in an event's chain, itself included; moments are microseconds since 1970, UTC.

    Attributes:
        is_open: Whether nothing can be said without walking the chain.
        push_us: When the nearest push was.
        data_us: When the nearest dataset version was published.
        reason_us: When the earliest push, data or alert was.
        reason_id: That event.
        is_repair: Whether an incident or a rollback is in it.
    """

    is_open: bool = False
    push_us: int = NEVER
    data_us: int = NEVER
    reason_us: int = NEVER
    reason_id: str = ""
    is_repair: bool = False


EMPTY, OPEN = Trace(), Trace(is_open=True)
_EMPTY_CODE, _OPEN_CODE = 0, 1


class Traces:
    """The trace of each event; those that are alike are kept once."""

    def __init__(self) -> None:
        self._known: list[Trace] = [EMPTY, OPEN]
        self._codes = array("i")
        self._is_marked: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, event: Event, time_us: int, cause: int | None) -> Trace:
        """Take in the next event of the ledger; return what its causes hold.

        Args:
            event: Any.
            time_us: Its own time.
            cause: The row of its cause; ``None`` for one that has none, -1 where it did not come before it.
        """
        code = _EMPTY_CODE if cause is None else _OPEN_CODE if cause < 0 else self._codes[cause]
        before = self._known[code]
        is_marked = self._is_marked.get(event.type)
        if is_marked is None:
            is_marked = self._is_marked[event.type] = event.type in REASONS or is_repair(event)
        after = _with(before, event, time_us) if is_marked and not before.is_open else before
        if after is not before:
            code = len(self._known)
            self._known.append(after)
        self._codes.append(code)
        return before


def _with(before: Trace, event: Event, time_us: int) -> Trace:
    """Return the trace of an event whose causes have one."""
    if event.type in REASONS:
        # Of two at one moment the nearer one is the earliest.
        is_earliest = before.reason_us == NEVER or time_us <= before.reason_us
        return before._replace(
            push_us=time_us if event.type == _PUSH else before.push_us,
            data_us=time_us if event.type == _DATA else before.data_us,
            reason_us=time_us if is_earliest else before.reason_us,
            reason_id=event.id if is_earliest else before.reason_id,
        )
    return before._replace(is_repair=True) if is_repair(event) and not before.is_repair else before


def is_repair(event: Event) -> bool:
    """Tell whether what follows from an event repairs something."""
    return event.type.startswith("incident.") or event.type == "deployment.rolledback"


def trace_of(causes: Sequence[Event]) -> Trace:
    """Return what some causes hold, the nearest first: for chains that have to be walked."""
    found = EMPTY
    for event in reversed(causes):
        found = _with(found, event, to_us(event.at))
    return found
