"""Candidates: what could be chosen, bought, taken as open source, or built.

Invariant: a name stands for one candidate, whatever its capitals; a cost that nobody named is unknown, never nothing.
"""

from collections.abc import Sequence

from ratchet.errors import UnknownName
from ratchet.records import Record
from ratchet.toml_tables import Table, suggestion

KINDS = ("bought", "open source", "own")
NO_CHOICE = "none"
_KEYS = ("name", "kind", "about", "tools", "map", "cost_year", "currency", "effort_days", "lock_in")
_MAX_NAME = 60


class Candidate(Record, frozen=True):
    """One platform, or a composition of tools.

    Attributes:
        kind: ``bought``, ``open source`` or ``own``.
        tools: What does the work of each process of the map, by the process's id; one name for a whole platform.
        map: File of the map as it would be with this candidate, beside ``evaluation.toml``; ``""`` for none.
        cost_year: Per year, in ``currency``; ``None`` where it is not known.
        effort_days: Days of work until it is in use; ``None`` where it is not known.
        lock_in: What makes leaving hard.
    """

    name: str
    kind: str
    about: str = ""
    tools: dict[str, str] = {}  # noqa: RUF012, msgspec copies an empty default
    map: str = ""
    cost_year: float | None = None
    currency: str = ""
    effort_days: float | None = None
    lock_in: str = ""


def read(tables: Sequence[Table]) -> tuple[Candidate, ...]:
    """Return the candidates in tables ``[[candidate]]``.

    Raises:
        ConfigInvalid: One means nothing, or stands there twice.
    """
    seen: dict[str, str] = {}
    found: list[Candidate] = []
    for table in tables:
        one = _candidate(table)
        first = seen.setdefault(one.name.lower(), table.place)
        if first != table.place:
            problem = f"is '{one.name}' a second time; the first is at {first}."
            table.refuse("name", problem, "Give each candidate its own name.")
        found.append(one)
    return tuple(found)


def _candidate(table: Table) -> Candidate:
    table.refuse_unknown(_KEYS, "a candidate")
    name = table.text("name")
    if refusal := refused_name(name):
        table.refuse("name", refusal, f"Write one line of at most {_MAX_NAME} characters, without commas.")
    cost = table.number("cost_year") if "cost_year" in table else None
    currency = table.text("currency", default="")
    if cost and not currency:
        table.refuse("cost_year", f"is {cost:g} of no currency.", 'Add currency = "EUR", or what it is.')
    return Candidate(
        name=name,
        kind=table.choice("kind", KINDS, suggests=True),
        about=table.text("about", default=""),
        tools=table.pairs("tools"),
        map=table.text("map", default=""),
        cost_year=cost,
        currency=currency,
        effort_days=table.number("effort_days") if "effort_days" in table else None,
        lock_in=table.text("lock_in", default=""),
    )


def refused_name(name: str) -> str:
    """Return why a name cannot be a candidate's; ``""`` where it can."""
    if not name.strip():
        return "is empty."
    if len(name) > _MAX_NAME or any(letter in name for letter in "\n\r,"):
        return f"is {name[:_MAX_NAME]!r}."
    return "would stand for no choice at all." if name.lower() == NO_CHOICE else ""


def find(candidates: Sequence[Candidate], name: str) -> Candidate:
    """Return a candidate by its name, whatever its capitals.

    Raises:
        UnknownName: There is none; the message names the closest.
    """
    found = next((one for one in candidates if one.name.lower() == name.strip().lower()), None)
    if found is None:
        known = [one.name for one in candidates]
        listed = f"{', '.join(known)}. {suggestion(name, known)}".strip(". ")
        raise UnknownName(kind="candidate", name=name, known=listed)
    return found
