"""Speed of iteration: from a reason to the new version live.

Invariant: a duration is taken between two events of one chain of causes, never between neighbours in time.
"""

import numpy as np

from ratchet.clock import from_us
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.logs import NEVER, Floats, Places, hours_between, last_of_each
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question
from ratchet.measure.kpis.shifts import Shifts, deployed, shifts_of, traced

Gain = tuple[str, str, float]


def iteration_time(question: Question) -> Answer:
    """Return the hours from the push, data or alert at the beginning of a chain to the new version live."""
    shifts, found = shifts_of(question.view), deployed(question)
    reason_us = traced(shifts.rows, "reason_us", shifts.walked)[found]
    begun = found[reason_us != NEVER]
    times = hours_between(reason_us[reason_us != NEVER], shifts.rows.time_us[begun])
    gains = _gains(question, shifts, found)
    return Answer.of(
        {
            "p50_hours": quantile(times, 0.5),
            "p90_hours": quantile(times, 0.9),
            "count": len(times),
            "improvements_count": len(gains),
            "accuracy_gained": sum(gain for _, _, gain in gains),
        },
        {"improvements": [list(gain) for gain in gains]},
        shifts.rows.ids(begun) + _reasons(question.view, shifts, begun),
    )


def _reasons(view: View, shifts: Shifts, places: Places) -> list[str]:
    """Return the ids of what some shifts began with."""
    codes, texts = shifts.rows["reason"], view.inputs.words.texts
    walked = shifts.walked
    return [walked[place].reason_id if place in walked else texts[codes[place]] for place in places.tolist()]


def _gains(question: Question, shifts: Shifts, places: Places) -> list[Gain]:
    """Return by how much deployed versions were better than their champions, with model and month, in order."""
    gain_of = _gain_of(question.view)
    wanted = np.zeros(len(shifts), dtype=np.bool_)
    wanted[places] = True
    pairs = np.flatnonzero(wanted[shifts.at] & shifts.is_new & (gain_of[shifts.version] > 0))
    texts, moments = question.view.inputs.words.texts, shifts.rows.time_us
    # Those of one shift by name.
    ordered = sorted(pairs.tolist(), key=lambda pair: (shifts.at[pair], texts[shifts.version[pair]]))
    return [
        (
            model_of(texts[shifts.version[pair]]),
            question.month(from_us(int(moments[shifts.at[pair]]))),
            float(gain_of[shifts.version[pair]]),
        )
        for pair in ordered
    ]


def _gain_of(view: View) -> Floats:
    """Return what the last checks of each version say of its gain, by its code; not a number where they do not."""
    suites = view.seen(view.inputs.suites)
    last = last_of_each(suites["version"], len(view.inputs.words))
    found = np.full(len(last), np.nan)
    found[last >= 0] = suites["gain"][last[last >= 0]]
    return found


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
