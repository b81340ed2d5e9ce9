"""Two maps as one picture: each process with the degree that it has and the one that it is to have.

Invariant: what changes is told by signs, words and a bold border, never by a colour alone; what only one of the maps
has is drawn as well.
"""

from collections.abc import Callable
from functools import partial
from html import escape

from msgspec.structs import replace

from ratchet.measure.counts import several
from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.differences import NOT_ON_MAP, Difference, NodeChange, compare
from ratchet.measure.maps.process_maps import Edge, Node, ProcessMap, find_circle
from ratchet.measure.maps.routes import Box
from ratchet.measure.maps.svg import (
    INK,
    LEGEND_COLUMN,
    PAPER,
    SOFT,
    Entry,
    area,
    compose,
    degree_entries,
    line_entries,
    name_in,
    rect,
)
from ratchet.measure.maps.svg import sign as sign_of

_BOLD, _THIN = 3.2, 1.2
_DISC = 9.5


def draw_difference(before: ProcessMap, after: ProcessMap, *, has_title: bool = True) -> str:
    """Return the picture of what changes from one map to another.

    Args:
        before: The first map.
        after: The second; lanes and lines are drawn as it has them.
        has_title: Whether a heading stands above it; not where it stands there already.
    """
    difference = compare(before, after)
    changes = {change.node: change for change in difference.changes}
    drawn = united(before, after)
    return compose(
        drawn,
        title=f"{after.title}: what changes",
        about=f"{difference.before} \u2192 {difference.after} \u00b7 {difference_summary(difference)}",
        summary=difference_summary(difference),
        node=lambda node, box: _node(node, box, changes[node.id]),
        legend=(
            (_sign_entries(difference), LEGEND_COLUMN),
            (list(degree_entries()), LEGEND_COLUMN),
            (list(line_entries(drawn)), LEGEND_COLUMN),
        ),
        has_title=has_title,
    )


def difference_summary(difference: Difference) -> str:
    """Return how many processes rise, fall, come and go, in words."""
    words = [mark(change) for change in difference.changes]
    counted = (
        (sum(word.startswith("+") for word in words), "rises", "rise"),
        (sum(word.startswith("\u2212") for word in words), "falls back", "fall back"),
        (words.count("new"), "is new", "are new"),
        (words.count("taken off"), "is taken off", "are taken off"),
        (words.count("not known"), "has no degree on one of the maps", "have no degree on one of the maps"),
        (words.count("same"), "stays as before", "stay as before"),
    )
    named = ", ".join(several(*one) for one in counted if one[0])
    total, steps = len(words), difference.steps_short
    return f"{several(total, 'process', 'processes')}: {named}; {several(steps, 'step', 'steps')} upwards in all"


def mark(change: NodeChange) -> str:
    """Return what happens to a process in one or two words, such as ``+2``, ``new`` or ``same``."""
    if change.before == NOT_ON_MAP:
        return "new"
    if change.after == NOT_ON_MAP:
        return "taken off"
    if change.before == change.after:
        return "same"
    if not change.steps:
        return "not known"
    return f"+{change.steps}" if change.steps > 0 else f"\u2212{-change.steps}"


def united(before: ProcessMap, after: ProcessMap) -> ProcessMap:
    """Return the second map with the processes that only the first one has."""
    gone = tuple(node for node in before.nodes if after.node(node.id) is None)
    names = {node.id for node in gone}
    left = tuple(edge for edge in before.edges if edge.source in names or edge.target in names)
    nodes = (*after.nodes, *gone)
    phases = dict.fromkeys((*after.phases, *(node.phase for node in gone)))
    return replace(after, phases=tuple(phases), nodes=nodes, edges=(*after.edges, *_open(nodes, after.edges, left)))


def _open(nodes: tuple[Node, ...], edges: tuple[Edge, ...], left: tuple[Edge, ...]) -> list[Edge]:
    """Return the edges of the first map that close no circle of control with those of the second."""
    control = [edge for edge in edges if edge.kind == "control" and not edge.loop]
    kept = []
    for edge in left:
        if edge.kind == "control" and not edge.loop:
            if find_circle([node.id for node in nodes], [*control, edge]):
                continue
            control.append(edge)
        kept.append(edge)
    return kept


# ---- nodes


def _node(node: Node, box: Box, change: NodeChange) -> str:
    word = mark(change)
    is_same, is_gone = word == "same", word == "taken off"
    look = DEGREES[node.degree]
    drawn = area(look, box, border=_THIN if is_same else _BOLD)
    parts = [f"<title>{escape(_tooltip(node, change))}</title>"]
    # What stays steps back, so that what changes stands out; the words in the box say the same.
    parts.append(f'<g opacity="0.4">{drawn}</g>' if is_same or is_gone else drawn)
    if is_gone:
        corners = f"M{box.x + 1:.1f},{box.bottom - 1:.1f}L{box.right - 1:.1f},{box.y + 1:.1f}"
        parts.append(f'<path d="{corners}" stroke="{SOFT}" stroke-width="1.4"/>')
    parts.append(name_in(node, box))
    parts.append(_signs(change, box.x + 21, box.bottom - 18))
    parts.append(_word(word, right=box.right - 12, y=box.bottom - 18))
    return f"<g>{''.join(parts)}</g>"


def _tooltip(node: Node, change: NodeChange) -> str:
    lines = [node.name, node.purpose, f"From {change.before} to {change.after}"]
    return "\n".join([*lines, *([f"Different besides: {', '.join(change.fields)}"] if change.fields else [])])


def _signs(change: NodeChange, x: float, y: float) -> str:
    """Return the letter of the degree today, and after an arrow that of the degree to come."""
    degrees = [one for one in (change.before, change.after) if one != NOT_ON_MAP]
    if len(set(degrees)) == 1:
        return sign_of(DEGREES[degrees[0]], x, y)
    one, other = (DEGREES[degree] for degree in degrees)
    start = x + _DISC + 5
    arrow = f'<path d="M{start:.1f},{y:.1f}h15" stroke="{INK}" stroke-width="1.8" marker-end="url(#arrow-control)"/>'
    return f"{sign_of(one, x, y)}{arrow}{sign_of(other, start + 15 + _DISC + 5, y)}"


def _word(word: str, *, right: float, y: float) -> str:
    """Return what happens as a label at the right."""
    if word == "same":
        return f'<text x="{right:.1f}" y="{y + 4:.1f}" font-size="11" fill="{SOFT}" text-anchor="end">same</text>'
    width = 13.0 + 6.8 * len(word)
    chip = Box(x=right - width, y=y - 9, width=width, height=18)
    return (
        rect(chip, fill=INK, more=' rx="9"')
        + f'<text x="{right - width / 2:.1f}" y="{y + 4:.1f}" font-size="11" font-weight="700" fill="{PAPER}" '
        f'text-anchor="middle">{word}</text>'
    )


# ---- legend


def _sign_entries(difference: Difference) -> list[Entry]:
    words = {mark(change) for change in difference.changes}
    entries: list[Entry] = []
    if words - {"same", "new", "taken off"}:
        entries.append((_sample_arrow, "two letters: the degree today, and the one that is to come."))
    samples: tuple[tuple[bool, Callable[[float, float], str], str], ...] = (
        (any(word.startswith("+") for word in words), partial(_sample_word, "+1"), "rises by so many degrees."),
        (any(word.startswith("\u2212") for word in words), partial(_sample_word, "\u22121"), "falls back by so many."),
        ("new" in words, partial(_sample_word, "new"), "only the second map has it."),
        ("taken off" in words, _sample_gone, "taken off: only the first map has it."),
        ("not known" in words, _sample_unknown, "not known: unmeasured on one of the maps."),
        ("same" in words, partial(_sample_word, "same"), "pale, with a thin border: stays as before."),
    )
    return [*entries, *((sample, text) for is_there, sample, text in samples if is_there)]


def _sample_arrow(x: float, y: float) -> str:
    letters = (
        f'<text x="{x + at:.1f}" y="{y + 4:.1f}" font-size="11.5" font-weight="700" fill="{one.ink}" '
        f'text-anchor="middle">{one.letter}</text>'
        for at, one in ((3, DEGREES["semi-automated"]), (29, DEGREES["automated"]))
    )
    arrow = f'<path d="M{x + 9:.1f},{y:.1f}h12" stroke="{INK}" stroke-width="1.4" marker-end="url(#arrow-control)"/>'
    return f"{arrow}{''.join(letters)}"


def _sample_word(word: str, x: float, y: float) -> str:
    return f'<text x="{x + 16:.1f}" y="{y + 4:.1f}" font-size="11" font-weight="700" text-anchor="middle">{word}</text>'


def _sample_gone(x: float, y: float) -> str:
    box = Box(x=x + 1, y=y - 10, width=30, height=20)
    strike = f'<path d="M{x + 2:.1f},{y + 9:.1f}L{x + 30:.1f},{y - 9:.1f}" stroke="{SOFT}" stroke-width="1.4"/>'
    return rect(box, fill=PAPER, more=f' rx="5" stroke="{SOFT}" stroke-width="1.2"') + strike


def _sample_unknown(x: float, y: float) -> str:
    return sign_of(DEGREES["unmeasured"], x + 16, y)
