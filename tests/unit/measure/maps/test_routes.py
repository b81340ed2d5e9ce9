"""Geometry: boxes apart, lines around them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.measure.maps.process_maps import Edge
from ratchet.measure.maps.routes import BOX_HEIGHT, BOX_WIDTH, place
from tests.maps import any_map, crossed, node, overlapping, process_map, shared


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6), st.integers(0, 60))
def test_no_boxes_overlap_and_no_line_runs_through_one(seed: int, nodes: int, phases: int, edges: int) -> None:
    """Whatever the map."""
    geometry = place(any_map(seed, nodes=nodes, phases=phases, edges=edges))
    assert overlapping(geometry) == []
    assert crossed(geometry) == []


@pytest.mark.parametrize("seed", range(12))
def test_no_lines_lie_upon_one_another(seed: int) -> None:
    """In maps of a usual density each line can be followed by eye."""
    geometry = place(any_map(seed, nodes=6 + 4 * seed, phases=1 + seed % 6, edges=8 + 5 * seed))
    assert shared(geometry) == []


def test_two_hundred_nodes_stay_within_bounds() -> None:
    """Eight columns at most, and no more height than the rows need."""
    geometry = place(any_map(5, nodes=200, phases=9, edges=270))
    assert overlapping(geometry) == []
    assert crossed(geometry) == []
    assert geometry.width < 2600
    assert geometry.height < 9000
    for box in geometry.boxes.values():
        assert (box.width, box.height) == (BOX_WIDTH, BOX_HEIGHT)
        assert box.x >= 0
        assert box.right <= geometry.width
        assert box.y >= 0
        assert box.bottom <= geometry.height


def test_lanes_lie_below_one_another_without_gap() -> None:
    """Each box lies in the lane of its phase."""
    made = any_map(3, nodes=30, phases=4, edges=40)
    geometry = place(made)
    bottoms = [lane.box.bottom for lane in geometry.lanes]
    assert [lane.box.y for lane in geometry.lanes] == pytest.approx([0.0, *bottoms[:-1]])
    areas = {lane.phase: lane.box for lane in geometry.lanes}
    for one in made.nodes:
        box, lane = geometry.boxes[one.id], areas[one.phase]
        assert lane.y <= box.y
        assert box.bottom <= lane.bottom


def test_neighbours_are_joined_by_a_straight_line() -> None:
    """From the right side of one to the left side of the other."""
    geometry = place(process_map(node("a"), node("b"), edges=(Edge(source="a", target="b"),)))
    a, b = geometry.boxes["a"], geometry.boxes["b"]
    middle = a.y + BOX_HEIGHT / 2
    assert geometry.lines[0].points == ((a.right, middle), (b.x, middle))


def test_a_loop_returns_below() -> None:
    """It leaves and enters from below, whatever lies between."""
    names = "abc"
    edges = (Edge(source="a", target="b"), Edge(source="b", target="c"), Edge(source="c", target="a", loop=True))
    geometry = place(process_map(*map(node, names), edges=edges))
    points = geometry.lines[2].points
    assert points[0][1] == geometry.boxes["c"].bottom
    assert points[-1][1] == geometry.boxes["a"].bottom
    assert max(y for _, y in points) > geometry.boxes["b"].bottom


def test_a_label_has_a_place_on_its_line() -> None:
    """In the middle of a stretch that runs along; two labels are never written over one another."""
    edges = tuple(Edge(source="a", target="b", kind="data", artifact=f"a long name {n}") for n in range(4))
    geometry = place(process_map(node("a"), node("b"), edges=edges))
    heights = set()
    for line in geometry.lines:
        assert line.label_at is not None
        x, y = line.label_at
        (x1, y1), (x2, _) = line.points[1], line.points[2]
        assert (x, y) == pytest.approx(((x1 + x2) / 2, y1))
        heights.add(y)
    assert len(heights) == 4
