"""Values that are computed beside requests: nobody waits too long, and nothing is computed twice."""

import threading

from ratchet import clock
from ratchet.web.background import Background
from tests.waiting import PATIENCE_SECONDS


def _until(seconds: float) -> float:
    return clock.monotonic() + seconds


def test_a_quick_value_is_there_at_once() -> None:
    """Whoever is patient gets the value itself."""
    background = Background("test")
    answer = background.ask("a", 1, lambda: "x", until=_until(PATIENCE_SECONDS))
    assert (answer.value, answer.is_current, answer.problem) == ("x", True, "")


def test_a_state_is_computed_once() -> None:
    """The same state is answered from memory, another one afresh."""
    background = Background("test")
    calls: list[int] = []
    for state in (1, 1, 2, 2):
        background.ask("a", state, lambda: calls.append(1), until=_until(PATIENCE_SECONDS))
    assert len(calls) == 2


def test_nobody_waits_for_a_slow_value() -> None:
    """While a value is computed there is none, then the one before; meanwhile it is not begun again."""
    background = Background("test")
    gate = threading.Event()
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        gate.wait(PATIENCE_SECONDS)
        return len(calls)

    assert background.ask("a", 1, compute, until=0.0).value is None
    assert background.ask("a", 1, compute, until=0.0).value is None
    gate.set()
    assert background.ask("a", 1, compute, until=_until(PATIENCE_SECONDS)).value == 1
    gate.clear()
    stale = background.ask("a", 2, compute, until=0.0)
    assert (stale.value, stale.is_current) == (1, False)
    gate.set()
    assert background.ask("a", 2, compute, until=_until(PATIENCE_SECONDS)).value == 2


def test_a_failure_is_told_and_tried_again() -> None:
    """What went wrong is said, the value before stays, and the next state tries again."""
    background = Background("test")
    background.ask("a", 1, lambda: "good", until=_until(PATIENCE_SECONDS))

    def fail() -> str:
        message = "no more"
        raise ValueError(message)

    answer = background.ask("a", 2, fail, until=_until(PATIENCE_SECONDS))
    assert (answer.value, answer.problem) == ("good", "ValueError: no more")
    assert background.ask("a", 3, lambda: "better", until=_until(PATIENCE_SECONDS)).problem == ""
    background.close()
