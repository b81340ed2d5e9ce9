"""The processes of a map, as far as a comparison needs them: their names and degrees of automation.

Invariant: a map that was read names each process once, and each degree is one of those of maps; other keys of
the file belong to the drawing of maps and are passed over here.
"""

from collections import Counter

from ratchet.errors import ConfigInvalid
from ratchet.measure.maps.degrees import DEGREES, is_known, rank
from ratchet.records import Record
from ratchet.toml_tables import TableFile

# From automated to absent. `unmeasured` is no degree that a comparison could count.
KNOWN = tuple(name for name in DEGREES if is_known(name))


class Process(Record, frozen=True):
    """One process of a map."""

    id: str
    name: str
    degree: str


class Processes(Record, frozen=True):
    """The processes of one map.

    Attributes:
        where: The map's file, for people.
        every: In the order of the file.
    """

    where: str
    every: tuple[Process, ...]

    @property
    def degrees(self) -> dict[str, str]:
        """Return the degree of each process, by its id."""
        return {process.id: process.degree for process in self.every}

    def counts(self) -> dict[str, int]:
        """Return how many processes have each of the five degrees."""
        counted = Counter(self.degrees.values())
        return {degree: counted[degree] for degree in KNOWN}


def steps_below(found: str, wanted: str) -> int:
    """Return how many degrees a process is below the wanted one; 0 where it is there, beyond, or one is not known."""
    return max(0, rank(wanted) - rank(found)) if is_known(found) and is_known(wanted) else 0


def parse(content: bytes, *, where: str) -> Processes:
    """Return the processes in a map's bytes; only ``id``, ``name`` and ``degree`` of each are looked at.

    Raises:
        ConfigInvalid: It has no processes, one of them twice, or an unknown degree; file and line are named.
    """
    seen: dict[str, str] = {}
    found: list[Process] = []
    for table in TableFile(content, where=where).tables("node"):
        name = table.text("id")
        if name in seen:
            table.refuse("id", f"is '{name}' a second time; the first is at {seen[name]}.", "Give each its own.")
        seen[name] = table.place_of("id")
        degree = table.choice("degree", tuple(DEGREES), default="unmeasured", suggests=True)
        found.append(Process(id=name, name=table.text("name", default=name), degree=degree))
    if not found:
        raise ConfigInvalid(where, "has no processes.", "Write tables [[node]] with at least id and degree.")
    return Processes(where=where, every=tuple(found))
