"""Work out every indicator, level and incident of the golden year, with nothing but the standard library.

Invariant: one function for each indicator, under its name, that reads as its definition; the product is not used.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from incidents_again import attribution, incidents
from ledger_again import Ledger, Row, level, read
from terms import FOLDER, Result
from work_out_automation import (
    audit_completeness,
    automation_share,
    level_distribution,
    operations_overhead,
    override_rate,
    reuse_rate,
    value_at_stake,
)
from work_out_delivery import (
    api_calls,
    frameworks_and_libraries,
    iteration_time,
    model_freshness,
    models_in_production,
    new_models,
    paths,
    pipelines_under_ci,
    reproducible_share,
    time_to_deployment,
)
from work_out_money import cost
from work_out_reliability import (
    change_failure_rate,
    feedback_time,
    human_induced_errors,
    pages,
    rework_rate,
    service_levels,
    time_to_restore,
)

MOMENTS = {
    "2024-06-30": datetime(2024, 7, 1, 4, tzinfo=UTC),
    "2024-09-30": datetime(2024, 10, 1, 4, tzinfo=UTC),
    "2024-12-31": datetime(2025, 1, 1, 5, tzinfo=UTC),
}
KPIS: tuple[Callable[[Ledger], Result], ...] = (
    model_freshness, time_to_deployment, models_in_production, new_models, api_calls, cost, operations_overhead,
    automation_share, override_rate, level_distribution, change_failure_rate, rework_rate, time_to_restore,
    human_induced_errors, iteration_time, feedback_time, pipelines_under_ci, frameworks_and_libraries,
    reproducible_share, value_at_stake, paths, pages, reuse_rate, service_levels, audit_completeness,
)  # fmt: skip


def work_out() -> Row:
    """Return everything that is expected of the golden year."""
    rows = read(FOLDER / "year.jsonl")
    expected: Row = {"levels": {}, "incidents": {}}
    for name, as_of in MOMENTS.items():
        ledger = Ledger(rows, as_of)
        expected[name] = {kpi.__name__: _entry(*kpi(ledger)) for kpi in KPIS}
        expected["levels"][name] = {
            pipeline: {policy: level(ledger, pipeline, policy) for policy in ("standard", "strict")}
            for pipeline in ledger.pipelines
        }
        expected["incidents"][name] = {one["name"]: attribution(ledger, one) for one in incidents(ledger)}
    return expected


def _entry(values: Row, by: Row, used: list[Row]) -> Row:
    """Return a result as it is written; with no event behind it there is no evidence."""
    status = "ok" if used else "no evidence"
    return {
        "status": status,
        "values": rounded(values),
        "by": rounded(by),
        "events": sorted({row["id"] for row in used}),
    }


def rounded(value: Any) -> Any:
    """Return a value with all its quotients cut to nine places."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def text() -> str:
    """Return what belongs into ``expected.json``."""
    return json.dumps(work_out(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (FOLDER / "expected.json").write_text(text(), encoding="utf-8")
