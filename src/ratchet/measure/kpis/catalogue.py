"""All KPIs by name.

Invariant: a KPI is in the table once, under the name by which ``ratchet.toml`` knows it.
"""

from ratchet.config import KPI_NAMES
from ratchet.measure.kpis import (
    ages,
    automation,
    completeness,
    costs,
    deployment_times,
    effort,
    failures,
    feedback,
    iterations,
    pages,
    practices,
    production,
    service_levels,
    usage,
    value,
)
from ratchet.measure.kpis.questions import Kpi

# Each module that has KPIs stands here.
_LISTS: tuple[tuple[Kpi, ...], ...] = (
    ages.KPIS,
    automation.KPIS,
    completeness.KPIS,
    costs.KPIS,
    deployment_times.KPIS,
    effort.KPIS,
    failures.KPIS,
    feedback.KPIS,
    iterations.KPIS,
    pages.KPIS,
    practices.KPIS,
    production.KPIS,
    service_levels.KPIS,
    usage.KPIS,
    value.KPIS,
)


def _by_name() -> dict[str, Kpi]:
    found = {kpi.name: kpi for kpis in _LISTS for kpi in kpis}
    assert len(found) == sum(len(kpis) for kpis in _LISTS), "each KPI has a name of its own"
    assert set(found) <= set(KPI_NAMES), "ratchet.toml knows each KPI"
    return {name: found[name] for name in KPI_NAMES if name in found}


KPIS: dict[str, Kpi] = _by_name()
