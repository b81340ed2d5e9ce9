"""How work is done: tested and released automatically, along approved paths, with what is there already.

Invariant: what expired does not count any more, and what was only copied is not reused.
"""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np

from ratchet.clock import from_us
from ratchet.measure.initiators import acting_class
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.logs import Floats, Mask, Places
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, share
from ratchet.measure.kpis.shifts import Shifts, deployed, deployment_ids, shifts_of
from ratchet.measure.kpis.ways import trainings_of
from ratchet.records import Event, Record, to_utc

RELEASED_SHARE = 0.8
_SHARED_BY = 2


# ---- tested and released automatically


def pipelines_under_ci(question: Question) -> Answer:
    """Return the share of active pipelines whose pushes are tested and released automatically, and its slope."""
    names = _under_ci(question)
    monthly = []
    for _, end in question.month_ends:
        then = question.at(end)
        monthly.append(share(len(_under_ci(then)), len(then.active)) or 0.0)
    pushes, releases = question.events("code.pushed"), question.events("pipeline_version.released")
    return Answer.of(
        {
            "share": share(len(names), len(question.active)),
            "slope_per_month": slope(monthly),
            "releases_count": len(releases),
            "releases_per_month": share(len(releases), len(monthly)),
        },
        {"pipelines": names, "share_by_month": monthly},
        pushes + releases,
    )


def _under_ci(question: Question) -> list[str]:
    released = question.view.once("released pushes", _released_pushes)
    pushes: dict[str, list[Event]] = {}
    for push in question.view.of("code.pushed"):
        pushes.setdefault(push.pipeline, []).append(push)
    return [
        name
        for name in question.active
        if (own := pushes.get(name)) and sum(push.id in released for push in own) >= RELEASED_SHARE * len(own)
    ]


def _released_pushes(view: View) -> frozenset[str]:
    """Return the ids of all that led to a tested release by automation."""
    found: set[str] = set()
    for release in view.of("pipeline_version.released"):
        if release.data.get("tests") == "passed" and acting_class(release) == "automation":
            found |= {event.id for event in view.chain(release)}
    return frozenset(found)


def slope(values: list[float]) -> float | None:
    """Return by how much values rise from one to the next, by least squares; ``None`` of fewer than two."""
    middle = (len(values) - 1) / 2
    spread = sum((place - middle) ** 2 for place in range(len(values)))
    return sum((place - middle) * value for place, value in enumerate(values)) / spread if spread else None


# ---- along approved paths


class Path(Record, frozen=True):
    """An approved path: from when until when it may be gone along."""

    since: datetime
    until: datetime | None
    environments: tuple[str, ...]

    def is_open(self, moment: datetime) -> bool:
        """Tell whether it could be gone along at a moment; at its end it cannot any more."""
        return self.since <= moment and (self.until is None or moment < self.until)


def paths(question: Question) -> Answer:
    """Return the share of deployments along an approved path, and what the path saves."""
    known = question.view.once("paths", _paths)
    shifts, found = shifts_of(question.view), deployed(question)
    is_along = _are_along(question.view, shifts, known)
    along, outside = found[is_along[found]], found[~is_along[found]]
    ended = [path for path in known.values() if path[-1].until is not None and path[-1].until <= question.as_of]
    return Answer.of(
        {
            "share": share(len(along), len(found)),
            "along_count": len(along),
            "along_p50_hours": quantile(_times(question.view, shifts, along), 0.5),
            "outside_p50_hours": quantile(_times(question.view, shifts, outside), 0.5),
            "expired_count": len(ended),
        },
        {},
        deployment_ids(question).joined([event.id for event in question.view.of("path.approved")]),
    )


def _paths(view: View) -> dict[str, list[Path]]:
    """Return the approvals of each path, in order; a later one, or its expiry, ends the one before."""
    found: dict[str, list[Path]] = {}
    for event in view.of("path.approved", "path.expired"):
        name = str(event.data.get("path") or event.subject)
        earlier = found.setdefault(name, [])
        if earlier and (earlier[-1].until is None or event.at < earlier[-1].until):
            last = earlier.pop()
            earlier.append(Path(since=last.since, until=event.at, environments=last.environments))
        if event.type == "path.approved":
            environments = tuple(event.data.get("environments") or ("production",))
            earlier.append(Path(since=event.at, until=_moment(event.data.get("expires_at")), environments=environments))
    return {name: approved for name, approved in found.items() if approved}


def _are_along(view: View, shifts: Shifts, known: dict[str, list[Path]]) -> Mask:
    """Return which shifts went along a path that could be gone along then."""
    found = np.zeros(len(shifts), dtype=np.bool_)
    named = shifts.rows["path"]
    for name, approved in known.items():
        for place in np.flatnonzero(named == (view.inputs.words.known(name) or -1)).tolist():
            at = from_us(int(shifts.rows.time_us[place]))
            found[place] = any(path.is_open(at) and "production" in path.environments for path in approved)
    return found


def _times(view: View, shifts: Shifts, places: Places) -> Floats:
    """Return the hours from trained to live, without errors of the data."""
    wanted = np.zeros(len(shifts), dtype=np.bool_)
    wanted[places] = True
    pairs = wanted[shifts.at] & shifts.is_new
    return trainings_of(view).hours_until(shifts.version[pairs], shifts.rows.time_us[shifts.at[pairs]])


def _moment(text: Any) -> datetime | None:
    try:
        return to_utc(datetime.fromisoformat(text)) if isinstance(text, str) and text else None
    except ValueError:
        return None


# ---- with what is there already


def reuse_rate(question: Question) -> Answer:
    """Return the share of uses of modules that several pipelines use, and what was copied instead."""
    everywhere = question.view.once("uses", _uses)
    users = Counter(digest for _, digest in everywhere)
    uses = {key: event for key, event in everywhere.items() if question.covers(event)}
    reused = {key for key in uses if users[key[1]] >= _SHARED_BY}
    across = [key for key in reused if uses[key].data.get("owner_team") != uses[key].data.get("user_team")]
    forks = _forks(uses.values())
    kinds = sorted({str(event.data.get("kind") or "") for event in uses.values()})
    of_kind = {kind: [key for key, event in uses.items() if (event.data.get("kind") or "") == kind] for kind in kinds}
    return Answer.of(
        {
            "share": share(len(reused), len(uses)),
            "cross_team_share": share(len(across), len(uses)),
            "uses_count": len(uses),
            "missed_reuse_count": len(forks),
        },
        {
            "missed_reuse": forks,
            "kinds": {kind: share(sum(key in reused for key in keys), len(keys)) for kind, keys in of_kind.items()},
        },
        list(uses.values()),
    )


def _uses(view: View) -> dict[tuple[str, str], Event]:
    """Return the last use of each module's bytes by each pipeline, vendors' modules left out."""
    return {
        (event.pipeline, str(event.data.get("digest") or "")): event
        for event in view.of("module.used")
        if not event.data.get("vendor")
    }


def _forks(uses: Any) -> list[list[str]]:
    """Return the names under which the same code stands, where it has several."""
    names: dict[str, set[str]] = {}
    for event in uses:
        if event.data.get("ast_digest"):
            names.setdefault(str(event.data["ast_digest"]), set()).add(str(event.data.get("module")))
    return sorted(sorted(found) for found in names.values() if len(found) > 1)


KPIS = (
    Kpi(
        name="pipelines_under_ci",
        title="Pipelines under continuous integration",
        sentence="Which share of the active pipelines is tested and released automatically at a push; more is safer.",
        unit="share",
        headline="share",
        formula=(
            "Active pipelines with a push, of whose pushes at least four in five led to a release by automation "
            "with passed tests, over active pipelines. Slope by least squares over the shares at the ends of months."
        ),
        edge_cases=(
            "A pipeline without a push is not under continuous integration.",
            "A release by hand does not count as released automatically; it counts as a release.",
        ),
        direction="up",
        timing="leading",
        nature="leverage",
        answer=pipelines_under_ci,
    ),
    Kpi(
        name="paths",
        title="Approved paths",
        sentence="Which share of the deployments went along a path that was approved beforehand; more is safer.",
        unit="share",
        headline="share",
        formula=(
            "Production deployments whose path was approved and had not expired when they went live, over all; median "
            "hours from trained to live along paths and outside of them."
        ),
        edge_cases=(
            "A deployment along an expired path is outside.",
            "A path approved for other environments only does not count.",
        ),
        direction="up",
        timing="leading",
        nature="leverage",
        answer=paths,
    ),
    Kpi(
        name="reuse_rate",
        title="Reuse",
        sentence="Which share of the modules in use is shared between pipelines; more is less work done twice.",
        unit="share",
        headline="share",
        formula=(
            "Pairs of pipeline and module whose bytes two pipelines or more use, over all pairs; across teams where "
            "owner and user differ. Missed reuse: the same code under several names."
        ),
        edge_cases=("Modules of the standard library and of vendors are left out.",),
        direction="up",
        timing="leading",
        nature="leverage",
        answer=reuse_rate,
    ),
)
