"""Who asked which model how often.

Invariant: only what a caller really asked for counts: no shadow, no health checks, nothing synthetic, no repetition;
what was not counted is said beside it.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import numpy as np

from ratchet.measure.kpis.bulk import Rows
from ratchet.measure.kpis.columns import Codes, Mask, dated, months, of_node, sums_by
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.questions import Answer, Ids, Kpi, Question

_COUNTED: Mapping[str, str] = {
    "calls_count": "count",
    "rows_count": "rows",
    "errors_count": "errors",
    "retries_count": "retries",
    "missing_minutes": "minutes_missing",
}


def is_call(usage: Rows) -> Mask:
    """Return which records are of real calls, online ones and batches."""
    return usage.equals("kind", "call") & usage.equals("role", "live")


def api_calls(question: Question) -> Answer:
    """Count the requests that callers made, by whom, of what, and how they ended."""
    usage = question.view.usage
    inside = _in_scope(question, usage)
    calls = inside & is_call(usage)
    # A batch is one record for each run, not a request; what is neither is taken for the ordinary thing.
    batches = calls & usage.equals("mode", "batch")
    online = calls & ~batches
    values = {name: _whole(usage.number(field)[online].sum()) for name, field in _COUNTED.items()}
    values["batch_rows_count"] = _whole(usage.number("rows")[batches].sum())
    by = {name: _by_word(usage, name, online) for name in ("caller", "version")}
    by["model"] = _by_model(by["version"])
    by["month"] = _by_month(question, usage, online)
    errors = values["errors_count"]
    by["status"] = {"error": errors, "ok": values["calls_count"] - errors} if online.any() else {}
    by["excluded"] = _excluded(usage, inside & ~is_call(usage))
    is_said = bool(calls.any())
    return Answer(
        status="ok" if is_said else "no evidence",
        values={name: value if is_said else None for name, value in values.items()},
        by=by,
        ids=Ids([*map(usage.id, np.flatnonzero(calls).tolist())]),
    )


def teams_of_callers(view: View) -> tuple[list[str], Codes]:
    """Return the team that each record's caller belonged to at its time.

    A caller is a token; it belongs to the team that it was issued for, and one without a team is its own.

    Returns:
        Teams, and the place of each record's among them, shape ``(rows,)``.
    """
    return view.once("teams of callers", _teams_of_callers)


def _teams_of_callers(view: View) -> tuple[list[str], Codes]:
    issued: dict[str, list[tuple[datetime, str]]] = {}
    for event in view.of("credential.issued"):
        caller = str(event.data.get("name") or event.subject)
        issued.setdefault(caller, []).append((event.at, str(event.data.get("team") or caller)))
    usage = view.usage
    return dated(usage.words("caller"), usage.code("caller"), usage.time_us, lambda caller: issued.get(caller, []))


def _in_scope(question: Question, usage: Rows) -> Mask:
    """Return which records the scope covers: a part of the organisation has what it asked for."""
    scope = question.scope
    if scope.kind == "organisation":
        return np.ones(len(usage), dtype=np.bool_)
    if scope.kind in ("pipeline", "endpoint"):
        return usage.equals(scope.kind, scope.name)
    if scope.kind == "model":
        of_model = np.array([model_of(version) == scope.name for version in usage.words("version")], dtype=np.bool_)
        return of_model[usage.code("version")]
    teams, codes = teams_of_callers(question.view)
    return of_node(question, usage.time_us, names=teams, codes=codes)


def _by_word(usage: Rows, name: str, rows: Mask) -> dict[str, int]:
    sums = sums_by(usage.words(name), usage.code(name)[rows], usage.number("count")[rows])
    return {word: _whole(count) for word, count in sums.items()}


def _by_model(versions: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for version, count in versions.items():
        found[model_of(version)] = found.get(model_of(version), 0) + count
    return dict(sorted(found.items()))


def _by_month(question: Question, usage: Rows, rows: Mask) -> dict[str, int]:
    names, codes = months(usage.time_us[rows], question.zone)
    return {name: _whole(count) for name, count in sums_by(names, codes, usage.number("count")[rows]).items()}


def _excluded(usage: Rows, rows: Mask) -> dict[str, int]:
    """Return the requests that do not count, by why."""
    shadow = rows & usage.equals("role", "shadow")
    found = _by_word(usage, "kind", rows & ~shadow)
    if shadow.any():
        found["shadow"] = _whole(usage.number("count")[shadow].sum())
    return dict(sorted(found.items()))


def _whole(amount: float) -> int:
    return round(float(amount))


_kpi = partial(Kpi, unit="calls", direction="up", timing="lagging", nature="leverage")

KPIS = (
    _kpi(
        name="api_calls",
        title="API calls",
        sentence="How often callers asked the models; more use is more worth.",
        headline="calls_count",
        formula=(
            "The sum of the requests of live online calls, by caller, model, version, local month and outcome; rows "
            "of batches apart."
        ),
        edge_cases=(
            "Shadow traffic, health checks and synthetic requests are left out and shown apart.",
            "A request that was repeated with its id counts once; the repetitions are shown.",
            "Minutes without a counter are reported, and nothing is put in their place.",
            "A part of the organisation has the calls that its teams made, by what they belonged to at the time.",
        ),
        answer=api_calls,
    ),
)
