"""The text of a flowchart, checked line by line against Mermaid's syntax."""

import re

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.mermaid import to_mermaid
from ratchet.measure.maps.process_maps import Edge
from tests.maps import any_map, node, process_map
from tests.unit.measure.maps.drawn import MAP

TEXT = r'"[^"`]*"'
LINES = {
    "flowchart": r"flowchart LR",
    "subgraph": rf"  subgraph p\d+\[{TEXT}\]",
    "direction": r"    direction LR",
    "node": rf"    n\d+\({TEXT}\):::\w+",
    "end": r"  end",
    "style": r"  style p\d+ fill:#\w{6},stroke:#\w{6},color:#\w{6}",
    "control": r"  n\d+ --> n\d+",
    "loop": r'  n\d+ -- "again" --> n\d+',
    "data": rf"  n\d+ -\. {TEXT} \.-> n\d+",
    "class": r"  classDef \w+ fill:#\w{6},stroke:#\w{6},color:#\w{6}(,stroke-dasharray:6 4)?",
}


def kinds(text: str) -> list[str]:
    """Return what each line below the title is."""
    head, *lines = text.splitlines()[0:1] + text.splitlines()[3:]
    assert head == "---"
    found = []
    for line in lines:
        matching = [kind for kind, pattern in LINES.items() if re.fullmatch(pattern, line)]
        assert len(matching) == 1, line
        found += matching
    return found


def test_each_line_is_one_of_the_language() -> None:
    """Whatever users write stays inside of quotes."""
    found = kinds(to_mermaid(MAP))
    counts = {kind: found.count(kind) for kind in LINES}
    assert counts["node"] == len(MAP.nodes)
    assert (counts["subgraph"], counts["end"]) == (3, 3)
    assert (counts["control"], counts["loop"], counts["data"]) == (2, 1, 2)
    assert counts["class"] == len(DEGREES)


def test_every_name_is_one_that_was_introduced() -> None:
    """Edges join nodes of the text, nodes have a class of the text."""
    text = to_mermaid(any_map(4, nodes=40, phases=4, edges=60))
    nodes = set(re.findall(r"^    (n\d+)\(", text, re.MULTILINE))
    ends = re.findall(r"^  (n\d+) .* (n\d+)$", text, re.MULTILINE)
    assert {end for pair in ends for end in pair} <= nodes
    assert set(re.findall(r":::(\w+)", text)) <= set(re.findall(r"classDef (\w+)", text))


def test_special_characters_are_written_as_codes() -> None:
    """A quote would end the label, a number sign begin a code."""
    text = to_mermaid(process_map(node("a", name='say "x" #1 <br>'), node("b"), edges=(Edge(source="a", target="b"),)))
    assert 'n1("say #quot;x#quot; #35;1 #lt;br#gt;<br/>(S) ML")' in text
