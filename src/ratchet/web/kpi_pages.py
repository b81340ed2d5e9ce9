"""What pages show of KPIs: the ten that people ask for first as cards, and each one over time.

Invariant: a month without evidence is a gap in the chart and a dash in its table; a card leads to the events behind it.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ratchet.measure.kpis.readings import (
    TEN,
    Point,
    Reading,
    kpi_named,
    named_note,
    named_text,
    named_value,
    value_text,
)
from ratchet.records import Record
from ratchet.web.charts import Series, line_chart
from ratchet.web.figures import Figure, month_label

SHOWN_EVENTS = 40
_GOOD = {"up": "more is better", "down": "less is better", "none": "neither more nor less is better"}
_MET = {True: "met", False: "not met", None: "insufficient"}


class Card(Record, frozen=True):
    """One of the ten.

    Attributes:
        title: As people ask for it.
        text: Value and unit, or the part with the largest share.
        note: What stands below it.
        sentence: What it says.
        link: Address of the events behind it, from the root.
        is_known: Whether there is any evidence.
        mark: ``met`` or ``not met`` where a target was set, else ``""``.
    """

    title: str
    text: str
    note: str
    sentence: str
    link: str
    is_known: bool
    mark: str


class Line(Record, frozen=True):
    """A KPI in the list of all."""

    name: str
    title: str
    sentence: str
    text: str
    target: str
    mark: str
    kind: str
    owner: str


def cards(readings: Sequence[Reading]) -> list[Card]:
    """Return the ten that people ask for first."""
    found = {reading.name: reading for reading in readings}
    return [_card(named, found[named.kpi]) for named in TEN if named.kpi in found]


def lines(readings: Sequence[Reading]) -> list[Line]:
    """Return all KPIs, one line each."""
    return [
        Line(
            name=one.name,
            title=one.title,
            sentence=one.sentence,
            text=text_of(one),
            target="" if one.target is None else value_text(one.target, one.unit),
            mark="" if one.target is None else _MET[one.is_met],
            kind=f"{one.timing}, {one.nature}",
            owner=one.owner,
        )
        for one in readings
    ]


def text_of(reading: Reading) -> str:
    """Return a KPI's value with its unit, or that there is no evidence, or no goal to measure against."""
    if reading.name == "level_distribution" and reading.status == "ok" and reading.value is None:
        return "no goal is set"
    return "no evidence" if reading.status == "no evidence" else value_text(reading.value, reading.unit)


def details(reading: Reading) -> dict[str, Any]:
    """Return what the page of a KPI says beside its value and its chart."""
    kpi = kpi_named(reading.name)
    about = [("Good", _GOOD[reading.direction]), ("Kind", f"{reading.timing}, {reading.nature}")]
    about += [("Owner", reading.owner)] if reading.owner else []
    if reading.target is not None:
        about.append(("Target", f"{value_text(reading.target, reading.unit)}: {_MET[reading.is_met]}"))
    about += [(held.label.capitalize(), value_text(held.value, reading.unit)) for held in reading.lines]
    return {
        "text": text_of(reading),
        "about": about,
        "values": [named_value(name, value) for name, value in reading.values.items()],
        "parts": [(str(name).replace("_", " "), written(entry)) for name, entry in reading.by.items()],
        "formula": kpi.formula,
        "edge_cases": kpi.edge_cases,
        "events": reading.events[-SHOWN_EVENTS:],
        "more": max(0, len(reading.events) - SHOWN_EVENTS),
    }


def has_values(points: Sequence[Point]) -> bool:
    """Tell whether there is anything to draw over time: the share of a goal that nobody set is not."""
    return points[-1].reading.name != "level_distribution" or any(point.reading.value is not None for point in points)


def over_time(points: Sequence[Point]) -> Figure:
    """Return a KPI at the end of each month, with its target where there is one."""
    latest = points[-1].reading
    labels = [month_label(point.month) for point in points]
    values = tuple(_drawn(point.reading.value) for point in points)
    written_out = tuple(text_of(point.reading) for point in points)
    series = [Series(name=latest.title, values=values, shown=written_out)]
    if latest.target is not None:
        series.append(Series(name="target", values=(latest.target,) * len(points)))
    summary = f"In {latest.unit}, as it stood at the end of each month; now {text_of(latest)}."
    drawing = line_chart(labels, series, title=latest.title, description=summary)
    rows = [
        (label, text, str(len(point.reading.events)))
        for label, text, point in zip(labels, written_out, points, strict=True)
    ]
    return Figure(
        name="months",
        title="Month by month",
        summary=summary,
        drawing=Markup(drawing),  # noqa: S704, charts escape all text
        columns=("Month", "At its end", "Events behind it"),
        rows=tuple(rows),
    )


def written(value: Any) -> str:
    """Return a value of a breakdown in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {written(one)}".replace("_", " ") for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value_text(value, "")


def _card(named: Any, reading: Reading) -> Card:
    is_judged = reading.target is not None and not named.part and reading.is_met is not None
    return Card(
        title=named.title,
        text=named_text(named, reading),
        note=named_note(named, reading),
        sentence=reading.sentence,
        link=f"kpis/{quote(reading.name)}#events",
        is_known=reading.status != "no evidence",
        mark=_MET[reading.is_met] if is_judged else "",
    )


def _drawn(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
