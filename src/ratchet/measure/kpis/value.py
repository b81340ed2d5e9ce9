"""What it costs that finished versions wait, and what was saved against how it was before.

Invariant: what people declared is worth stands by itself and is never added to measured money.
"""

import math
from collections.abc import Iterable
from datetime import datetime

from ratchet.measure.kpis.deliveries import approvals, first_live, verdicts
from ratchet.measure.kpis.effort import effort_hours
from ratchet.measure.kpis.inputs import SHIFTED, model_of
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours
from ratchet.measure.kpis.shifts import covered, deployed
from ratchet.measure.kpis.ways import ways_of
from ratchet.records import Event

_HOURS_PER_DAY = 24
Stretch = tuple[datetime, datetime]


def value_at_stake(question: Question) -> Answer:
    """Multiply the days in which finished versions waited by what a day of the model was declared to be worth."""
    by: dict[str, dict[str, float | None]] = {}
    used = []
    for model, declared in _declared(question).items():
        days = union_hours(_waits(question, model)) / _HOURS_PER_DAY
        is_ours = declared.data.get("currency", "") in ("", question.settings.prices.currency)
        by[model] = {"waiting_days": days, "usd": days * _worth(declared) if is_ours else None}
        used.append(declared)
    values: dict[str, Value] = {
        "waiting_days": sum(one["waiting_days"] or 0.0 for one in by.values()) if by else None,
        "usd": sum(one["usd"] or 0.0 for one in by.values()) if by else None,
        "saved_days": _saved_days(question),
        "saved_hours": _saved_hours(question),
    }
    return Answer.of(values, by, used)


def union_hours(stretches: Iterable[Stretch]) -> float:
    """Return the hours that some stretches cover; where they overlap they count once."""
    total, end = 0.0, None
    for since, until in sorted(stretches):
        begin = since if end is None else max(since, end)
        total += max(0.0, hours(begin, until))
        end = until if end is None else max(end, until)
    return total


def _declared(question: Question) -> dict[str, Event]:
    """Return the last declaration of what a day of each model is worth."""
    events = question.events("assessment.recorded")
    return {str(event.data["model"]): event for event in events if event.data.get("model") and _worth(event)}


def _worth(event: Event) -> float:
    worth = event.data.get("value_per_day")
    return float(worth) if isinstance(worth, int | float) and not isinstance(worth, bool) else 0.0


def _waits(question: Question, model: str) -> list[Stretch]:
    """Return for each version that passed its gate from when it was ready to when it was live, or given up."""
    view = question.view
    passed = {
        version: next((event.at for event in events if event.data.get("decision") == "pass"), None)
        for version, events in verdicts(view).items()
        if model_of(version) == model
    }
    ready = {version: at for version, at in passed.items() if at is not None}
    live = {version: shift for version, shift in first_live(view).items() if version in ready}
    found = []
    for version, since in ready.items():
        shift = live.get(version)
        if shift is None:
            # Something newer went live in its place, or it still waits.
            later = [one.at for other, one in live.items() if ready[other] > since]
            found.append((since, min(later, default=question.as_of)))
            continue
        approval = approvals(view).get(shift.deployment_id)
        found.append((max(since, approval.given_at) if approval else since, shift.at))
    return found


def _saved_days(question: Question) -> float | None:
    """Return how many days earlier than before versions were live, added up; ``None`` where nobody said how it was."""
    before = question.settings.baseline.days_to_deployment
    if before is None:
        return None
    ways = ways_of(question.view)
    inside = covered(question, ways.shifts.rows, *SHIFTED)[ways.shift] & ways.is_live & ~ways.is_error
    # Live before it was trained is an error in the data, and no time.
    times = ways.hours_since("trained", inside)
    return math.fsum((before - times / _HOURS_PER_DAY).tolist())


def _saved_hours(question: Question) -> float | None:
    """Return the hours of people that deployments would have taken before, less what operations took."""
    before = question.settings.baseline.hours_per_deployment
    return None if before is None else before * len(deployed(question)) - effort_hours(question)


KPIS = (
    Kpi(
        name="value_at_stake",
        title="Value at stake",
        sentence="What it costs, as declared, that finished versions wait to go live; less is better.",
        unit="USD",
        headline="usd",
        formula=(
            "For each model with a declared value per day: the days in which a version that passed its gate, and was "
            "approved where it was deployed with an approval, waits to be live, to be superseded, or until now, times "
            "that value. Beside it the days and hours saved against the declared baseline."
        ),
        edge_cases=(
            "The value is what people declared; it is never added to measured costs.",
            "Waits that overlap count once.",
            "A value in another currency than that of the prices gives days and no money.",
            "Without a baseline nothing is said to be saved.",
        ),
        direction="down",
        timing="leading",
        nature="risk",
        answer=value_at_stake,
    ),
)
