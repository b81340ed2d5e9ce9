"""A comparison as one SVG picture: numbers, degrees and sentiments of all candidates side by side.

Invariant: colour is never the only sign: each sentiment is a circle with its letter and a count, each degree a field
with its letter; the picture needs no font, script, style sheet or request to be read.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from ratchet.measure.evaluations import wording
from ratchet.measure.evaluations.comparison import CandidateResult, Comparison, GroupResult, Reach
from ratchet.measure.evaluations.processes import KNOWN
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.lettering import wrap

_LABELS, _COLUMN, _GAP, _MARGIN = 178.0, 236.0, 18.0, 20.0
_TITLE, _TEXT, _SMALL = 17.0, 12.5, 11.0
_LINE, _RADIUS, _BAR = 17.0, 9.0, 6.0
_GROUP_ROW = 50.0
_INK, _PALE, _RULE, _TRACK, _WARN = "#1c2430", "#566070", "#d5dae1", "#e9ecf0", "#a11212"
# What nobody has stated is hatched, as on maps.
_HATCH = (
    '<defs><pattern id="unstated" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#ffffff"/><line x1="0" x2="0" y1="0" y2="6" stroke="#4d5660" stroke-width="1.5"/>'
    "</pattern></defs>"
)
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def to_svg(comparison: Comparison) -> str:
    """Return the picture of a comparison."""
    return _Picture(comparison).text()


class _Picture:
    """Draws from top to bottom, and keeps how far down it is."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.candidates = comparison.candidates
        self.width = _MARGIN * 2 + _LABELS + (_COLUMN + _GAP) * max(len(self.candidates), 1)
        self.y = _MARGIN
        self.parts: list[str] = []

    def text(self) -> str:
        """Draw everything and return it."""
        self.title()
        self.heads()
        self.numbers()
        if self.comparison.target_counts:
            self.degrees()
        self.groups()
        self.legend()
        height = self.y + _MARGIN
        evaluation = self.comparison.evaluation
        about = "; ".join(f"{one.candidate.name}: {wording.sentiment_counts(one.counts)}" for one in self.candidates)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {height:g}" '
            f'width="{self.width:g}" height="{height:g}" role="img" font-family="{_FONT}" fill="{_INK}">'
            f"<title>{escape(evaluation.title)}</title><desc>{escape(about)}</desc>"
            f'{_HATCH}<rect width="{self.width:g}" height="{height:g}" fill="#ffffff"/>{"".join(self.parts)}</svg>\n'
        )

    # ---- from top to bottom

    def title(self) -> None:
        for line in wrap(self.comparison.evaluation.title, width=self.width - 2 * _MARGIN, size=_TITLE, lines=3):
            self.y += _TITLE
            self.put(_words(line, _MARGIN, self.y, size=_TITLE, weight=700))
            self.y += 5
        for line in wrap(wording.state(self.comparison), width=self.width - 2 * _MARGIN, size=_SMALL, lines=3):
            self.y += _LINE
            self.put(_words(line, _MARGIN, self.y, size=_SMALL, colour=_PALE))
        self.y += 14

    def heads(self) -> None:
        names = [wrap(one.candidate.name, width=_COLUMN, size=14, lines=3) for one in self.candidates]
        self.rule()
        first = self.y + 20
        chosen = self.comparison.evaluation.conclusion
        lowest = first
        for (x, one), lines in zip(self.columns(), names, strict=True):
            y = first
            for line in lines:
                self.put(_words(line, x, y, size=14, weight=700))
                y += _LINE
            self.put(_words(one.candidate.kind, x, y, size=_SMALL, colour=_PALE))
            y += _LINE + 4
            if chosen is not None and chosen.choice == one.candidate.name:
                self.badge("chosen", x, y, _INK)
                y += _LINE + 5
            if one.vetoes:
                self.badge("ruled out by a must", x, y, _WARN)
                y += _LINE + 5
                for line in wrap(", ".join(str(veto) for veto in one.vetoes), width=_COLUMN, size=_SMALL, lines=3):
                    self.put(_words(line, x, y, size=_SMALL, colour=_WARN))
                    y += _LINE - 2
            lowest = max(lowest, y)
        self.y = lowest - 6
        self.rule()

    def badge(self, text: str, x: float, y: float, colour: str) -> None:
        wide = len(text) * 6.4 + 14
        self.put(
            f'<rect x="{x:g}" y="{y - 12:g}" width="{wide:g}" height="17" rx="8.5" fill="none" stroke="{colour}"/>'
        )
        self.put(_words(text, x + 7, y + 0.5, size=_SMALL, weight=600, colour=colour))

    def numbers(self) -> None:
        rows: list[tuple[str, Callable[[CandidateResult], str]]] = [
            ("Cost a year", wording.cost),
            ("Effort until in use", wording.effort),
        ]
        if self.comparison.target_counts:
            rows = [
                ("Processes with a tool", wording.coverage),
                ("Steps short of the target", lambda one: wording.steps(one.reach)),
                *rows,
            ]
        for label, shown in rows:
            texts = [wrap(shown(one), width=_COLUMN, size=_TEXT, lines=2) for one in self.candidates]
            self.y += 19
            self.put(_words(label, _MARGIN, self.y, size=_TEXT, colour=_PALE))
            for (x, _), lines in zip(self.columns(), texts, strict=True):
                for number, line in enumerate(lines):
                    self.put(_words(line, x, self.y + number * 15, size=_TEXT, weight=600))
            self.y += 15 * (max(map(len, texts), default=1) - 1)
        self.y += 12

    def degrees(self) -> None:
        self.rule()
        self.y += 19
        self.put(_words("Processes by degree", _MARGIN, self.y, size=_TEXT, colour=_PALE))
        for x, one in self.columns():
            if one.reach is None or not one.reach.stated:
                self.put(_words(wording.NO_MAP, x, self.y, size=_TEXT, colour=_PALE))
            else:
                self.parts += _degree_bar(one.reach, x, self.y - 13)
        self.y += 16
        for x, one in self.columns():
            if one.reach is not None and one.reach.stated:
                counted = " \u00b7 ".join(f"{DEGREES[name].letter} {number}" for name, number in _counts(one.reach))
                self.put(_words(counted, x, self.y, size=_SMALL, colour=_PALE))
        self.y += 10

    def groups(self) -> None:
        self.rule()
        for index, asked in enumerate(self.comparison.evaluation.questionnaires):
            lines = wrap(asked.name, width=_LABELS - 8, size=_TEXT, lines=2)
            for number, line in enumerate(lines):
                self.put(_words(line, _MARGIN, self.y + 23 + number * 15, size=_TEXT, weight=600))
            for x, one in self.columns():
                self.parts += _group(one.groups[index], x, self.y)
            self.y += _GROUP_ROW
        self.rule()

    def legend(self) -> None:
        self.y += 22
        x = _MARGIN
        for one in Sentiment:
            self.parts += [_circle(one, x + _RADIUS, self.y - 4), _words(one.word, x + 24, self.y, size=_SMALL)]
            x += 92
        self.put(_words("bars: share of the weight", x, self.y, size=_SMALL, colour=_PALE))
        if self.comparison.target_counts:
            for name in (*KNOWN, "unmeasured"):
                self.y += 20
                look = DEGREES[name]
                self.parts += list(_degree_field(name, _MARGIN, self.y - 12, 18))
                words = f"{name}: {look.sentence[0].lower()}{look.sentence[1:].rstrip('.')}"
                fitting = wrap(words, width=self.width - 2 * _MARGIN - 28, size=_SMALL, lines=2)
                for number, line in enumerate(fitting):
                    self.y += 15 * min(number, 1)
                    self.put(_words(line, _MARGIN + 26, self.y, size=_SMALL, colour=_PALE))
        self.y += 4

    # ---- parts

    def columns(self) -> Iterator[tuple[float, CandidateResult]]:
        """Give the left edge of each candidate's column."""
        for number, one in enumerate(self.candidates):
            yield _MARGIN + _LABELS + number * (_COLUMN + _GAP), one

    def rule(self) -> None:
        self.put(
            f'<line x1="{_MARGIN:g}" x2="{self.width - _MARGIN:g}" y1="{self.y:g}" y2="{self.y:g}" stroke="{_RULE}"/>'
        )

    def put(self, part: str) -> None:
        self.parts.append(part)


def _group(group: GroupResult, x: float, y: float) -> list[str]:
    """Draw how one group finds one candidate: three circles with counts, and the shares of the weight below."""
    middle = y + 19
    if not group.answered:
        return [_words(wording.NO_ANSWERS, x, middle + 4, size=_TEXT, colour=_PALE)]
    parts = [f"<g><title>{escape(f'{group.name}: {wording.weighted(group)} of the weight')}</title>"]
    for number, one in enumerate(Sentiment):
        left = x + number * 54
        is_none = not group.counts[one]
        parts.append(_circle(one, left + _RADIUS, middle, is_faint=is_none))
        colour = _PALE if is_none else _INK
        parts.append(_words(str(group.counts[one]), left + 24, middle + 4.5, size=_TEXT, weight=600, colour=colour))
    if group.answered < group.expected:
        text = f"{group.answered} of {group.expected}"
        parts.append(_words(text, x + _COLUMN, middle + 4, size=_SMALL, colour=_PALE, anchor="end"))
    return [*parts, *_shares(group, x, y + 35), "</g>"]


def _shares(group: GroupResult, x: float, y: float) -> Iterator[str]:
    yield f'<rect x="{x:g}" y="{y:g}" width="{_COLUMN:g}" height="{_BAR:g}" fill="{_TRACK}"/>'
    left = x
    for one in Sentiment:
        wide = group.shares[one] * _COLUMN
        if wide:
            yield (
                f'<rect x="{left:.1f}" y="{y:g}" width="{max(wide - 1, 0.5):.1f}" height="{_BAR:g}" '
                f'fill="{one.colour}"/>'
            )
        left += wide


def _circle(sentiment: Sentiment, x: float, y: float, *, is_faint: bool = False) -> str:
    """Draw a sentiment; one that nobody has is only an outline."""
    fill, ink = ("#ffffff", _PALE) if is_faint else (sentiment.colour, sentiment.ink)
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS - 0.5:g}" fill="{fill}" '
        f'stroke="{_PALE if is_faint else sentiment.colour}"/>'
        + _words(sentiment.letter, x, y + 4, size=_SMALL, weight=700, colour=ink, anchor="middle")
    )


def _counts(reach: Reach) -> list[tuple[str, int]]:
    """Return how many processes have each degree, and last those of which nothing is stated."""
    unstated = reach.total - reach.stated
    return [*((name, reach.counts[name]) for name in KNOWN), *([("unmeasured", unstated)] if unstated else [])]


def _degree_bar(reach: Reach, x: float, y: float) -> Iterator[str]:
    left = x
    for name, number in _counts(reach):
        wide = number / reach.total * _COLUMN
        if wide:
            yield from _degree_field(name, left, y, wide - 1)
        left += wide


def _degree_field(name: str, x: float, y: float, wide: float) -> Iterator[str]:
    """Draw a field in the colour of a degree, with its letter where it fits; absent is dashed, unstated hatched."""
    look = DEGREES[name]
    dashes = ' stroke-dasharray="3 2"' if name == "absent" else ""
    fill = "url(#unstated)" if name == "unmeasured" else look.fill
    yield (
        f'<rect x="{x:.1f}" y="{y:g}" width="{max(wide, 1):.1f}" height="17" fill="{fill}" '
        f'stroke="{look.ink}"{dashes}/>'
    )
    if wide >= 12 and name != "unmeasured":  # noqa: PLR2004, the width of a letter
        yield _words(look.letter, x + wide / 2, y + 13, size=_SMALL, weight=700, colour=look.ink, anchor="middle")


def _words(
    text: str, x: float, y: float, *, size: float, weight: int = 400, colour: str = "", anchor: str = "start"
) -> str:
    extra = "".join(
        part
        for part, is_needed in (
            (f' font-weight="{weight}"', weight != 400),  # noqa: PLR2004, the weight of usual text
            (f' fill="{colour}"', bool(colour)),
            (f' text-anchor="{anchor}"', anchor != "start"),
        )
        if is_needed
    )
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{extra}>{escape(text)}</text>'


def legend_words() -> Sequence[tuple[str, str]]:
    """Return the degrees with what they mean, for pages."""
    return [(name, DEGREES[name].sentence) for name in KNOWN]
