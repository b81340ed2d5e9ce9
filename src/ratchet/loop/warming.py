"""A step that does nothing, gone through before anybody asks for one: what is slow for the first time is done by then.

Invariant: nothing is written; what remains is what was looked up once, and the hook that sees what steps open.
"""

import tempfile

from ratchet.loop.pipelines import code_digest, step
from ratchet.loop.step_code import digest_of_code
from ratchet.loop.step_keys import Keeping
from ratchet.store import storers


def nothing(values: list[int]) -> list[int]:
    """Return what it was given."""
    return values


def warm_up() -> None:
    """Do for a step what is done for every one; called by who forks children, and by a child that is kept in hand.

    The latter has the pages copied by it that every child writes to.
    """
    values = [1]
    step(nothing)
    code_digest(nothing)
    digest_of_code(nothing)
    keeping = Keeping("nothing", nothing, {"values": values}, {"values": {"value": values}}, seed=0)
    with keeping.watched():
        storer, content = storers.dump(nothing(values))
    keeping.note(values, lambda: storers.load(storer, content))
    tempfile.tempdir = None  # looked up by the way; a project may name another one
