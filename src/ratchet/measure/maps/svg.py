"""The map as a picture: lanes, boxes and lines in plain SVG, with a legend in words.

Invariant: whatever a colour says, a letter or a border says too; all text is escaped; there is no script, no style and
no request to anywhere, so that the strictest content policy holds.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

from ratchet.measure.counts import several
from ratchet.measure.maps.degrees import DEGREES, ROLES, DegreeLook, is_known
from ratchet.measure.maps.lettering import BOLD, text_width, wrap
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.process_maps import Node, ProcessMap
from ratchet.measure.maps.routes import BOX_WIDTH, HEADER_WIDTH, LABEL_SIZE, Box, Geometry, Lane, Line, Point, place

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
INK, SOFT, PAPER = "#1a1f24", "#4d5660", "#ffffff"
_LANE_FILLS = ("#f5f7f8", "#eceff2")
_HEADER_FILLS = ("#e4e9ec", "#dbe1e6")
_BORDER = "#c9d0d6"
_CONTROL, _DATA, _LOOP = "#37414a", "#1f5d8c", "#8a4b00"
_MARGIN = 18.0
_TITLE_SIZE = 18.0
_NARROWEST = 600.0
_NAME_SIZE, _CHIP_SIZE, _LEGEND_SIZE, _HEADER_SIZE = 13.0, 9.5, 11.5, 12.0
_ROLES_SHOWN = 3
_RADIUS = 7.0
LEGEND_COLUMN, _ROLE_COLUMN = 360.0, 170.0
_SWATCH = 30.0
_LINE_HEIGHT = 16.0


def draw(process_map: ProcessMap, measured: dict[str, Measured] | None = None, *, has_title: bool = True) -> str:
    """Return the picture of a map.

    Args:
        process_map: What to draw.
        measured: What the ledger says about its nodes; drawn as a second, small square where it is given.
        has_title: Whether the name stands above it; not where it stands there already.
    """
    seen = measured or {}
    kinds = {"current": "as it is", "target": "as it shall be", "candidate": "as a platform would make it"}
    summary = degree_summary(process_map)
    return compose(
        process_map,
        title=process_map.title,
        about=f"{process_map.reference} ({kinds[process_map.kind]}) \u00b7 {summary}",
        summary=summary,
        node=lambda node, box: _node(node, box, seen.get(node.id)),
        legend=(
            (list(degree_entries()), LEGEND_COLUMN),
            (list(_sign_entries(process_map, is_measured=measured is not None)), LEGEND_COLUMN),
            (list(_role_entries(process_map)), _ROLE_COLUMN),
        ),
        has_title=has_title,
    )


def compose(
    process_map: ProcessMap,
    *,
    title: str,
    about: str,
    summary: str,
    node: Callable[[Node, Box], str],
    legend: "Sequence[tuple[list[Entry], float]]",
    has_title: bool = True,
) -> str:
    """Return a picture of lanes, boxes and lines above its legend.

    Args:
        process_map: Whose processes stand where.
        title: Stands above it.
        about: Stands below the title.
        summary: What there is to see, for those who do not see it.
        node: Draws one process in its box.
        legend: Groups of entries, each with the width of its columns at least.
        has_title: Whether title and what it is about are drawn.
    """
    geometry = place(process_map)
    width = max(geometry.width, _NARROWEST, text_width(title, size=_TITLE_SIZE * BOLD)) + 2 * _MARGIN
    inside = width - 2 * _MARGIN
    heading, top = _title(title, about, width=inside) if has_title else ("", _MARGIN)
    drawn, legend_height = _legend(legend, width=inside)
    legend_top = top + geometry.height + 30
    height = legend_top + legend_height + _MARGIN
    parts = [
        _definitions(),
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{PAPER}"/>',
        heading,
        f'<g transform="translate({_MARGIN:g} {top:g})">',
        *(_lane(lane, number) for number, lane in enumerate(geometry.lanes)),
        *(_line(line) for line in _data_first(geometry)),
        *(node(one, geometry.boxes[one.id]) for one in process_map.nodes),
        *(_label(line) for line in geometry.lines if line.label_at),
        "</g>",
        f'<g transform="translate({_MARGIN:g} {legend_top:g})">{drawn}</g>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{escape(FONT)}" fill="{INK}" role="img" '
        f'aria-labelledby="map-title map-summary"><title id="map-title">{escape(title)}</title>'
        f'<desc id="map-summary">{escape(summary)}</desc>\n{chr(10).join(parts)}\n</svg>\n'
    )


def picture_width(picture: str) -> int:
    """Return how wide a picture is by itself, in pixels."""
    found = re.search(r'<svg [^>]*?\bwidth="([\d.]+)"', picture)
    assert found is not None, "a picture begins with its size"
    return round(float(found[1]))


def renamed(drawing: str, prefix: str) -> str:
    """Return a drawing whose parts have names of their own, so that it can stand beside another one on a page."""
    named = re.sub(r'(\bid="|url\(#)', rf"\g<1>{prefix}", drawing)
    return re.sub(
        r'aria-labelledby="([^"]*)"',
        lambda found: f'aria-labelledby="{" ".join(prefix + one for one in found[1].split())}"',
        named,
    )


def degree_summary(process_map: ProcessMap) -> str:
    """Return how many processes have which degree, in words."""
    counts = process_map.count_by_degree()
    named = ", ".join(f"{count} {degree}" for degree, count in counts.items() if count)
    total = len(process_map.nodes)
    return f"{several(total, 'process', 'processes')}: {named}"


# ---- patterns, arrows, title


def _definitions() -> str:
    arrows = "".join(
        f'<marker id="arrow-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0.5,1 L9.5,5 L0.5,9 z" fill="{colour}"/></marker>'
        for name, colour in (("control", _CONTROL), ("data", _DATA), ("loop", _LOOP))
    )
    hatch = (
        '<pattern id="unmeasured" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="7" height="7" fill="{PAPER}"/><path d="M0,0 V7" stroke="#ccd2d8" stroke-width="2.2"/></pattern>'
    )
    return f"<defs>{hatch}{arrows}</defs>"


def _title(title: str, about: str, *, width: float) -> tuple[str, float]:
    """Return the heading and its height."""
    lines = wrap(about, width=width, size=_LEGEND_SIZE)
    heading = f'<text x="{_MARGIN:g}" y="28" font-size="{_TITLE_SIZE:g}" font-weight="650">{escape(title)}</text>'
    texts = "".join(
        f'<text x="{_MARGIN:g}" y="{47 + place * _LINE_HEIGHT:g}" font-size="{_LEGEND_SIZE}" fill="{SOFT}">'
        f"{escape(line)}</text>"
        for place, line in enumerate(lines)
    )
    return heading + texts, 44 + len(lines) * _LINE_HEIGHT


def _lane(lane: Lane, number: int) -> str:
    box = lane.box
    lines = wrap(lane.phase, width=HEADER_WIDTH - 20, size=_HEADER_SIZE * BOLD, lines=4)
    top = box.y + box.height / 2 - (len(lines) - 1) * _LINE_HEIGHT / 2 + 4
    texts = "".join(
        f'<text x="12" y="{top + place * _LINE_HEIGHT:.1f}" font-size="{_HEADER_SIZE}" font-weight="600">'
        f"{escape(line)}</text>"
        for place, line in enumerate(lines)
    )
    return (
        f"<g>{rect(box, fill=_LANE_FILLS[number % 2])}"
        f"{rect(Box(x=0, y=box.y, width=HEADER_WIDTH, height=box.height), fill=_HEADER_FILLS[number % 2])}{texts}</g>"
    )


def rect(box: Box, *, fill: str, more: str = "") -> str:
    """Return a rectangle with some more attributes."""
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" fill="{fill}"{more}/>'
    )


# ---- nodes


def _node(node: Node, box: Box, measured: Measured | None) -> str:
    look = DEGREES[node.degree]
    shows_measured = measured is not None and node.bound_to is not None
    parts = [f"<title>{escape(_tooltip(node, measured))}</title>", area(look, box)]
    parts.append(name_in(node, box))
    sign_y = box.bottom - 18
    parts.append(sign(look, box.x + 21, sign_y))
    if measured is not None and shows_measured:
        parts.append(_measured_sign(node, measured, box.x + 36, sign_y))
    parts += _chips(node.roles, right=box.right - 10, y=sign_y)
    return f"<g>{''.join(parts)}</g>"


def name_in(node: Node, box: Box) -> str:
    """Return the name of a process at the top of its box."""
    lines = wrap(node.name, width=BOX_WIDTH - 24, size=_NAME_SIZE * BOLD, lines=2)
    return "".join(
        f'<text x="{box.x + 12:.1f}" y="{box.y + 22 + number * _LINE_HEIGHT:.1f}" font-size="{_NAME_SIZE}" '
        f'font-weight="600">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def _tooltip(node: Node, measured: Measured | None) -> str:
    lines = [node.name, node.purpose, f"Who: {', '.join(node.roles)}", f"Degree: {node.degree}"]
    if node.degree == "absent":
        lines.append(f"Benefit: {node.benefit}")
    if measured is not None and node.bound_to is not None:
        lines.append(f"Measured: {measured.degree}. {measured.reason}")
    return "\n".join(lines)


def area(look: DegreeLook, box: Box, *, radius: float = 9, border: float = 1.4) -> str:
    """Return a box as its degree has it: filled, hatched, or with a dashed border."""
    fill = "url(#unmeasured)" if look.name == "unmeasured" else look.fill
    dashes = ' stroke-dasharray="6 4"' if look.name == "absent" else ""
    return rect(box, fill=fill, more=f' rx="{radius:g}" stroke="{look.ink}" stroke-width="{border:g}"{dashes}')


def sign(look: DegreeLook, x: float, y: float) -> str:
    """Return a degree's letter in a disc."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9.5" fill="{look.ink}"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" font-size="11.5" font-weight="700" fill="{PAPER}" '
        f'text-anchor="middle">{look.letter}</text>'
    )


def _measured_sign(node: Node, measured: Measured, x: float, y: float) -> str:
    """Return the measured degree's letter in a small square; with a bold border where it says something else."""
    look = DEGREES[measured.degree]
    differs = is_known(measured.degree) and is_known(node.degree) and measured.degree != node.degree
    square = Box(x=x, y=y - 9, width=18, height=18)
    fill = "url(#unmeasured)" if look.name == "unmeasured" else PAPER if look.fill == "none" else look.fill
    dashes = ' stroke-dasharray="4 2.5"' if look.name == "absent" else ""
    border = f' rx="3" stroke="{INK if differs else look.ink}" stroke-width="{2.4 if differs else 1.2}"{dashes}'
    unequal = (
        f'<text x="{x + 23:.1f}" y="{y + 5:.1f}" font-size="14" font-weight="700" text-anchor="start">\u2260</text>'
        if differs
        else ""
    )
    return (
        f"{rect(square, fill=fill, more=border)}"
        f'<text x="{x + 9:.1f}" y="{y + 4:.1f}" font-size="11" font-weight="700" fill="{INK}" '
        f'text-anchor="middle">{look.letter}</text>{unequal}'
    )


def _chips(roles: tuple[str, ...], *, right: float, y: float) -> list[str]:
    """Return the roles as small labels beside a figure of a person, from right to left."""
    shown = [ROLES[role] for role in roles[:_ROLES_SHOWN]]
    if len(roles) > _ROLES_SHOWN:
        shown.append(f"+{len(roles) - _ROLES_SHOWN}")
    parts = []
    x = right
    for text in reversed(shown):
        width = 22.0
        x -= width
        chip = Box(x=x, y=y - 8, width=width, height=16)
        parts.append(
            rect(chip, fill=PAPER, more=f' rx="4" stroke="{SOFT}" stroke-width="0.8"')
            + f'<text x="{x + width / 2:.1f}" y="{y + 3.5:.1f}" font-size="{_CHIP_SIZE}" font-weight="600" '
            f'text-anchor="middle">{text}</text>'
        )
        x -= 3
    parts.append(_person(x - 7, y))
    return parts


def _person(x: float, y: float) -> str:
    return (
        f'<g fill="{SOFT}"><circle cx="{x:.1f}" cy="{y - 4:.1f}" r="3"/>'
        f'<path d="M{x - 5:.1f},{y + 6:.1f} a5,6 0 0 1 10,0 z"/></g>'
    )


# ---- lines


def _data_first(geometry: Geometry) -> list[Line]:
    """Return the lines so that control lies above data."""
    return sorted(geometry.lines, key=lambda line: line.edge.kind == "control")


def _line(line: Line) -> str:
    edge = line.edge
    name = "data" if edge.kind == "data" else "loop" if edge.loop else "control"
    colour = {"control": _CONTROL, "data": _DATA, "loop": _LOOP}[name]
    dashes = ' stroke-dasharray="5 3.5"' if edge.kind == "data" else ""
    carries = f", {edge.artifact}" if edge.artifact else ""
    return (
        f'<path d="{rounded(line.points)}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes} '
        f'marker-end="url(#arrow-{name})"><title>{escape(f"{edge.source} to {edge.target}{carries}")}</title></path>'
    )


def rounded(points: tuple[Point, ...], *, radius: float = _RADIUS) -> str:
    """Return the path through some points, its corners rounded."""
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        into, out = _towards(corner, before, near), _towards(corner, after, near)
        path.append(f"L{into[0]:.1f},{into[1]:.1f}Q{corner[0]:.1f},{corner[1]:.1f} {out[0]:.1f},{out[1]:.1f}")
    path.append(f"L{points[-1][0]:.1f},{points[-1][1]:.1f}")
    return "".join(path)


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    distance = _distance(start, end) or 1.0
    return (
        start[0] + (end[0] - start[0]) * length / distance,
        start[1] + (end[1] - start[1]) * length / distance,
    )


def _label(line: Line) -> str:
    assert line.label_at is not None, "only what has a place is labelled"
    x, y = line.label_at
    return (
        f'<text x="{x:.1f}" y="{y + 3.6:.1f}" font-size="{LABEL_SIZE}" fill="{_DATA}" stroke="{_LANE_FILLS[0]}" '
        f'stroke-width="5" stroke-linejoin="round" paint-order="stroke" text-anchor="middle">'
        f"{escape(line.edge.artifact)}</text>"
    )


# ---- legend


Entry = tuple[Callable[[float, float], str], str]


def _legend(groups: "Sequence[tuple[list[Entry], float]]", *, width: float) -> tuple[str, float]:
    """Return the legend and its height: one group of entries below the other."""
    parts = [f'<path d="M0,-8 H{width:.0f}" stroke="{_BORDER}"/>']
    y = 14.0
    for entries, narrowest in groups:
        drawn, height = _columns_of(entries, top=y, width=width, narrowest=narrowest)
        parts.append(drawn)
        y += height + 6
    return "".join(parts), y


def _columns_of(entries: list[Entry], *, top: float, width: float, narrowest: float) -> tuple[str, float]:
    """Return entries of the legend in columns of one width, and how high they are together."""
    columns = max(1, int(width // narrowest))
    column_width = width / columns
    parts = []
    y, deepest = top, 0.0
    for number, (sample, text) in enumerate(entries):
        column = number % columns
        if not column:
            y, deepest = y + deepest, 0.0
        lines = wrap(text, width=column_width - _SWATCH - 34, size=_LEGEND_SIZE)
        deepest = max(deepest, len(lines) * 15.0 + 9)
        x = column * column_width
        parts.append(sample(x, y))
        parts += [
            f'<text x="{x + _SWATCH + 10:.1f}" y="{y + 4 + place * 15:.1f}" font-size="{_LEGEND_SIZE}" '
            f'fill="{SOFT}">{_with_bold_head(line, place)}</text>'
            for place, line in enumerate(lines)
        ]
    return "".join(parts), y + deepest - top


def _with_bold_head(line: str, place: int) -> str:
    head, colon, rest = line.partition(":")
    if place or not colon:
        return escape(line)
    return f'<tspan font-weight="650" fill="{INK}">{escape(head)}</tspan>:{escape(rest)}'


def degree_entries() -> Iterator[Entry]:
    """Give the entries of the legend that say in words what each degree means."""
    for look in DEGREES.values():

        def sample(x: float, y: float, look: DegreeLook = look) -> str:
            swatch = Box(x=x + 1, y=y - 10, width=_SWATCH, height=20)
            letter = (
                f'<text x="{x + 16:.1f}" y="{y + 4:.1f}" font-size="11.5" font-weight="700" fill="{look.ink}" '
                f'text-anchor="middle">{look.letter}</text>'
            )
            return area(look, swatch, radius=5) + letter

        yield sample, f"{look.name}: {look.sentence}"


def _sign_entries(process_map: ProcessMap, *, is_measured: bool) -> Iterator[Entry]:
    yield _sample_sign, "in the disc: the degree as people declare it."
    if is_measured:
        yield _sample_square, "in the square: the degree as the ledger shows it; \u2260 where the two differ."
    yield from line_entries(process_map)


def line_entries(process_map: ProcessMap) -> Iterator[Entry]:
    """Give the entries of the legend that say what each kind of line on a map means."""
    kinds = {("data" if edge.kind == "data" else "loop" if edge.loop else "control") for edge in process_map.edges}
    texts = {
        "control": (_CONTROL, "", "solid line: what follows."),
        "data": (_DATA, ' stroke-dasharray="5 3.5"', "dashed line: what is handed over, with its name."),
        "loop": (_LOOP, "", "line that returns below: the work begins again."),
    }
    for name, (colour, dashes, text) in texts.items():
        if name in kinds:

            def sample(x: float, y: float, name: str = name, colour: str = colour, dashes: str = dashes) -> str:
                bend = (
                    f"M{x + 4:.1f},{y - 6:.1f}v6q0,5 5,5h14q5,0 5,-5v-4" if name == "loop" else f"M{x:.1f},{y:.1f}h29"
                )
                return (
                    f'<path d="{bend}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes} '
                    f'marker-end="url(#arrow-{name})"/>'
                )

            yield sample, text


def _sample_sign(x: float, y: float) -> str:
    return sign(DEGREES["automated"], x + 16, y)


def _sample_square(x: float, y: float) -> str:
    look = DEGREES["automated"]
    square = Box(x=x + 7, y=y - 9, width=18, height=18)
    return (
        rect(square, fill=look.fill, more=f' rx="3" stroke="{look.ink}" stroke-width="1.2"')
        + f'<text x="{x + 16:.1f}" y="{y + 4:.1f}" font-size="11" font-weight="700" text-anchor="middle">A</text>'
    )


def _role_entries(process_map: ProcessMap) -> Iterator[Entry]:
    used = {role for node in process_map.nodes for role in node.roles}
    for role, letters in ROLES.items():
        if role in used:

            def sample(x: float, y: float, letters: str = letters) -> str:
                chip = Box(x=x + 5, y=y - 8, width=22, height=16)
                return (
                    rect(chip, fill=PAPER, more=f' rx="4" stroke="{SOFT}" stroke-width="0.8"')
                    + f'<text x="{x + 16:.1f}" y="{y + 3.5:.1f}" font-size="{_CHIP_SIZE}" font-weight="600" '
                    f'text-anchor="middle">{letters}</text>'
                )

            yield sample, role
