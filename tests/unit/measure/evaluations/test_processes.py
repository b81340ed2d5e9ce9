"""The processes of maps: their degrees, and how far one is below another."""

import pytest

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations.processes import KNOWN, parse, steps_below


@pytest.mark.parametrize(
    ("found", "wanted", "steps"),
    [
        ("automated", "automated", 0),
        ("semi-automated", "automated", 1),
        ("non-repeatable", "automated", 2),
        ("exceptionally manual", "automated", 3),
        ("absent", "automated", 4),
        ("exceptionally manual", "semi-automated", 2),
        ("automated", "semi-automated", 0),
        ("unmeasured", "automated", 0),
        ("absent", "unmeasured", 0),
    ],
)
def test_steps_are_counted_upwards_only(found: str, wanted: str, steps: int) -> None:
    """What is beyond its target is not set off against what is short, and what is unknown is not counted."""
    assert steps_below(found, wanted) == steps


def test_only_names_and_degrees_are_read() -> None:
    """The other keys of a map belong to its drawing; without a degree a process is unmeasured."""
    content = b'[map]\nid = "m"\n[[node]]\nid = "a"\nphase = "p"\ndegree = "absent"\n[[node]]\nid = "b"\nname = "B"\n'
    read = parse(content, where="m.toml")
    assert [(one.id, one.name, one.degree) for one in read.every] == [("a", "a", "absent"), ("b", "B", "unmeasured")]
    assert read.counts() == {**dict.fromkeys(KNOWN, 0), "absent": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[map]\nid = 'm'\n", "m.toml: has no processes"),
        (b'[[node]]\nid = "a"\ndegree = "automatic"\n', "m.toml:3: 'degree' is 'automatic'. Did you mean 'automated'"),
        (b'[[node]]\nid = "a"\n[[node]]\nid = "a"\n', "m.toml:4: 'id' is 'a' a second time; the first is at m.toml:2"),
        (b'[[node]]\nname = "a"\n', "m.toml:1: 'id' is missing"),
    ],
)
def test_what_is_no_map_is_refused_with_its_line(content: bytes, message: str) -> None:
    """No processes, an unknown degree, one process twice, one without a name."""
    with pytest.raises(ConfigInvalid, match=message):
        parse(content, where="m.toml")
