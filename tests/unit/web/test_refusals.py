"""Refusals of the web: each crosses processes, and says what to do."""

import pickle

import pytest

from ratchet.errors import RatchetError
from ratchet.web import refusals

EXAMPLES = [
    refusals.HostRefused(host="evil", known="localhost"),
    refusals.NotPermitted(what="this", reason="So it is.", remedy="Ask."),
    refusals.MediaTypeUnsupported(found="text/plain", known="json"),
    refusals.IdempotencyKeyReused(key="k"),
    refusals.LinkSpent(),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_refusal_survives_the_way_between_processes(error: RatchetError) -> None:
    """Rebuilt from its fields, it says the same."""
    rebuilt = pickle.loads(pickle.dumps(error))  # noqa: S301, our own bytes
    assert (type(rebuilt), str(rebuilt)) == (type(error), str(error))
    assert str(error).endswith(("up` printed.", "Ask.", "json.", "repeat it.", "with a token."))
