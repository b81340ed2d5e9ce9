"""The parts of the organisation, as a tree that changes over time.

Invariant: at every moment each part belongs to at most one other and never to itself; ``ratchet.toml`` is refused
where that would not hold.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from ratchet.config import NodeKind, TeamSection


class Organisation:
    """Who is part of what at a moment.

    Args:
        sections: The entries of ``[[team]]``; the one with the latest ``since`` up to a day holds on that day.
        zone: Where the days are read.
    """

    def __init__(self, sections: Sequence[TeamSection], zone: ZoneInfo) -> None:
        self._zone = zone
        self._entries: dict[str, list[TeamSection]] = {}
        for section in sorted(sections, key=lambda section: section.since):
            self._entries.setdefault(section.name, []).append(section)
        self._days = {name: [entry.since for entry in entries] for name, entries in self._entries.items()}

    def path(self, name: str, at: datetime) -> tuple[str, ...]:
        """Return a part and all that it is part of, from the smallest to the largest; a team nobody declared is alone.

        Args:
            name: The part; ``""`` for nobody, which has an empty path.
            at: When (UTC).
        """
        day = at.astimezone(self._zone).date()
        found: list[str] = []
        while name and name not in found:
            found.append(name)
            entry = self._entry(name, day)
            name = entry.part_of if entry else ""
        return tuple(found)

    def is_part_of(self, name: str, node: str, at: datetime) -> bool:
        """Tell whether a part is another one, or belongs to it, at a moment."""
        return node in self.path(name, at)

    def nodes(self, kind: NodeKind, at: datetime) -> tuple[str, ...]:
        """Return the parts of a kind that exist at a moment, by name."""
        day = at.astimezone(self._zone).date()
        entries = {name: self._entry(name, day) for name in self._entries}
        return tuple(sorted(name for name, entry in entries.items() if entry and entry.kind == kind))

    @property
    def names(self) -> tuple[str, ...]:
        """Return all parts that were ever declared, by name."""
        return tuple(sorted(self._entries))

    def _entry(self, name: str, day: date) -> TeamSection | None:
        place = bisect_right(self._days.get(name, ()), day)
        return self._entries[name][place - 1] if place else None
