"""What is in production: models, versions, what they are built with, whether they could be made again.

Invariant: live is what has a share of production traffic above zero; a lock that is not there is unknown, not empty.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np

from ratchet.clock import to_us
from ratchet.measure.counts import several
from ratchet.measure.kpis.deliveries import deployments, live, live_versions, trained
from ratchet.measure.kpis.questions import Answer, Kpi, Question, model_of, months_between, share
from ratchet.records import Event

ZOMBIE = timedelta(days=30)
PARTS = ("code_sha", "inputs", "params_digest", "environment", "seed")
_NEVER = -1


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
