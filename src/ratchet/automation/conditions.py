"""Conditions of rules, in CEL: checked when a rule is loaded, evaluated when its event comes.

Invariant: a condition sees the event and numbers about the pipeline, can change nothing, and ends; no number is worked
out that it does not name.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from ratchet import clock
from ratchet.loop import registry
from ratchet.loop.resources import Resources
from ratchet.records import Event

if TYPE_CHECKING:
    import cel

VARIABLES = ("event", "kpi")
# What the registry knows of the version that serves, and what the measure reads off the ledger.
AGES = ("data_age_days", "train_age_days")
MEASURED = ("level", "spent_usd_month", "forecast_usd_month")
KPIS = (*AGES, *MEASURED)
_SECONDS_PER_DAY = 86_400
_TEXT = r"""(?:\"{3}(?:\\.|.)*?\"{3}|\'{3}(?:\\.|.)*?\'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
# The variable kpi: alone, with a name after a dot, or with a name in brackets. Texts are passed over.
_USE = re.compile(
    rf"""(?<![\w.])kpi\b(?:\s*\.\s*(?P<dotted>\w+)|\s*\[\s*(?P<quoted>{_TEXT})\s*\])?|{_TEXT}""", re.DOTALL
)


class BrokenCondition(Exception):
    """A condition cannot be parsed, names something that does not exist, or does not give true or false."""


@lru_cache(maxsize=1024)
def compile_condition(text: str) -> "cel.Program":
    """Return a condition ready to run.

    Raises:
        BrokenCondition: It is no CEL, or names an unknown variable.
    """
    import cel  # with its command line it takes a third of a second to load

    try:
        program = cel.compile(text)
    except ValueError as error:
        reason = str(error).partition("ERROR: ")[2].splitlines()
        raise BrokenCondition(f"cannot be parsed: {reason[0] if reason else error}") from error
    unknown = sorted(set(program.variables()) - set(VARIABLES))
    if unknown:
        raise BrokenCondition(f"names '{unknown[0]}'; a condition knows {' and '.join(VARIABLES)}")
    strange = sorted(names_used(text) - set(KPIS))
    if strange:
        raise BrokenCondition(f"names 'kpi.{strange[0]}'; the numbers are {', '.join(f'kpi.{one}' for one in KPIS)}")
    return program


def names_used(text: str) -> frozenset[str]:
    """Return the numbers that a condition names; all of them where it uses ``kpi`` in another way."""
    found: set[str] = set()
    for use in _USE.finditer(text):
        if use["dotted"] or use["quoted"]:
            found.add(use["dotted"] or use["quoted"].strip("\"'"))
        elif use[0] == "kpi":
            found |= set(KPIS)
    return frozenset(found)


def holds(text: str, event: Event, kpi: dict[str, float]) -> bool:
    """Tell whether a condition is true for an event; an empty one always is.

    Raises:
        BrokenCondition: It could not be evaluated, or gave something else than true or false.
    """
    if not text:
        return True
    values = msgspec.to_builtins(event)
    try:
        result: Any = compile_condition(text).execute({"event": values, "kpi": kpi})
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"has no value for {error}" if isinstance(error, KeyError) else str(error)
        raise BrokenCondition(reason) from error
    if not isinstance(result, bool):
        raise BrokenCondition(f"gave {result!r}, and true or false is needed")
    return result


def ages(resources: Resources, pipeline: str) -> dict[str, float]:
    """Return the ages of the version of a pipeline that serves; none where none does."""
    with resources.database.read() as connection:
        declared: dict[str, Any] = registry.state(connection, "pipelines", {})
        live = registry.live_release(connection, declared[pipeline]["model"]) if pipeline in declared else None
        if live is None:
            return {}
        version = registry.model_version(connection, live.model_version)
    numbers = {"train_age_days": _days_since(version.registered_at)}
    if version.data_until:
        numbers["data_age_days"] = _days_since(datetime.fromisoformat(version.data_until))
    return numbers


def _days_since(moment: datetime) -> float:
    return (clock.now() - moment).total_seconds() / _SECONDS_PER_DAY
