"""The maps that ship can be read, say nothing about today, and are complete."""

import pytest

from ratchet.errors import UnknownName
from ratchet.measure.maps.degrees import is_known
from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.process_maps import ProcessMap, parse
from ratchet.measure.maps.routes import place
from ratchet.measure.maps.templates import ABOUT, template_text
from tests.maps import crossed, overlapping, shared

NODES = {
    "ml-process": range(20, 31),
    "crisp-ml-q": range(18, 26),
    "stack-canvas": range(12, 20),
    "ml-test-score": range(28, 29),
    "ai-act-9-15": range(15, 25),
    "nist-ai-rmf": range(19, 20),
}


def read(name: str, kind: str, **more: str) -> ProcessMap:
    """Return a template as a map."""
    return parse(template_text(name, kind=kind, **more).encode(), where=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ABOUT)
def test_a_template_says_nothing_about_today(name: str) -> None:
    """Each process has a purpose, roles and a benefit, and no degree."""
    found = read(name, "current")
    assert (found.id, found.kind) == (name, "current")
    assert len(found.nodes) in NODES[name]
    assert all(node.benefit and node.roles and node.purpose.endswith(".") for node in found.nodes)
    assert {node.degree for node in found.nodes} == {"unmeasured"}
    assert all(found.in_phase(phase) for phase in found.phases)


@pytest.mark.parametrize("name", ABOUT)
def test_its_target_is_one_to_aim_at(name: str) -> None:
    """Nothing in it is manual, absent or left open, and it has the same processes."""
    target = read(name, "target")
    assert all(is_known(node.degree) for node in target.nodes)
    difference = compare(read(name, "current"), target)
    assert difference.findings == ()
    assert all(change.fields == () and change.before == "unmeasured" for change in difference.changes)


@pytest.mark.parametrize("name", ABOUT)
def test_it_can_be_drawn(name: str) -> None:
    """Its picture has no line through a box and none upon another."""
    geometry = place(read(name, "current"))
    assert (overlapping(geometry), crossed(geometry), shared(geometry)) == ([], [], [])


def test_no_two_sentences_are_the_same() -> None:
    """Each process of a template has a purpose of its own."""
    for name in ABOUT:
        purposes = [node.purpose for node in read(name, "current").nodes]
        assert len(set(purposes)) == len(purposes)


def test_an_id_can_be_given() -> None:
    """Then only the map's id changes, no node's."""
    found = read("ml-process", "current", map_id="loans")
    assert found.id == "loans"
    assert found.nodes == read("ml-process", "current").nodes


def test_an_unknown_template_is_refused() -> None:
    """The message lists those that ship."""
    with pytest.raises(UnknownName, match=r"No template named .x.\. Known: ml-process, crisp-ml-q"):
        template_text("x", kind="current")
