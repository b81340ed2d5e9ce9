"""Speed of iteration: from a reason to the new version live.

Invariant: a duration is taken between two events of one chain of causes, never between neighbours in time.
"""

from typing import Any

from ratchet.measure.kpis.deliveries import deployments, version_of
from ratchet.measure.kpis.facts import OfTypes, View
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, hours, model_of
from ratchet.records import Event

REASONS = ("code.pushed", "dataset.version.published", "monitor.alert.raised")
_PLACES = 6
_SUITES = ("fitness.suite.finished",)


def iteration_time(question: Question) -> Answer:
    """Return the hours from the push, data or alert at the beginning of a chain to the new version live."""
    times: list[float] = []
    used: list[Event] = []
    gains: list[tuple[str, str, float]] = []
    for shift in deployments(question):
        begun = [event for event in question.view.chain(shift.event) if event.type in REASONS]
        if begun:
            first = min(begun, key=lambda event: event.at)
            times.append(hours(first.at, shift.at))
            used += [first, shift.event]
        for version in shift.new:
            gain = _gain(question.view, version)
            if gain is not None and gain > 0:
                gains.append((model_of(version), question.month(shift.at), gain))
    return Answer.of(
        {
            "p50_hours": quantile(times, 0.5),
            "p90_hours": quantile(times, 0.9),
            "count": len(times),
            "improvements_count": len(gains),
            "accuracy_gained": sum(gain for _, _, gain in gains),
        },
        {"improvements": [list(gain) for gain in gains]},
        used,
    )


def _gain(view: View, version: str) -> float | None:
    """Return by how much a version's accuracy is above its champion's; ``None`` where either is unknown."""
    suite = view.made("quality suites", _quality_suites, of=_SUITES).get(version)
    own, champion = (_accuracy(suite), _accuracy(suite.get("champion"))) if suite else (None, None)
    return None if own is None or champion is None else round(own - champion, _PLACES)


def _quality_suites(view: OfTypes) -> dict[str, dict[str, Any]]:
    suites = view.of(*_SUITES)
    return {version_of(event): event.data for event in suites if event.data.get("kind") == "quality"}


def _accuracy(scores: Any) -> float | None:
    metrics = scores.get("metrics") if isinstance(scores, dict) else None
    found = metrics.get("accuracy") if isinstance(metrics, dict) else None
    return float(found) if isinstance(found, int | float) else None


KPIS = (
    Kpi(
        name="iteration_time",
        title="Speed of iteration",
        sentence="Hours from a push, new data or an alert until the version that came of it is live; less is faster.",
        unit="hours",
        headline="p50_hours",
        formula=(
            "For each production deployment whose chain of causes has a push, a dataset version or an alert in it: "
            "from the earliest of them to the live shift. Improvements: deployed versions whose accuracy was above the "
            "champion's, and by how much."
        ),
        edge_cases=(
            "A deployment that a person began without any of them has no iteration time.",
            "A version without a champion improved on nothing.",
        ),
        direction="down",
        timing="leading",
        nature="leverage",
        answer=iteration_time,
    ),
)
