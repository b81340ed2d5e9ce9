"""What is refused says why and what to do."""

import inspect

import pytest

from ratchet.errors import RatchetError
from ratchet.measure.evaluations import refusals

KINDS = [kind for _, kind in inspect.getmembers(refusals, inspect.isclass) if issubclass(kind, RatchetError)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not RatchetError], ids=lambda kind: kind.__name__)
def test_each_refusal_names_a_way_on(kind: type[RatchetError]) -> None:
    """A command, a file to change, or what is known."""
    assert any(word in kind.template for word in ("ratchet evaluate", "evaluation.toml", "It has:", "Write", "Choose"))
