"""What KPIs say, worked out one event at a time: what their columns are held against.

Invariant: nothing here reads a column that was made of shifts, runs or verdicts; each figure comes from events alone.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.counts import several
from ratchet.measure.incidents.outages import merged
from ratchet.measure.initiators import acting_class
from ratchet.measure.kpis.ages import Batch, _last_batches, data_until
from ratchet.measure.kpis.deliveries import (
    APPROVED,
    REQUESTED,
    SHIFTED,
    TRAINED,
    LiveShift,
    deployments,
    first_live,
    live,
    live_shifts,
    live_versions,
    registered,
    trained,
    version_of,
)  # fmt: skip
from ratchet.measure.kpis.effort import GAP, Effort, _approval_wait_hours, _response_hours
from ratchet.measure.kpis.facts import OfTypes, View
from ratchet.measure.kpis.failures import (
    covered,
)  # fmt: skip
from ratchet.measure.kpis.feedback import TOLD
from ratchet.measure.kpis.inputs import BEGUN, INCIDENTS, LABELLING, PARTS, WORK, accuracy_gain, model_of
from ratchet.measure.kpis.practices import Path, _paths
from ratchet.measure.kpis.production import ZOMBIE, _last_called
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Question, Value, hours, months_between, share
from ratchet.measure.kpis.traces import REASONS
from ratchet.records import Event
from tests.plain_failures import (
    change_failure_rate,
    human_induced_errors,
    rework_rate,
    time_to_deployment,
)

_BEGUN = BEGUN
_ON_THE_WAY = tuple(dict.fromkeys((*SHIFTED, *TRAINED, *APPROVED, *REQUESTED, *_BEGUN)))
_BEFORE = ("run.finished", "gate.evaluated")
_SUITES = ("fitness.suite.finished",)
_HOURS_A_DAY = _HOURS_PER_DAY = 24


# ---- production


def models_in_production(question: Question) -> Answer:
    """Return how many models, versions and endpoints serve production, and which of them nobody calls."""
    shifts = live(question)
    versions = live_versions(question)
    models = sorted({model_of(version) for version in versions})
    called = _last_called(question)
    since = to_us(question.as_of - ZOMBIE)
    zombies = [model for model in models if model in called and called[model] <= since]
    unmeasured = [model for model in models if model not in called]
    return Answer.of(
        {
            "models_count": len(models),
            "versions_count": len(versions),
            "endpoints_count": len(shifts),
            "zombies_count": len(zombies),
            "unmeasured_count": len(unmeasured),
        },
        {"models": models, "versions": versions, "zombies": zombies, "unmeasured": unmeasured},
        [shift.event for shift in shifts.values()],
    )


def new_models(question: Question) -> Answer:
    """Return models that went live for the first time ever, and versions that did, by local month."""
    models, versions = Counter[str](), Counter[str]()
    seen: set[str] = set()
    found = deployments(question)
    for shift in found:
        month = question.month(shift.at)
        fresh = {model_of(version) for version in shift.new} - seen
        versions[month] += len(shift.new)
        models[month] += len(fresh)
        seen |= fresh
    months = question.months
    return Answer.of(
        {
            "models_count": models.total(),
            "versions_count": versions.total(),
            "models_per_month": share(models.total(), len(months)),
            "versions_per_month": share(versions.total(), len(months)),
        },
        {month: {"models_count": models[month], "versions_count": versions[month]} for month in months},
        [shift.event for shift in found],
    )


def frameworks_and_libraries(question: Question) -> Answer:
    """Return with how many frameworks and libraries the models in production were made."""
    runs = trained(question.view)
    frameworks, libraries, models = set[str](), set[str](), set[str]()
    used: list[Event] = []
    versions = live_versions(question)
    for version in versions:
        locked = _environment(runs.get(version))
        if locked:
            models.add(model_of(version))
            frameworks |= set(map(str, locked.get("frameworks") or ()))
            libraries |= {str(library).partition("==")[0] for library in locked.get("libraries") or ()}
            used.append(runs[version])
    first = min((shift.at for shift in deployments(question)), default=None)
    months = len(months_between(first, question.as_of, question.zone)) if first else 0
    told = (
        f"{several(len(models), 'model', 'models')} with {several(len(frameworks), 'framework', 'frameworks')}"
        f" and {several(len(libraries), 'library', 'libraries')} in {several(months, 'month', 'months')}"
    )
    return Answer.of(
        {
            "models_count": len(models),
            "frameworks_count": len(frameworks),
            "libraries_count": len(libraries),
            "months_count": months,
            "unknown_count": sum(not _environment(runs.get(version)) for version in versions),
        },
        {"sentence": told, "frameworks": sorted(frameworks), "libraries": sorted(libraries)},
        used,
    )


def _environment(run: Event | None) -> dict[str, Any]:
    locked = run.data.get("environment") if run else None
    return locked if isinstance(locked, dict) else {}


def reproducible_share(question: Question) -> Answer:
    """Return which versions in production name all that is needed to make them again."""
    runs = trained(question.view)
    versions = live_versions(question)
    missing = {}
    for version in versions:
        data = runs[version].data if version in runs else {}
        missing[version] = [part for part in PARTS if data.get(part) in (None, "", [], {})]
    whole = sum(not parts for parts in missing.values())
    shifts = [shift.event for shift in live(question).values()]
    return Answer.of(
        {"share": share(whole, len(versions)), "reproducible_count": whole, "versions_count": len(versions)},
        {"missing": missing},
        [runs[version] for version in versions if version in runs] or shifts,
    )


# ---- iterations


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
    suite = view.made("plain quality suites", _quality_suites, of=_SUITES).get(version)
    return accuracy_gain(suite)


def _quality_suites(view: OfTypes) -> dict[str, dict[str, Any]]:
    suites = view.of(*_SUITES)
    return {version_of(event): event.data for event in suites if event.data.get("kind") == "quality"}


# ---- effort


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

    found = question.view.made(f"plain acts of people: {', '.join(types)}", read, of=types)
    return found if question.scope.kind == "organisation" else [event for event in found if question.covers(event)]


# ---- feedback


def feedback_time(question: Question) -> Answer:
    """Return the hours from each act to what tells of its effect."""
    view = question.view
    gates, joined = question.events("gate.evaluated"), question.events("feedback.joined")
    before = view.made("plain before gates", _before_gates, of=_BEFORE)
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


# ---- practices


def paths(question: Question) -> Answer:
    """Return the share of deployments along an approved path, and what the path saves."""
    known = question.view.once("paths", _paths)
    found = deployments(question)
    along: list[LiveShift] = []
    outside: list[LiveShift] = []
    for shift in found:
        (along if _is_along(shift, known) else outside).append(shift)
    times = {"along": _times(question.view, along), "outside": _times(question.view, outside)}
    ended = [path for path in known.values() if path[-1].until is not None and path[-1].until <= question.as_of]
    return Answer.of(
        {
            "share": share(len(along), len(found)),
            "along_count": len(along),
            "along_p50_hours": quantile(times["along"], 0.5),
            "outside_p50_hours": quantile(times["outside"], 0.5),
            "expired_count": len(ended),
        },
        {},
        [shift.event for shift in found] + question.view.of("path.approved"),
    )


def _is_along(shift: LiveShift, known: dict[str, list[Path]]) -> bool:
    approved = known.get(str(shift.event.data.get("path") or ""), ())
    return any(path.is_open(shift.at) and "production" in path.environments for path in approved)


def _times(view: View, shifts: list[LiveShift]) -> list[float]:
    """Return the hours from trained to live, without errors of the data."""
    runs = trained(view)
    times = [hours(runs[version].at, shift.at) for shift in shifts for version in shift.new if version in runs]
    return [time for time in times if time >= 0]


# ---- ages


def model_freshness(question: Question) -> Answer:
    """Return the ages of what serves: one entry for each live model, weighted by its versions' traffic."""
    by: dict[str, dict[str, float | None]] = {}
    used: list[Event | str] = []
    target = question.settings.target("model_freshness")
    for endpoint, shift in live(question).items():
        model = model_of(min(shift.after))
        name = model if model not in by else f"{model} ({endpoint})"
        batch = _last_batches(question.view).get(endpoint)
        ages = _ages(question, shift, batch, used)
        age = ages["data_age_days"]
        by[name] = {**ages, "ratio_to_target": None if age is None or not target else age / target}
    known = [age for entry in by.values() if (age := entry["data_age_days"]) is not None]
    return Answer.of(
        {
            "median_data_age_days": quantile(known, 0.5),
            "oldest_data_age_days": max(known, default=None),
            "unknown_count": len(by) - len(known),
            "within_target_share": None if target is None else share(sum(age <= target for age in known), len(known)),
        },
        by,
        used,
    )


def _ages(
    question: Question, shift: LiveShift, batch: Batch | None, used: list[Event | str]
) -> dict[str, float | None]:
    view, now = question.view, question.as_of
    weights = {batch.version: 1.0} if batch else shift.after
    total = sum(weights.values())
    ages: dict[str, float | None] = {"data_age_days": 0.0, "train_age_days": 0.0, "serving_age_days": 0.0}
    for version, weight in weights.items():
        registration, run = registered(view).get(version), trained(view).get(version)
        began = first_live(view).get(version)
        served_since = began.at if began else None
        since = {
            "data_age_days": data_until(registration) if registration else None,
            "train_age_days": run.at if run else None,
            "serving_age_days": batch.at if batch else served_since,
        }
        for name, start in since.items():
            so_far = ages[name]
            if start is None or so_far is None:
                ages[name] = None
            else:
                ages[name] = so_far + weight / total * hours(start, now) / _HOURS_A_DAY
        used += [event for event in (registration, run, began.event if began else None) if event is not None]
    if batch:
        used.append(batch.event_id)
    return ages


# ---- value


def _saved_days(question: Question) -> float | None:
    """Return how many days earlier than before versions were live, added up; ``None`` where nobody said how it was."""
    before = question.settings.baseline.days_to_deployment
    if before is None:
        return None
    runs, live = trained(question.view), first_live(question.view)
    shifts = {version: live[version] for version in runs if version in live}
    times = [hours(runs[name].at, shift.at) for name, shift in shifts.items() if question.covers(shift.event)]
    # Live before it was trained is an error in the data, and no time.
    return sum(before - time / _HOURS_PER_DAY for time in times if time >= 0)


PLAIN: dict[str, Any] = {
    "time_to_deployment": time_to_deployment,
    "change_failure_rate": change_failure_rate,
    "rework_rate": rework_rate,
    "human_induced_errors": human_induced_errors,
    "models_in_production": models_in_production,
    "new_models": new_models,
    "frameworks_and_libraries": frameworks_and_libraries,
    "reproducible_share": reproducible_share,
    "iteration_time": iteration_time,
    "operations_overhead": operations_overhead,
    "feedback_time": feedback_time,
    "paths": paths,
    "model_freshness": model_freshness,
}
