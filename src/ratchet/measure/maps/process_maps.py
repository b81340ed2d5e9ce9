"""A process map as a TOML file: read, checked with file and line, and written again.

Invariant: a map that was read can be drawn: each node has a purpose and a role, each edge joins two nodes, and control
runs in circles only where an edge says that it loops.
"""

import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from ratchet.catalogue import event_type
from ratchet.errors import ConfigInvalid, UnknownEventType
from ratchet.measure.changes import STAGES
from ratchet.measure.maps.degrees import DEGREES, ROLES, Degree
from ratchet.measure.maps.places import Places, shown
from ratchet.records import Record, digest_of

MapKind = Literal["current", "target", "candidate"]
EdgeKind = Literal["control", "data"]
MAP_KINDS = ("current", "target", "candidate")
EDGE_KINDS = ("control", "data")
NODES_AT_MOST = 500
EDGES_AT_MOST = 2000
_TOP = ("map", "node", "edge")
_MAP = ("id", "version", "kind", "name", "about", "phases")
_NODE = (
    "id",
    "phase",
    "name",
    "purpose",
    "how",
    "roles",
    "degree",
    "benefit",
    "bound_to",
    "note",
    "owner",
)
_EDGE = ("from", "to", "kind", "artifact", "loop")
_BOUND_TO = ("pipeline", "stage", "event")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NEXT_SENTENCE = re.compile(r"[.!?]\s+[A-Z]")
_SHORT, _NAME, _SENTENCE, _LONG = 40, 60, 240, 2000


class Binding(Record, frozen=True):
    """What in the ledger a process shows up as.

    Attributes:
        pipeline: Whose; ``""`` for all pipelines together.
        stage: The stage whose changes are counted; ``""`` where an event type is.
        event: The event type that is counted; ``""`` where a stage is.
    """

    pipeline: str = ""
    stage: str = ""
    event: str = ""

    @property
    def name(self) -> str:
        """Return it as it is written, such as ``flights/train`` or ``*/run.finished``."""
        return f"{self.pipeline or '*'}/{self.stage or self.event}"


class Node(Record, frozen=True):
    """One process of the map.

    Attributes:
        id: Names it in edges, in other versions of the map, and in plans.
        phase: The lane that it stands in.
        name: As people call it.
        purpose: What it is for, in one sentence.
        how: How it is done today.
        roles: Who does it or answers for it.
        degree: How far it runs by itself, as people declare it.
        benefit: What it would bring, where nobody does it.
        bound_to: Where its evidence is; ``None`` where it has none.
        note: Anything else.
        owner: The team that answers for it.
    """

    id: str
    phase: str
    name: str
    purpose: str
    roles: tuple[str, ...]
    degree: Degree
    how: str = ""
    benefit: str = ""
    bound_to: Binding | None = None
    note: str = ""
    owner: str = ""


class Edge(Record, frozen=True):
    """What leads from one process to another.

    Attributes:
        source: Id of the node that it leaves.
        target: Id of the node that it comes to.
        kind: ``control``, what follows, or ``data``, what is handed over.
        artifact: What is handed over; ``""`` for control.
        loop: Whether it leads back to where the work came from.
    """

    source: str
    target: str
    kind: EdgeKind = "control"
    artifact: str = ""
    loop: bool = False


class ProcessMap(Record, frozen=True):
    """All processes between an idea and a model that serves.

    Attributes:
        id: The same in all its versions and kinds.
        version: Names this state; a recorded version never changes.
        kind: ``current``, ``target`` or ``candidate`` (what a platform would make of it).
        name: Its title.
        about: What it shows, in some sentences.
        phases: The lanes, from top to bottom.
        nodes: The processes, in the order of the file.
        edges: What leads where.
    """

    id: str
    version: str
    kind: MapKind
    phases: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    name: str = ""
    about: str = ""

    @property
    def title(self) -> str:
        """Return its name, or its id where it has none."""
        return self.name or self.id

    @property
    def reference(self) -> str:
        """Return id, kind and version as one word, such as ``flights-current@2``."""
        return f"{self.id}-{self.kind}@{self.version}"

    @property
    def digest(self) -> str:
        """Return the sha256 of its content: comments and the order of keys change nothing."""
        return digest_of(msgspec.to_builtins(self))

    def node(self, node_id: str) -> Node | None:
        """Return a node by its id, or ``None``."""
        return next((node for node in self.nodes if node.id == node_id), None)

    def in_phase(self, phase: str) -> tuple[Node, ...]:
        """Return the nodes of one lane, in the order of the file."""
        return tuple(node for node in self.nodes if node.phase == phase)

    def count_by_degree(self) -> dict[str, int]:
        """Return how many nodes have each degree; degrees that none has count 0."""
        return {degree: sum(node.degree == degree for node in self.nodes) for degree in DEGREES}


def load(path: Path) -> ProcessMap:
    """Return the map in a file.

    Raises:
        ConfigInvalid: The file is missing or describes no map; the message names the line and what is allowed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
        raise ConfigInvalid(
            str(path), problem, "Name the file of a process map, or write one: ratchet assess init"
        ) from error
    return parse(content, where=str(path))


def parse(content: bytes, *, where: str) -> ProcessMap:
    """Return the map that a file's bytes describe.

    Args:
        content: The bytes.
        where: Name of the file, for messages.

    Raises:
        ConfigInvalid: They do not describe a map.
    """
    return _Reader(Places(content, where=where)).read()


def from_record(values: dict[str, Any]) -> ProcessMap:
    """Return the map that was recorded in an event's data."""
    return msgspec.convert(values, ProcessMap)


class _Reader:
    """Checks the values of one file."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def read(self) -> ProcessMap:
        places = self.places
        places.refuse_unknown(places.values, _TOP, "a process map")
        raw = places.values.get("map")
        if not isinstance(raw, dict):
            places.refuse("map", f"is {shown(raw)}.", "Begin with a table [map] that has id, version and kind.")
        places.enter("map")
        places.refuse_unknown(raw, _MAP, "[map]")
        head: dict[str, Any] = {
            "id": self.id(raw, "id"),
            "version": self.version(raw),
            "kind": places.choice(raw, "kind", MAP_KINDS),
            "name": places.line(raw, "name", longest=_NAME, default=""),
            "about": places.text(raw, "about", longest=_LONG, default=""),
        }
        named = places.texts(raw, "phases")
        nodes = self.nodes(named)
        edges = self.edges({node.id for node in nodes})
        phases = named or tuple(dict.fromkeys(node.phase for node in nodes))
        self.refuse_circles(nodes, edges)
        return ProcessMap(**head, phases=phases, nodes=nodes, edges=edges)

    def id(self, raw: dict[str, Any], key: str) -> str:
        value = self.places.line(raw, key, longest=64)
        if not _ID.fullmatch(value):
            self.places.refuse(
                key, f"is '{value}'.", "Write letters, digits, '-', '_' or '.', at most 64.", token=value
            )
        return value

    def version(self, raw: dict[str, Any]) -> str:
        value = raw.get("version")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not _ID.fullmatch(value):
            self.places.refuse(
                "version", f"is {shown(value)}.", "Write a number or a short word, such as 1 or '2024-10'."
            )
        return value

    # ---- nodes

    def nodes(self, phases: tuple[str, ...]) -> tuple[Node, ...]:
        tables = self.places.tables("node")
        if not tables:
            self.places.refuse("node", "is missing.", "Write at least one table [[node]].")
        if len(tables) > NODES_AT_MOST:
            self.places.refuse(
                "node", f"stands there {len(tables)} times.", f"A map has at most {NODES_AT_MOST} nodes."
            )
        found: dict[str, Node] = {}
        for index, raw in enumerate(tables):
            self.places.enter("node", index)
            node = self.node(raw, phases)
            if node.id in found:
                problem = f"is '{node.id}', as is that of '{found[node.id].name}'."
                self.places.refuse("id", problem, "Give each node an id of its own.")
            found[node.id] = node
        return tuple(found.values())

    def node(self, raw: dict[str, Any], phases: tuple[str, ...]) -> Node:
        places = self.places
        places.refuse_unknown(raw, _NODE, "a node")
        phase = places.line(raw, "phase", longest=_SHORT)
        if phases and phase not in phases:
            places.refuse("phase", f"is '{phase}'.", f"[map] names these phases: {', '.join(phases)}.")
        degree = places.choice(raw, "degree", tuple(DEGREES))
        benefit = places.text(raw, "benefit", longest=_LONG, default="")
        if degree == "absent" and not benefit:
            places.refuse("benefit", "is missing.", "Say what an absent process would bring, or take it off the map.")
        values: dict[str, Any] = {
            "id": self.id(raw, "id"),
            "phase": phase,
            "name": places.line(raw, "name", longest=_NAME),
            "purpose": self.purpose(raw),
            "how": places.text(raw, "how", longest=_LONG, default=""),
            "roles": self.roles(raw),
            "degree": degree,
            "benefit": benefit,
            "bound_to": self.binding(raw),
            "note": places.text(raw, "note", longest=_LONG, default=""),
            "owner": places.line(raw, "owner", longest=_NAME, default=""),
        }
        return Node(**values)

    def purpose(self, raw: dict[str, Any]) -> str:
        if not str(raw.get("purpose", "")).strip():
            name = raw.get("name") or raw.get("id") or "this node"
            self.places.refuse("purpose", "is missing.", f"Say in one sentence what '{name}' is for.")
        purpose = self.places.line(raw, "purpose", longest=_SENTENCE)
        if _NEXT_SENTENCE.search(purpose):
            self.places.refuse(
                "purpose", "has more than one sentence.", "Keep the first, and put the rest into 'note'."
            )
        return purpose

    def roles(self, raw: dict[str, Any]) -> tuple[str, ...]:
        roles = self.places.texts(raw, "roles")
        allowed = f"Allowed: {', '.join(ROLES)}."
        if not roles:
            self.places.refuse("roles", "names nobody.", f"Say who does it or answers for it. {allowed}")
        for role in roles:
            if role not in ROLES:
                self.places.refuse("roles", f"names an unknown role, '{role}'.", allowed, token=role)
        if len(set(roles)) < len(roles):
            self.places.refuse("roles", "names a role twice.", "Name each once.")
        return roles

    def binding(self, raw: dict[str, Any]) -> Binding | None:
        value = raw.get("bound_to")
        if value is None:
            return None
        example = 'Write: bound_to = { pipeline = "NAME", stage = "train" }, or event = "run.finished" for the stage.'
        if not isinstance(value, dict):
            self.places.refuse("bound_to", f"is {shown(value)}.", example)
        self.places.refuse_unknown(value, _BOUND_TO, "'bound_to'")
        if ("stage" in value) == ("event" in value):
            self.places.refuse("bound_to", "must name a stage or an event, and not both.", example)
        pipeline = self.places.line(value, "pipeline", longest=_NAME, default="")
        if "stage" in value:
            return Binding(pipeline=pipeline, stage=self.places.choice(value, "stage", STAGES))
        name = self.places.line(value, "event", longest=_NAME)
        try:
            return Binding(pipeline=pipeline, event=event_type(name).name)
        except UnknownEventType as error:
            remedy = f"Did you mean '{error.closest}'? All types: ratchet events --types"
            self.places.refuse("event", f"is '{name}', which is no event type.", remedy, token=name)

    # ---- edges

    def edges(self, ids: set[str]) -> tuple[Edge, ...]:
        tables = self.places.tables("edge")
        if len(tables) > EDGES_AT_MOST:
            self.places.refuse(
                "edge", f"stands there {len(tables)} times.", f"A map has at most {EDGES_AT_MOST} edges."
            )
        found: dict[tuple[str, str, str, str], Edge] = {}
        for index, raw in enumerate(tables):
            self.places.enter("edge", index)
            edge = self.edge(raw, ids)
            key = (edge.source, edge.target, edge.kind, edge.artifact)
            if key in found:
                self.places.refuse("from", f"and 'to' join {edge.source} and {edge.target} a second time.", "Keep one.")
            found[key] = edge
        return tuple(found.values())

    def edge(self, raw: dict[str, Any], ids: set[str]) -> Edge:
        self.places.refuse_unknown(raw, _EDGE, "an edge")
        source, target = self.end(raw, "from", ids), self.end(raw, "to", ids)
        kind = self.places.choice(raw, "kind", EDGE_KINDS, default="control")
        artifact = self.places.line(raw, "artifact", longest=_SHORT, default="")
        if bool(artifact) != (kind == "data"):
            problem = "is missing." if kind == "data" else "belongs to an edge of data."
            self.places.refuse("artifact", problem, 'Write: kind = "data", artifact = "what is handed over".')
        loop = raw.get("loop", False)
        if not isinstance(loop, bool):
            self.places.refuse("loop", f"is {shown(loop)}.", "Write true where the edge leads back, or leave it out.")
        return Edge(source=source, target=target, kind=_edge_kind(kind), artifact=artifact, loop=loop)

    def end(self, raw: dict[str, Any], key: str, ids: set[str]) -> str:
        value = self.places.line(raw, key, longest=64)
        if value not in ids:
            from difflib import get_close_matches

            close = get_close_matches(value, sorted(ids), n=1, cutoff=0.4)
            hint = f"Did you mean '{close[0]}'?" if close else "Write the id of a node."
            self.places.refuse(key, f"leads nowhere: there is no node '{value}'.", hint)
        return value

    def refuse_circles(self, nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> None:
        circle = find_circle([node.id for node in nodes], [e for e in edges if e.kind == "control" and not e.loop])
        if circle:
            index = max(edges.index(edge) for edge in circle)
            self.places.enter("edge", index)
            way = " -> ".join([circle[0].source, *(edge.target for edge in circle)])
            remedy = "Write loop = true at the edge that leads back, or take one away."
            self.places.refuse("from", f"closes a circle of control: {way}.", remedy)


def _edge_kind(kind: str) -> EdgeKind:
    return "data" if kind == "data" else "control"


def find_circle(ids: list[str], edges: list[Edge]) -> list[Edge]:
    """Return the edges of one circle, in order; none where there is none."""
    leaving: dict[str, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
    done: set[str] = set()
    for start in ids:
        way: list[Edge] = []
        on_way = [start] if start not in done else []
        pending = [iter(leaving.get(start, ()))] if on_way else []
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                done.add(on_way.pop())
                way = way[:-1]
            elif following.target in on_way:
                return [*way, following][on_way.index(following.target) :]
            elif following.target not in done:
                way.append(following)
                on_way.append(following.target)
                pending.append(iter(leaving.get(following.target, ())))
    return []


# ---- writing


def to_toml(process_map: ProcessMap) -> str:
    """Return a map as the text of a file that reads back as the same map."""
    head = {"id": process_map.id, "version": process_map.version, "kind": process_map.kind}
    head |= {key: value for key, value in (("name", process_map.name), ("about", process_map.about)) if value}
    lines = ["[map]", *(f"{key} = {_quoted(value)}" for key, value in head.items())]
    lines.append(f"phases = [{', '.join(map(_quoted, process_map.phases))}]")
    for node in process_map.nodes:
        lines += ["", "[[node]]", *_node_lines(node)]
    for one in process_map.edges:
        lines += ["", *edge_lines(one)]
    return "\n".join(lines) + "\n"


def edge_lines(edge: Edge) -> list[str]:
    """Return the lines of one edge in a file."""
    lines = ["[[edge]]", f"from = {_quoted(edge.source)}", f"to = {_quoted(edge.target)}"]
    if edge.kind == "data":
        lines += ['kind = "data"', f"artifact = {_quoted(edge.artifact)}"]
    if edge.loop:
        lines.append("loop = true")
    return lines


def _node_lines(node: Node) -> list[str]:
    lines = [f"{key} = {_quoted(getattr(node, key))}" for key in ("id", "phase", "name", "purpose")]
    lines.append(f"roles = [{', '.join(map(_quoted, node.roles))}]")
    for key in ("degree", "how", "benefit", "note", "owner"):
        if getattr(node, key):
            lines.append(f"{key} = {_quoted(getattr(node, key))}")
    if node.bound_to is not None:
        named = {key: getattr(node.bound_to, key) for key in _BOUND_TO}
        inside = ", ".join(f"{key} = {_quoted(value)}" for key, value in named.items() if value)
        lines.append(f"bound_to = {{ {inside} }}")
    return lines


def _quoted(text: str) -> str:
    """Return a text as TOML writes it; JSON's escapes are all TOML's, too."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007F")
