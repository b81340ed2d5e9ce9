"""Charts as SVG text: pure functions from data to a drawing that follows the page's colours.

Invariant: a missing value is a gap, never a zero; all text is escaped; series differ by dash and mark, not by colour
only; no style attributes and no scripts, so that the strictest content policy holds.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise

from ratchet.records import Record

WIDTH, HEIGHT = 380, 232
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 6, 34, 34
_TICKS = 4
_LABELS_AT_MOST = 13
_OFFSET = 5.0
MISSING = "\u2013"  # a dash, as people write it
_MARKS = ("circle", "square", "triangle")


class Series(Record, frozen=True):
    """A named row of values.

    Attributes:
        values: One for each label; ``None`` where nothing is known.
        shown: How each value is written; the value itself where not given.
    """

    name: str
    values: tuple[float | None, ...]
    shown: tuple[str, ...] = ()

    def text(self, index: int) -> str:
        """Return how a value is written, with words where there is none."""
        value = self.values[index]
        if value is None:
            return "no evidence"
        return self.shown[index] if self.shown else f"{value:g}"


def step_chart(labels: Sequence[str], series: Sequence[Series], *, title: str, description: str, top: int) -> str:
    """Draw values that hold until the next one, on whole steps from 0.

    Args:
        labels: One for each column.
        series: Drawn a little apart, so that equal values stay visible.
        title: Read out by screen readers.
        description: What to see in it, in one sentence.
        top: The highest step.
    """
    plot = _Plot(len(labels), low=0.0, high=float(max(top, 1)))
    parts = [_grid(plot, [float(step) for step in range(top + 1)], lambda value: f"{value:g}"), _axis(plot, labels)]
    for number, one in enumerate(series):
        shift = -number * _OFFSET
        for run in _runs(one.values):
            path = _step_path(plot, run, shift)
            parts.append(f'<path class="line s{number + 1}" d="{path}"/>')
        parts += _marks(plot, one, number, labels, shift=shift, is_centred=True)
    parts.append(_legend(series))
    return _drawing(parts, title=title, description=description)


def line_chart(labels: Sequence[str], series: Sequence[Series], *, title: str, description: str) -> str:
    """Draw values over time; the scale covers what is known and need not begin at 0.

    Args:
        labels: One for each column.
        series: One line each, broken where a value is missing.
        title: Read out by screen readers.
        description: What to see in it, in one sentence.
    """
    known = [value for one in series for value in one.values if value is not None]
    ticks = nice_ticks(min(known), max(known)) if known else [0.0, 1.0]
    plot = _Plot(len(labels), low=ticks[0], high=ticks[-1])
    digits = _decimals(ticks[1] - ticks[0])
    parts = [_grid(plot, ticks, lambda value: f"{value:.{digits}f}"), _axis(plot, labels)]
    for number, one in enumerate(series):
        for run in _runs(one.values):
            points = " ".join(f"{plot.x(column):.1f},{plot.y(value):.1f}" for column, value in run)
            parts.append(f'<polyline class="line s{number + 1}" points="{points}"/>')
        parts += _marks(plot, one, number, labels)
    parts.append(_legend(series))
    if not known:
        parts.append(
            f'<text class="empty" x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no evidence yet</text>'
        )
    return _drawing(parts, title=title, description=description)


def bar_chart(labels: Sequence[str], bars: Series, *, title: str, description: str) -> str:
    """Draw counts as bars from 0, each with its number.

    Args:
        labels: One for each bar.
        bars: The counts; a missing one is written as a dash.
        title: Read out by screen readers.
        description: What to see in it, in one sentence.
    """
    known = [value for value in bars.values if value is not None]
    ticks = nice_ticks(0.0, max([*known, 1.0]))
    plot = _Plot(len(labels), low=0.0, high=ticks[-1])
    parts = [_grid(plot, ticks, lambda value: f"{value:g}" if value == int(value) else ""), _axis(plot, labels)]
    width = min(plot.column_width * 0.62, 40.0)
    for column, value in enumerate(bars.values):
        middle = plot.x(column)
        where = plot.y(value or 0.0)
        if value:
            parts.append(
                f'<rect class="bar" x="{middle - width / 2:.1f}" y="{where:.1f}" width="{width:.1f}" '
                f'height="{plot.y(0.0) - where:.1f}"><title>{escape(labels[column])}: {value:g}</title></rect>'
            )
        text = MISSING if value is None else f"{value:g}"
        parts.append(f'<text class="value" x="{middle:.1f}" y="{where - 4:.1f}" text-anchor="middle">{text}</text>')
    return _drawing(parts, title=title, description=description)


def _decimals(step: float) -> int:
    """Return how many decimals it takes to write multiples of a step in full: two for 0.25."""
    digits = max(0, -math.floor(math.log10(step)))
    return digits if math.isclose(step, round(step, digits)) else digits + 1


def nice_ticks(low: float, high: float) -> list[float]:
    """Return round numbers, evenly spaced, that enclose a range; at least two."""
    if high - low < 1e-9:  # noqa: PLR2004, all values are equal
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    rough = (high - low) / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 10) for number in range(first, max(last, first + 1) + 1)]


class _Plot:
    """Where columns and values lie."""

    def __init__(self, columns: int, *, low: float, high: float) -> None:
        self.columns = max(columns, 1)
        self.low = low
        self.high = high
        self.column_width = (WIDTH - _LEFT - _RIGHT) / self.columns

    def x(self, column: float) -> float:
        return _LEFT + self.column_width * (column + 0.5)

    def y(self, value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - self.low) / (self.high - self.low))


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Give the stretches without a gap."""
    run: list[tuple[int, float]] = []
    for column, value in enumerate(values):
        if value is not None:
            run.append((column, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _step_path(plot: _Plot, run: list[tuple[int, float]], shift: float) -> str:
    first = run[0]
    path = [f"M{plot.x(first[0] - 0.5):.1f},{plot.y(first[1]) + shift:.1f}"]
    for (_, _), (column, value) in pairwise(run):
        path.append(f"H{plot.x(column - 0.5):.1f}V{plot.y(value) + shift:.1f}")
    path.append(f"H{plot.x(run[-1][0] + 0.5):.1f}")
    return "".join(path)


def _marks(
    plot: _Plot,
    series: Series,
    number: int,
    labels: Sequence[str],
    *,
    shift: float = 0.0,
    is_centred: bool = False,
) -> list[str]:
    """Return a mark for each value, with its words for pointers and screen readers."""
    marks = []
    for column, value in enumerate(series.values):
        if value is not None:
            words = escape(f"{labels[column]}, {series.name}: {series.text(column)}")
            mark = _mark(_MARKS[number % 3], plot.x(column), plot.y(value) + shift, size=2.6 if is_centred else 3.2)
            marks.append(f'<g class="mark s{number + 1}"><title>{words}</title>{mark}</g>')
    return marks


def _mark(shape: str, x: float, y: float, *, size: float) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    if shape == "square":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"/>'
    return f'<path d="M{x:.1f},{y - size:.1f}l{size},{2 * size}h-{2 * size}z"/>'


def _grid(plot: _Plot, ticks: Sequence[float], write: Callable[[float], str]) -> str:
    lines = []
    for tick in ticks:
        y = plot.y(tick)
        lines.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{write(tick)}</text>')
    return f'<g class="grid">{"".join(lines)}</g>'


def _axis(plot: _Plot, labels: Sequence[str]) -> str:
    every = math.ceil(len(labels) / _LABELS_AT_MOST) or 1
    texts = []
    for column, label in enumerate(labels):
        if column % every == 0:
            first, _, second = label.partition(" ")
            is_new = column == 0 or labels[column - every].partition(" ")[2] != second
            x = f"{plot.x(column):.1f}"
            texts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(first)}</text>')
            if second and is_new:
                texts.append(f'<text x="{x}" y="{HEIGHT - 4}" text-anchor="middle">{escape(second)}</text>')
    return f'<g class="axis">{"".join(texts)}</g>'


def _legend(series: Sequence[Series]) -> str:
    parts, x = [], float(_LEFT)
    for number, one in enumerate(series):
        mark = _mark(_MARKS[number % 3], x + 11, 10, size=3.2)
        parts.append(
            f'<g class="key"><path class="line s{number + 1}" d="M{x:.0f},10h22"/>'
            f'<g class="mark s{number + 1}">{mark}</g>'
            f'<text x="{x + 28:.0f}" y="14">{escape(one.name)}</text></g>'
        )
        x += 46 + 7.2 * len(one.name)
    return "".join(parts)


def _drawing(parts: Sequence[str], *, title: str, description: str) -> str:
    name = hashlib.sha256(f"{title}{description}".encode()).hexdigest()[:8]
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t{name} d{name}" '
        f'xmlns="http://www.w3.org/2000/svg"><title id="t{name}">{escape(title)}</title>'
        f'<desc id="d{name}">{escape(description)}</desc>{"".join(parts)}</svg>'
    )
