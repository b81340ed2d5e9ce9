"""Feedback time: from an act to what tells of its effect.

Invariant: a duration is taken between two events of one chain, or of one thing, never between neighbours in time.
"""

from datetime import timedelta

from ratchet.measure.incidents.outages import merged
from ratchet.measure.kpis.facts import OfTypes
from ratchet.measure.kpis.failures import covered
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours

_BEFORE = ("run.finished", "gate.evaluated")
TOLD = ("push_to_verdict", "run_to_verdict", "prediction_to_outcome", "onset_to_alert", "alert_to_fixed")


def feedback_time(question: Question) -> Answer:
    """Return the hours from each act to what tells of its effect."""
    view = question.view
    gates, joined = question.events("gate.evaluated"), question.events("feedback.joined")
    before = view.made("before gates", _before_gates, of=_BEFORE)
    times: dict[str, list[float]] = {name: [] for name in TOLD}
    for gate in gates:
        since_push, since_run = before[gate.seq]
        if since_push is not None:
            times["push_to_verdict"].append(since_push)
        if since_run is not None:
            times["run_to_verdict"].append(since_run)
    delays = (event.data.get("median_delay_hours") for event in joined)
    times["prediction_to_outcome"] += [float(delay) for delay in delays if isinstance(delay, int | float)]
    apart = timedelta(minutes=question.settings.incidents.flapping_minutes)
    for one in merged((one.incident for one in covered(question)), within=apart):
        if one.is_ticket:
            continue
        times["onset_to_alert"].append(hours(one.onset, one.detected))
        if one.back is not None:
            times["alert_to_fixed"].append(hours(one.detected, one.back))
    values: dict[str, Value] = {
        f"{name}_{tag}_hours": quantile(found, part)
        for name, found in times.items()
        for tag, part in (("p50", 0.5), ("p90", 0.9))
    }
    return Answer.of(values, {name: len(found) for name, found in times.items()}, gates + joined)


def _before_gates(view: OfTypes) -> dict[int, tuple[float | None, float | None]]:
    """Return the hours from the nearest push and from the end of the run to each verdict, by its place."""
    runs = {str(event.data.get("run_id") or event.subject): event for event in view.of("run.finished")}
    found = {}
    for gate in view.of("gate.evaluated"):
        push = next((event for event in view.chain(gate) if event.type == "code.pushed"), None)
        run = runs.get(str(gate.data.get("run_id") or ""))
        found[gate.seq] = (hours(push.at, gate.at) if push else None, hours(run.at, gate.at) if run else None)
    return found


KPIS = (
    Kpi(
        name="feedback_time",
        title="Feedback time",
        sentence="How many hours pass from an act until something tells of its effect; less is faster.",
        unit="hours",
        headline="prediction_to_outcome_p50_hours",
        formula=(
            "Push to the verdict of a gate in whose chain it stands; end of a run to its verdict; prediction to joined "
            "outcome (the median delay of each join); onset of an incident to its detection; detection to its end."
        ),
        edge_cases=(
            "Incidents that only a ticket tells of are left out: nobody knows their onset.",
            "Open incidents count until their detection.",
        ),
        direction="down",
        timing="leading",
        nature="leverage",
        answer=feedback_time,
    ),
)
