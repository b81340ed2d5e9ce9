"""One map that has everything, for the tests of all that is made of it."""

from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.process_maps import Binding, Edge
from tests.maps import DEGREE_NAMES, node, process_map

NASTY = "<b> & \"quotes\" 'single' | ]]> --> `tick` #1; %20 \u00fc\u4e2d\U0001f600"
BOUND = Binding(pipeline="flights", stage="train")
MAP = process_map(
    *(
        node(f"n{n}", ("Plan", "Build")[n // 3], degree=degree, benefit="Less work.")
        for n, degree in enumerate(DEGREE_NAMES)
    ),
    node("nasty", "Build", name=NASTY[:60], purpose=NASTY, how=NASTY, note=NASTY, owner=NASTY[:40], bound_to=BOUND),
    edges=(
        Edge(source="n0", target="n1"),
        Edge(source="n1", target="n3"),
        Edge(source="n3", target="n0", loop=True),
        Edge(source="n0", target="nasty", kind="data", artifact="model & <file>"),
        Edge(source="n2", target="n1", kind="data", artifact="report"),
    ),
    name=NASTY[:50],
    about=NASTY,
    phases=("Plan", "Build", "Nobody's"),
)
SEEN = {one.id: Measured(node=one.id, degree="unmeasured", reason="Not bound.") for one in MAP.nodes} | {
    "nasty": Measured(node="nasty", degree="automated", reason=f"All of them {NASTY}.", cases=("E1",)),
}
