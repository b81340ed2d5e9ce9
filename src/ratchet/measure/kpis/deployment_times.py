"""Time to deployment: from a start to the first production traffic of a version.

Invariant: a version that never got there is censored and counted, and one that was live before it was trained is
listed as an error of the data; neither is dropped.
"""

from typing import Any

import numpy as np

from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Line, Question
from ratchet.measure.kpis.shifts import covered
from ratchet.measure.kpis.survival import product_limit_median
from ratchet.measure.kpis.ways import ways_of

STARTS = ("started", "trained", "approved", "code", "data")
SEGMENTS = ("evaluate", "queue", "approval_wait", "staging", "canary")
PUBLISHED_DAYS = 31.0
_HOURS_A_DAY = 24


def time_to_deployment(question: Question) -> Answer:
    """Return the hours from the end of a training to production, and from the other starts beside."""
    found = ways_of(question.view)
    inside = covered(question, found.trainings.runs, "run.finished")[found.run]
    good = inside & ~found.is_error
    done = good & found.is_live
    taken = found.hours_since("trained", done)
    waiting = np.flatnonzero(good & ~found.is_live).tolist()
    censored, superseded = found.waited(waiting)
    errors = np.flatnonzero(inside & found.is_error).tolist()
    by: dict[str, Any] = {"data_errors": sorted(map(found.name, errors))}
    for start in STARTS:
        times = found.hours_since(start, done)
        by[start] = {"count": len(times), "p50_hours": quantile(times, 0.5), "p90_hours": quantile(times, 0.9)}
    parts = found.parts_hours(done)
    by["segments_p50_hours"] = {name: quantile(parts[name], 0.5) for name in SEGMENTS}
    used = found.trainings.runs.ids(found.run[inside])
    used += found.shifts.rows.ids(found.shift[inside & found.is_live])
    return Answer.of(
        {
            "deployed_count": int(done.sum()),
            "open_count": len(waiting) - superseded,
            "superseded_count": superseded,
            "data_error_count": len(errors),
            "p50_hours": quantile(taken, 0.5),
            "p90_hours": quantile(taken, 0.9),
            "kaplan_meier_median_hours": product_limit_median(taken, censored),
        },
        by,
        used,
    )


def _lines(question: Question) -> tuple[Line, ...]:
    own = question.settings.baseline.days_to_deployment
    published = Line(label="published average", value=PUBLISHED_DAYS * _HOURS_A_DAY)
    if own is None:
        return (published,)
    return (Line(label="own baseline", value=own * _HOURS_A_DAY), published)


KPIS = (
    Kpi(
        name="time_to_deployment",
        title="Time to deployment",
        sentence="How many hours pass from the end of a training until its version serves production; less is faster.",
        unit="hours",
        headline="kaplan_meier_median_hours",
        formula=(
            "First live production traffic of a version minus the end of its training; versions that never got there "
            "are censored, and the Kaplan-Meier median stands for all. Beside it p50 and p90 of those that got there, "
            "from other starts (work on the model began, last required approval, push, data), and the medians of the "
            "parts: evaluate, queue, approval wait, staging, canary."
        ),
        edge_cases=(
            "A version that was never deployed is superseded (a later one of its model went live: censored then) or "
            "open (censored now).",
            "Live before it was trained is an error of the data: listed, in no quantile.",
            "The start of the work counts for the first version of a model only.",
            "Of several approvals the last required one counts.",
        ),
        direction="down",
        timing="leading",
        nature="leverage",
        answer=time_to_deployment,
        lines=_lines,
    ),
)
