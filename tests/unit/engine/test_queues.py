"""Lines by demand, and the places in them."""

import threading

import pytest

from ratchet.engine.capacity import Demand
from ratchet.engine.queues import RUNS, Slots, demand_of, queue_of_steps
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
