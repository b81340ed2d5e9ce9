"""The ledger as a list, as lines of JSON, and as a tree of causes."""

import json

import pytest

from ratchet.catalogue import EVENT_TYPES
from ratchet.records import Event
from tests.unit.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("project")


def test_list_ends_with_the_newest(call: Call) -> None:
    """Like a log: what happened last stands at the end, numbered as in the ledger."""
    lines = call("events", "--limit", "3").out.splitlines()
    assert lines[0].split() == ["#", "TIME", "TYPE", "SUBJECT", "BY"]
    numbers = [int(line.split()[0]) for line in lines[1:]]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3
    assert all(len(line) <= 80 for line in lines)


def test_json_is_one_event_a_line_under_the_names_of_the_envelope(call: Call) -> None:
    """What is printed can be read back."""
    lines = call("events", "--json").out.splitlines()
    assert all(set(json.loads(line)) == set(Event.__struct_fields__) for line in lines)


def test_filters_join(call: Call) -> None:
    """Type, by its short name or its name on the wire, and pipeline."""
    found = call("events", "--type", "dev.ratchet.run.queued.v1", "--pipeline", "returns", "--json").out.splitlines()
    assert [json.loads(line)["type"] for line in found] == ["run.queued"]


def test_nothing_found_is_said(call: Call) -> None:
    """An empty answer is no mistake, and is not silent."""
    answer = call("events", "--type", "deployment.failed")
    assert answer.code == 0
    assert answer.out == "No events of deployment.failed.\n"


def test_misspelt_type_is_answered_with_the_nearest(call: Call) -> None:
    """One line, code 1."""
    answer = call("events", "--type", "run.finishd")
    assert answer.code == 1
    assert "Did you mean 'run.finished'?" in answer.err


def test_one_event_stands_between_its_causes_and_what_it_caused(call: Call) -> None:
    """The chain goes up to the root and down to what followed."""
    queued = json.loads(call("events", "--type", "run.queued", "--json").out)
    shown = call("events", queued["id"]).out
    causes, _, effects = shown.partition("Why it happened")[2].partition("What it led to")
    assert kinds_of(causes) == ["command.issued", "run.queued"]
    assert kinds_of(effects) == ["run.queued", "run.finished", "gate.evaluated", "monitor.alert.raised"]


def kinds_of(tree: str) -> list[str]:
    """Return the types that stand in a chain or tree, from above."""
    return [line.partition("#")[2].split()[1] for line in tree.splitlines() if "#" in line]


def test_what_led_to_nothing_says_so(call: Call) -> None:
    """The end of a chain is no empty space."""
    last = json.loads(call("events", "--limit", "1", "--json").out)
    assert call("events", last["id"]).out.endswith("What it led to\nnothing\n")


def test_an_event_can_be_named_by_its_number(call: Call) -> None:
    """The number that lists show is enough."""
    last = json.loads(call("events", "--limit", "1", "--json").out)
    found = json.loads(call("events", f"#{last['seq']}", "--json").out)
    assert found["event"] == last
    assert found["causes"][0]["type"] == "command.issued"
    assert found["caused"] == []


@pytest.mark.parametrize("name", ["0", "9999", "NOTHING"])
def test_an_event_that_is_not_there(call: Call, name: str) -> None:
    """One line, code 1."""
    answer = call("events", name)
    assert answer.code == 1
    assert f"No event named '{name}'" in answer.err


def test_types_are_those_of_the_catalogue(call: Call) -> None:
    """The list is complete, with what is not emitted yet marked."""
    assert [one["type"] for one in json.loads(call("events", "--types", "--json").out)] == list(EVENT_TYPES)
    assert "with canary releases" in call("events", "--types").out
