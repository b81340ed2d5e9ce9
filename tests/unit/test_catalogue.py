"""The table of event types."""

import re

import pytest

from ratchet.catalogue import EVENT_TYPES, event_type, short_name, wire_name
from ratchet.errors import UnknownEventType

STAGES = {"", "data", "experiment", "design", "train", "evaluate", "deploy", "serve", "monitor", "sample", "label"}


def test_names_have_one_form() -> None:
    """A type is lower case, with at least two parts, and is listed once under its own name."""
    for name, kind in EVENT_TYPES.items():
        assert kind.name == name
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+){1,3}", name), name


def test_stages_are_those_of_the_loop() -> None:
    """Each type belongs to a stage of the loop, or to none."""
    assert {kind.stage for kind in EVENT_TYPES.values()} <= STAGES | {"dataset"}


def test_found_by_both_names() -> None:
    """A type is found by its short name and by its name on the wire."""
    assert event_type("run.finished") is event_type("dev.ratchet.run.finished.v1") is EVENT_TYPES["run.finished"]


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_wire_name_comes_back(name: str) -> None:
    """The name on the wire leads back to the short one."""
    assert short_name(wire_name(name)) == name
    assert wire_name(name) == f"dev.ratchet.{name}.v1"


@pytest.mark.parametrize("name", ["run.finishd", "dev.ratchet.run.finishd.v1", "Run.Finished", "run.finished.v1", ""])
def test_unknown_type_names_the_closest(name: str) -> None:
    """An unknown type is refused and the closest known one is named."""
    with pytest.raises(UnknownEventType) as caught:
        event_type(name)
    assert caught.value.closest in EVENT_TYPES


def test_roots_are_few() -> None:
    """Only commands, clock slots, code, data from outside and declared signals may stand without a cause."""
    assert {name for name, kind in EVENT_TYPES.items() if kind.is_root} == {
        "artifacts.collected",
        "bill.imported",
        "clock.ticked",
        "code.pushed",
        "command.issued",
        "custom.emitted",
        "dataset.check.finished",
        "dataset.version.published",
        "incident.detected",
        "incident.reported",
        "ledger.checkpoint",
        "ledger.conflict.detected",
        "source.cursor",
        "touch.recorded",
    }
