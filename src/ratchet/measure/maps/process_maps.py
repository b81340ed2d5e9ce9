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
from ratchet.records import Record, digest_of
from ratchet.toml_tables import Table, TableFile, shown

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
    return _Reader(TableFile(content, where=where)).read()


def from_record(values: dict[str, Any]) -> ProcessMap:
    """Return the map that was recorded in an event's data."""
    return msgspec.convert(values, ProcessMap)


class _Reader:
    """Checks the values of one file."""

    def __init__(self, file: TableFile) -> None:
        self.file = file

    def read(self) -> ProcessMap:
        file = self.file
        file.refuse_unknown(_TOP, "a process map")
        head = file.table("map", remedy="Begin with a table [map] that has id, version and kind.")
        head.refuse_unknown(_MAP, "[map]")
        about: dict[str, Any] = {
            "id": self.id(head, "id"),
            "version": self.version(head),
            "kind": head.choice("kind", MAP_KINDS),
            "name": head.line("name", longest=_NAME, default=""),
            "about": head.text("about", longest=_LONG, default=""),
        }
        named = self.phases(head)
        nodes = self.nodes(named)
        edges = self.edges({node.id for node in nodes})
        phases = named or tuple(dict.fromkeys(node.phase for node in nodes))
        self.refuse_circles(nodes, edges)
        return ProcessMap(**about, phases=phases, nodes=nodes, edges=edges)

    def id(self, table: Table, key: str) -> str:
        value = table.line(key, longest=64)
        if not _ID.fullmatch(value):
            table.refuse(key, f"is '{value}'.", "Write letters, digits, '-', '_' or '.', at most 64.")
        return value

    def version(self, head: Table) -> str:
        value = head.values.get("version")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not _ID.fullmatch(value):
            head.refuse("version", f"is {shown(value)}.", "Write a number or a short word, such as 1 or '2024-10'.")
        return value

    def phases(self, head: Table) -> tuple[str, ...]:
        phases = head.texts("phases")
        for index, phase in enumerate(phases):
            if phase in phases[:index]:
                head.refuse("phases", f"names '{phase}' twice.", "Name each phase once.", index=index)
            if len(phase) > _SHORT or len(phase.splitlines()) > 1:
                remedy = f"Write one line of at most {_SHORT} characters."
                head.refuse("phases", f"names {shown(phase)}.", remedy, index=index)
        return phases

    # ---- nodes

    def nodes(self, phases: tuple[str, ...]) -> tuple[Node, ...]:
        tables = self.file.tables("node")
        if not tables:
            self.file.refuse("node", "is missing.", "Write at least one table [[node]].")
        if len(tables) > NODES_AT_MOST:
            problem = f"stands there {len(tables)} times."
            self.file.refuse("node", problem, f"A map has at most {NODES_AT_MOST} nodes.", index=NODES_AT_MOST)
        found: dict[str, Node] = {}
        for table in tables:
            node = self.node(table, phases)
            if node.id in found:
                problem = f"is '{node.id}', as is that of '{found[node.id].name}'."
                table.refuse("id", problem, "Give each node an id of its own.")
            found[node.id] = node
        return tuple(found.values())

    def node(self, table: Table, phases: tuple[str, ...]) -> Node:
        table.refuse_unknown(_NODE, "a node")
        phase = table.line("phase", longest=_SHORT)
        if phases and phase not in phases:
            table.refuse("phase", f"is '{phase}'.", f"[map] names these phases: {', '.join(phases)}.")
        degree = table.choice("degree", tuple(DEGREES))
        benefit = table.text("benefit", longest=_LONG, default="")
        if degree == "absent" and not benefit:
            table.refuse("benefit", "is missing.", "Say what an absent process would bring, or take it off the map.")
        values: dict[str, Any] = {
            "id": self.id(table, "id"),
            "phase": phase,
            "name": table.line("name", longest=_NAME),
            "purpose": self.purpose(table),
            "how": table.text("how", longest=_LONG, default=""),
            "roles": self.roles(table),
            "degree": degree,
            "benefit": benefit,
            "bound_to": self.binding(table),
            "note": table.text("note", longest=_LONG, default=""),
            "owner": table.line("owner", longest=_NAME, default=""),
        }
        return Node(**values)

    def purpose(self, table: Table) -> str:
        if not str(table.values.get("purpose", "")).strip():
            name = table.values.get("name") or table.values.get("id") or "this node"
            table.refuse("purpose", "is missing.", f"Say in one sentence what '{name}' is for.")
        purpose = table.line("purpose", longest=_SENTENCE)
        if _NEXT_SENTENCE.search(purpose):
            table.refuse("purpose", "has more than one sentence.", "Keep the first, and put the rest into 'note'.")
        return purpose

    def roles(self, table: Table) -> tuple[str, ...]:
        roles = table.texts("roles")
        allowed = f"Allowed: {', '.join(ROLES)}."
        if not roles:
            table.refuse("roles", "names nobody.", f"Say who does it or answers for it. {allowed}")
        for index, role in enumerate(roles):
            if role not in ROLES:
                table.refuse("roles", f"names an unknown role, '{role}'.", allowed, index=index)
        if len(set(roles)) < len(roles):
            table.refuse("roles", "names a role twice.", "Name each once.")
        return roles

    def binding(self, table: Table) -> Binding | None:
        if "bound_to" not in table:
            return None
        example = 'Write: bound_to = { pipeline = "NAME", stage = "train" }, or event = "run.finished" for the stage.'
        bound = table.table("bound_to", remedy=example)
        bound.refuse_unknown(_BOUND_TO, "'bound_to'")
        if ("stage" in bound) == ("event" in bound):
            table.refuse("bound_to", "must name a stage or an event, and not both.", example)
        pipeline = bound.line("pipeline", longest=_NAME, default="")
        if "stage" in bound:
            return Binding(pipeline=pipeline, stage=bound.choice("stage", STAGES))
        name = bound.line("event", longest=_NAME)
        try:
            return Binding(pipeline=pipeline, event=event_type(name).name)
        except UnknownEventType as error:
            remedy = f"Did you mean '{error.closest}'? All types: ratchet events --types"
            bound.refuse("event", f"is '{name}', which is no event type.", remedy)

    # ---- edges

    def edges(self, ids: set[str]) -> tuple[Edge, ...]:
        tables = self.file.tables("edge")
        if len(tables) > EDGES_AT_MOST:
            problem = f"stands there {len(tables)} times."
            self.file.refuse("edge", problem, f"A map has at most {EDGES_AT_MOST} edges.", index=EDGES_AT_MOST)
        found: dict[tuple[str, str, str, str], Edge] = {}
        for table in tables:
            edge = self.edge(table, ids)
            key = (edge.source, edge.target, edge.kind, edge.artifact)
            if key in found:
                table.refuse("from", f"and 'to' join {edge.source} and {edge.target} a second time.", "Keep one.")
            found[key] = edge
        return tuple(found.values())

    def edge(self, table: Table, ids: set[str]) -> Edge:
        table.refuse_unknown(_EDGE, "an edge")
        source, target = self.end(table, "from", ids), self.end(table, "to", ids)
        kind = table.choice("kind", EDGE_KINDS, default="control")
        artifact = table.line("artifact", longest=_SHORT, default="")
        if bool(artifact) != (kind == "data"):
            problem = "is missing." if kind == "data" else "belongs to an edge of data."
            table.refuse("artifact", problem, 'Write: kind = "data", artifact = "what is handed over".')
        loop = table.flag("loop", default=False, remedy="Write true where the edge leads back, or leave it out.")
        return Edge(source=source, target=target, kind=_edge_kind(kind), artifact=artifact, loop=loop)

    def end(self, table: Table, key: str, ids: set[str]) -> str:
        value = table.line(key, longest=64)
        if value not in ids:
            from difflib import get_close_matches

            close = get_close_matches(value, sorted(ids), n=1, cutoff=0.4)
            hint = f"Did you mean '{close[0]}'?" if close else "Write the id of a node."
            table.refuse(key, f"leads nowhere: there is no node '{value}'.", hint)
        return value

    def refuse_circles(self, nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> None:
        circle = find_circle([node.id for node in nodes], [e for e in edges if e.kind == "control" and not e.loop])
        if circle:
            last = self.file.tables("edge")[max(edges.index(edge) for edge in circle)]
            way = " -> ".join([circle[0].source, *(edge.target for edge in circle)])
            remedy = "Write loop = true at the edge that leads back, or take one away."
            last.refuse("from", f"closes a circle of control: {way}.", remedy)


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
