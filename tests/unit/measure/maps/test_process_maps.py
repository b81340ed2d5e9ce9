"""Maps from files: each mistake with its message, and what is written reads back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import ConfigInvalid
from ratchet.measure.maps.process_maps import (
    NODES_AT_MOST,
    Binding,
    Edge,
    ProcessMap,
    find_circle,
    from_record,
    load,
    parse,
    to_toml,
)
from ratchet.measure.maps.recording import to_data
from tests.maps import any_map, node, process_map

HEAD = '[map]\nid = "flights"\nversion = 1\nkind = "current"\n'
NODE = (
    '\n[[node]]\nid = "{0}"\nphase = "Build"\nname = "Do {0}"\npurpose = "Get it done."\n'
    'roles = ["ML engineer"]\ndegree = "automated"\n'
)
EDGE = '\n[[edge]]\nfrom = "{}"\nto = "{}"\n'
GOOD = HEAD + NODE.format("a") + NODE.format("b") + NODE.format("c")


def read(text: str) -> ProcessMap:
    """Return the map of a text."""
    return parse(text.encode(), where="map.toml")


def refused(text: str) -> str:
    """Return why a text is refused."""
    with pytest.raises(ConfigInvalid) as error:
        read(text)
    return str(error.value)


def test_a_map_is_read() -> None:
    """Nodes, edges and bindings come as they stand in the file."""
    text = GOOD.replace(
        'degree = "automated"\n', 'degree = "absent"\nbenefit = "Less work."\nbound_to = { stage = "train" }\n', 1
    )
    text += EDGE.format("a", "b") + EDGE.format("b", "c") + 'kind = "data"\nartifact = "model"\n'
    found = read(text + EDGE.format("c", "a") + "loop = true\n")
    assert [one.id for one in found.nodes] == ["a", "b", "c"]
    assert found.nodes[0].bound_to == Binding(stage="train")
    assert found.edges == (
        Edge(source="a", target="b"),
        Edge(source="b", target="c", kind="data", artifact="model"),
        Edge(source="c", target="a", loop=True),
    )
    assert (found.phases, found.version, found.reference) == (("Build",), "1", "flights-current@1")
    assert found.count_by_degree()["automated"] == 2


BAD = {
    "no table [map]": (NODE.format("a"), "map.toml:1: 'map' is missing. Begin with a table [map]"),
    "no version": (HEAD.replace("version = 1\n", ""), "map.toml:1: 'version' is missing."),
    "odd kind": (
        HEAD.replace("current", "past"),
        "map.toml:4: 'kind' is 'past'. Write one of: current, target, candidate.",
    ),
    "odd id": (HEAD.replace('"flights"', '"a b"'), "map.toml:2: 'id' is 'a b'. Write letters"),
    "no node": (HEAD, "map.toml:1: 'node' is missing. Write at least one table [[node]]."),
    "unknown role": (
        GOOD.replace('["ML engineer"]', '["wizard"]', 1),
        "map.toml:11: 'roles' names an unknown role, 'wizard'. Allowed: data scientist, ML engineer, data analyst, "
        "data curator, domain expert, product engineer, DevOps, application owner, business owner, security, legal.",
    ),
    "no role": (GOOD.replace('["ML engineer"]', "[]", 1), "map.toml:11: 'roles' names nobody."),
    "role twice": (
        GOOD.replace('["ML engineer"]', '["legal", "legal"]', 1),
        "map.toml:11: 'roles' names a role twice.",
    ),
    "unknown degree": (
        GOOD.replace('"automated"', '"often"', 1),
        "map.toml:12: 'degree' is 'often'. Write one of: automated, semi-automated, non-repeatable, "
        "exceptionally manual, absent, unmeasured.",
    ),
    "no purpose": (
        GOOD.replace('purpose = "Get it done."\n', "", 1),
        "map.toml:6: 'purpose' is missing. Say in one sentence what 'Do a' is for.",
    ),
    "two sentences": (
        GOOD.replace("Get it done.", "Get it done. Then rest.", 1),
        "map.toml:10: 'purpose' has more than one sentence.",
    ),
    "several lines": (
        GOOD.replace('"Get it done."', '"Get\\nit."', 1),
        "map.toml:10: 'purpose' goes over several lines.",
    ),
    "absent without benefit": (
        GOOD.replace('"automated"', '"absent"', 1),
        "map.toml:6: 'benefit' is missing. Say what an absent process would bring",
    ),
    "double id": (
        GOOD + NODE.format("b"),
        "map.toml:31: 'id' is 'b', as is that of 'Do b'. Give each node an id of its own.",
    ),
    "phase not named": (
        GOOD.replace('kind = "current"', 'kind = "current"\nphases = ["Run"]'),
        "map.toml:9: 'phase' is 'Build'. [map] names these phases: Run.",
    ),
    "unknown key": (GOOD.replace("degree =", "color = 1\ndegree =", 1), "map.toml:12: 'color' is not part of a node."),
    "long name": (GOOD.replace("Do a", "x" * 61, 1), "map.toml:9: 'name' has 61 characters. At most 60 fit"),
    "edge to nowhere": (
        GOOD + EDGE.format("a", "bb"),
        "map.toml:32: 'to' leads nowhere: there is no node 'bb'. Did you mean 'b'?",
    ),
    "circle": (
        GOOD + EDGE.format("a", "b") + EDGE.format("b", "c") + EDGE.format("c", "a"),
        "map.toml:39: 'from' closes a circle of control: a -> b -> c -> a. Write loop = true at the edge",
    ),
    "circle of one": (GOOD + EDGE.format("b", "b"), "map.toml:31: 'from' closes a circle of control: b -> b."),
    "edge twice": (
        GOOD + EDGE.format("a", "b") + EDGE.format("a", "b"),
        "map.toml:35: 'from' and 'to' join a and b a second time. Keep one.",
    ),
    "data without artifact": (
        GOOD + EDGE.format("a", "b") + 'kind = "data"\n',
        "map.toml:30: 'artifact' is missing.",
    ),
    "artifact of control": (
        GOOD + EDGE.format("a", "b") + 'artifact = "x"\n',
        "map.toml:33: 'artifact' belongs to an edge of data.",
    ),
    "odd loop": (GOOD + EDGE.format("a", "b") + "loop = 1\n", "map.toml:33: 'loop' is 1. Write true"),
    "bound to both": (
        GOOD + 'bound_to = { stage = "train", event = "run.finished" }\n',
        "map.toml:29: 'bound_to' must name a stage or an event, and not both.",
    ),
    "bound to no stage": (
        GOOD + 'bound_to = { stage = "trane" }\n',
        "map.toml:29: 'stage' is 'trane'. Write one of: data, train,",
    ),
    "bound to no event": (
        GOOD + 'bound_to = { event = "run.finish" }\n',
        "map.toml:29: 'event' is 'run.finish', which is no event type. Did you mean 'run.finished'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_with_its_line_and_the_remedy(case: str) -> None:
    """Each mistake has a message that says where it is and what is allowed."""
    text, says = BAD[case]
    assert refused(text).startswith(says)


def test_circles_of_data_and_marked_loops_are_allowed() -> None:
    """Work goes in circles; only control has to say so."""
    text = GOOD + EDGE.format("a", "b") + EDGE.format("b", "a") + "loop = true\n"
    read(text + EDGE.format("b", "a") + 'kind = "data"\nartifact = "report"\n')


def test_a_map_has_a_limit() -> None:
    """Five hundred nodes are read, one more is refused."""
    many = HEAD + "".join(NODE.format(f"n{number}") for number in range(NODES_AT_MOST))
    assert len(read(many).nodes) == NODES_AT_MOST
    assert "'node' stands there 501 times. A map has at most 500 nodes." in refused(many + NODE.format("more"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says how to begin."""
    with pytest.raises(ConfigInvalid, match="ratchet assess init"):
        load(tmp_path / "none.toml")


def test_the_digest_is_that_of_the_content() -> None:
    """Comments and spaces change nothing, a word does."""
    digest = read(GOOD).digest
    assert read(f"# a note\n{GOOD}\n\n").digest == digest
    assert read(GOOD.replace("Do a", "Do A")).digest != digest


@pytest.mark.parametrize("seed", range(8))
def test_what_is_written_reads_back_as_the_same_map(seed: int) -> None:
    """As TOML and as the record of an event."""
    made = any_map(seed, nodes=4 + 5 * seed, phases=1 + seed % 4, edges=5 * seed)
    assert read(to_toml(made)) == made
    assert from_record(to_data(made)["map"]) == made


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40).map(str.strip))
def test_any_text_survives_the_file(text: str) -> None:
    """Quotes, backslashes and all letters come back as they were."""
    if text:
        one = process_map(node("a", name=text, note=text, owner=text))
        assert read(to_toml(one)) == one


def test_find_circle_names_the_circle_and_not_the_way_to_it() -> None:
    """What only leads into a circle is no part of it."""
    edges = [Edge(source=one, target=other) for one, other in ("ab", "bc", "cd", "db")]
    assert [edge.source for edge in find_circle(list("abcd"), edges)] == ["b", "c", "d"]
    assert find_circle(list("abcd"), edges[:3]) == []
