"""The charts of the pages, each with its numbers as a table and the events behind them.

Invariant: whatever a chart shows stands in its table, too; a month without a number is a gap in both.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import urlencode

from markupsafe import Markup

from ratchet.loop.feedback import PeriodMetric
from ratchet.measure.policies import Policy
from ratchet.records import Record
from ratchet.web.charts import MISSING, Series, bar_chart, line_chart, step_chart
from ratchet.web.measurements import LevelPoint


class Figure(Record, frozen=True):
    """A chart with its numbers.

    Attributes:
        name: Its anchor on the page.
        title: Heading.
        summary: What it says, in one sentence.
        drawing: SVG; empty while it is being computed.
        columns: Heads of the table.
        rows: Its rows, written out.
        link: Query of the events behind it; empty where there is no such list.
        problem: Why it could not be computed.
        tag: A word beside the heading, such as ``lagging``.
        legend: What the marks mean, as a row of HTML; empty where the drawing says so itself.
    """

    name: str
    title: str
    summary: str
    drawing: Markup = Markup()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    link: str = ""
    problem: str = ""
    tag: str = ""
    legend: Markup = Markup()


def levels(points: Mapping[str, Sequence[LevelPoint]], pipeline: str, policies: Sequence[Policy]) -> Figure:
    """Return the level at the end of each month, by two policies."""
    months = [point.month for point in next(iter(points.values()), [])]
    series = [
        Series(
            name=name,
            values=tuple(None if point.level is None else float(point.level) for point in found),
            shown=tuple(f"level {point.label}" for point in found),
        )
        for name, found in points.items()
    ]
    top = max((level.id for policy in policies if policy.name in points for level in policy.levels), default=4)
    latest = "; ".join(f"{name}: {found[-1].label}" for name, found in points.items() if found)
    summary = f"At the end of each month, and now. {latest}." if latest else "Nothing has happened yet."
    drawing = step_chart(
        [month_label(m) for m in months], series, title=f"Level of {pipeline}", description=summary, top=top
    )
    rows = [
        (month_label(month), *(found[place].label for found in points.values())) for place, month in enumerate(months)
    ]
    return Figure(
        name="levels",
        title="Level over time",
        summary=summary,
        drawing=Markup(drawing),  # noqa: S704, charts escape all text
        columns=("Month", *points),
        rows=tuple(rows),
        link=_link(pipeline=pipeline),
    )


def quality(found: Sequence[tuple[PeriodMetric, float | None]] | None, pipeline: str, *, problem: str = "") -> Figure:
    """Return the live metric by month beside that of the first version on the same predictions."""
    name, title = "quality", "Live metric against the first version"
    if problem:
        return Figure(name=name, title=title, summary="It could not be computed.", problem=problem)
    if found is None:
        return Figure(name=name, title=title, summary="Being computed: the first version answers all requests again.")
    months = _filled([one.period for one, _ in found])
    by_month = {one.period: (one, frozen) for one, frozen in found}
    live = tuple(by_month[month][0].value if month in by_month else None for month in months)
    frozen = tuple(by_month[month][1] if month in by_month else None for month in months)
    series = [
        Series(name="live", values=live, shown=tuple(map(_metric, live))),
        Series(name="frozen first version", values=frozen, shown=tuple(map(_metric, frozen))),
    ]
    summary = _gain(live, frozen)
    drawing = line_chart([month_label(m) for m in months], series, title=f"Metric of {pipeline}", description=summary)
    rows = [
        (
            month_label(month),
            _metric(live[place]),
            _metric(frozen[place]),
            f"{by_month[month][0].labelled:,} of {by_month[month][0].predictions:,}" if month in by_month else MISSING,
        )
        for place, month in enumerate(months)
    ]
    return Figure(
        name=name,
        title=title,
        summary=summary,
        drawing=Markup(drawing),  # noqa: S704, charts escape all text
        columns=("Month", "Live", "First version", "Outcomes known"),
        rows=tuple(rows),
        link=_link(type="feedback.joined", pipeline=pipeline),
    )


def human_actions(by_month: Mapping[str, int], *, pipeline: str = "") -> Figure:
    """Return how often people had to act, by month, on one pipeline or on all."""
    months = list(by_month)
    bars = Series(name="commands by people", values=tuple(float(by_month[month]) for month in months))
    last = f"{by_month[months[-1]]} in {month_label(months[-1])}" if months else "none yet"
    summary = f"Commands that people gave, {f'about {pipeline}' if pipeline else 'over all pipelines'}: {last}."
    drawing = bar_chart([month_label(m) for m in months], bars, title="Human actions", description=summary)
    return Figure(
        name="actions",
        title="Human actions per month",
        summary=summary,
        drawing=Markup(drawing),  # noqa: S704, charts escape all text
        columns=("Month", "Commands by people"),
        rows=tuple((month_label(month), str(by_month[month])) for month in months),
        link=_link(type="command.issued", pipeline=pipeline),
    )


def _gain(live: Sequence[float | None], frozen: Sequence[float | None]) -> str:
    both = [(one, other) for one, other in zip(live, frozen, strict=True) if one is not None and other is not None]
    if not both:
        return "Area under the ROC curve by month. No outcomes have come back yet, so there is nothing to compare."
    mean = sum(one - other for one, other in both) / len(both)
    return (
        f"Area under the ROC curve by month. What serves was {abs(mean):.3f} "
        f"{'better' if mean >= 0 else 'worse'} than the first version would have been, on average."
    )


def _link(**values: str) -> str:
    return f"?{urlencode({name: value for name, value in values.items() if value})}"


def _metric(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def month_label(month: str) -> str:
    """Return a month such as ``2013-02`` in words, such as ``Feb 2013``."""
    return f"{date.fromisoformat(f'{month}-01'):%b %Y}"


def _filled(months: Sequence[str]) -> list[str]:
    """Return all months from the first to the last."""
    if not months:
        return []
    found, (year, number) = [], map(int, min(months).split("-"))
    while (month := f"{year:04d}-{number:02d}") <= max(months):
        found.append(month)
        year, number = year + number // 12, number % 12 + 1
    return found
