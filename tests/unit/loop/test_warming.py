"""What is gone through before anybody asks for a step."""

from ratchet.loop import step_code, warming
from ratchet.loop.pipelines import code_digest
from ratchet.preload import MODULES


def test_a_rehearsed_step_leaves_what_was_looked_up_once() -> None:
    """Its source and the installed libraries are known afterwards, and whoever forks children goes through it."""
    code_digest.cache_clear()
    step_code._installed.cache_clear()
    warming.warm_up()
    assert code_digest.cache_info().currsize == 1
    assert step_code._installed.cache_info().currsize > 0
    looked_up = step_code._installed.cache_info().misses
    warming.warm_up()
    assert step_code._installed.cache_info().misses == looked_up
    assert "ratchet.loop.warming" in MODULES
