"""How many hours people spend on keeping models in production.

Invariant: only sums over people leave this module; nothing here says what one person did.
"""

from datetime import datetime, timedelta

from ratchet.clock import MICROSECOND
from ratchet.measure.initiators import acting_class
from ratchet.measure.kpis.deliveries import approvals, deployments, live_shifts
from ratchet.measure.kpis.facts import OfTypes
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours, model_of, months_between, share
from ratchet.records import Event, Record

WORK = ("command.issued", "touch.recorded", "approval.requested", "approval.decided", "approval.closed")
INCIDENTS = (
    "incident.detected",
    "incident.reported",
    "incident.mitigated",
    "incident.resolved",
    "incident.attributed",
)
LABELLING = ("label.submitted", "label.batch.assigned", "label.batch.completed")
GAP = timedelta(minutes=15)
LEAD_IN_HOURS = 5 / 60


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
    acts = _acts(question, *WORK, *INCIDENTS)
    effort = sessions(acts)
    deployed, months = len(deployments(question)), model_months(question)
    values: dict[str, Value] = {
        "hours": effort.hours,
        "lower_hours": effort.span_hours,
        "upper_hours": effort.hours + _response_hours(question),
        "sessions_count": effort.sessions_count,
        "hours_per_deployment": share(effort.hours, deployed),
        "model_months_count": months,
        "hours_per_model_month": share(effort.hours, months),
        "approval_wait_hours": _approval_wait_hours(question),
    }
    labelling = sessions(_acts(question, *LABELLING))
    annotators = {"hours": labelling.hours, "sessions_count": labelling.sessions_count}
    return Answer.of(
        values if acts else dict.fromkeys(values, None),
        {"annotators": annotators} if labelling.sessions_count else {},
        acts,
    )


def effort_hours(question: Question) -> float:
    """Return the hours of operations, annotators' apart."""
    return sessions(_acts(question, *WORK, *INCIDENTS)).hours


def sessions(acts: list[Event]) -> Effort:
    """Return acts, in the order of time, as sessions; people without a name are taken for one."""
    last: dict[str, datetime] = {}
    count, span = 0, timedelta()
    for event in acts:
        before = last.get(event.authid)
        if before is None or event.at - before > GAP:
            count += 1
        else:
            span += event.at - before
        last[event.authid] = event.at
    return Effort(sessions_count=count, span_hours=span / timedelta(hours=1))


def model_months(question: Question) -> int:
    """Return the number of pairs of a model and a local month in which it served production at any moment."""
    found: set[tuple[str, str]] = set()
    ends: dict[str, datetime] = {}
    for shift in reversed(live_shifts(question.view)):
        until = ends.get(shift.endpoint, question.as_of)
        ends[shift.endpoint] = shift.at
        if shift.after and until > shift.at and question.covers(shift.event):
            first, last = question.month(shift.at), question.month(until - MICROSECOND)
            inside = (first,) if first == last else months_between(shift.at, until, question.zone)
            found |= {(model_of(version), month) for version in shift.after for month in inside}
    return len(found)


def _acts(question: Question, *types: str) -> list[Event]:
    def read(view: OfTypes) -> list[Event]:
        return [event for event in view.of(*types) if acting_class(event) == "human"]

    found = question.view.made(f"acts of people: {', '.join(types)}", read, of=types)
    return found if question.scope.kind == "organisation" else [event for event in found if question.covers(event)]


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
