"""How often people are called, and how often when they are not at work.

Invariant: a page that nobody answered is late, not left out.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ratchet.config import WorkingHoursSection
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, share
from ratchet.measure.kpis.shifts import deployed
from ratchet.records import Event

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK_DAYS = 7


def pages(question: Question) -> Answer:
    """Count the pages that were sent: in a week, out of hours, and for each 100 deployments."""
    sent = question.events("page.sent")
    outside = [
        page for page in sent if not is_working(page.at.astimezone(question.zone), question.settings.working_hours)
    ]
    weeks = _days(question) / _WEEK_DAYS
    values: dict[str, Value] = {
        "count": len(sent),
        "per_week": share(len(sent), weeks),
        "out_of_hours_count": len(outside),
        "out_of_hours_share": share(len(outside), len(sent)),
        "late_count": _late(question, sent),
        "per_100_deployments": share(100 * len(sent), len(deployed(question))),
    }
    return Answer.of(values if sent else dict.fromkeys(values, None), {}, sent)


def is_working(local: datetime, hours: WorkingHoursSection) -> bool:
    """Tell whether people are at work at a local moment; hours that go over midnight belong to the day they begin."""
    clock = f"{local:%H:%M}"
    if hours.since < hours.until:
        return _DAYS[local.weekday()] in hours.days and hours.since <= clock < hours.until
    began = local if clock >= hours.since else local - timedelta(days=1)
    return _DAYS[began.weekday()] in hours.days and (clock >= hours.since or clock < hours.until)


def _days(question: Question) -> int:
    """Return the local days from the beginning of the first event's month to the moment."""
    first = question.view.first_at
    if first is None:
        return 0
    start = first.astimezone(question.zone).date().replace(day=1)
    return (question.as_of.astimezone(question.zone).date() - start).days


def _late(question: Question, sent: list[Event]) -> int:
    """Count the pages that were not answered in time, those that are still open among them."""
    answered = _answered(question)
    limit = timedelta(minutes=question.settings.incidents.acknowledge_minutes)
    return sum(answered.get(page.id, question.as_of) - page.at > limit for page in sent)


def _answered(question: Question) -> Mapping[str, datetime]:
    found: dict[str, datetime] = {}
    for event in question.view.of("page.acknowledged"):
        found.setdefault(str(event.data.get("page") or event.causationid), event.at)
    return found


KPIS = (
    Kpi(
        name="pages",
        title="Pages",
        sentence="How often people are called because of a model, also at night; less is better.",
        unit="pages a week",
        headline="per_week",
        formula=(
            "Pages that were sent over the weeks since the beginning of the first month; out of hours by the local "
            "[working_hours]; late where not acknowledged within the minutes of [incidents]; for each 100 production "
            "deployments."
        ),
        edge_cases=(
            "A page that nobody has answered counts as late as soon as its time is over.",
            "Without pages there is no evidence, which is not 0: perhaps nothing here sends any.",
        ),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=pages,
    ),
)
