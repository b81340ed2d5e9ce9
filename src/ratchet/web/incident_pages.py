"""What pages show of incidents: all of them in lines, one of them in time, and errors made by people by month.

Invariant: every sentence of an attribution leads to the events behind it; what people say stands beside what was
computed and is named as theirs.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

from ratchet.measure.incidents.attribution import Attribution
from ratchet.measure.kpis.failures import MonthOfErrors
from ratchet.records import Event, Record
from ratchet.web.charts import MISSING, Series, bar_chart
from ratchet.web.figures import Figure, month_label
from ratchet.web.timelines import Lane, Mark, timeline

SEEN_BY = {"monitor": "a monitor", "slo": "a service level", "ticket": "a person only"}
STEPS = {
    "remedy": "What put it right",
    "canary": "What a canary showed",
    "candidates": "What changed near it",
    "conduct": "What people did",
    "people": "What people say",
}


class Found(Record, frozen=True):
    """What pages need of all incidents.

    Attributes:
        incidents: The newest first.
        months: Errors made by people.
        at: The moment of it (UTC).
    """

    incidents: tuple[Attribution, ...]
    months: tuple[MonthOfErrors, ...]
    at: datetime

    def named(self, name: str) -> Attribution | None:
        """Return the incident of a name; ``None`` where there is none."""
        return next((one for one in self.incidents if one.incident.name == name), None)


class Moment(Record, frozen=True):
    """A line of the list below the drawing: an event, and its part in the incident."""

    event: Event
    part: str


def counts(found: Sequence[Attribution]) -> list[tuple[str, int]]:
    """Return how many incidents there are, by what matters first."""
    return [
        ("open", sum(one.incident.back is None for one in found)),
        ("in all", len(found)),
        ("from a change that is known", sum(bool(one.blamed) for one in found)),
        ("a person's act at fault", sum(one.is_human_induced for one in found)),
    ]


def summary(one: Attribution) -> str:
    """Return in one or two sentences what happened and what it came from."""
    incident = one.incident
    time = "is out of bounds" if incident.hours is None else f"was out of bounds for {incident.lasted}"
    origin = {
        "proven": "One change is proven to be the cause",
        "likely": "One change is likely to be the cause",
        "ambiguous": f"{len(one.weights)} changes may be the cause",
        "not change-induced": "No change led to it",
    }[one.verdict]
    if one.is_human_induced and one.conduct is not None:
        origin += f", and a person's act was at fault ({one.conduct.kind})"
    elif one.conduct is not None:
        origin += ", and its gate had let it through"
    return f"{incident.service} {time}. {origin}."


def errors_by_month(months: Sequence[MonthOfErrors]) -> Figure:
    """Return errors made by people, by month: a lagging number, to be read beside how automated the work is."""
    bars = Series(name="errors", values=tuple(float(one.human_induced_count) for one in months))
    labels = [month_label(one.month) for one in months]
    total = sum(one.human_induced_count for one in months)
    summary = f"Lagging: incidents that a person's act is at fault for, by month of their onset; {total} in all."
    drawing = bar_chart(labels, bars, title="Errors made by people", description=summary) if months else ""
    rows = tuple(
        (
            month_label(one.month),
            str(one.human_induced_count),
            str(one.human_changes_count),
            MISSING if one.per_100_human_changes is None else f"{one.per_100_human_changes:.1f}",
            str(one.automated_changes_count),
        )
        for one in months
    )
    columns = ("Month", "Errors", "Changes by people", "Errors by act per 100 of them", "Changes by automation")
    title = "Errors made by people per month"
    if not months:
        return Figure(name="errors", title=title, summary="Nothing has happened yet.")
    return Figure(
        name="errors",
        title=title,
        summary=summary,
        drawing=Markup(drawing),  # noqa: S704, charts escape all text
        columns=columns,
        rows=rows,
        link="?type=incident.detected&type=incident.reported",
    )


def moments(one: Attribution, find: Callable[[str], Event | None]) -> list[Moment]:
    """Return the events of an incident in the order of time, with the part of each in it.

    Args:
        one: The incident.
        find: Gives an event by its id.
    """
    incident = one.incident
    parts: dict[str, str] = {}
    for event in one.candidates:
        weight = one.weights.get(event)
        parts[event] = "a change near it"
        if weight is not None:
            parts[event] = "the cause" if weight == 1 else f"one of {len(one.weights)} possible causes"
    for event in one.conduct.events if one.conduct else ():
        parts.setdefault(event, "shows what people did")
    remedy = str(incident.mitigated.data.get("remedy") or "") if incident.mitigated else ""
    steps = [(remedy, "the restoring action"), (incident.event.id, "noticed"), (incident.onset_event, "the onset")]
    told = ((incident.mitigated, "harm stopped"), (incident.resolved, "over"))
    steps += [(step.id, part) for step, part in told if step is not None]
    for event, part in steps:
        if event:
            parts.setdefault(event, part)
    events = {name: find(name) for name in parts}
    found = [Moment(event=known, part=parts[name]) for name, known in events.items() if known is not None]
    return sorted(found, key=lambda moment: (moment.event.at, moment.event.seq))


def drawing(one: Attribution, lines: Sequence[Moment], *, at: datetime) -> Markup:
    """Return an incident in time.

    Args:
        one: The incident.
        lines: Its events, in the order of their numbers.
        at: Until when an open one lasts so far (UTC).
    """
    marks = [Mark(at=line.event.at, lane=_lane(one, line.event.id), text=line.part) for line in lines]
    incident = one.incident
    text = timeline(
        marks,
        onset=incident.onset,
        end=incident.back or max(at, incident.onset),
        is_open=incident.back is None,
        title=f"{incident.name} in time",
        description=f"{incident.service} was out of bounds: {incident.lasted}. {len(one.candidates)} changes near it.",
    )
    return Markup(text)  # noqa: S704, the drawing escapes all text


def _lane(one: Attribution, event: str) -> Lane:
    if event in one.weights:
        return "cause"
    return "change" if event in one.candidates else "step"
