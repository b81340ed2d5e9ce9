"""What pages count over all pipelines: predictions, commands of people, raised alerts; added up as the ledger grows.

Invariant: each event is counted once, in the order of the ledger, and none is kept; what was never recorded is
``None``, not 0.
"""

from collections import Counter
from dataclasses import dataclass, field

from ratchet.measure.history import moment_of
from ratchet.measure.initiators import acting_class
from ratchet.records import Event
from ratchet.store.ledger import Ledger

_COUNTED = ("usage.recorded", "command.issued", "monitor.evaluated", "monitor.alert.raised", "monitor.alert.cleared")


@dataclass
class Tally:
    """What was counted of one pipeline.

    Attributes:
        predictions: Rows answered so far; ``None`` where no usage was ever recorded.
        commands: What people commanded, by month (UTC).
        is_monitored: Whether anything ever looked at it.
        raised: The alerts that are raised now, each with the place of its event.
    """

    predictions: int | None = None
    commands: Counter[str] = field(default_factory=Counter)
    is_monitored: bool = False
    raised: dict[str, int] = field(default_factory=dict)

    @property
    def alerts(self) -> int | None:
        """Return how many alerts are raised now; ``None`` where nothing was ever monitored."""
        return len(self.raised) if self.is_monitored else None


class Tallies:
    """Counts what is new in a ledger whenever somebody asks.

    Args:
        ledger: What is counted.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._until = 0
        self._of: dict[str, Tally] = {}

    def catch_up(self) -> None:
        """Count what came since the last time."""
        last = self._ledger.last_seq()
        for event in self._ledger.read(after=self._until, before=last + 1, types=_COUNTED):
            self._count(event)
        self._until = last

    def of(self, pipeline: str) -> Tally:
        """Return what was counted of a pipeline; of what belongs to none under ``""``."""
        return self._of.get(pipeline, Tally())

    @property
    def predictions(self) -> int | None:
        """Return all predictions; ``None`` where no usage was ever recorded."""
        known = [one.predictions for one in self._of.values() if one.predictions is not None]
        return sum(known) if known else None

    @property
    def alerts(self) -> int | None:
        """Return all raised alerts; ``None`` where nothing was ever monitored."""
        known = [one.alerts for one in self._of.values() if one.alerts is not None]
        return sum(known) if known else None

    @property
    def commands(self) -> Counter[str]:
        """Return what people commanded, by month, over all pipelines and about none."""
        return sum((one.commands for one in self._of.values()), Counter())

    def _count(self, event: Event) -> None:
        tally = self._of.setdefault(event.pipeline, Tally())
        match event.type:
            case "usage.recorded":
                tally.predictions = (tally.predictions or 0) + int(event.data.get("rows") or 0)
            case "command.issued":
                if acting_class(event) == "human":
                    tally.commands[f"{moment_of(event):%Y-%m}"] += 1
            case "monitor.alert.raised":
                tally.is_monitored = True
                tally.raised[event.subject] = event.seq
            case "monitor.alert.cleared":
                tally.raised.pop(event.subject, None)
            case _:
                tally.is_monitored = True
