"""Two maps side by side, worked out by hand."""

from ratchet.measure.maps.differences import NOT_ON_MAP, compare, steps_between
from ratchet.measure.maps.process_maps import Edge
from tests.maps import node, process_map

# Worked out by hand: a rises by 1 (3 to 4), b by 3 (1 to 4), c stays, d cannot be compared, e is taken off,
# f falls by 1 (4 to 3), g is new and rises by 3 (0 to 3).
BEFORE = process_map(
    node("a", degree="semi-automated"),
    node("b", degree="exceptionally manual"),
    node("c", degree="automated"),
    node("d", degree="unmeasured"),
    node("e", degree="absent", benefit="x"),
    node("f", degree="automated", owner="team-1"),
    edges=(Edge(source="a", target="b"), Edge(source="b", target="c")),
)
AFTER = process_map(
    node("a", degree="automated"),
    node("b", degree="automated"),
    node("c", degree="automated"),
    node("d", degree="automated"),
    node("f", degree="semi-automated", owner="team-2"),
    node("g", degree="semi-automated"),
    edges=(Edge(source="a", target="b"), Edge(source="a", target="g")),
    kind="target",
)


def test_each_process_has_its_steps() -> None:
    """In the order of the second map, then what only the first has."""
    found = compare(BEFORE, AFTER)
    assert [(one.node, one.before, one.after, one.steps) for one in found.changes] == [
        ("a", "semi-automated", "automated", 1),
        ("b", "exceptionally manual", "automated", 3),
        ("c", "automated", "automated", 0),
        ("d", "unmeasured", "automated", 0),
        ("f", "automated", "semi-automated", -1),
        ("g", NOT_ON_MAP, "semi-automated", 3),
        ("e", "absent", NOT_ON_MAP, 0),
    ]
    assert (found.steps_short, found.unknown) == (1 + 3 + 3, 1)
    assert "at least 7 steps short of" in found.distance
    assert found.distance.endswith(": 1 process has no degree on one of the maps and cannot be counted.")


def test_the_matrix_counts_each_process_once() -> None:
    """From which degree to which."""
    matrix = compare(BEFORE, AFTER).matrix
    assert matrix["semi-automated"]["automated"] == 1
    assert matrix["automated"] == {name: {"automated": 1, "semi-automated": 1}.get(name, 0) for name in matrix}
    assert matrix[NOT_ON_MAP]["semi-automated"] == matrix["absent"][NOT_ON_MAP] == 1
    assert sum(sum(row.values()) for row in matrix.values()) == 7


def test_edges_and_other_changes_are_named() -> None:
    """What came, what went, and which words changed."""
    found = compare(BEFORE, AFTER)
    assert found.added_edges == (Edge(source="a", target="g"),)
    assert found.removed_edges == (Edge(source="b", target="c"),)
    assert {one.node: one.fields for one in found.changes if one.fields} == {"f": ("owner",)}


def test_a_target_must_not_leave_work_by_hand() -> None:
    """Manual, non-repeatable, absent and open processes of a target are findings, and so is a fall."""
    target = process_map(
        node("a", degree="exceptionally manual"),
        node("b", degree="non-repeatable"),
        node("c", degree="absent", benefit="x"),
        node("d", degree="unmeasured"),
        kind="target",
    )
    found = [(one.kind, one.node) for one in compare(BEFORE, target).findings]
    assert found == [
        ("stays manual", "a"),
        ("falls back", "a"),
        ("stays non-repeatable", "b"),
        ("absent target", "c"),
        ("falls back", "c"),
        ("unmeasured target", "d"),
    ]


def test_a_map_that_is_no_target_may_be_as_it_is() -> None:
    """Only falls are findings there."""
    later = process_map(node("a", degree="exceptionally manual"), version="2")
    assert [one.kind for one in compare(BEFORE, later).findings] == ["falls back"]


def test_steps_are_counted_only_where_both_are_known() -> None:
    """What is not on a map counts as absent."""
    assert steps_between("absent", "automated") == 4
    assert steps_between(NOT_ON_MAP, "automated") == 4
    assert steps_between("unmeasured", "automated") == 0
    assert steps_between("automated", "unmeasured") == 0
