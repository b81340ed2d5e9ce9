"""The map as BPMN 2.0 XML with its diagram, for modelling tools.

Invariant: each reference in the file leads to an element of the file; what BPMN has no word for (degree, purpose, the
measured degree) stands in the documentation of its task.

Source: OMG, Business Process Model and Notation 2.0.2 (2013), chapters 10 and 12.
"""

from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.process_maps import Edge, Node, ProcessMap
from ratchet.measure.maps.routes import HEADER_WIDTH, Box, Geometry, Line, Point, place

BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL"
DI = "http://www.omg.org/spec/BPMN/20100524/DI"
DC = "http://www.omg.org/spec/DD/20100524/DC"
DD = "http://www.omg.org/spec/DD/20100524/DI"
COLOUR = "http://www.omg.org/spec/BPMN/non-normative/color/1.0"
# The strip on the left of a pool that holds its name; everything is moved to the right by it.
_POOL_HEADER = 30.0
_PREFIXES = {"bpmn": BPMN, "bpmndi": DI, "dc": DC, "di": DD, "color": COLOUR}
_TASKS = {"automated": "serviceTask", "semi-automated": "userTask", "exceptionally manual": "manualTask"}


def to_bpmn(process_map: ProcessMap, measured: dict[str, Measured] | None = None) -> str:
    """Return the XML of a process: a lane for each phase, a task for each node, a data object for each artifact.

    Args:
        process_map: What to write.
        measured: What the ledger says about its nodes; goes into their documentation.
    """
    for prefix, address in _PREFIXES.items():
        register_namespace(prefix, address)
    root = Element(f"{{{BPMN}}}definitions", {"id": "definitions", "targetNamespace": "urn:ratchet:process-map"})
    collaboration = SubElement(root, f"{{{BPMN}}}collaboration", {"id": "collaboration"})
    pool = {"id": "pool", "name": process_map.title, "processRef": "process"}
    SubElement(collaboration, f"{{{BPMN}}}participant", pool)
    process = SubElement(
        root,
        f"{{{BPMN}}}process",
        {"id": "process", "name": process_map.title, "isExecutable": "false"},
    )
    _document(process, [process_map.about, f"{process_map.reference}, digest {process_map.digest}"])
    ids = {node.id: f"node_{number}" for number, node in enumerate(process_map.nodes, 1)}
    _lanes(process, process_map, ids)
    flows = _flow_ids(process_map.edges)
    joined = list(zip(process_map.edges, flows, strict=True))
    for node in process_map.nodes:
        _task(process, node, name=ids[node.id], joined=joined, measured=(measured or {}).get(node.id))
    for edge, flow in zip(process_map.edges, flows, strict=True):
        _flow(process, edge, flow, ids)
    _diagram(root, process_map, ids, flows)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _flow_ids(edges: tuple[Edge, ...]) -> list[str]:
    return [f"{'data' if edge.kind == 'data' else 'flow'}_{number}" for number, edge in enumerate(edges, 1)]


def _document(parent: Element, parts: list[str]) -> None:
    text = "\n".join(part for part in parts if part)
    if text:
        SubElement(parent, f"{{{BPMN}}}documentation").text = text


def _lanes(process: Element, process_map: ProcessMap, ids: dict[str, str]) -> None:
    lane_set = SubElement(process, f"{{{BPMN}}}laneSet", {"id": "lanes"})
    for number, phase in enumerate(process_map.phases, 1):
        lane = SubElement(lane_set, f"{{{BPMN}}}lane", {"id": f"lane_{number}", "name": phase})
        for node in process_map.in_phase(phase):
            SubElement(lane, f"{{{BPMN}}}flowNodeRef").text = ids[node.id]


def _task(
    process: Element, node: Node, *, name: str, joined: list[tuple[Edge, str]], measured: Measured | None
) -> None:
    """Write a task in the order that the schema asks for: documentation, flows in, flows out, data in, data out."""
    task = SubElement(process, f"{{{BPMN}}}{_TASKS.get(node.degree, 'task')}", {"id": name, "name": node.name})
    says = f"Measured: {measured.degree}. {measured.reason}" if measured is not None and node.bound_to else ""
    how = f"How: {node.how}" if node.how else ""
    benefit = f"Benefit: {node.benefit}" if node.benefit else ""
    _document(
        task, [node.purpose, f"Degree: {node.degree}", f"Roles: {', '.join(node.roles)}", how, benefit, says, node.note]
    )
    control = [(edge, flow) for edge, flow in joined if edge.kind == "control"]
    for edge, flow in control:
        if edge.target == node.id:
            SubElement(task, f"{{{BPMN}}}incoming").text = flow
    for edge, flow in control:
        if edge.source == node.id:
            SubElement(task, f"{{{BPMN}}}outgoing").text = flow
    data = [(edge, flow) for edge, flow in joined if edge.kind == "data"]
    taken = [flow for edge, flow in data if edge.target == node.id]
    given = [flow for edge, flow in data if edge.source == node.id]
    _properties(task, name, taken=taken, given=given)


def _properties(task: Element, name: str, *, taken: list[str], given: list[str]) -> None:
    """Write what a task takes and gives; a data association leads from or to the task itself by way of these."""
    if not taken and not given:
        return
    io = SubElement(task, f"{{{BPMN}}}ioSpecification", {"id": f"{name}_io"})
    for flow in taken:
        SubElement(io, f"{{{BPMN}}}dataInput", {"id": f"{flow}_in"})
    for flow in given:
        SubElement(io, f"{{{BPMN}}}dataOutput", {"id": f"{flow}_out"})
    inputs = SubElement(io, f"{{{BPMN}}}inputSet", {"id": f"{name}_inputs"})
    for flow in taken:
        SubElement(inputs, f"{{{BPMN}}}dataInputRefs").text = f"{flow}_in"
    outputs = SubElement(io, f"{{{BPMN}}}outputSet", {"id": f"{name}_outputs"})
    for flow in given:
        SubElement(outputs, f"{{{BPMN}}}dataOutputRefs").text = f"{flow}_out"
    for flow in taken:
        association = SubElement(task, f"{{{BPMN}}}dataInputAssociation", {"id": f"{flow}_read"})
        SubElement(association, f"{{{BPMN}}}sourceRef").text = f"{flow}_object"
        SubElement(association, f"{{{BPMN}}}targetRef").text = f"{flow}_in"
    for flow in given:
        association = SubElement(task, f"{{{BPMN}}}dataOutputAssociation", {"id": f"{flow}_written"})
        SubElement(association, f"{{{BPMN}}}sourceRef").text = f"{flow}_out"
        SubElement(association, f"{{{BPMN}}}targetRef").text = f"{flow}_object"


def _flow(process: Element, edge: Edge, flow: str, ids: dict[str, str]) -> None:
    if edge.kind == "data":
        SubElement(process, f"{{{BPMN}}}dataObject", {"id": f"{flow}_data", "name": edge.artifact})
        reference = {"id": f"{flow}_object", "name": edge.artifact, "dataObjectRef": f"{flow}_data"}
        SubElement(process, f"{{{BPMN}}}dataObjectReference", reference)
        return
    values = {"id": flow, "sourceRef": ids[edge.source], "targetRef": ids[edge.target]}
    SubElement(process, f"{{{BPMN}}}sequenceFlow", values | ({"name": "again"} if edge.loop else {}))


# ---- the diagram


def _diagram(root: Element, process_map: ProcessMap, ids: dict[str, str], flows: list[str]) -> None:
    geometry = place(process_map)
    diagram = SubElement(root, f"{{{DI}}}BPMNDiagram", {"id": "diagram"})
    plane = SubElement(diagram, f"{{{DI}}}BPMNPlane", {"id": "plane", "bpmnElement": "collaboration"})
    around = Box(x=-_POOL_HEADER, y=0, width=geometry.width + _POOL_HEADER, height=geometry.height)
    _shape(plane, "pool", around, {"isHorizontal": "true"})
    for number, lane in enumerate(geometry.lanes, 1):
        _shape(plane, f"lane_{number}", lane.box, {"isHorizontal": "true"})
    for node in process_map.nodes:
        look = DEGREES[node.degree]
        fill = "#ffffff" if look.fill == "none" else look.fill
        colours = {f"{{{COLOUR}}}background-color": fill, f"{{{COLOUR}}}border-color": look.ink}
        _shape(plane, ids[node.id], geometry.boxes[node.id], colours)
    _lines(plane, geometry, flows)


def _lines(plane: Element, geometry: Geometry, flows: list[str]) -> None:
    for line, flow in zip(geometry.lines, flows, strict=True):
        if line.edge.kind == "control":
            _edge(plane, flow, line.points)
            continue
        before, middle, after = _halves(line)
        around = Box(x=max(middle[0] - 10, HEADER_WIDTH), y=middle[1] - 13, width=20, height=26)
        _shape(plane, f"{flow}_object", around, {})
        _edge(plane, f"{flow}_written", (*before, middle))
        _edge(plane, f"{flow}_read", (middle, *after))


def _halves(line: Line) -> tuple[tuple[Point, ...], Point, tuple[Point, ...]]:
    """Return the corners before and after the place of a label, and that place."""
    assert line.label_at is not None, "data has a label"
    for number, (one, other) in enumerate(pairwise(line.points), 1):
        if one[1] == other[1] == line.label_at[1]:
            return line.points[:number], line.label_at, line.points[number:]
    return line.points[:1], line.label_at, line.points[1:]


def _shape(plane: Element, element: str, box: Box, more: dict[str, str]) -> None:
    shape = SubElement(plane, f"{{{DI}}}BPMNShape", {"id": f"{element}_shape", "bpmnElement": element, **more})
    bounds = {"x": box.x + _POOL_HEADER, "y": box.y, "width": box.width, "height": box.height}
    SubElement(shape, f"{{{DC}}}Bounds", {key: f"{value:.1f}" for key, value in bounds.items()})


def _edge(plane: Element, element: str, points: tuple[Point, ...]) -> None:
    edge = SubElement(plane, f"{{{DI}}}BPMNEdge", {"id": f"{element}_edge", "bpmnElement": element})
    for x, y in points:
        SubElement(edge, f"{{{DD}}}waypoint", {"x": f"{x + _POOL_HEADER:.1f}", "y": f"{y:.1f}"})
