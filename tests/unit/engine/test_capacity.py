"""Demands and what is left of a machine."""

import threading

import pytest

from ratchet.engine.capacity import Budget, Capacity, Demand, capacity_of_this_machine
from tests.waiting import until

SMALL = Capacity(runs=1, cpu=2.0, memory_gb=8.0, gpu=2)


def test_a_demand_reads_as_it_is_written() -> None:
    """What is not needed is not said."""
    assert Demand(cpu=2, memory_gb=8, gpu=1).text == "cpu=2 memory_gb=8 gpu=1"
    assert Demand(cpu=0.5).text == "cpu=0.5"


def test_this_machine_has_processors_and_memory() -> None:
    """What a process gives by default is what it has."""
    found = capacity_of_this_machine(runs=3)
    assert (found.runs, found.cpu >= 1, found.memory_gb > 0) == (3, True, True)


@pytest.mark.parametrize(
    ("demand", "room"),
    [
        (Demand(cpu=1), 2),
        (Demand(cpu=0.5), 2),  # threads are not given without end
        (Demand(cpu=2, memory_gb=4), 1),
        (Demand(cpu=0, memory_gb=3), 2),
        (Demand(cpu=1, gpu=2), 1),
        (Demand(cpu=3), 0),
        (Demand(cpu=1, memory_gb=9), 0),
        (Demand(cpu=1, gpu=3), 0),
    ],
)
def test_room_is_what_fits_of_the_scarcest(demand: Demand, room: int) -> None:
    """As many steps fit as the resource that is used up first allows."""
    assert Budget(SMALL).room(demand) == room


def test_what_is_held_is_not_there_for_others() -> None:
    """Room shrinks while something is held, whatever the demand of the next one, and comes back."""
    budget = Budget(SMALL)
    with budget.hold(Demand(cpu=1.5, memory_gb=6)):
        assert (budget.room(Demand(cpu=1)), budget.room(Demand(cpu=0.5, memory_gb=2))) == (0, 1)
    assert budget.room(Demand(cpu=1)) == 2


def test_no_accelerator_is_given_to_two() -> None:
    """Each holder gets numbers of its own, and they are given again afterwards."""
    budget = Budget(SMALL)
    with budget.hold(Demand(cpu=0.5, gpu=1)) as first, budget.hold(Demand(cpu=0.5, gpu=1)) as second:
        assert sorted(first + second) == [0, 1]
        assert budget.room(Demand(cpu=0.5, gpu=1)) == 0
    with budget.hold(Demand(gpu=2)) as both:
        assert both == (0, 1)


def test_who_does_not_fit_waits_until_it_does() -> None:
    """A holder that comes too early goes on when the one before is done."""
    budget, entered = Budget(SMALL), threading.Event()

    def second() -> None:
        with budget.hold(Demand(cpu=2)):
            entered.set()

    thread = threading.Thread(target=second)
    with budget.hold(Demand(cpu=1)):
        thread.start()
        assert not entered.wait(0.05)
    until(entered.is_set, "the second holder")
    thread.join()
