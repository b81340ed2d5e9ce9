"""What a source claims to have, and how much of it came: counted over all imports from that source.

Invariant: the cursors of a source add up: together they count each record once, and each that is missing once, however
often and in whichever pieces the source was read.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ratchet.importers.readings import Reading
from ratchet.records import Event, Record

Key = tuple[str, str]


class Added(Record, frozen=True):
    """What a page adds.

    Attributes:
        count: Records that the source has, beyond those that its cursors count already.
        imported: Records of them that are in the ledger as they were read.
        conflicts: Names of records that the ledger has with another body.
    """

    count: int
    imported: int
    conflicts: tuple[str, ...]


class _Sum(NamedTuple):
    claimed: int = 0
    imported: int = 0


class Claims:
    """Counts the records of one source during one import.

    Attributes:
        said: How many records the source says it has now; ``None`` where it does not say.

    Args:
        cursors: All ``source.cursor`` of the source so far.
        claimed: How many records the source says it has; ``None`` where it does not say.
    """

    def __init__(self, cursors: Iterable[Event], claimed: int | None) -> None:
        said = [cursor.data for cursor in cursors if cursor.data.get("is_claimed") is not False]
        self._before = self._sum = _Sum(
            sum(int(data.get("count") or 0) for data in said), sum(int(data.get("imported") or 0) for data in said)
        )
        self.said = claimed
        self._read: set[Key] = set()
        self._conflicts: set[Key] = set()

    @property
    def records(self) -> int:
        """Return how many records were read, each once."""
        return len(self._read)

    @property
    def claimed(self) -> int | None:
        """Return how many records there are, ``None`` where the source does not say."""
        return None if self.said is None else self._sum.claimed

    @property
    def imported(self) -> int:
        """Return how many of them are in the ledger as they were read."""
        all_of_them = len(self._read) if self.said is None else self._sum.imported
        return max(0, all_of_them - len(self._conflicts))

    def take(
        self, page: Sequence[Reading], *, present: Collection[Key], other: Collection[Key], is_last: bool
    ) -> Added:
        """Count a page.

        Args:
            page: Its records.
            present: Source and id of the events that were there before.
            other: Those that were there with another body.
            is_last: Whether it is the last one of this import, so that what did not come is missing.
        """
        fresh = {_name(one): one for one in page if _name(one) not in self._read}
        self._read |= fresh.keys()
        conflicts = {_name(one) for one in page if any(event.key in other for event in one.events)}
        self._conflicts |= conflicts
        names = tuple(sorted({key for _, key in conflicts}))
        if self.said is None:
            return Added(count=len(fresh), imported=len(fresh.keys() - conflicts), conflicts=names)
        before = self._sum
        imported = before.imported + sum(_is_new(one, present) for one in fresh.values())
        self._sum = _Sum(max(before.claimed, imported), imported)
        if is_last:
            self._sum = self._closed(self.said)
        return Added(
            count=self._sum.claimed - before.claimed, imported=self._sum.imported - before.imported, conflicts=names
        )

    def _closed(self, claimed: int) -> _Sum:
        """Return the sum with what is missing at the end of an import."""
        read = len(self._read) - len(self._conflicts)
        imported = max(self._sum.imported, read)
        missing = claimed - imported
        if claimed < self._before.claimed:
            # A part of the source was asked for: what was missing of the rest still is, unless it came just now.
            missing = max(claimed - len(self._read), self._before.claimed - imported)
        return _Sum(max(imported + max(0, missing), self._sum.claimed), imported)


def _name(reading: Reading) -> Key:
    return reading.kind, reading.key


def _is_new(reading: Reading, present: Collection[Key]) -> bool:
    """Tell whether nothing of a record was there; what it shares with others, such as a push, says nothing."""
    own = [event for event in reading.events if event.id != reading.cause]
    return bool(own) and not any(event.key in present for event in own)
