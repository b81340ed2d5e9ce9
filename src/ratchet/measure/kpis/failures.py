"""KPIs of failures: releases that broke something, rework, repair, and errors made by people.

Invariant: each failure counts against what the attribution computed, never against what people say of it; what is
still open, or too young to be judged, is counted apart and never left out.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np

from ratchet.clock import from_us, to_us
from ratchet.measure.incidents.attribution import Attribution, attribute
from ratchet.measure.incidents.candidates import Candidate, Ground
from ratchet.measure.incidents.conduct import HUMAN_INDUCED, HUMAN_MODES
from ratchet.measure.incidents.outages import Incident, incidents, merged
from ratchet.measure.initiators import MODES, Mode
from ratchet.measure.kpis.automation import modes_of_deployments
from ratchet.measure.kpis.columns import months
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.logs import Codes, Mask, Places, Whole
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, hours, share
from ratchet.measure.kpis.shifts import NEW, deployed, deployment_ids, shifts_of
from ratchet.measure.kpis.survival import product_limit_median
from ratchet.measure.sampled import UNTOLD
from ratchet.records import Event, Record

AUTOMATED_MODES: tuple[Mode, ...] = ("auto", "gated")
_Z_95 = 1.959963984540054


class MonthOfErrors(Record, frozen=True):
    """Errors made by people in one month; it says what happened, after it happened.

    Attributes:
        month: Local, such as ``2024-03``, of the onset or of the change.
        human_induced_count: Incidents with their onset in it that a person's act is at fault for.
        human_changes_count: Changes in it that people made.
        automated_changes_count: Changes in it that automation made.
        per_100_human_changes: Errors but omissions, for each hundred changes by people; ``None`` without any.
        events: Ids of the incidents.
    """

    month: str
    human_induced_count: int
    human_changes_count: int
    automated_changes_count: int
    per_100_human_changes: float | None
    events: tuple[str, ...]


# ---- what the four have in common


def ground_of(question: Question) -> Ground:
    """Return what incidents are judged by, read once for a view and its settings."""
    section = question.settings.incidents
    return question.view.once(f"ground {section}", lambda view: Ground(view.snapshot, settings=section))


def attributed(question: Question) -> list[Attribution]:
    """Return what each incident came from, of all parts of the organisation."""

    def judge(view: View) -> list[Attribution]:
        ground = ground_of(question)
        return [attribute(ground, incident) for incident in incidents(view.snapshot)]

    return question.view.once(f"attributions {question.settings.incidents}", judge)


def covered(question: Question) -> list[Attribution]:
    """Return those of the incidents of the scope."""
    return [one for one in attributed(question) if _covers(question, one.incident)]


def _covers(question: Question, incident: Incident) -> bool:
    if incident.event.pipeline or not incident.pipeline:
        return question.covers(incident.event, at=incident.onset)
    kind, name = question.scope.kind, question.scope.name
    return (
        incident.service == name if kind == "endpoint" else question.covers_pipeline(incident.pipeline, incident.onset)
    )


def _blamed(question: Question) -> set[str]:
    """Return the changes that an incident was proven or is likely to have come from."""
    return {event for one in attributed(question) for event in one.blamed}


# ---- change failure rate


def change_failure_rate(question: Question) -> Answer:
    """Work out how many production deployments led to an incident."""
    shifts, found = shifts_of(question.view), deployed(question)
    ground = ground_of(question)
    is_mature = shifts.rows.time_us[found] <= to_us(question.as_of - ground.deploy_window)
    mature = found[is_mature]
    ids = dict(zip(mature.tolist(), shifts.rows.ids(mature), strict=True))
    blamed = _blamed(question)
    suspected = {event for one in attributed(question) for event in one.weights}
    failed = [event for event in ids.values() if event in blamed]
    perhaps = [event for event in ids.values() if event in suspected]
    caught = [place for place in _taken_back(question, mature) if ids[place] not in suspected]
    return Answer.of(
        {
            "share": share(len(failed), len(mature)),
            "upper_share": share(len(perhaps), len(mature)),
            "caught_share": share(len(caught), len(mature)),
            "failed_count": len(failed),
            "deployments_count": len(mature),
            "immature_count": len(found) - len(mature),
        },
        {"failed": sorted(failed)},
        deployment_ids(question),
    )


def _taken_back(question: Question, places: Places) -> list[int]:
    """Return those of some deployments whose canary was judged worse, and that were rolled back."""
    worse = ground_of(question).worse_canaries
    if not worse:
        return []
    view, shifts = question.view, shifts_of(question.view)
    words, rows = view.inputs.words, shifts.rows
    codes = np.array([words.known(name) for name in worse], dtype=np.int64)
    is_back = view.once("taken back", lambda seen: _TakenBack(seen.of("deployment.rolledback")))
    found = []
    for place in places[np.isin(rows["deployment"][places], codes)].tolist():
        pairs = shifts.pairs_at(place)
        versions = words.of(shifts.version[pairs][shifts.is_new[pairs]])
        deployment, endpoint = words.texts[rows["deployment"][place]], words.texts[rows["endpoint"][place]]
        if is_back(deployment, endpoint, versions, at=from_us(int(rows.time_us[place]))):
            found.append(place)
    return found


class _TakenBack:
    """Tells which deployments were rolled back: by their id, or by the version that a later rollback left."""

    def __init__(self, rollbacks: Iterable[Event]) -> None:
        self._deployments: set[str] = set()
        self._versions: dict[tuple[str, str], list[Event]] = {}
        for event in rollbacks:
            self._deployments.add(str(event.data.get("deployment_id") or event.subject))
            endpoint = str(event.data.get("endpoint") or event.subject)
            self._versions.setdefault((endpoint, str(event.data.get("from") or "")), []).append(event)

    def __call__(self, deployment: str, endpoint: str, versions: Iterable[str], *, at: datetime) -> bool:
        left = [event for version in versions for event in self._versions.get((endpoint, version), ())]
        return deployment in self._deployments or any(event.at >= at for event in left)


# ---- rework rate


def rework_rate(question: Question) -> Answer:
    """Work out how many production deployments only repaired something."""
    shifts, found = shifts_of(question.view), deployed(question)
    is_repair = shifts.rows["is_repair"].copy()
    for place, trace in shifts.walked.items():
        is_repair[place] = trace.is_repair
    rework = int(is_repair[found].sum())
    values: dict[str, Value] = {
        "share": share(rework, len(found)),
        "rework_count": rework,
        "deployments_count": len(found),
    }
    return Answer.of(values, {}, deployment_ids(question))


# ---- time to restore


def time_to_restore(question: Question) -> Answer:
    """Work out how long services were out of bounds, those that still are among them."""
    by_name = {one.incident.name: one for one in covered(question)}
    flap = timedelta(minutes=question.settings.incidents.flapping_minutes)
    found = merged((one.incident for one in by_name.values()), within=flap)
    restored = [(one, one.back) for one in found if one.back is not None]
    lasted = [hours(one.onset, back) for one, back in restored]
    still = [hours(one.onset, question.as_of) for one in found if one.back is None]
    detected = [hours(one.onset, one.detected) for one in found if not one.is_ticket]
    mitigated = [hours(one.onset, one.mitigated.at) for one, _ in restored if one.mitigated is not None]
    since = [
        hours(cause.at, back)
        for one, back in restored
        if (cause := _deployment_behind(question, by_name[one.name])) is not None
    ]
    return Answer.of(
        {
            "p50_hours": quantile(lasted, 0.5),
            "p90_hours": quantile(lasted, 0.9),
            "kaplan_meier_median_hours": product_limit_median(lasted, still),
            "detect_p50_hours": quantile(detected, 0.5),
            "mitigate_p50_hours": quantile(mitigated, 0.5),
            "since_deployment_p50_hours": quantile(since, 0.5),
            "restored_count": len(restored),
            "open_count": len(still),
            "ticket_only_count": sum(one.is_ticket for one in found),
            "merged_count": sum(len(one.names) - 1 for one in found),
        },
        {one.name: one.hours for one in found},
        [one.incident.event for one in by_name.values()],
    )


def _deployment_behind(question: Question, one: Attribution) -> Event | None:
    """Return the deployment that an incident was proven or is likely to have come from."""
    found = [question.view.snapshot.find(event) for event in one.blamed]
    return next((event for event in found if event is not None and event.type == "traffic.shifted"), None)


# ---- errors made by people


def human_induced_errors(question: Question) -> Answer:
    """Work out how often people's acts broke something, beside how often automation's did."""
    found = covered(question)
    changes = _modes_of_changes(question)
    blamed = _blamed(question)
    by_people, by_automation = changes.are(HUMAN_MODES), changes.are(AUTOMATED_MODES)
    human, automated = int(by_people.sum()), int(by_automation.sum())
    is_blamed = np.array([event in blamed for event in changes.ids], dtype=np.bool_)
    human_failed, automated_failed = int((is_blamed & by_people).sum()), int((is_blamed & by_automation).sum())
    ratio, low, high = relative_risk(human_failed, human, automated_failed, automated)
    kinds = Counter(one.conduct.kind for one in found if one.conduct is not None)
    induced = sum(one.is_human_induced for one in found)
    said = [one for one in found if one.said is not None]
    return Answer.of(
        {
            "human_induced_count": induced,
            "per_100_human_changes": share(100 * (induced - kinds["omission"]), human),
            "human_changes_count": human,
            "human_failed_count": human_failed,
            "automated_changes_count": automated,
            "automated_failed_count": automated_failed,
            "unknown_changes_count": len(changes.ids) - human - automated,
            "relative_risk": ratio,
            "relative_risk_low": low,
            "relative_risk_high": high,
            "gate_gap_count": kinds["gate-gap"],
            "disagreement_share": share(sum(one.is_disputed for one in said), len(said)),
        },
        {kind: kinds[kind] for kind in HUMAN_INDUCED},
        [*changes.ids, *(one.incident.event.id for one in found)],
    )


def errors_by_month(question: Question) -> list[MonthOfErrors]:
    """Return the errors made by people, month by month: the lagging row beside how automated the work was."""
    changes = _modes_of_changes(question)
    names, codes = months(changes.time_us, question.zone)

    def count(modes: tuple[Mode, ...]) -> dict[str, int]:
        return dict(zip(names, np.bincount(codes[changes.are(modes)], minlength=len(names)).tolist(), strict=True))

    human, automated = count(HUMAN_MODES), count(AUTOMATED_MODES)
    induced: dict[str, list[Attribution]] = {}
    for one in covered(question):
        if one.is_human_induced:
            induced.setdefault(question.month(one.incident.onset), []).append(one)
    return [
        MonthOfErrors(
            month=month,
            human_induced_count=len(here := induced.get(month, [])),
            human_changes_count=human.get(month, 0),
            automated_changes_count=automated.get(month, 0),
            per_100_human_changes=share(100 * sum(map(_is_by_act, here)), human.get(month, 0)),
            events=tuple(one.incident.event.id for one in here),
        )
        for month in question.months
    ]


def relative_risk(
    bad: int, all_: int, bad_other: int, all_other: int
) -> tuple[float | None, float | None, float | None]:
    """Return how many times as likely a failure is in one group as in another, with its 95 % interval.

    Args:
        bad: Failures in the first group.
        all_: Size of the first group.
        bad_other: Failures in the second.
        all_other: Size of the second.

    Returns:
        The quotient of both risks and the ends of its interval, by the normal distribution of its logarithm; one
        half is added to all four cells if any is 0. All ``None`` where a group is empty.

    Source: D. Katz et al., Obtaining Confidence Intervals for the Risk Ratio in Cohort Studies, Biometrics 34 (1978);
    the addition of one half as by J. B. S. Haldane (1956).
    """
    if not all_ or not all_other:
        return None, None, None
    cells = [float(bad), float(all_ - bad), float(bad_other), float(all_other - bad_other)]
    if 0 in cells:
        cells = [cell + 0.5 for cell in cells]
    failed, size, failed_other, size_other = cells[0], cells[0] + cells[1], cells[2], cells[2] + cells[3]
    ratio = (failed / size) / (failed_other / size_other)
    deviation = math.sqrt(1 / failed - 1 / size + 1 / failed_other - 1 / size_other)
    return ratio, ratio * math.exp(-_Z_95 * deviation), ratio * math.exp(_Z_95 * deviation)


class _Changes:
    """Changes of production, each id once: deployments and settings; rollbacks are none.

    Attributes:
        ids: Of their events.
        time_us: When, in microseconds since 1970, UTC, shape ``(changes,)``.
        modes: In which mode each was made, by its place among all modes, shape ``(changes,)``.
    """

    def __init__(self, ids: list[str], time_us: Whole, modes: Codes) -> None:
        last = dict(zip(ids, range(len(ids)), strict=True))
        self.ids = list(last)
        kept = np.fromiter(last.values(), dtype=np.intp, count=len(last))
        self.time_us, self.modes = time_us[kept], modes[kept]

    def are(self, modes: tuple[Mode, ...]) -> Mask:
        """Tell which were made in one of some modes."""
        return np.isin(self.modes, [MODES.index(mode) for mode in modes])


def _modes_of_changes(question: Question) -> _Changes:
    """Return in which mode each change of production in the scope was made."""
    if question.scope.kind != "organisation":
        return _read_changes(question)
    settings = question.settings.incidents
    return question.view.once(f"changes {settings}", lambda _: _read_changes(question))


def _read_changes(question: Question) -> _Changes:
    shifts, found = shifts_of(question.view), deployed(question)
    settings = question.events("config.changed")
    moments = np.array([to_us(event.at) for event in settings], dtype=np.int64)
    modes = [MODES.index(ground_of(question).mode(Candidate(event=event))) for event in settings]
    return _Changes(
        [*shifts.rows.ids(found), *(event.id for event in settings)],
        np.concatenate([shifts.rows.time_us[found], moments]),
        np.concatenate([_modes_of_shifts(question)[found], np.array(modes, dtype=np.int32)]),
    )


def _modes_of_shifts(question: Question) -> Codes:
    """Return in which mode each deployment was made; of other shifts nothing is said."""

    def read(view: View) -> Codes:
        shifts, ground = shifts_of(view), ground_of(question)
        places = np.flatnonzero(shifts.kind == NEW)
        modes = np.full(len(shifts), UNTOLD, dtype=np.int32)
        modes[places] = modes_of_deployments(view, shifts.rows.seq[places])
        for place in places[modes[places] == UNTOLD].tolist():
            modes[place] = MODES.index(ground.mode_of_shift(ground.shifts[shifts.rows.id(place)]))
        return modes

    return question.view.once(f"modes of shifts {question.settings.incidents}", read)


def _is_by_act(one: Attribution) -> bool:
    return one.conduct is not None and one.conduct.kind != "omission"


KPIS: tuple[Kpi, ...] = (
    Kpi(
        name="change_failure_rate",
        title="Change failure rate",
        sentence="Of all deployments to production, this share broke something; less is better.",
        unit="share",
        headline="share",
        formula=(
            "Deployments old enough to be judged to which a proven or likely incident is attributed, over all such "
            "deployments. With ambiguous incidents it is the upper share."
        ),
        edge_cases=(
            "A rollback is no deployment, a hotfix is one.",
            "A deployment younger than the window of attribution is immature: left out, and counted.",
            "A canary that was judged worse and taken back before it broke anything is caught, in a share of its own.",
            "The computed attribution counts, not what people say later.",
            "Without a mature deployment there is no share.",
        ),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=change_failure_rate,
    ),
    Kpi(
        name="rework_rate",
        title="Rework rate",
        sentence="Of all deployments to production, this share only repaired something; less is better.",
        unit="share",
        headline="share",
        formula="Deployments whose chain of causes contains an incident or a rollback, over all deployments.",
        edge_cases=("The rollback itself is no deployment, so it is no rework either.",),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=rework_rate,
    ),
    Kpi(
        name="time_to_restore",
        title="Time to restore",
        sentence="From the first bad moment until the service is back in bounds it takes this long; less is better.",
        unit="hours",
        headline="p50_hours",
        formula=(
            "Hours from the onset of an incident until the service was back in bounds: half and nine tenths of those "
            "that are over, and the Kaplan-Meier median of all; detection and mitigation likewise from the onset."
        ),
        edge_cases=(
            "The onset is what a monitor or a service level saw; a ticket's times only where nothing did, and counted.",
            "Open incidents are censored at the moment, not left out.",
            "Incidents of a service that come back within the time for flapping are one.",
            "Since deployment: from the live shift that a proven or likely incident is attributed to.",
        ),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=time_to_restore,
    ),
    Kpi(
        name="human_induced_errors",
        title="Errors made by people",
        sentence="Incidents that a person's act, or a page left unanswered, is at fault for; less is better.",
        unit="count",
        headline="human_induced_count",
        formula=(
            "Incidents whose one cause a person made and whose fault is in what the person did, and pages left "
            "unanswered before incidents without a cause; per hundred changes by people without these; and the risk "
            "of a change by people over that of one by automation, with its 95 % interval."
        ),
        edge_cases=(
            "A release that passed its gate and failed is a gap of the gate, counted apart.",
            "Changes are deployments and settings; those by somebody unknown are counted apart.",
            "Per hundred changes, because people who change less err less in sum.",
            "Where people name another cause, both stand: the disagreement is a share of those that they judged.",
        ),
        direction="down",
        timing="lagging",
        nature="risk",
        answer=human_induced_errors,
    ),
)
