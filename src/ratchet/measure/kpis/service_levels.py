"""How far services keep what was promised, and how fast they use up what may go wrong.

Invariant: what was not measured is neither good nor bad: it is the width of an interval.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, share
from ratchet.records import Event, Record

WINDOW = timedelta(days=30)
BURNS = {"burn_1h": timedelta(hours=1), "burn_6h": timedelta(hours=6), "burn_3d": timedelta(days=3)}


class Window(Record, frozen=True):
    """What one closed window of an objective counted.

    Attributes:
        event: The ``slo.window.closed``.
        objective: Its name.
        until: When the window ended (UTC).
        target: Which share shall be good, 0 to 1.
        good: Requests that were good.
        total: All requests, the missing ones among them.
        missing: Requests of which nothing is known.
    """

    event: Event
    objective: str
    until: datetime
    target: float
    good: float
    total: float
    missing: float

    @property
    def bad(self) -> float:
        """Return the requests that are known to be bad."""
        return self.total - self.good - self.missing

    @property
    def allowed(self) -> float:
        """Return how many of all requests may be bad."""
        return (1 - self.target) * self.total

    @property
    def allowed_of_known(self) -> float:
        """Return how many of those that were measured may be bad."""
        return (1 - self.target) * (self.total - self.missing)


def service_levels(question: Question) -> Answer:
    """Say which share of the requests of the last 30 days was good, between what missing data leaves open."""
    closed = [window for event in question.events("slo.window.closed") if (window := _window(event))]
    recent = _ended_within(closed, question.as_of, WINDOW)
    objectives = sorted({window.objective for window in recent})
    by: dict[str, Any] = {}
    if len(objectives) > 1:
        by = {name: _values(question, [one for one in closed if one.objective == name]) for name in objectives}
    return Answer.of(_values(question, closed), by, [window.event for window in recent])


def _values(question: Question, closed: list[Window]) -> dict[str, Value]:
    recent = _ended_within(closed, question.as_of, WINDOW)
    good, total, missing = (sum(getattr(one, name) for one in recent) for name in ("good", "total", "missing"))
    bad, allowed = total - good - missing, sum(one.allowed for one in recent)
    values: dict[str, Value] = {
        "attained_share": share(good, total - missing),
        "lower_share": share(good, total),
        "upper_share": share(good + missing, total),
        "budget_left_share": 1 - bad / allowed if allowed else None,
        "missing_count": missing if recent else None,
    }
    for name, span in BURNS.items():
        last = _ended_within(closed, question.as_of, span)
        values[name] = share(sum(one.bad for one in last), sum(one.allowed_of_known for one in last))
    return values


def _ended_within(windows: Iterable[Window], now: datetime, span: timedelta) -> list[Window]:
    """Return the windows that ended in a span up to now; the start of the span is out."""
    return [one for one in windows if now - span < one.until <= now]


def _window(event: Event) -> Window | None:
    """Return what a window counted; ``None`` for an event from outside that does not say."""
    data = event.data
    numbers = {name: data.get(name, 0) for name in ("target", "good", "total", "missing")}
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers.values()):
        return None
    try:
        until = datetime.fromisoformat(str(data.get("until") or event.at.isoformat()))
    except ValueError:
        return None
    name = str(data.get("slo") or event.subject)
    return Window(event=event, objective=name, until=until, **numbers) if until.tzinfo else None


KPIS = (
    Kpi(
        name="service_levels",
        title="Service levels",
        sentence="Which share of the requests was answered as promised; more is better.",
        unit="share",
        headline="attained_share",
        formula=(
            "Good over measured requests of the windows that ended in the last 30 days, between all missing ones being "
            "bad and all being good. Budget left is 1 less bad over what may be bad; burn is the same rate over the "
            "last hour, 6 hours and 3 days, 1 being what uses the budget up just in time."
        ),
        edge_cases=(
            "Missing data is unknown: it widens the interval and counts as neither good nor bad.",
            "A span in which no window ended has no burn, which is not 0.",
            "Objectives with different targets are added by what each may get wrong, and shown apart.",
        ),
        direction="up",
        timing="leading",
        nature="risk",
        answer=service_levels,
    ),
)
