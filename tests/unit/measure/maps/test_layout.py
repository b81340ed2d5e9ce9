"""Cells of a grid: lanes by phase, and what follows stands to the right or below."""

from itertools import pairwise

import pytest

from ratchet.measure.maps.layout import Cell, arrange, control_order, forward_edges
from ratchet.measure.maps.process_maps import Edge
from tests.maps import any_map, node, process_map


def edge(one: str, other: str, **more: object) -> Edge:
    """Return an edge between two nodes."""
    return Edge(source=one, target=other, **more)  # type: ignore[arg-type]


def test_what_follows_stands_to_the_right_and_what_is_parallel_below() -> None:
    """A fork of two takes one column."""
    made = process_map(*map(node, "abcd"), edges=(edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d")))
    cells = arrange(made).cells
    assert [cells[name].column for name in "abcd"] == [0, 1, 1, 2]
    assert cells["b"].row != cells["c"].row


def test_a_long_lane_is_wrapped_into_bands() -> None:
    """Seven in a row become four and three below them."""
    names = "abcdefg"
    made = process_map(*map(node, names), edges=tuple(edge(a, b) for a, b in pairwise(names)))
    cells = arrange(made).cells
    assert [(cells[name].row, cells[name].column) for name in names] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 0),
        (1, 1),
        (1, 2),
    ]


def test_nodes_without_edges_stand_side_by_side() -> None:
    """They keep the order of the file."""
    cells = arrange(process_map(*map(node, "cab"))).cells
    assert cells == {"c": Cell(row=0, column=0), "a": Cell(row=0, column=1), "b": Cell(row=0, column=2)}


def test_a_phase_without_processes_keeps_its_lane() -> None:
    """That nobody does anything in a phase is worth seeing."""
    made = process_map(node("a", "One"), node("b", "Three"), phases=("One", "Two", "Three"))
    assert [(lane.phase, lane.first, lane.last) for lane in arrange(made).lanes] == [
        ("One", 0, 0),
        ("Two", 1, 1),
        ("Three", 2, 2),
    ]


def test_data_orders_only_where_it_closes_no_circle() -> None:
    """Control comes first; data that leads back says nothing about the order."""
    back, on = edge("b", "a", kind="data", artifact="x"), edge("b", "c", kind="data", artifact="y")
    made = process_map(*map(node, "abc"), edges=(back, on, edge("a", "b"), edge("c", "a", loop=True)))
    assert forward_edges(made) == [edge("a", "b"), on]
    assert control_order(made) == ["a", "b", "c"]


@pytest.mark.parametrize("seed", range(12))
def test_no_cell_is_taken_twice_and_lanes_hold_their_nodes(seed: int) -> None:
    """Whatever the map: one node a cell, in its lane, after what leads to it."""
    made = any_map(seed, nodes=5 + 12 * seed, phases=1 + seed % 6, edges=8 + 14 * seed)
    found = arrange(made)
    assert len(set(found.cells.values())) == len(made.nodes)
    rows = {lane.phase: range(lane.first, lane.last + 1) for lane in found.lanes}
    assert all(found.cells[one.id].row in rows[one.phase] for one in made.nodes)
    phase = {one.id: one.phase for one in made.nodes}
    for one in forward_edges(made):
        a, b = found.cells[one.source], found.cells[one.target]
        if phase[one.source] == phase[one.target]:
            assert a.column < b.column or a.row < b.row
