"""What is in production: models, versions, what they are built with, whether they could be made again.

Invariant: live is what has a share of production traffic above zero; a lock that is not there is unknown, not empty.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ratchet.clock import from_us, to_us
from ratchet.measure.counts import several
from ratchet.measure.kpis import columns
from ratchet.measure.kpis.inputs import PARTS, model_of
from ratchet.measure.kpis.questions import Answer, Kpi, Question, months_between, share
from ratchet.measure.kpis.shifts import deployed, deployment_ids, live_places, live_versions, shifts_of
from ratchet.measure.kpis.ways import trainings_of

Codes = npt.NDArray[np.intp]
ZOMBIE = timedelta(days=30)
_ALL = (1 << len(PARTS)) - 1
_NEVER = -1


def models_in_production(question: Question) -> Answer:
    """Return how many models, versions and endpoints serve production, and which of them nobody calls."""
    shifts, last = shifts_of(question.view), live_places(question)
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
            "endpoints_count": len(last),
            "zombies_count": len(zombies),
            "unmeasured_count": len(unmeasured),
        },
        {"models": models, "versions": versions, "zombies": zombies, "unmeasured": unmeasured},
        shifts.rows.ids(last),
    )


def _last_called(question: Question) -> dict[str, int]:
    """Return when each model was last called, in microseconds since 1970, for those of which usage is recorded."""
    usage = question.view.usage
    if not len(usage):
        return {}
    versions = usage.words("version")
    latest = np.full(len(versions), _NEVER, dtype=np.int64)
    calls = usage.equals("kind", "call") & usage.equals("role", "live") & (usage.number("count") > 0)
    np.maximum.at(latest, usage.code("version")[calls], usage.time_us[calls])
    found: dict[str, int] = {}
    for place in np.unique(usage.code("version")):
        model = model_of(versions[place])
        found[model] = max(found.get(model, _NEVER), int(latest[place]))
    return found


def new_models(question: Question) -> Answer:
    """Return models that went live for the first time ever, and versions that did, by local month."""
    shifts, found = shifts_of(question.view), deployed(question)
    wanted = np.zeros(len(shifts), dtype=np.bool_)
    wanted[found] = True
    pairs = wanted[shifts.at] & shifts.is_new
    models, at = shifts.model[pairs], shifts.at[pairs]
    _, first = np.unique(models, return_index=True)
    names, codes = columns.months(shifts.rows.time_us[at], question.zone)
    by_month = {
        name: {"models_count": fresh, "versions_count": count}
        for name, fresh, count in zip(names, _counts(codes[first], names), _counts(codes, names), strict=True)
    }
    months = question.months
    nothing = {"models_count": 0, "versions_count": 0}
    return Answer.of(
        {
            "models_count": len(first),
            "versions_count": len(models),
            "models_per_month": share(len(first), len(months)),
            "versions_per_month": share(len(models), len(months)),
        },
        {month: by_month.get(month, nothing) for month in months},
        deployment_ids(question),
    )


def _counts(codes: Codes, names: Sequence[str]) -> list[int]:
    found: list[int] = np.bincount(codes, minlength=len(names)).tolist()
    return found


def frameworks_and_libraries(question: Question) -> Answer:
    """Return with how many frameworks and libraries the models in production were made."""
    runs, texts = trainings_of(question.view).runs, question.view.inputs.words.texts
    frameworks, libraries, models = set[str](), set[str](), set[str]()
    used: list[str] = []
    behind = _runs_behind(question)
    environments: dict[int, dict[str, Any]] = {}
    unknown = 0
    for version, run in behind.items():
        code = int(runs["environment"][run]) if run >= 0 else 0
        if not code:
            unknown += 1
            continue
        if code not in environments:
            environments[code] = msgspec.json.decode(texts[code])
            frameworks |= set(map(str, environments[code].get("frameworks") or ()))
            libraries |= {str(one).partition("==")[0] for one in environments[code].get("libraries") or ()}
        models.add(model_of(version))
        used.append(runs.id(run))
    first = _first_deployed(question)
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
            "unknown_count": unknown,
        },
        {"sentence": told, "frameworks": sorted(frameworks), "libraries": sorted(libraries)},
        used,
    )


def _first_deployed(question: Question) -> datetime | None:
    """Return when the first deployment was; ``None`` before it."""
    found = deployed(question)
    return from_us(int(shifts_of(question.view).rows.time_us[found[0]])) if len(found) else None


def _runs_behind(question: Question) -> dict[str, int]:
    """Return the place of the run behind each version that serves production now, by name; -1 where there is none."""
    versions, trained, words = live_versions(question), trainings_of(question.view).of, question.view.inputs.words
    return {version: int(trained[words.known(version)]) for version in versions}


def reproducible_share(question: Question) -> Answer:
    """Return which versions in production name all that is needed to make them again."""
    runs, behind = trainings_of(question.view).runs, _runs_behind(question)
    parts = {bits: [part for place, part in enumerate(PARTS) if bits >> place & 1] for bits in range(1 << len(PARTS))}
    lacking = {version: int(runs["missing"][run]) if run >= 0 else _ALL for version, run in behind.items()}
    missing = {version: parts[bits] for version, bits in lacking.items()}
    whole = sum(not bits for bits in lacking.values())
    found = [runs.id(run) for run in behind.values() if run >= 0]
    return Answer.of(
        {"share": share(whole, len(behind)), "reproducible_count": whole, "versions_count": len(behind)},
        {"missing": missing},
        found or shifts_of(question.view).rows.ids(live_places(question)),
    )


KPIS = (
    Kpi(
        name="models_in_production",
        title="Models in production",
        sentence="How many models answer production traffic now; more is more work done by models.",
        unit="models",
        headline="models_count",
        formula="Models with a version whose share of a production endpoint's live traffic is above zero.",
        edge_cases=(
            "A zombie was not called in the last 30 days although its usage was once recorded; it is counted and shown "
            "apart.",
            "Without any record of usage nobody can say: unmeasured.",
            "Shadow traffic and other environments do not count.",
        ),
        direction="up",
        timing="lagging",
        nature="leverage",
        answer=models_in_production,
    ),
    Kpi(
        name="new_models",
        title="New models per month",
        sentence="How many models a month go live for the first time ever, and how many versions; more is more done.",
        unit="a month",
        headline="models_per_month",
        formula=(
            "Production deployments by local month: a model counts in the month of its first, a version in that of its "
            "own. Quotients by the months since the ledger began."
        ),
        edge_cases=(
            "A rollback is no new version, and the same bytes under another name are none either.",
            "Months are those of the project's time zone.",
        ),
        direction="up",
        timing="lagging",
        nature="leverage",
        answer=new_models,
    ),
    Kpi(
        name="frameworks_and_libraries",
        title="Frameworks and libraries",
        sentence="With how many frameworks and libraries the models in production were made.",
        unit="frameworks",
        headline="frameworks_count",
        formula=(
            "Distinct frameworks, and libraries by name, in the environments of the runs behind the live versions; "
            "months from that of the first deployment on."
        ),
        edge_cases=("A version whose run recorded no environment is unknown and counted apart.",),
        direction="none",
        timing="lagging",
        nature="leverage",
        answer=frameworks_and_libraries,
    ),
    Kpi(
        name="reproducible_share",
        title="Reproducible share",
        sentence="Which share of the versions in production could be made again from what was recorded; more is safer.",
        unit="share",
        headline="share",
        formula="Live versions whose run names its code, inputs, parameters, environment and seed, over live versions.",
        edge_cases=("A version without a run misses all of them.", "A seed of 0 is a seed."),
        direction="up",
        timing="leading",
        nature="risk",
        answer=reproducible_share,
    ),
)
