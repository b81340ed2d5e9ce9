"""Time to deployment: from a start to the first production traffic of a version.

Invariant: a version that never got there is censored and counted, and one that was live before it was trained is
listed as an error of the data; neither is dropped.
"""

from collections import Counter
from datetime import datetime
from typing import Any

from ratchet.measure.kpis.deliveries import (
    APPROVED,
    REQUESTED,
    SHIFTED,
    TRAINED,
    LiveShift,
    approvals,
    first_live,
    live_shifts,
    requests,
    trained,
    verdicts,
)
from ratchet.measure.kpis.facts import OfTypes
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Line, Question, hours, model_of
from ratchet.measure.kpis.survival import product_limit_median
from ratchet.records import Event, Record

STARTS = ("started", "trained", "approved", "code", "data")
SEGMENTS = ("evaluate", "queue", "approval_wait", "staging", "canary")
PUBLISHED_DAYS = 31.0
_BEGUN = ("design.signed", "pipeline.declared", "run.queued", "run.finished")
_ON_THE_WAY = tuple(dict.fromkeys((*SHIFTED, *TRAINED, *APPROVED, *REQUESTED, *_BEGUN)))
_HOURS_A_DAY = 24


class Way(Record, frozen=True):
    """A version's way from its training to production.

    Attributes:
        version: Which one.
        run: Its training.
        shift: By which it was first live; ``None`` where it never was.
        is_error: Whether it was live before it was trained.
        hours: From each start to production; those that are not known are left out.
        parts_hours: The parts of the way; those that are not known are left out.
    """

    version: str
    run: Event
    shift: LiveShift | None
    is_error: bool
    hours: dict[str, float]
    parts_hours: dict[str, float]


def ways(question: Question) -> list[Way]:
    """Return the way of each version that was trained, as far as the scope covers its training."""
    return [way for way in question.view.made("ways", _ways, of=_ON_THE_WAY) if question.covers(way.run)]


def time_to_deployment(question: Question) -> Answer:
    """Return the hours from the end of a training to production, and from the other starts beside."""
    found = ways(question)
    good = [way for way in found if not way.is_error]
    done = [way for way in good if way.shift is not None]
    taken = [way.hours["trained"] for way in done]
    censored, fates = _waiting(question, [way for way in good if way.shift is None])
    by: dict[str, Any] = {"data_errors": sorted(way.version for way in found if way.is_error)}
    for start in STARTS:
        times = [way.hours[start] for way in done if start in way.hours]
        by[start] = {"count": len(times), "p50_hours": quantile(times, 0.5), "p90_hours": quantile(times, 0.9)}
    by["segments_p50_hours"] = {
        name: quantile([way.parts_hours[name] for way in done if name in way.parts_hours], 0.5) for name in SEGMENTS
    }
    used = [way.run for way in found] + [way.shift.event for way in found if way.shift is not None]
    return Answer.of(
        {
            "deployed_count": len(done),
            "open_count": fates["open"],
            "superseded_count": fates["superseded"],
            "data_error_count": len(found) - len(good),
            "p50_hours": quantile(taken, 0.5),
            "p90_hours": quantile(taken, 0.9),
            "kaplan_meier_median_hours": product_limit_median(taken, censored),
        },
        by,
        used,
    )


def _ways(view: OfTypes) -> list[Way]:
    shifts, begun = first_live(view), view.made("begun", _begun, of=_BEGUN)
    runs = trained(view)
    firsts: dict[str, str] = {}
    for version in shifts:
        if version in runs:
            firsts.setdefault(model_of(version), version)
    parts = _Parts(view)
    found = []
    for version, run in runs.items():
        shift = shifts.get(version)
        since = {"trained": run.at}
        if firsts.get(model_of(version)) == version and run.pipeline in begun:
            since["started"] = begun[run.pipeline]
        if shift is not None:
            since |= _origins(view, shift)
        found.append(
            Way(
                version=version,
                run=run,
                shift=shift,
                is_error=shift is not None and run.at > shift.at,
                hours={start: hours(moment, shift.at) for start, moment in since.items()} if shift else {},
                parts_hours=parts.of(version, run, shift) if shift else {},
            )
        )
    return found


def _begun(view: OfTypes) -> dict[str, datetime]:
    """Return when work on each pipeline began: its design, its declaration or its first run."""
    found: dict[str, datetime] = {}
    for event in view.of(*_BEGUN):
        found.setdefault(event.pipeline, event.at)
    return found


def _origins(view: OfTypes, shift: LiveShift) -> dict[str, datetime]:
    """Return the moments that lie in the chain of a shift: the push and the data nearest to it, the last approval."""
    found = {}
    chain = view.chain(shift.event)
    for name, type_ in (("code", "code.pushed"), ("data", "dataset.version.published")):
        nearest = next((event for event in chain if event.type == type_), None)
        if nearest is not None:
            found[name] = nearest.at
    approval = approvals(view).get(shift.deployment_id)
    if approval is not None:
        found["approved"] = approval.given_at
    return found


def _waiting(question: Question, waiting: list[Way]) -> tuple[list[float], Counter[str]]:
    """Return for how many hours versions were seen to wait, and whether they still do or a later one went live."""
    lives: dict[str, list[tuple[datetime, datetime]]] = {}
    for way in question.view.made("ways", _ways, of=_ON_THE_WAY):
        if way.shift is not None:
            lives.setdefault(model_of(way.version), []).append((way.run.at, way.shift.at))
    times, fates = [], Counter[str]()
    for way in waiting:
        later = [went for made, went in lives.get(model_of(way.version), ()) if made > way.run.at]
        fates["superseded" if later else "open"] += 1
        times.append(hours(way.run.at, min(later, default=question.as_of)))
    return times, fates


class _Parts:
    """Tells how long the parts of a way took."""

    def __init__(self, view: OfTypes) -> None:
        self._full = view.made("full traffic", _full_traffic, of=SHIFTED)
        self._judged, self._asked_for, self._approved = verdicts(view), requests(view), approvals(view)

    def of(self, version: str, run: Event, shift: LiveShift) -> dict[str, float]:
        gate = next(iter(self._judged.get(version, ())), None)
        asked = self._asked_for.get(shift.deployment_id)
        approval = self._approved.get(shift.deployment_id)
        found = {}
        if gate is not None:
            found["evaluate"] = hours(run.at, gate.at)
        if gate is not None and asked is not None:
            found["queue"] = hours(gate.at, asked.at)
        if approval is not None:
            found["approval_wait"] = hours(approval.asked_at, approval.given_at)
        if asked is not None:
            found["staging"] = hours(approval.given_at if approval else asked.at, shift.at)
        if version in self._full:
            found["canary"] = hours(shift.at, self._full[version])
        return found


def _full_traffic(view: OfTypes) -> dict[str, datetime]:
    """Return when each version first had all of an endpoint's traffic."""
    found: dict[str, datetime] = {}
    for shift in live_shifts(view):
        if len(shift.after) == 1:
            found.setdefault(next(iter(shift.after)), shift.at)
    return found


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
