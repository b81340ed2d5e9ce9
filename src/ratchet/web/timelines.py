"""Drawings of one incident in time: what changed before it, when it began, and what was done about it.

Invariant: a drawing needs no colour and no pointer: marks differ in shape and carry the number of their line in the
list; distances near the onset are drawn wider than those far from it, and the axis says so.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Literal

from ratchet.measure.incidents.outages import hours_between
from ratchet.records import Record

WIDTH, HEIGHT = 380, 190
_LEFT, _RIGHT = 14, 352
_CHANGES, _BAR, _STEPS, _AXIS = 46, 82, 118, 160
_NEAR_HOURS = 0.25
_APART = 24.0
_LEVELS = {"up": 3, "down": 2}
_TICK_APART = 40.0
_TICKS = (0.5, 1.0, 6.0, 24.0, 72.0, 168.0, 720.0, 8760.0)

Lane = Literal["change", "cause", "step"]


class Mark(Record, frozen=True):
    """One moment on the drawing.

    Attributes:
        at: When (UTC).
        lane: ``cause`` for a change that the incident is put down to, ``change`` for another one near it, ``step`` for
            what was noticed or done.
        text: What happened, for pointers and screen readers.
    """

    at: datetime
    lane: Lane
    text: str


def timeline(
    marks: Sequence[Mark], *, onset: datetime, end: datetime, is_open: bool, title: str, description: str
) -> str:
    """Draw an incident as SVG text.

    Args:
        marks: In the order of their numbers, which begin with 1.
        onset: When the service went out of bounds (UTC).
        end: When it was back, or now.
        is_open: Whether it still is out of bounds.
        title: Read out by screen readers.
        description: What to see in it, in one sentence.
    """
    scale = _Scale(onset, [one.at for one in marks] + [end])
    parts = [_axis(scale), _bar(scale, end, is_open=is_open), *_drawn(scale, marks)]
    return (
        f'<svg class="chart timeline" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="tl-t tl-d" '
        f'xmlns="http://www.w3.org/2000/svg"><title id="tl-t">{escape(title)}</title>'
        f'<desc id="tl-d">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


class _Scale:
    """Where moments lie: the logarithm of their distance from the onset, to both sides."""

    def __init__(self, onset: datetime, moments: Sequence[datetime]) -> None:
        self.onset = onset
        places = [_stretched(hours_between(onset, moment)) for moment in moments]
        self.low = min([*places, -_stretched(1.0)])
        self.high = max([*places, _stretched(1.0)])

    def x(self, moment: datetime) -> float:
        return self.place(hours_between(self.onset, moment))

    def place(self, hours: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (_stretched(hours) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return where the axis is labelled, the onset first; labels keep apart from one another."""
        found = [(self.place(0.0), "onset")]
        for hours in _TICKS:
            for signed in (-hours, hours):
                x = self.place(signed)
                is_free = all(abs(x - other) >= _TICK_APART for other, _ in found)
                if self.low <= _stretched(signed) <= self.high and is_free:
                    found.append((x, f"{'-' if signed < 0 else '+'}{_span(hours)}"))
        return found


def _stretched(hours: float) -> float:
    return math.copysign(math.log1p(abs(hours) / _NEAR_HOURS), hours)


def _span(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 24 else f"{hours / 24:.0f} d"  # noqa: PLR2004, hours of a day


def _axis(scale: _Scale) -> str:
    parts = [f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_AXIS}" y2="{_AXIS}"/>']
    texts = []
    for x, label in scale.ticks():
        top = _CHANGES - 12 if label == "onset" else _AXIS
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{_AXIS + 4}"/>')
        anchor = "start" if x < _LEFT + 16 else "end" if x > _RIGHT - 16 else "middle"
        texts.append(f'<text x="{x:.1f}" y="{_AXIS + 18}" text-anchor="{anchor}">{label}</text>')
    return f'<g class="grid">{"".join(parts)}</g><g class="axis">{"".join(texts)}</g>'


def _bar(scale: _Scale, end: datetime, *, is_open: bool) -> str:
    start, stop = scale.place(0.0), max(scale.x(end), scale.place(0.0) + 2)
    words = "out of bounds, still" if is_open else "out of bounds"
    tip = f'<path class="bar" d="M{stop:.1f},{_BAR - 7}l7,7l-7,7z"/>' if is_open else ""
    return (
        f'<g><title>{words}</title><rect class="bar" x="{start:.1f}" y="{_BAR - 7}" width="{stop - start:.1f}" '
        f'height="14"/>{tip}</g>'
    )


def _drawn(scale: _Scale, marks: Sequence[Mark]) -> list[str]:
    """Return the marks; those that would cover one another stand above or below one another."""
    taken: dict[str, list[tuple[float, int]]] = {"up": [], "down": []}
    drawn = []
    for number, one in enumerate(marks, start=1):
        side = "down" if one.lane == "step" else "up"
        x, level = scale.x(one.at), 0
        while level < _LEVELS[side] and any(abs(x - other) < _APART and level == row for other, row in taken[side]):
            level += 1
        taken[side].append((x, level))
        y = _STEPS + 13 * level if side == "down" else _CHANGES - 13 * level
        drawn.append(_mark(one, number, x, y))
    return drawn


def _mark(one: Mark, number: int, x: float, y: float) -> str:
    shape = f'<circle cx="{x:.1f}" cy="{y}" r="4.2"/>'
    if one.lane == "cause":
        shape = f'<path d="M{x:.1f},{y - 5.6}l5.6,5.6l-5.6,5.6l-5.6,-5.6z"/>'
    elif one.lane == "step":
        shape = f'<rect x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2"/>'
    kind = {"cause": "mark s2", "change": "mark s3", "step": "mark s1"}[one.lane]
    return (
        f'<g class="{kind}"><title>{number}. {escape(one.text)}</title>{shape}</g>'
        f'<text class="value" x="{x + 8:.1f}" y="{y + 4}">{number}</text>'
    )
