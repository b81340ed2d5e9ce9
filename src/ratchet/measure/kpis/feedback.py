"""Feedback time: from an act to what tells of its effect.

Invariant: a duration is taken between two events of one chain, or of one thing, never between neighbours in time.
"""

from datetime import timedelta

import numpy as np

from ratchet.measure.incidents.outages import merged
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.failures import covered
from ratchet.measure.kpis.logs import NEVER, Places, Seen, hours_between, last_of_each
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours
from ratchet.measure.kpis.shifts import covered_rows, traced, walked

TOLD = ("push_to_verdict", "run_to_verdict", "prediction_to_outcome", "onset_to_alert", "alert_to_fixed")


def feedback_time(question: Question) -> Answer:
    """Return the hours from each act to what tells of its effect."""
    view, inputs = question.view, question.view.inputs
    gates, joins = view.seen(inputs.gates), view.seen(inputs.joins)
    judged, joined = covered_rows(question, gates, "gate.evaluated"), covered_rows(question, joins, "feedback.joined")
    times: dict[str, list[float]] = {name: [] for name in TOLD}
    times |= _before_gates(view, gates, judged)
    delays = joins["delay"][joined]
    times["prediction_to_outcome"] = delays[~np.isnan(delays)].tolist()
    onsets: list[float] = []
    fixes: list[float] = []
    times |= {"onset_to_alert": onsets, "alert_to_fixed": fixes}
    apart = timedelta(minutes=question.settings.incidents.flapping_minutes)
    for one in merged((one.incident for one in covered(question)), within=apart):
        if one.is_ticket:
            continue
        onsets.append(hours(one.onset, one.detected))
        if one.back is not None:
            fixes.append(hours(one.detected, one.back))
    values: dict[str, Value] = {
        f"{name}_{tag}_hours": quantile(found, part)
        for name, found in times.items()
        for tag, part in (("p50", 0.5), ("p90", 0.9))
    }
    return Answer.of(
        values,
        {name: len(found) for name, found in times.items()},
        gates.ids(judged) + joins.ids(joined),
    )


def _before_gates(view: View, gates: Seen, places: Places) -> dict[str, list[float]]:
    """Return the hours from the nearest push, and from the end of the run, to some verdicts."""
    runs = view.seen(view.inputs.runs)
    pushed = traced(gates, "push_us", walked(view, gates, "gate.evaluated"))[places]
    judged = gates.time_us[places]
    run = last_of_each(runs["run"], len(view.inputs.words))[gates["run"][places]]
    was_pushed, was_run = pushed != NEVER, run >= 0
    return {
        "push_to_verdict": hours_between(pushed[was_pushed], judged[was_pushed]).tolist(),
        "run_to_verdict": hours_between(runs.time_us[run[was_run]], judged[was_run]).tolist(),
    }


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
