"""The XML of a process, checked against what the schema of BPMN asks for."""

from xml.etree import ElementTree as ET

import pytest

from ratchet.measure.maps.bpmn import BPMN, DC, DD, DI, to_bpmn
from ratchet.measure.maps.process_maps import ProcessMap
from tests.maps import any_map
from tests.unit.measure.maps.drawn import MAP, NASTY, SEEN

TASKS = ("task", "serviceTask", "userTask", "manualTask")
# In this order the schema wants the children of an activity, and of a process.
OF_TASK = (
    "documentation",
    "incoming",
    "outgoing",
    "ioSpecification",
    "dataInputAssociation",
    "dataOutputAssociation",
)
REFERENCES = ("sourceRef", "targetRef", "dataObjectRef", "processRef", "bpmnElement")


def read(made: ProcessMap) -> ET.Element:
    """Return the XML of a map, parsed."""
    return ET.fromstring(to_bpmn(made, SEEN))  # noqa: S314, our own text


def tasks(root: ET.Element) -> list[ET.Element]:
    """Return the tasks of all kinds."""
    return [one for kind in TASKS for one in root.iter(f"{{{BPMN}}}{kind}")]


@pytest.mark.parametrize("made", [MAP, any_map(2, nodes=30, phases=4, edges=50)], ids=["everything", "chance"])
def test_each_reference_leads_to_an_element(made: ProcessMap) -> None:
    """Ids are unique names of XML, and whatever is referred to is there."""
    root = read(made)
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("_", "a").isalnum() and name[0].isalpha() for name in ids)
    named = [one.attrib[key] for one in root.iter() for key in REFERENCES if key in one.attrib]
    inside = ("flowNodeRef", "incoming", "outgoing", "sourceRef", "targetRef", "dataInputRefs", "dataOutputRefs")
    named += [str(one.text) for kind in inside for one in root.iter(f"{{{BPMN}}}{kind}")]
    assert set(named) <= set(ids)


def test_sequence_flows_join_tasks_that_know_of_them() -> None:
    """Each flow is outgoing at its source and incoming at its target."""
    root = read(MAP)
    by_id = {one.attrib["id"]: one for one in tasks(root)}
    flows = list(root.iter(f"{{{BPMN}}}sequenceFlow"))
    assert len(flows) == 3
    for flow in flows:
        name = flow.attrib["id"]
        source, target = by_id[flow.attrib["sourceRef"]], by_id[flow.attrib["targetRef"]]
        assert name in [one.text for one in source.findall(f"{{{BPMN}}}outgoing")]
        assert name in [one.text for one in target.findall(f"{{{BPMN}}}incoming")]


def test_children_stand_in_the_order_of_the_schema() -> None:
    """A validating tool would refuse any other."""
    root = read(MAP)
    for task in tasks(root):
        order = [OF_TASK.index(one.tag.removeprefix(f"{{{BPMN}}}")) for one in task]
        assert order == sorted(order)
    assert [one.tag.rpartition("}")[2] for one in root] == ["collaboration", "process", "BPMNDiagram"]
    process = root.find(f"{{{BPMN}}}process")
    assert process is not None
    assert [one.tag.rpartition("}")[2] for one in process][:2] == ["documentation", "laneSet"]
    for io in root.iter(f"{{{BPMN}}}ioSpecification"):
        assert io.find(f"{{{BPMN}}}inputSet") is not None
        assert io.find(f"{{{BPMN}}}outputSet") is not None


def test_each_task_lies_in_one_lane_and_says_what_bpmn_has_no_word_for() -> None:
    """Purpose, degree, roles and the measured degree stand in its documentation."""
    root = read(MAP)
    placed = [one.text for one in root.iter(f"{{{BPMN}}}flowNodeRef")]
    assert sorted(map(str, placed)) == sorted(one.attrib["id"] for one in tasks(root))
    nasty = next(one for one in tasks(root) if one.attrib["name"] == NASTY[:60])
    text = str(nasty[0].text)
    assert NASTY in text
    assert "Degree: semi-automated" in text
    assert "Measured: automated. All of them" in text


def test_each_element_is_drawn_once() -> None:
    """Lanes, tasks and data objects have a shape, flows and associations a line of two points and more."""
    root = read(MAP)
    shapes = [one.attrib["bpmnElement"] for one in root.iter(f"{{{DI}}}BPMNShape")]
    assert len(set(shapes)) == len(shapes) == 1 + 3 + len(MAP.nodes) + 2
    for shape in root.iter(f"{{{DI}}}BPMNShape"):
        bounds = shape.find(f"{{{DC}}}Bounds")
        assert bounds is not None
        assert all(float(bounds.attrib[key]) >= 0 for key in ("x", "y", "width", "height"))
    lines = list(root.iter(f"{{{DI}}}BPMNEdge"))
    assert len(lines) == 3 + 2 * 2
    assert all(len(line.findall(f"{{{DD}}}waypoint")) >= 2 for line in lines)
