"""Charts of the report: levels stacked by month, errors below them, small series, and the way to a goal.

Invariant: a missing value is a gap, never a zero; what differs by colour differs by a pattern, a digit or a dash, too.
"""

from collections.abc import Sequence
from html import escape
from itertools import groupby, pairwise

from ratchet.measure.counts import TOO_LITTLE
from ratchet.measure.distribution import INSUFFICIENT
from ratchet.measure.goals import Progress
from ratchet.measure.reports.numbers import Point
from ratchet.measure.reports.report import MonthLine
from ratchet.web.charts import nice_ticks

_WIDTH, _HEIGHT = 520, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 12, 40
_ROOM_FOR_DIGIT = 13.0
_SPARK_WIDTH, _SPARK_HEIGHT = 132, 30
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month_words(month: str) -> str:
    """Return a month such as ``2026-03`` in words."""
    return f"{_MONTHS[int(month[5:7]) - 1]} {month[:4]}"


def by_level(months: Sequence[MonthLine], levels: dict[str, str]) -> str:
    """Draw pipelines by level as stacked bars, a bar a month, the highest level at the bottom.

    Args:
        months: The oldest first.
        levels: The policy's levels by number, from 0 up.
    """
    order = [*sorted(levels, key=int, reverse=True), INSUFFICIENT]
    highest = max((sum(one.buckets.values()) for one in months), default=1) or 1
    plot = _Plot(len(months), high=_whole_top(highest))
    parts = ['<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse">'
             '<path class="hatch" d="M-1,6L6,-1M4,6L6,4M-1,1L1,-1"/></pattern></defs>']  # fmt: skip
    parts += [_grid(plot, _whole_ticks(plot.high)), _axis(plot, [one.month for one in months])]
    width = min(plot.column * 0.74, 46.0)
    for place, one in enumerate(months):
        base = 0.0
        for name in order:
            count = one.buckets.get(name, 0)
            if count:
                parts.append(_part(plot, place, name, count, base=base, width=width, month=one.month, levels=levels))
                base += count
    said = "; ".join(f"{month_words(one.month)}: {_buckets(one.buckets, order)}" for one in months)
    return _drawing(parts, label=f"Active pipelines by level at the end of each month. {said}")


def _part(
    plot: "_Plot", place: int, name: str, count: int, *, base: float, width: float, month: str, levels: dict[str, str]
) -> str:
    x, top, bottom = plot.x(place), plot.y(base + count), plot.y(base)
    look = "unknown" if name == INSUFFICIENT else f"level l{name}"
    what = TOO_LITTLE if name == INSUFFICIENT else f"level {name} {levels.get(name, '')}".rstrip()
    words = escape(f"{month_words(month)}, {what}: {count}")
    shape = f'x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}"'
    filled = 'fill="url(#hatch)" ' if name == INSUFFICIENT else ""
    digit = ""
    if bottom - top >= _ROOM_FOR_DIGIT:
        text = "?" if name == INSUFFICIENT else name
        kind = "on-unknown" if name == INSUFFICIENT else f"on-l{name}"
        digit = f'<text class="{kind}" x="{x:.1f}" y="{(top + bottom) / 2 + 4:.1f}" text-anchor="middle">{text}</text>'
    return f'<g><title>{words}</title><rect class="{look}" {filled}{shape}/>{digit}</g>'


def errors(months: Sequence[MonthLine]) -> str:
    """Draw the errors that people made as bars, a bar a month, in the same columns as the levels."""
    plot = _Plot(len(months), high=_whole_top(max((one.errors for one in months), default=1) or 1))
    parts = [_grid(plot, _whole_ticks(plot.high)), _axis(plot, [one.month for one in months])]
    width = min(plot.column * 0.74, 46.0)
    for place, one in enumerate(months):
        x, top = plot.x(place), plot.y(one.errors)
        if one.errors:
            shape = f'x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{plot.y(0) - top:.1f}"'
            parts.append(f'<rect class="error" {shape}/>')
        parts.append(f'<text class="value" x="{x:.1f}" y="{top - 4:.1f}" text-anchor="middle">{one.errors}</text>')
    said = "; ".join(f"{month_words(one.month)}: {one.errors}" for one in months)
    return _drawing(parts, label=f"Errors made by people, by month. {said}")


def spark(points: Sequence[Point], *, title: str) -> str:
    """Draw a small series; nothing where fewer than two months are known."""
    known = [point.value for point in points if point.value is not None]
    if len(known) < 2:  # noqa: PLR2004, a line has two ends
        return ""
    low, high = min(known), max(known)
    span = high - low or 1.0
    step = (_SPARK_WIDTH - 8) / max(1, len(points) - 1)
    places = [
        None
        if point.value is None
        else (4 + step * place, 4 + (_SPARK_HEIGHT - 8) * (0.5 if high == low else (high - point.value) / span))
        for place, point in enumerate(points)
    ]
    parts = []
    for is_gap, run in groupby(places, key=lambda one: one is None):
        if not is_gap:
            line = " ".join(f"{one[0]:.1f},{one[1]:.1f}" for one in run if one is not None)
            parts.append(f'<polyline class="line" points="{line}"/>')
    last = next(one for one in reversed(places) if one is not None)
    parts.append(f'<circle class="dot" cx="{last[0]:.1f}" cy="{last[1]:.1f}" r="2.6"/>')
    label = escape(f"{title} by month: " + "; ".join(f"{month_words(one.month)} {one.text}" for one in points))
    box = f"0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}"
    return f'<svg class="spark" viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def burn_up(one: Progress) -> str:
    """Draw the way to a goal: the share that was reached, the straight line to it, and the goal itself."""
    plot = _Plot(len(one.series), high=1.0)
    parts = [_grid(plot, [0.0, 0.25, 0.5, 0.75, 1.0], is_share=True), _axis(plot, [p.month for p in one.series])]
    y = plot.y(one.goal.share)
    parts.append(f'<line class="goal" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    words = f"goal {one.goal.share:.0%}"
    parts.append(f'<text class="goal-words" x="{_WIDTH - _RIGHT}" y="{y - 5:.1f}" text-anchor="end">{words}</text>')
    for look, values in (
        ("plan", [point.planned for point in one.series]),
        ("line", [point.share for point in one.series]),
    ):
        for (place, value), (_, following) in pairwise(enumerate(values)):
            if value is not None and following is not None:
                ends = (plot.x(place), plot.y(value), plot.x(place + 1), plot.y(following))
                parts.append(f'<path class="{look}" d="M{ends[0]:.1f},{ends[1]:.1f}L{ends[2]:.1f},{ends[3]:.1f}"/>')
    for place, point in enumerate(one.series):
        if point.share is not None:
            said = escape(f"{month_words(point.month)}: {point.share:.0%}")
            dot = f'<circle class="dot" cx="{plot.x(place):.1f}" cy="{plot.y(point.share):.1f}" r="3"/>'
            parts.append(f"<g><title>{said}</title>{dot}</g>")
    said = "; ".join(
        f"{month_words(point.month)} {'unknown' if point.share is None else f'{point.share:.0%}'}"
        for point in one.series
    )
    return _drawing(parts, label=f"Share of active pipelines at level {one.goal.level} or above. {said}")


class _Plot:
    """Where columns and values lie, from 0 up."""

    def __init__(self, columns: int, *, high: float) -> None:
        self.high = high
        self.column = (_WIDTH - _LEFT - _RIGHT) / max(columns, 1)

    def x(self, place: float) -> float:
        return _LEFT + self.column * (place + 0.5)

    def y(self, value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / self.high)


def _whole_top(highest: int) -> float:
    return nice_ticks(0.0, float(max(highest, 2)))[-1]


def _whole_ticks(high: float) -> list[float]:
    return [tick for tick in nice_ticks(0.0, high) if tick == int(tick)]


def _grid(plot: _Plot, ticks: Sequence[float], *, is_share: bool = False) -> str:
    lines = []
    for tick in ticks:
        y = plot.y(tick)
        text = f"{tick:.0%}" if is_share else f"{tick:g}"
        lines.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return f'<g class="grid">{"".join(lines)}</g>'


def _axis(plot: _Plot, months: Sequence[str]) -> str:
    texts = []
    for place, month in enumerate(months):
        x, words = f"{plot.x(place):.1f}", month_words(month).split()
        texts.append(f'<text x="{x}" y="{_HEIGHT - 24}" text-anchor="middle">{words[0]}</text>')
        if place == 0 or months[place - 1][:4] != month[:4]:
            texts.append(f'<text x="{x}" y="{_HEIGHT - 8}" text-anchor="middle">{words[1]}</text>')
    return f'<g class="axis">{"".join(texts)}</g>'


def _buckets(buckets: dict[str, int], order: Sequence[str]) -> str:
    named = [
        f"{buckets[name]} {'unknown' if name == INSUFFICIENT else f'at {name}'}" for name in order if buckets.get(name)
    ]
    return ", ".join(named) or "none"


def _drawing(parts: Sequence[str], *, label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
