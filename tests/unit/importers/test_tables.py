"""The tables that ship: each line means something."""

from typing import get_args

import msgspec
import pytest

from ratchet import config
from ratchet.importers import tables
from ratchet.importers.tables import Kind

SYSTEMS = sorted(path.stem for path in tables.FOLDER.glob("*.toml") if path.name != tables.STAGES_FILE)


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_table_loads(system: str) -> None:
    """No unknown key, no unknown event type, no phase without a moment."""
    for kind in tables.kinds(system).values():
        assert {phase for row in kind.state for phase in row.phases} <= set(kind.times)
        assert kind.event or kind.state


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_no_row_names_is_unknown(system: str) -> None:
    """The last row of the initiators says nothing of its own, or there is none that would catch all others."""
    for kind in tables.kinds(system).values():
        for row in kind.initiator:
            assert row.when or row.inherits or row.trigger == "unknown"


def test_the_stages_are_those_that_settings_may_name() -> None:
    """A stage of ``ratchet.toml`` has its events, and a table of events has its stage."""
    assert set(tables.stages()) == {*get_args(config.ImportStage), tables.UNKNOWN_STAGE}


def test_each_system_has_settings() -> None:
    """A table has its section in ``ratchet.toml``, and the other way round."""
    assert set(SYSTEMS) == set(get_args(config.ImportSystem))


def test_a_wrong_key_in_a_table_is_seen() -> None:
    """A misspelt row does not pass for an empty one."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `trigge`"):
        msgspec.convert({"source": "s", "key": "k", "name": "n", "initiator": [{"trigge": "schedule"}]}, Kind)
