"""Where the processes of a map stand: lanes by phase, columns by what follows what, wrapped so that all stays readable.

Invariant: no two nodes share a cell, each node stands in the lane of its phase, and what follows another process in its
lane stands to the right of it or in a row below.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ratchet.measure.maps.process_maps import Edge, Node, ProcessMap
from ratchet.records import Record

_STACKED_AT_MOST = 3
# How many columns a map with up to so many nodes gets; a wider one is panned in any case.
_COLUMNS = ((30, 5), (80, 6), (10**9, 8))


class Cell(Record, frozen=True):
    """A place in the grid, counted from 0 at the top left."""

    row: int
    column: int


class LaneRows(Record, frozen=True):
    """The rows of one phase, the last one included."""

    phase: str
    first: int
    last: int


class Arrangement(Record, frozen=True):
    """All nodes in a grid.

    Attributes:
        rows: Number of rows.
        columns: Number of columns.
        cells: Where each node stands, by id.
        lanes: The lanes from top to bottom; together they are all rows.
    """

    rows: int
    columns: int
    cells: dict[str, Cell]
    lanes: tuple[LaneRows, ...]


def arrange(process_map: ProcessMap) -> Arrangement:
    """Return where each node of a map stands."""
    forward = forward_edges(process_map)
    ranks = _ranks([node.id for node in process_map.nodes], forward)
    before: dict[str, list[str]] = defaultdict(list)
    for edge in forward:
        before[edge.target].append(edge.source)
    joined = {end for edge in process_map.edges for end in (edge.source, edge.target)}
    limit = next(columns for nodes, columns in _COLUMNS if len(process_map.nodes) <= nodes)
    cells: dict[str, Cell] = {}
    lanes = []
    row = 0
    for phase in process_map.phases:
        first = row
        columns = _columns(process_map.in_phase(phase), ranks, joined)
        for band in _bands(columns, limit):
            height = max(map(len, band))
            for number, stack in enumerate(band):
                top = row + (height - len(stack)) // 2
                ordered = _in_order(stack, before, cells)
                cells |= {name: Cell(row=top + place, column=number) for place, name in enumerate(ordered)}
            row += height
        row = max(row, first + 1)
        lanes.append(LaneRows(phase=phase, first=first, last=row - 1))
    columns_used = 1 + max(cell.column for cell in cells.values())
    return Arrangement(rows=row, columns=columns_used, cells=cells, lanes=tuple(lanes))


def forward_edges(process_map: ProcessMap) -> list[Edge]:
    """Return the edges that say what comes after what: control, and data as far as it closes no circle."""
    ordered = sorted((edge for edge in process_map.edges if not edge.loop), key=lambda edge: edge.kind != "control")
    after: dict[str, list[str]] = defaultdict(list)
    kept = []
    for edge in ordered:
        if edge.kind == "control" or not _reaches(after, edge.target, edge.source):
            after[edge.source].append(edge.target)
            kept.append(edge)
    return kept


def control_order(process_map: ProcessMap) -> list[str]:
    """Return the ids of all nodes so that each comes after what leads to it, otherwise as in the file."""
    ids = [node.id for node in process_map.nodes]
    ranks = _ranks(ids, forward_edges(process_map))
    return sorted(ids, key=lambda name: (ranks[name], ids.index(name)))


def _reaches(after: dict[str, list[str]], start: str, end: str) -> bool:
    seen, pending = {start}, [start]
    while pending:
        current = pending.pop()
        if current == end:
            return True
        fresh = [name for name in after.get(current, ()) if name not in seen]
        seen.update(fresh)
        pending += fresh
    return False


def _ranks(ids: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return the length of the longest way to each node."""
    after: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(ids, 0)
    for edge in edges:
        after[edge.source].append(edge.target)
        waiting[edge.target] += 1
    ranks = dict.fromkeys(ids, 0)
    ready = [name for name in ids if not waiting[name]]
    for name in ready:  # it grows while it is walked
        for following in after[name]:
            ranks[following] = max(ranks[following], ranks[name] + 1)
            waiting[following] -= 1
            if not waiting[following]:
                ready.append(following)
    return ranks


def _columns(nodes: Sequence[Node], ranks: dict[str, int], joined: set[str]) -> list[list[str]]:
    """Return the columns of one lane: what is parallel stands in one, what is joined to nothing in one of its own."""
    by_rank: dict[int, list[str]] = defaultdict(list)
    for node in nodes:
        if node.id in joined:
            by_rank[ranks[node.id]].append(node.id)
    columns = [
        stack[start : start + _STACKED_AT_MOST]
        for _, stack in sorted(by_rank.items())
        for start in range(0, len(stack), _STACKED_AT_MOST)
    ]
    return columns + [[node.id] for node in nodes if node.id not in joined]


def _bands(columns: list[list[str]], limit: int) -> list[list[list[str]]]:
    """Wrap a long lane into bands of about the same length."""
    if not columns:
        return []
    width = math.ceil(len(columns) / math.ceil(len(columns) / limit))
    return [columns[start : start + width] for start in range(0, len(columns), width)]


def _in_order(stack: list[str], before: dict[str, list[str]], cells: dict[str, Cell]) -> list[str]:
    """Put each node of a column near to where its predecessors stand."""

    def middle(name: str) -> float:
        rows = [cells[one].row for one in before[name] if one in cells]
        return sum(rows) / len(rows) if rows else math.inf

    return sorted(stack, key=lambda name: (middle(name), stack.index(name)))
