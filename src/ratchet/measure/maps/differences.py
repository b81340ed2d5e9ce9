"""What lies between two maps: processes that changed their degree, that came, that went, and what to mind.

Invariant: steps are counted only between degrees that are known on both sides; what is unmeasured is counted by itself.
"""

from typing import Literal

from ratchet.measure.counts import several
from ratchet.measure.maps.degrees import DEGREES, is_known, rank
from ratchet.measure.maps.process_maps import Edge, Node, ProcessMap
from ratchet.records import Record

FindingKind = Literal["stays manual", "stays non-repeatable", "unmeasured target", "falls back", "absent target"]
NOT_ON_MAP = "not on the map"


class NodeChange(Record, frozen=True):
    """One process in both maps.

    Attributes:
        node: Its id.
        name: What it is called, in the second map if it is there.
        phase: Where it stands there.
        before: Its degree in the first map; ``not on the map`` where it is not.
        after: Its degree in the second map; the same.
        steps: How many degrees it rises; 0 where one of both is not known.
        fields: What else is different: name, purpose, how, roles, owner, phase.
    """

    node: str
    name: str
    phase: str
    before: str
    after: str
    steps: int
    fields: tuple[str, ...] = ()


class Finding(Record, frozen=True):
    """Something that a target should not leave as it is."""

    kind: FindingKind
    node: str
    sentence: str


class Difference(Record, frozen=True):
    """Two maps side by side.

    Attributes:
        before: Reference of the first map.
        after: Reference of the second.
        changes: All processes of both, in the order of the second map, then those that only the first has.
        matrix: How many processes went from which degree (outer key) to which (inner key).
        steps_short: How many degrees the first map is below the second, over all processes that both know.
        unknown: How many processes cannot be compared because one of their degrees is unmeasured.
        added_edges: Edges that only the second map has.
        removed_edges: Edges that only the first map has.
        findings: What to mind about the second map.
    """

    before: str
    after: str
    changes: tuple[NodeChange, ...]
    matrix: dict[str, dict[str, int]]
    steps_short: int
    unknown: int
    added_edges: tuple[Edge, ...]
    removed_edges: tuple[Edge, ...]
    findings: tuple[Finding, ...]

    @property
    def distance(self) -> str:
        """Return in a sentence how far the first map is from the second."""
        return distance(self.before, self.after, steps_short=self.steps_short, unknown=self.unknown)


def distance(before: str, after: str, *, steps_short: int, unknown: int) -> str:
    """Return in a sentence how far one map is from another: no number stands for what nobody knows.

    Args:
        before: Reference of the first map.
        after: Reference of the second.
        steps_short: Degrees that are missing, over all processes that both know.
        unknown: How many processes have no degree on one of the maps.
    """
    steps = several(steps_short, "step", "steps")
    if not unknown:
        return f"{before} is {steps} short of {after}."
    without = f"{several(unknown, 'process has', 'processes have')} no degree on one of the maps"
    if not steps_short:
        return f"How far {before} is from {after} is not known: {without}."
    return f"{before} is at least {steps} short of {after}: {without} and cannot be counted."


def compare(before: ProcessMap, after: ProcessMap) -> Difference:
    """Return what changes from one map to another."""
    ids = [node.id for node in after.nodes] + [node.id for node in before.nodes if after.node(node.id) is None]
    changes = tuple(_change(before.node(name), after.node(name)) for name in ids)
    names = [*DEGREES, NOT_ON_MAP]
    matrix = {one: dict.fromkeys(names, 0) for one in names}
    for change in changes:
        matrix[change.before][change.after] += 1
    return Difference(
        before=before.reference,
        after=after.reference,
        changes=changes,
        matrix=matrix,
        steps_short=sum(max(change.steps, 0) for change in changes),
        unknown=sum("unmeasured" in (change.before, change.after) for change in changes),
        added_edges=tuple(edge for edge in after.edges if edge not in before.edges),
        removed_edges=tuple(edge for edge in before.edges if edge not in after.edges),
        findings=tuple(_findings(before, after)),
    )


def steps_between(before: str, after: str) -> int:
    """Return how many degrees a process rises; what is not on a map counts as absent, what is unmeasured as unknown."""
    one, other = (0 if degree == NOT_ON_MAP else rank(degree) for degree in (before, after))
    return other - one if one >= 0 and other >= 0 else 0


def _change(before: Node | None, after: Node | None) -> NodeChange:
    node = after or before
    assert node is not None, "an id comes from one of the maps"
    from_, to = (one.degree if one else NOT_ON_MAP for one in (before, after))
    is_gone = after is None
    compared = ("phase", "name", "purpose", "how", "roles", "owner")
    fields = tuple(key for key in compared if before and after and getattr(before, key) != getattr(after, key))
    return NodeChange(
        node=node.id,
        name=node.name,
        phase=node.phase,
        before=from_,
        after=to,
        # A process that is taken off the map does not fall back: it is no longer needed.
        steps=0 if is_gone else steps_between(from_, to),
        fields=fields,
    )


def _findings(before: ProcessMap, after: ProcessMap) -> list[Finding]:
    """Return what to mind: a target is where nothing is done by hand or differently each time."""
    found = []
    for node in after.nodes:
        is_target = after.kind == "target"
        earlier = before.node(node.id)
        old = earlier.degree if earlier else "unmeasured"
        if is_target and node.degree == "exceptionally manual":
            found.append(_finding("stays manual", node, "is exceptionally manual in the target."))
        elif is_target and node.degree == "non-repeatable":
            found.append(_finding("stays non-repeatable", node, "is non-repeatable in the target."))
        elif is_target and node.degree == "absent":
            found.append(_finding("absent target", node, "is absent in the target; take it off the map or plan it."))
        elif is_target and node.degree == "unmeasured":
            found.append(_finding("unmeasured target", node, "has no degree in the target yet."))
        if is_known(old) and is_known(node.degree) and rank(node.degree) < rank(old):
            found.append(_finding("falls back", node, f"falls from {old} to {node.degree}."))
    return found


def _finding(kind: FindingKind, node: Node, rest: str) -> Finding:
    return Finding(kind=kind, node=node.id, sentence=f"'{node.name}' ({node.id}) {rest}")
