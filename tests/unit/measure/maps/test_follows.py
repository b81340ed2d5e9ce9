"""Edges that the ledger proposes."""

from ratchet.measure.maps.follows import propose_edges
from ratchet.measure.maps.process_maps import Binding, Edge
from tests.ledgers import LedgerBuilder
from tests.maps import node, process_map

NODES = tuple(node(stage, bound_to=Binding(stage=stage)) for stage in ("train", "evaluate", "deploy", "data"))


def released(weeks: int) -> LedgerBuilder:
    """Return a ledger of weeks in which a model was trained, judged and released by rules."""
    ledger = LedgerBuilder()
    for _ in range(weeks):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)
        ledger.wait(days=7)
    return ledger


def test_what_follows_often_is_proposed() -> None:
    """With how often it was seen; each case is the chain of one root."""
    ledger = released(3)
    found = propose_edges(ledger.history(), process_map(*NODES), as_of=ledger.now)
    assert [(one.edge, one.count, one.share, one.is_drawn) for one in found] == [
        (Edge(source="evaluate", target="deploy"), 3, 1.0, False),
        (Edge(source="train", target="evaluate"), 3, 1.0, False),
    ]


def test_what_was_seen_once_is_not() -> None:
    """Once is no habit."""
    ledger = released(1)
    assert propose_edges(ledger.history(), process_map(*NODES), as_of=ledger.now) == []


def test_what_is_on_the_map_is_marked() -> None:
    """Nobody has to add it again."""
    ledger = released(2)
    made = process_map(*NODES, edges=(Edge(source="train", target="evaluate"),))
    found = {one.edge.source: one.is_drawn for one in propose_edges(ledger.history(), made, as_of=ledger.now)}
    assert found == {"train": True, "evaluate": False}


def test_what_would_close_a_circle_is_proposed_as_a_loop() -> None:
    """Taken over as it stands the map can still be read."""
    ledger = released(2)
    made = process_map(*NODES, edges=(Edge(source="deploy", target="evaluate"),))
    found = propose_edges(ledger.history(), made, as_of=ledger.now)
    assert Edge(source="evaluate", target="deploy", loop=True) in [one.edge for one in found]


def test_rare_ways_are_left_out() -> None:
    """Two of twenty-two cases are less than a tenth."""
    ledger = released(20)
    for _ in range(2):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        ledger.add("dataset.version.published", "flights", {"digest": gate.id}, cause=gate)
        ledger.wait(days=7)
    found = propose_edges(ledger.history(), process_map(*NODES), as_of=ledger.now)
    assert "data" not in {one.edge.target for one in found}
