"""Tables that hold whatever users write."""

import re
from datetime import date

from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.markdown import difference_to_markdown, plan_to_markdown, to_markdown
from ratchet.measure.maps.plans import make_plan
from tests.unit.measure.maps.drawn import MAP, SEEN
from tests.unit.measure.maps.test_differences import AFTER, BEFORE
from tests.unit.measure.maps.test_plans import plan


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of all tables; each row of a table has the same number of them."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.splitlines()]
            assert len({len(row) for row in rows}) == 1, block
            found.append([[cell.strip() for cell in row] for row in rows])
    return found


def test_each_process_has_a_row_in_the_table_of_its_phase() -> None:
    """A bar or a line break in a text breaks nothing."""
    text = to_markdown(MAP, SEEN)
    degrees, plan_table, build, disagreements = tables(text)
    assert len(degrees) == 2 + 6
    assert len(plan_table) + len(build) == 4 + len(MAP.nodes)
    assert disagreements[2][1:3] == ["semi-automated", "automated"]
    assert "## Nobody's\n\nNo process." in text
    assert "<b>" not in text


def test_a_difference_is_a_matrix_and_a_list() -> None:
    """Only degrees that occur have a row or a column."""
    matrix, changes = tables(difference_to_markdown(compare(BEFORE, AFTER)))
    assert matrix[0][1:] == ["automated", "semi-automated", "not on the map"]
    assert matrix[2] == ["automated", "1", "1", ""]
    assert [row[4] for row in changes[2:]] == ["+1", "+3", "+0", "-1", "+3", "+0"]
    same = difference_to_markdown(compare(BEFORE, BEFORE))
    assert "No process changes its degree." in same


def test_a_plan_is_a_table_with_its_sums() -> None:
    """Proposed steps say so; an empty plan says that nothing is left."""
    text = plan_to_markdown(plan())
    (steps,) = tables(text)
    assert [row[1] for row in steps[2:]][2] == "Begin 'Do watch' (proposed)"
    assert text.startswith("# From flights-current@1 to flights-target@1\n\nflights-current@1 is 8 steps short of")
    assert "Nothing is left to do." in plan_to_markdown(make_plan(AFTER, AFTER, today=date(2026, 1, 1)))
