"""Pipelines by level, month by month, beside the errors that people made: what leads, and what follows it.

Invariant: both charts have the same months in the same columns; errors are marked as lagging wherever they stand.
"""

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from ratchet.measure.counts import TOO_LITTLE
from ratchet.measure.distribution import INSUFFICIENT, Distribution
from ratchet.measure.kpis.failures import MonthOfErrors
from ratchet.measure.policies import Policy
from ratchet.measure.reports.report import MonthLine
from ratchet.web import report_charts
from ratchet.web.charts import MISSING
from ratchet.web.figures import Figure, month_label

MONTHS = 13
# The KPIs on whose pages both stand: each is to be read beside the other.
SHOWN_WITH = ("level_distribution", "human_induced_errors")


def months(distributions: Sequence[Distribution], errors: Sequence[MonthOfErrors]) -> tuple[MonthLine, ...]:
    """Return the months of both, the oldest first; a month of which no error is known has none."""
    made = {one.month: one for one in errors}
    return tuple(
        MonthLine(
            month=one.month,
            buckets=one.buckets,
            errors=made[one.month].human_induced_count if one.month in made else 0,
            human_changes=made[one.month].human_changes_count if one.month in made else 0,
            automated_changes=made[one.month].automated_changes_count if one.month in made else 0,
        )
        for one in distributions
    )


def figures(lines: Sequence[MonthLine], policy: Policy) -> list[Figure]:
    """Return pipelines by level, and the errors of the same months; nothing where nothing has happened."""
    if not lines:
        return []
    names = {str(number): policy.level(number).name for number in (0, *(level.id for level in policy.levels))}
    return [_by_level(lines, policy, names), _errors(lines)]


def _by_level(lines: Sequence[MonthLine], policy: Policy, names: dict[str, str]) -> Figure:
    order = [*sorted(names, key=int), INSUFFICIENT]
    last = lines[-1].buckets
    said = [
        f"{last[name]} {f'at level {name}' if name != INSUFFICIENT else f'with {TOO_LITTLE}'}"
        for name in reversed(order)
        if last.get(name)
    ]
    summary = f"At the end of each month, and now: {', '.join(said) or 'none is active'}. By the policy {policy.name}."
    return Figure(
        name="by-level",
        title="Active pipelines by level",
        summary=summary,
        drawing=Markup(report_charts.by_level(lines, names)),  # noqa: S704, charts escape all text
        columns=("Month", *(f"{name} {names[name]}" for name in order[:-1]), TOO_LITTLE.capitalize()),
        rows=tuple((month_label(one.month), *(str(one.buckets.get(name, 0)) for name in order)) for one in lines),
        legend=_legend(names),
    )


def _errors(lines: Sequence[MonthLine]) -> Figure:
    total = sum(one.errors for one in lines)
    summary = (
        f"Incidents that a person's act is at fault for, in the month of their onset: {total} in these months. "
        "It follows the levels, months later."
    )
    rows = [
        (
            month_label(one.month),
            str(one.errors),
            str(one.human_changes),
            str(one.automated_changes),
            f"{100 * one.errors / one.human_changes:.1f}" if one.human_changes else MISSING,
        )
        for one in lines
    ]
    return Figure(
        name="errors",
        title="Errors made by people",
        tag="lagging",
        summary=summary,
        drawing=Markup(report_charts.errors(lines)),  # noqa: S704, charts escape all text
        columns=("Month", "Errors", "Changes by people", "Changes by automation", "Errors per 100 changes by people"),
        rows=tuple(rows),
        link="?type=incident.detected&type=incident.reported",
    )


def _legend(names: dict[str, str]) -> Markup:
    parts = [f'<span><i class="swatch l{number}">{number}</i> {escape(name)}</span>' for number, name in names.items()]
    parts.append(f'<span><i class="swatch unknown">?</i> {TOO_LITTLE}</span>')
    return Markup("".join(parts))  # noqa: S704, the names were escaped in the lines before
