"""Refusals of importers: each crosses processes, and says what to do."""

import pickle

import pytest

from ratchet.errors import RatchetError
from ratchet.importers import refusals

EXAMPLES = [
    refusals.ExportUnreadable(file="f", problem="p", remedy="Do it."),
    refusals.RecordInvalid(file="f", number=3, field="a.b", problem="is missing", remedy="Do it."),
    refusals.SourceUnreachable(address="http://x", problem="p", remedy="Do it."),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_refusal_survives_the_way_between_processes(error: RatchetError) -> None:
    """Rebuilt from its fields, it says the same."""
    rebuilt = pickle.loads(pickle.dumps(error))  # noqa: S301, our own bytes
    assert (type(rebuilt), str(rebuilt)) == (type(error), str(error))
    assert str(error).endswith("Do it.")
