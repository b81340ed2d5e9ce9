"""KPIs as every face shows them: the number with its meaning, its owner, its target, and what stands behind it.

Invariant: a face adds nothing to a reading; what has no evidence has no value, whatever was counted.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from ratchet.errors import UnknownName
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.deliveries import live_shifts, registered
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.questions import (
    EVERYTHING,
    Answer,
    Direction,
    Ids,
    Kpi,
    Line,
    Question,
    Scope,
    Status,
    Value,
)
from ratchet.records import Record

Dimension = Literal["team", "department", "cost-centre", "pipeline", "endpoint", "model", "month"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
NOBODY = "nobody"
MISSING = "\u2013"  # a dash, as people write it
_KNOWN_NAMES = 20
_LONG_HOURS = 72
_HOURS_A_DAY = 24
_MINUTES_AN_HOUR = 60
_SECONDS_A_MINUTE = 60
_MS_A_SECOND = 1000
# The ends of names that say in which unit their numbers are, as `value_text` knows it.
_UNITS = {"hours": "hours", "share": "share", "days": "d", "minutes": "min"}
_MANY = 1000
_SMALL = 1e-4


class Named(Record, frozen=True):
    """One of the ten numbers that people ask for first.

    Attributes:
        title: As they ask for it.
        kpi: The KPI that answers.
        part: Which part of its breakdown does, where they ask for parts; ``""`` for the headline.
    """

    title: str
    kpi: str
    part: str = ""


TEN = (
    Named(title="Time to deployment", kpi="time_to_deployment"),
    Named(title="Models in production", kpi="models_in_production"),
    Named(title="New models per month", kpi="new_models"),
    Named(title="API calls", kpi="api_calls"),
    Named(title="Cost by part", kpi="cost", part="team"),
    Named(title="Use by part", kpi="api_calls", part="caller"),
    Named(title="Audit", kpi="audit_completeness"),
    Named(title="Operations overhead", kpi="operations_overhead"),
    Named(title="Speed of iteration", kpi="iteration_time"),
    Named(title="Reuse", kpi="reuse_rate"),
)


class Reading(Record, frozen=True):
    """A KPI at one moment, of one part of the whole, with its meaning.

    Attributes:
        name: Of the KPI.
        title: What people call it.
        sentence: What it says.
        unit: Of value, target and lines; amounts of money are in the currency of the project's prices.
        direction: Which direction is good.
        timing: Leading or lagging.
        nature: Leverage or risk.
        owner: Who answers for it; ``""`` where nobody was named.
        target: What it should be; ``None`` where nobody said.
        is_met: Whether it is; ``None`` where there is no target, or nothing to hold against it.
        lines: What else it is held against.
        status: ``no evidence`` where no event stands behind it.
        value: The headline; ``None`` where nothing can be said.
        values: All its numbers by name.
        by: Its breakdown.
        events: Ids of the events behind it.
        scope: Of what part it was asked.
        at: The moment (UTC).
        seq: The place in the ledger up to which events were read.
        digest: Names the definition: with ``seq`` and ``at`` the value can be found again.
    """

    name: str
    title: str
    sentence: str
    unit: str
    direction: Direction
    timing: str
    nature: str
    owner: str
    target: float | None
    is_met: bool | None
    lines: tuple[Line, ...]
    status: Status
    value: Value
    values: dict[str, Value]
    by: dict[str, Any]
    events: tuple[str, ...]
    scope: Scope
    at: datetime
    seq: int
    digest: str


class Point(Record, frozen=True):
    """A KPI as it stood at the end of a local month, or now in the month that is not over."""

    month: str
    reading: Reading


def kpi_named(name: str) -> Kpi:
    """Return a KPI.

    Raises:
        UnknownName: There is none.
    """
    found = KPIS.get(name.replace("-", "_"))
    if found is None:
        raise UnknownName(kind="KPI", name=name, known=", ".join(KPIS))
    return found


def in_order() -> tuple[str, ...]:
    """Return the names of all KPIs: those that people ask for first, then the rest."""
    return tuple(dict.fromkeys([*(one.kpi for one in TEN if one.kpi in KPIS), *KPIS]))


def read(kpi: Kpi, question: Question) -> Reading:
    """Return what a KPI says to a question."""
    answer = kpi.answer(question)
    return _reading(kpi, question, answer, events=answer.events)


def read_in_short(kpi: Kpi, question: Question) -> tuple[Reading, Ids]:
    """Return what a KPI says without the events behind it, and beside it their ids, in no order."""
    answer = kpi.answer(question)
    return _reading(kpi, question, answer, events=()), answer.ids


def _reading(kpi: Kpi, question: Question, answer: Answer, *, events: tuple[str, ...]) -> Reading:
    value = answer.values.get(kpi.headline) if answer.status == "ok" else None
    settings = question.settings
    target = settings.target(kpi.name)
    return Reading(
        name=kpi.name,
        title=kpi.title,
        sentence=kpi.sentence,
        unit=settings.prices.currency if kpi.unit == "USD" else kpi.unit,
        direction=kpi.direction,
        timing=kpi.timing,
        nature=kpi.nature,
        owner=settings.owner(kpi.name),
        target=target,
        is_met=_is_met(kpi.direction, value, target),
        lines=kpi.lines(question),
        status=answer.status,
        value=value,
        values=answer.values,
        by=answer.by,
        events=events,
        scope=question.scope,
        at=question.as_of,
        seq=question.view.seq,
        digest=kpi.digest,
    )


def read_all(question: Question) -> list[Reading]:
    """Return what all KPIs say, those that people ask for first at the top."""
    return [read(KPIS[name], question) for name in in_order()]


def over_months(kpi: Kpi, question: Question) -> list[Point]:
    """Return what a KPI said at the end of each local month, and says now."""
    return [Point(month=month, reading=read(kpi, question.at(end))) for month, end in question.month_ends]


def by_dimension(kpi: Kpi, question: Question, dimension: Dimension) -> dict[str, Reading]:
    """Return what a KPI says of each part of the whole, by name; of each month as it stood at its end."""
    if dimension == "month":
        return {point.month: point.reading for point in over_months(kpi, question)}
    scopes = parts(question, dimension)
    return {
        name: read(kpi, Question(question.view, question.settings, scope, policies=question.policies))
        for name, scope in scopes.items()
    }


def parts(question: Question, dimension: Dimension) -> dict[str, Scope]:
    """Return the parts of the whole along a dimension, by name."""
    if dimension == "pipeline":
        return {name: Scope(kind="pipeline", name=name) for name in question.pipelines}
    if dimension == "endpoint":
        endpoints = sorted({shift.endpoint for shift in live_shifts(question.view) if question.covers(shift.event)})
        return {name: Scope(kind="endpoint", name=name) for name in endpoints}
    if dimension == "model":
        versions = {*registered(question.view), *(v for shift in live_shifts(question.view) for v in shift.new)}
        return {name: Scope(kind="model", name=name) for name in sorted(set(map(model_of, versions)))}
    names = _nodes(question, dimension)
    found = {name: Scope(kind="node", name=name) for name in names}
    if any(not question.owner(pipeline) for pipeline in question.pipelines):
        found[NOBODY] = Scope(kind="node", name="")
    return found


def _nodes(question: Question, dimension: Dimension) -> Sequence[str]:
    at = question.as_of
    if dimension == "department":
        return question.organisation.nodes("department", at)
    if dimension == "cost-centre":
        return question.organisation.nodes("cost centre", at)
    owners = {question.owner(pipeline) for pipeline in question.pipelines} - {""}
    return sorted({*question.organisation.nodes("team", at), *owners})


def scope_named(question: Question, text: str) -> Scope:
    """Return the part of the whole that a name means.

    Args:
        question: Of what was asked so far.
        text: A team, department or cost centre, else a pipeline, an endpoint or a model; the kind can be put before
            it, such as ``model:churn``. ``nobody`` for what has no owner, ``""`` for the whole.

    Raises:
        UnknownName: Nothing is called so.
    """
    if not text:
        return EVERYTHING
    if text == NOBODY:
        return Scope(kind="node", name="")
    kind, _, rest = text.partition(":")
    dimensions: dict[str, Dimension] = {"pipeline": "pipeline", "endpoint": "endpoint", "model": "model"}
    known: dict[str, Scope] = {}
    wanted = rest if rest and (kind == "node" or kind in dimensions) else text
    if wanted == text or kind == "node":
        owners = {question.owner(pipeline) for pipeline in question.view.pipelines} - {""}
        names = sorted({*question.organisation.names, *owners})
        known |= {name: Scope(kind="node", name=name) for name in names}
    for name, dimension in dimensions.items():
        if wanted == text or kind == name:
            known = {**parts(question, dimension), **known}
    if wanted not in known:
        shown = ", ".join(sorted(known)[:_KNOWN_NAMES]) or "none yet"
        raise UnknownName(kind="part", name=text, known=shown)
    return known[wanted]


def _is_met(direction: Direction, value: Value, target: float | None) -> bool | None:
    if target is None or not isinstance(value, int | float) or direction == "none":
        return None
    return value >= target if direction == "up" else value <= target


# ---- in words


def value_text(value: Value, unit: str) -> str:
    """Return a value with its unit, as people read it; a dash where there is none."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit in ("hours", "h"):
        return _duration(value)
    return f"{_plain(value)} {_unit_of(value, unit)}" if unit not in ("", "count") else _plain(value)


def named_value(name: str, value: Value) -> tuple[str, str]:
    """Return the name of one of a reading's numbers and the number, in the unit that reads best.

    Args:
        name: Its key, of which the end may be the unit, such as ``p50_hours``.
        value: The number in that unit.
    """
    rest, _, last = name.rpartition("_")
    if name.startswith("is_") and value in (0, 1):
        return name.replace("_", " "), "yes" if value else "no"
    if last not in _UNITS or isinstance(value, str):
        return name.replace("_", " "), value_text(value, "")
    label = rest if last in ("hours", "days", "minutes") and rest else name
    return label.replace("_", " "), value_text(value, _UNITS[last])


def _unit_of(value: float, unit: str) -> str:
    """Return a unit of things as one says it beside a number: 2 models, but 1 model."""
    things, *rest = unit.split(" ")
    return " ".join((things.removesuffix("s"), *rest)) if value == 1 and len(things) > 1 else unit


def largest_parts(amounts: Iterable[tuple[str, Any]]) -> list[tuple[str, float]]:
    """Return the parts of a breakdown with their shares of its sum, the largest first."""
    known = [(name, float(amount)) for name, amount in amounts if isinstance(amount, int | float)]
    whole = sum(amount for _, amount in known)
    ordered = sorted(known, key=lambda pair: (-pair[1], pair[0]))
    return [(name, amount / whole) for name, amount in ordered] if whole else []


def named_text(named: Named, reading: Reading) -> str:
    """Return what one of the ten says: its value, or the part that has the largest share."""
    if reading.status == "no evidence":
        return "no evidence"
    if not named.part:
        return value_text(reading.value, reading.unit)
    found = largest_parts((reading.by.get(named.part) or {}).items())
    return f"{found[0][0]} {value_text(found[0][1], 'share')}" if found else MISSING


def named_note(named: Named, reading: Reading) -> str:
    """Return what stands below it: the other parts, or what it is held against."""
    if reading.status == "no evidence":
        return ""
    if named.part:
        found = largest_parts((reading.by.get(named.part) or {}).items())[1:]
        return ", ".join(f"{name} {value_text(part, 'share')}" for name, part in found[:2])
    if reading.target is not None:
        met = {True: "met", False: "not met", None: "nothing to hold against it"}[reading.is_met]
        return f"target {value_text(reading.target, reading.unit)}: {met}"
    held = reading.lines[0] if reading.lines else None
    return f"{held.label} {value_text(held.value, reading.unit)}" if held else ""


def _duration(value: float) -> str:
    """Return hours in the unit that reads best."""
    if 0 < abs(value) < 1:
        minutes = value * _MINUTES_AN_HOUR
        seconds = minutes * _SECONDS_A_MINUTE
        if abs(minutes) >= 1:
            return f"{_plain(minutes)} min"
        return f"{_plain(seconds)} s" if abs(seconds) >= 1 else f"{_plain(seconds * _MS_A_SECOND)} ms"
    return f"{_plain(value)} h" if abs(value) < _LONG_HOURS else f"{_plain(value / _HOURS_A_DAY)} d"


def _plain(value: float) -> str:
    if isinstance(value, int) or float(value).is_integer() or abs(value) >= _MANY:
        return f"{value:,.0f}".replace(",", "\u202f")
    # Digits, however small it is: nobody counts with powers of ten.
    return f"{value:.3g}" if abs(value) >= _SMALL else format(Decimal(f"{value:.3g}"), "f")
