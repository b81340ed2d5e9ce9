"""Rules are checked without being put in force, and rings of rules are named."""

import json
from pathlib import Path

from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

RING = '\n[[rule]]\nname = "again"\non = "monitor.evaluated"\ndo = { monitor = "returns" }\n'


def test_a_ring_is_named_and_nothing_is_put_in_force(call: Call, project: Path) -> None:
    """By check, with the file as it is; by the list, once it is in force."""
    where = ("--workspace", str(project))
    quiet = call("rules", "check", *where)
    assert "each means something" in quiet.out
    assert "ring" not in quiet.out
    path = project / "ratchet.toml"
    path.write_text(path.read_text() + RING)
    told = call("rules", "check", *where)
    text = "in a ring: 'again' brings monitor.evaluated, which sets off 'again' again."
    assert told.code == 0
    assert text in " ".join(told.out.split())
    with Workspace(project) as workspace:
        assert "again" not in [rule.name for rule in workspace.rules().rules]
    found = json.loads(call("rules", "check", "--json", *where).out)
    assert [ring["rules"] for ring in found["cycles"]] == [["again"]]
    assert "again" in [rule["name"] for rule in found["rules"]]
    assert text in " ".join(call("rules", *where).out.split())


def test_another_file_is_checked(call: Call, project: Path) -> None:
    """What means nothing is refused with its line."""
    other = project / "other.toml"
    other.write_text(RING)
    assert "1 rule of other.toml" in call("rules", "check", "--file", str(other), "--workspace", str(project)).out
    for key, problem in (
        ('cron = "0 3 * * *"', "'cron' goes with on = \"clock.ticked\""),
        ('at_most = "often"', "'often' is no number of times within a span"),
        ('catch_up = "all"', "'catch_up' is about slots that were missed"),
        ('catch_up = "some"', "Use one of: latest, all, none"),
    ):
        other.write_text(RING + key)
        refused = call("rules", "check", "--file", str(other), "--workspace", str(project))
        assert refused.code == 1
        assert "other.toml:6: " in refused.err
        assert problem in refused.err
