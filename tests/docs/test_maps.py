"""What the page about process maps shows is what there is: the example, the picture, the templates, the degrees."""

from datetime import date

from ratchet.measure.maps import plans, process_maps, svg
from ratchet.measure.maps.degrees import DEGREES, ROLES
from ratchet.measure.maps.difference_svg import draw_difference
from ratchet.measure.maps.templates import ABOUT
from tests.docs import pages

PAGE = pages.DOCS / "assessment" / "maps.md"
EXAMPLE = pages.ROOT / "examples" / "maps"


def test_the_example_leads_from_one_map_to_the_other() -> None:
    """Its target has nothing that stays manual, and its written steps come before those that are proposed."""
    current, target = (process_maps.load(EXAMPLE / f"flights-{kind}.toml") for kind in ("current", "target"))
    assert {degree for degree, count in current.count_by_degree().items() if count} == set(DEGREES) - {"unmeasured"}
    written = plans.load_steps(EXAMPLE / "flights-steps.toml", target=target)
    plan = plans.make_plan(current, target, written=written, today=date(2027, 1, 1))
    assert (plan.findings, plan.idle, plan.steps_short) == ((), (), 29)
    assert [one.step.id for one in plan.steps[:4]] == ["outcomes", "release", "sampling", "fairness"]


def test_the_picture_is_the_one_that_is_drawn() -> None:
    """Drawn anew from the example, it is the file on the page: ratchet assess map ... --out process-map.svg."""
    drawn = svg.draw(process_maps.load(EXAMPLE / "flights-current.toml"))
    assert (pages.DOCS / "images" / "process-map.svg").read_text() == drawn


def test_the_picture_of_the_changes_is_that_of_the_example() -> None:
    """Drawn anew from both maps of the example: ratchet assess diff ... --out process-map-changes.svg."""
    current, target = (process_maps.load(EXAMPLE / f"flights-{kind}.toml") for kind in ("current", "target"))
    assert (pages.DOCS / "images" / "process-map-changes.svg").read_text() == draw_difference(current, target)


def test_the_page_names_all_there_is() -> None:
    """Templates, degrees with their sentences and signs, roles."""
    text = PAGE.read_text()
    assert {row[0]: row[1].partition(";")[0] for row in pages.rows(text) if row[0] in ABOUT} == {
        name: about.partition(";")[0] for name, about in ABOUT.items()
    }
    for look in DEGREES.values():
        assert f"| {look.name} | {look.letter} | {look.sentence.removesuffix('.')}" in text
    assert ", ".join(ROLES) in text
