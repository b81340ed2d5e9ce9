"""Process maps made by hand or by chance, and what their geometry must keep to."""

import random
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, get_args

from ratchet.measure.maps.degrees import ROLES, Degree
from ratchet.measure.maps.process_maps import Edge, Node, ProcessMap
from ratchet.measure.maps.routes import Box, Geometry, Line

DEGREE_NAMES: tuple[Degree, ...] = get_args(Degree)


def node(node_id: str, phase: str = "Build", **changes: Any) -> Node:
    """Return a node that needs nothing but an id."""
    values: dict[str, Any] = {
        "id": node_id,
        "phase": phase,
        "name": f"Do {node_id}",
        "purpose": f"Get {node_id} done.",
        "roles": ("ML engineer",),
        "degree": "semi-automated",
    }
    return Node(**(values | changes))


def process_map(*nodes: Node, edges: tuple[Edge, ...] = (), **changes: Any) -> ProcessMap:
    """Return a map of some nodes."""
    values: dict[str, Any] = {
        "id": "flights",
        "version": "1",
        "kind": "current",
        "phases": tuple(dict.fromkeys(one.phase for one in nodes)),
        "nodes": nodes,
        "edges": edges,
    }
    return ProcessMap(**(values | changes))


def any_map(seed: int, *, nodes: int, phases: int, edges: int) -> ProcessMap:
    """Return a map made by chance: control runs forward, data anywhere, loops back."""
    chance = random.Random(seed)
    names = [f"Phase {number}" for number in range(phases)]
    made = [
        node(
            f"n{number}",
            names[min(number * phases // nodes, phases - 1) if chance.random() < 0.9 else chance.randrange(phases)],
            name=f"Process number {number}{' with a long name that wraps' if number % 5 == 0 else ''}",
            degree=chance.choice(DEGREE_NAMES),
            benefit="It would pay.",
            roles=tuple(chance.sample(list(ROLES), chance.randint(1, 4))),
        )
        for number in range(nodes)
    ]
    found: dict[tuple[str, str, str], Edge] = {}
    for _ in range(edges):
        one, other = sorted(chance.sample(range(nodes), 2)) if nodes > 1 else (0, 0)
        other = min(other, one + 9)
        kind = chance.random()
        if kind < 0.65 and one != other:
            edge = Edge(source=f"n{one}", target=f"n{other}")
        elif kind < 0.9:
            edge = Edge(source=f"n{other}", target=f"n{one}", kind="data", artifact=f"thing number {one}")
        else:
            edge = Edge(source=f"n{other}", target=f"n{one}", loop=True)
        found.setdefault((edge.source, edge.target, edge.kind), edge)
    return process_map(*made, edges=tuple(found.values()), phases=tuple(names))


def overlapping(geometry: Geometry) -> list[tuple[str, str]]:
    """Return the pairs of boxes that share an area."""
    boxes = geometry.boxes.items()
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if _overlap(a, b)]


def _overlap(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def crossed(geometry: Geometry) -> list[tuple[str, str, str]]:
    """Return the edges that run through the inside of a box, with the box."""
    return [
        (line.edge.source, line.edge.target, name)
        for line in geometry.lines
        for name, box in geometry.boxes.items()
        if any(_overlap(stretch, _shrunk(box)) for stretch in _stretches(line))
    ]


def shared(geometry: Geometry) -> list[tuple[Edge, Edge]]:
    """Return the edges of which two lie upon one another for some way."""
    found = []
    for one, other in combinations(geometry.lines, 2):
        pairs = ((a, b) for a in _stretches(one) for b in _stretches(other))
        if any(_lies_upon(a, b) for a, b in pairs):
            found.append((one.edge, other.edge))
    return found


def _lies_upon(one: Box, other: Box) -> bool:
    if one.width and other.width and abs(one.y - other.y) < 1:
        return min(one.right, other.right) - max(one.x, other.x) > 2
    if one.height and other.height and abs(one.x - other.x) < 1:
        return min(one.bottom, other.bottom) - max(one.y, other.y) > 2
    return False


def _stretches(line: Line) -> Iterator[Box]:
    for (x1, y1), (x2, y2) in pairwise(line.points):
        assert x1 == x2 or y1 == y2, "lines run straight"
        yield Box(x=min(x1, x2), y=min(y1, y2), width=abs(x1 - x2), height=abs(y1 - y2))


def _shrunk(box: Box) -> Box:
    return Box(x=box.x + 0.5, y=box.y + 0.5, width=box.width - 1, height=box.height - 1)
