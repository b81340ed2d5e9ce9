"""Edges that the ledger proposes: which process directly follows which, counted over its chains of causes.

Invariant: a proposal names how often it was seen, and one that would close a circle is proposed as a loop.
"""

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise

from ratchet.measure.history import History, order
from ratchet.measure.maps.measured import bound_pipelines, found_changes
from ratchet.measure.maps.process_maps import Edge, ProcessMap, find_circle
from ratchet.records import Event, Record

SEEN_AT_LEAST = 2
SHARE_AT_LEAST = 0.1


class Proposal(Record, frozen=True):
    """An edge of control that the ledger suggests.

    Attributes:
        edge: The edge.
        count: How often the target directly followed the source.
        share: That, of all that followed the source, 0 to 1.
        is_drawn: Whether the map has it already.
    """

    edge: Edge
    count: int
    share: float
    is_drawn: bool


def propose_edges(history: History, process_map: ProcessMap, *, as_of: datetime | None = None) -> list[Proposal]:
    """Return which bound processes directly followed which, the most frequent first.

    A case is everything that came of one root: all events with the same correlation. What was seen once, or after
    less than a tenth of the source's cases, is left out.

    Args:
        history: The events.
        process_map: Whose nodes, as far as they are bound.
        as_of: The moment (UTC); now if not given.

    Source: W. van der Aalst, Process Mining: Data Science in Action, 2nd ed. (2016), section 6.2 (directly-follows).
    """
    counts = _count(history, process_map, as_of=as_of)
    leaving: Counter[str] = Counter()
    for (source, _), count in counts.items():
        leaving[source] += count
    drawn = {(edge.source, edge.target): edge for edge in process_map.edges if edge.kind == "control"}
    accepted = [edge for edge in drawn.values() if not edge.loop]
    proposals = []
    for (source, target), count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        share = count / leaving[source]
        if count < SEEN_AT_LEAST or share < SHARE_AT_LEAST:
            continue
        edge = drawn.get((source, target)) or _edge(process_map, source, target, accepted)
        is_drawn = (source, target) in drawn
        if not is_drawn and not edge.loop:
            accepted.append(edge)
        proposals.append(Proposal(edge=edge, count=count, share=share, is_drawn=is_drawn))
    return proposals


def _edge(process_map: ProcessMap, source: str, target: str, accepted: list[Edge]) -> Edge:
    edge = Edge(source=source, target=target)
    circle = find_circle([node.id for node in process_map.nodes], [*accepted, edge])
    return Edge(source=source, target=target, loop=bool(circle))


def _count(history: History, process_map: ProcessMap, *, as_of: datetime | None) -> Counter[tuple[str, str]]:
    snapshot = history.as_of(as_of)
    cases: dict[str, list[tuple[Event, str]]] = defaultdict(list)
    for node in process_map.nodes:
        if node.bound_to is None:
            continue
        for pipeline in bound_pipelines(history, snapshot, node.bound_to):
            for change in found_changes(snapshot, node.bound_to, pipeline):
                cases[change.event.correlationid or change.event.id].append((change.event, node.id))
    counts: Counter[tuple[str, str]] = Counter()
    for members in cases.values():
        names = [name for _, name in sorted(members, key=lambda one: (order(one[0]), one[1]))]
        counts.update((one, other) for one, other in pairwise(names) if one != other)
    return counts
