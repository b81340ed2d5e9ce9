"""How many hours people spend on keeping models in production.

Invariant: only sums over people leave this module; nothing here says what one person did.
"""

from datetime import datetime, timedelta

import numpy as np

from ratchet.clock import MICROSECOND
from ratchet.measure.kpis.columns import months
from ratchet.measure.kpis.deliveries import approvals
from ratchet.measure.kpis.inputs import INCIDENTS, LABELLING, SHIFTED, WORK
from ratchet.measure.kpis.logs import Places, Seen
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours, share
from ratchet.measure.kpis.shifts import covered, deployed, shifts_of
from ratchet.records import Record

GAP = timedelta(minutes=15)
LEAD_IN_HOURS = 5 / 60
_HOUR_US = 3_600_000_000


class Effort(Record, frozen=True):
    """Sessions of people's work, added up.

    Attributes:
        sessions_count: Stretches of one person's acts with no gap of more than 15 minutes.
        span_hours: From the first act of each to its last.
    """

    sessions_count: int
    span_hours: float

    @property
    def hours(self) -> float:
        """Return spans and five minutes before each, in which its first act was prepared."""
        return self.span_hours + self.sessions_count * LEAD_IN_HOURS


def operations_overhead(question: Question) -> Answer:
    """Add up the hours that people spent on commands, touches, approvals and incidents."""
    acts, places = _acts(question)
    effort = sessions(acts, places)
    deployments, model_months_count = len(deployed(question)), model_months(question)
    values: dict[str, Value] = {
        "hours": effort.hours,
        "lower_hours": effort.span_hours,
        "upper_hours": effort.hours + _response_hours(question),
        "sessions_count": effort.sessions_count,
        "hours_per_deployment": share(effort.hours, deployments),
        "model_months_count": model_months_count,
        "hours_per_model_month": share(effort.hours, model_months_count),
        "approval_wait_hours": _approval_wait_hours(question),
    }
    labelling = sessions(*_acts(question, is_labelling=True))
    annotators = {"hours": labelling.hours, "sessions_count": labelling.sessions_count}
    return Answer.of(
        values if len(places) else dict.fromkeys(values, None),
        {"annotators": annotators} if labelling.sessions_count else {},
        acts.ids(places),
    )


def effort_hours(question: Question) -> float:
    """Return the hours of operations, annotators' apart."""
    return sessions(*_acts(question)).hours


def sessions(acts: Seen, places: Places) -> Effort:
    """Return acts as sessions; people without a name are taken for one.

    Args:
        acts: What people did.
        places: Which of that, in the order of time.
    """
    authors, moments = acts["author"][places], acts.time_us[places]
    order = np.argsort(authors, kind="stable")
    waited, is_same = np.diff(moments[order]), np.diff(authors[order]) == 0
    goes_on = is_same & (waited <= GAP // MICROSECOND)
    span_us = int(waited[goes_on].sum())
    return Effort(sessions_count=len(places) - int(goes_on.sum()), span_hours=span_us / _HOUR_US)


def model_months(question: Question) -> int:
    """Return the number of pairs of a model and a local month in which it served production at any moment."""
    shifts = shifts_of(question.view)
    since, until = shifts.rows.time_us, shifts.until_us
    wanted = shifts.serves & (until > since) & covered(question, shifts.rows, *SHIFTED)
    pairs = wanted[shifts.at]
    models, at = shifts.model[pairs], shifts.at[pairs]
    names, codes = months(np.concatenate([since[at], until[at] - 1]), question.zone)
    first, last = codes[: len(at)], codes[len(at) :]
    found = {
        int(key) for step in range(int((last - first).max(initial=0)) + 1)
        for key in np.unique(models[first + step <= last] * len(names) + (first + step)[first + step <= last])
    }  # fmt: skip
    return len(found)


def _acts(question: Question, *, is_labelling: bool = False) -> tuple[Seen, Places]:
    """Return what people did, and which of that is their labelling, or all the rest."""
    acts = question.view.seen(question.view.inputs.acts)
    types = LABELLING if is_labelling else (*WORK, *INCIDENTS)
    return acts, np.flatnonzero((acts["is_labelling"] == is_labelling) & covered(question, acts, *types))


def _response_hours(question: Question) -> float:
    """Return the hours from the answer to a page until the incident was mitigated, times those who responded."""
    answered: dict[str, datetime] = {}
    for event in question.view.of("page.acknowledged"):
        answered.setdefault(str(event.data.get("page") or event.causationid), event.at)
    total = 0.0
    for event in question.events("incident.mitigated"):
        since = answered.get(str(event.data.get("page") or ""))
        people = event.data.get("responders", 1)
        if since is not None and isinstance(people, int | float):
            total += max(0.0, hours(since, event.at)) * people
    return total


def _approval_wait_hours(question: Question) -> float:
    """Return the hours in which deployments waited for their required approvals; nobody works meanwhile."""
    given = [one for one in approvals(question.view).values() if question.covers(one.events[-1])]
    return sum(hours(one.asked_at, one.given_at) for one in given)


KPIS = (
    Kpi(
        name="operations_overhead",
        title="Operations overhead",
        sentence="How many hours people spend on keeping models in production; less is more left for new ones.",
        unit="h",
        headline="hours",
        formula=(
            "Each person's commands, touches, approvals and acts in incidents, in sessions that end with a gap of more "
            "than 15 minutes; hours are the spans of the sessions and 5 minutes for each. Per production deployment, "
            "and per month of a model in production."
        ),
        edge_cases=(
            "The lower bound is the spans only; the upper bound adds, for each incident with a page, the time from its "
            "answer to the mitigation times those who responded.",
            "Waiting for an approval is no effort; it has a value of its own.",
            "The work of annotators is shown apart.",
            "Only sums are shown, never the hours of one person.",
            "People whose name is not known are taken for one person.",
        ),
        direction="down",
        timing="lagging",
        nature="leverage",
        answer=operations_overhead,
    ),
)
