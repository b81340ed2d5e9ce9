"""Ways to production and failures, worked out one event at a time: what their columns are held against.

Invariant: nothing here reads a column that was made of shifts, runs or verdicts; each figure comes from events alone.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ratchet.measure.incidents.attribution import Attribution
from ratchet.measure.incidents.candidates import Candidate
from ratchet.measure.incidents.conduct import HUMAN_INDUCED, HUMAN_MODES
from ratchet.measure.initiators import Mode
from ratchet.measure.kpis.deliveries import (
    APPROVED,
    REQUESTED,
    SHIFTED,
    TRAINED,
    LiveShift,
    approvals,
    deployments,
    first_live,
    live_shifts,
    requests,
    trained,
    verdicts,
)  # fmt: skip
from ratchet.measure.kpis.deployment_times import SEGMENTS, STARTS
from ratchet.measure.kpis.facts import OfTypes
from ratchet.measure.kpis.failures import (
    AUTOMATED_MODES,
    MonthOfErrors,
    _blamed,
    _is_by_act,
    attributed,
    covered,
    ground_of,
    relative_risk,
)  # fmt: skip
from ratchet.measure.kpis.inputs import BEGUN, model_of
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Question, hours, share
from ratchet.measure.kpis.survival import product_limit_median
from ratchet.records import Event, Record

_BEGUN = BEGUN
_ON_THE_WAY = tuple(dict.fromkeys((*SHIFTED, *TRAINED, *APPROVED, *REQUESTED, *_BEGUN)))
_BEFORE = ("run.finished", "gate.evaluated")
_SUITES = ("fitness.suite.finished",)
_HOURS_A_DAY = _HOURS_PER_DAY = 24


# ---- deployment_times


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
    return [way for way in question.view.made("plain ways", _ways, of=_ON_THE_WAY) if question.covers(way.run)]


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
    shifts, begun = first_live(view), view.made("plain begun", _begun, of=_BEGUN)
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
    for way in question.view.made("plain ways", _ways, of=_ON_THE_WAY):
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
        self._full = view.made("plain full traffic", _full_traffic, of=SHIFTED)
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


# ---- failures


def change_failure_rate(question: Question) -> Answer:
    """Work out how many production deployments led to an incident."""
    found = deployments(question)
    ground = ground_of(question)
    mature = [one for one in found if one.at <= question.as_of - ground.deploy_window]
    blamed = _blamed(question)
    suspected = {event for one in attributed(question) for event in one.weights}
    failed = [one for one in mature if one.event.id in blamed]
    perhaps = [one for one in mature if one.event.id in suspected]
    is_back = _taken_back(question)
    caught = [
        one
        for one in mature
        if one.deployment_id in ground.worse_canaries and is_back(one) and one.event.id not in suspected
    ]
    return Answer.of(
        {
            "share": share(len(failed), len(mature)),
            "upper_share": share(len(perhaps), len(mature)),
            "caught_share": share(len(caught), len(mature)),
            "failed_count": len(failed),
            "deployments_count": len(mature),
            "immature_count": len(found) - len(mature),
        },
        {"failed": sorted(one.event.id for one in failed)},
        [one.event for one in found],
    )


class _TakenBack:
    """Tells which deployments were rolled back: by their id, or by the version that a later rollback left."""

    def __init__(self, rollbacks: Iterable[Event]) -> None:
        self._deployments: set[str] = set()
        self._versions: dict[tuple[str, str], list[Event]] = {}
        for event in rollbacks:
            self._deployments.add(str(event.data.get("deployment_id") or event.subject))
            endpoint = str(event.data.get("endpoint") or event.subject)
            self._versions.setdefault((endpoint, str(event.data.get("from") or "")), []).append(event)

    def __call__(self, shift: LiveShift) -> bool:
        left = [event for version in shift.new for event in self._versions.get((shift.endpoint, version), ())]
        return shift.deployment_id in self._deployments or any(event.at >= shift.at for event in left)


def _taken_back(question: Question) -> _TakenBack:
    return question.view.once("plain taken back", lambda view: _TakenBack(view.of("deployment.rolledback")))


def rework_rate(question: Question) -> Answer:
    """Work out how many production deployments only repaired something."""
    found = deployments(question)
    repairs = question.view.made("plain repairs", _repairs, of=SHIFTED)
    rework = [one for one in found if one.event.seq in repairs]
    values = {
        "share": share(len(rework), len(found)),
        "rework_count": len(rework),
        "deployments_count": len(found),
    }
    return Answer.of({**values}, {}, [one.event for one in found])


def _repairs(view: OfTypes) -> frozenset[int]:
    """Return the places of the shifts that an incident or a rollback led to."""
    return frozenset(one.event.seq for one in live_shifts(view) if any(map(_is_repair, view.chain(one.event)[1:])))


def _is_repair(link: Event) -> bool:
    return link.type.startswith("incident.") or link.type == "deployment.rolledback"


def human_induced_errors(question: Question) -> Answer:
    """Work out how often people's acts broke something, beside how often automation's did."""
    found = covered(question)
    modes = _modes_of_changes(question)
    blamed = _blamed(question)
    human = [event for event, mode in modes.items() if mode in HUMAN_MODES]
    automated = [event for event, mode in modes.items() if mode in AUTOMATED_MODES]
    human_failed = sum(event in blamed for event in human)
    automated_failed = sum(event in blamed for event in automated)
    ratio, low, high = relative_risk(human_failed, len(human), automated_failed, len(automated))
    kinds = Counter(one.conduct.kind for one in found if one.conduct is not None)
    induced = sum(one.is_human_induced for one in found)
    said = [one for one in found if one.said is not None]
    return Answer.of(
        {
            "human_induced_count": induced,
            "per_100_human_changes": share(100 * (induced - kinds["omission"]), len(human)),
            "human_changes_count": len(human),
            "human_failed_count": human_failed,
            "automated_changes_count": len(automated),
            "automated_failed_count": automated_failed,
            "unknown_changes_count": len(modes) - len(human) - len(automated),
            "relative_risk": ratio,
            "relative_risk_low": low,
            "relative_risk_high": high,
            "gate_gap_count": kinds["gate-gap"],
            "disagreement_share": share(sum(one.is_disputed for one in said), len(said)),
        },
        {kind: kinds[kind] for kind in HUMAN_INDUCED},
        [*modes, *(one.incident.event.id for one in found)],
    )


def errors_by_month(question: Question) -> list[MonthOfErrors]:
    """Return the errors made by people, month by month: the lagging row beside how automated the work was."""
    modes = _modes_of_changes(question)
    events = {event.id: event for event in _changes(question)}
    month_of = {event: question.month(events[event].at) for event in modes}
    human = Counter(month_of[event] for event, mode in modes.items() if mode in HUMAN_MODES)
    automated = Counter(month_of[event] for event, mode in modes.items() if mode in AUTOMATED_MODES)
    induced: dict[str, list[Attribution]] = {}
    for one in covered(question):
        if one.is_human_induced:
            induced.setdefault(question.month(one.incident.onset), []).append(one)
    return [
        MonthOfErrors(
            month=month,
            human_induced_count=len(here := induced.get(month, [])),
            human_changes_count=human[month],
            automated_changes_count=automated[month],
            per_100_human_changes=share(100 * sum(map(_is_by_act, here)), human[month]),
            events=tuple(one.incident.event.id for one in here),
        )
        for month in question.months
    ]


def _changes(question: Question) -> list[Event]:
    """Return the changes of production in the scope: deployments and settings; rollbacks are none."""
    return [*(one.event for one in deployments(question)), *question.events("config.changed")]


def _modes_of_changes(question: Question) -> dict[str, Mode]:
    """Return in which mode each change of production in the scope was made."""
    ground, found = ground_of(question), dict[str, Mode]()
    for event in _changes(question):
        found[event.id] = ground.mode(Candidate(event=event, shift=ground.shifts.get(event.id)))
    return found
