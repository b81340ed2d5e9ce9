"""What a candidate would take and bring, in the few numbers that are kept with a conclusion.

Invariant: what is not known is ``None`` or left out, never zero; what an earlier release wrote is read as not known.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ratchet.records import Record
from ratchet.toml_tables import Table, toml_text

_KEYS = ("name", "cost_year", "currency", "effort_days", "processes", "covered", "stated", "steps_short")


class Figures(Record, frozen=True):
    """One candidate in numbers.

    Attributes:
        cost_year: Per year, in ``currency``.
        effort_days: Days of work until it is in use.
        processes: Processes of the target map.
        covered: Those of them for which it has a tool.
        stated: Those of them that its own map has a degree for.
        steps_short: Degrees missing to the target, summed over these.
    """

    name: str
    cost_year: float | None = None
    currency: str = ""
    effort_days: float | None = None
    processes: int | None = None
    covered: int | None = None
    stated: int | None = None
    steps_short: int | None = None

    @property
    def coverage(self) -> float | None:
        """Return the share of the processes for which it has a tool, 0..1; ``None`` without a target map."""
        return self.covered / self.processes if self.processes and self.covered is not None else None

    def values(self) -> dict[str, Any]:
        """Return what is known, by name."""
        known: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in known.items() if value not in (None, "")}


def to_toml(figures: Figures) -> str:
    """Return figures as a table ``[[candidate]]``."""
    lines = [f"{name} = {toml_text(one) if isinstance(one, str) else one}" for name, one in figures.values().items()]
    return "\n".join(["[[candidate]]", *lines])


def parse(table: Table) -> Figures:
    """Return the figures in a table.

    Raises:
        ConfigInvalid: It means something else.
    """
    table.refuse_unknown(_KEYS, "a candidate's figures")
    counts = {name: int(table.number(name)) for name in _KEYS[4:] if name in table}
    return Figures(
        name=table.text("name"),
        cost_year=table.number("cost_year") if "cost_year" in table else None,
        currency=table.text("currency", default=""),
        effort_days=table.number("effort_days") if "effort_days" in table else None,
        **counts,
    )


def read(data: Mapping[str, Any]) -> dict[str, Figures]:
    """Return the figures in an event's data by candidate; none in one of an earlier release, or from somebody else."""
    try:
        return {one.name: one for one in msgspec.convert(data.get("figures") or [], list[Figures])}
    except msgspec.ValidationError:
        return {}
