"""What a waiting job lacks."""

import re

import msgspec
import pytest

from ratchet.engine import workers
from ratchet.engine.capacity import Capacity, Demand
from ratchet.engine.queues import queue_of_steps
from ratchet.engine.stranded import Stranded, complaints, why_nobody
from ratchet.engine.workers import Worker

NOW = "interpreter-2"
WORKER = workers.this_process("worker", capacity=Capacity(runs=1, cpu=2, memory_gb=8), interpreter=NOW, worker_id="w1")
SERVER = msgspec.structs.replace(WORKER, id="s1", kind="server", capacity=Capacity(runs=0, cpu=0))
GPU = queue_of_steps(Demand(cpu=1, gpu=1))


@pytest.mark.parametrize(
    ("queue", "version", "alive", "reason"),
    [
        ("reactions", NOW, [SERVER], ""),
        ("reactions", NOW, [WORKER], "no server runs"),
        ("runs", NOW, [SERVER, WORKER], ""),
        ("runs", NOW, [SERVER], "no process carries out runs"),
        ("runs", NOW, [], "no process carries out runs"),
        (queue_of_steps(Demand(cpu=2)), NOW, [WORKER], ""),
        (GPU, NOW, [WORKER], r"no process has cpu=1 gpu=1 \(w1 gives cpu=2 memory_gb=8\)"),
        (GPU, NOW, [SERVER], r"no process has cpu=1 gpu=1 \(s1 gives nothing\)"),
        (GPU, NOW, [], r"no process has cpu=1 gpu=1 \(none runs\)"),
        ("runs", "interpreter-1", [WORKER], "needs interpreter-1 of the engine, and what runs is interpreter-2"),
        ("runs", "", [WORKER], "needs an unknown version"),
    ],
)
def test_the_reason_names_what_is_missing(queue: str, version: str, alive: list[Worker], reason: str) -> None:
    """A job that somebody would take has no reason; any other says what to start."""
    found = why_nobody(queue, version, alive)
    assert bool(found) == bool(reason)
    assert re.search(reason, found), found


def test_a_worker_of_the_right_version_is_enough() -> None:
    """Old and new workers may run side by side while a fleet is brought up to date."""
    old = msgspec.structs.replace(WORKER, id="w0", interpreter="interpreter-1")
    assert why_nobody("runs", "interpreter-1", [WORKER, old]) == ""


def test_only_what_has_waited_for_a_while_is_said() -> None:
    """A process that is just starting is not missed."""
    found = [Stranded(job_id=name, since_seconds=since, reason="r") for name, since in (("old", 10.0), ("new", 98.0))]
    assert complaints(found, now_seconds=100.0) == ["old waits: r"]
