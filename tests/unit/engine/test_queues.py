"""Lines by demand, and the places in them."""

import threading

import pytest

from ratchet.engine.capacity import Demand
from ratchet.engine.queues import GATHERING_SECONDS, RUNS, Slots, _Bell, demand_of, queue_of_steps
from tests.waiting import until


@pytest.mark.parametrize("demand", [Demand(), Demand(cpu=0.25), Demand(cpu=0, gpu=2), Demand(cpu=8, memory_gb=31.5)])
def test_the_name_of_a_line_says_what_its_steps_need(demand: Demand) -> None:
    """Whoever sees the line in the database knows whether it may take from it."""
    assert demand_of(queue_of_steps(demand)) == demand


def test_other_lines_have_no_demand() -> None:
    """Runs and reactions are no steps."""
    assert demand_of(RUNS.name) is None


def test_places_are_given_back() -> None:
    """As many hold a place as there are, and the next one waits for one of them."""
    slots, entered = Slots(1), threading.Event()

    def second() -> None:
        with slots.hold():
            entered.set()

    thread = threading.Thread(target=second)
    with slots.hold():
        assert slots.free() == 0
        thread.start()
        assert not entered.wait(0.05)
    until(entered.is_set, "the second holder")
    thread.join()
    assert slots.free() == 1


def test_no_place_means_none_is_free() -> None:
    """A server that leaves runs to others takes none."""
    assert Slots(0).free() == 0


def test_an_urgent_ring_ends_the_waiting_at_once() -> None:
    """One that is not lets what else may come in a moment come; neither ends the thread."""
    bell, waited = _Bell(), threading.Event()
    bell.ring(is_urgent=False)
    thread = threading.Thread(target=lambda: [bell.wait(60), waited.set()])
    thread.start()
    bell.ring()
    thread.join()
    assert waited.is_set()
    assert not bell.is_set()
    bell.ring(is_urgent=False)
    assert not bell.wait(60)
    bell.set()
    assert bell.wait(60)
    assert GATHERING_SECONDS < 0.1  # what a line without any ring waits for
