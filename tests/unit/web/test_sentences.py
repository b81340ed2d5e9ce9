"""Sentences: every event can be told, with all of its payload or with none."""

import pytest

from ratchet.catalogue import EVENT_TYPES
from ratchet.records import Event
from ratchet.web.sentences import sentence

CASES = [
    ("command.issued", "flights", {"action": "start_run"}, "anna asked: start run flights"),
    ("clock.ticked", "train weekly", {}, "The schedule of 'train weekly' came due"),
    ("gate.evaluated", "m@v1", {"decision": "pass"}, "The gate let m@v1 pass"),
    ("gate.evaluated", "m@v1", {"decision": "fail", "reason": "auc 0.6"}, "The gate turned m@v1 back: auc 0.6"),
    ("traffic.shifted", "m", {"weights": {"m@v2": 0.1, "m@v1": 0.9}}, "Traffic of m goes to m@v2 10%, m@v1 90%"),
    ("run.finished", "7GRY5JJ3XKWDJ1G601YEVGKH6X", {"outcome": "success"}, "The run 7GRY5JJ3XK… finished: success"),
    (
        "run.finished",
        "A",
        {"outcome": "success", "cached": [{"step": "split", "from_run": "B"}]},
        "The run A finished: success; taken from other runs: split",
    ),
    (
        "cost.recorded",
        "A",
        {"step": "split", "qty": 1.5, "unit": "s", "resource": "cpu_seconds"},
        "The step split took 1.5 s (cpu_seconds)",
    ),
    (
        "cost.recorded",
        "A",
        {"step": "split", "qty": 0.0, "cached": True, "from_run": "B"},
        "The step split cost nothing: taken from the run B",
    ),
    (
        "monitor.evaluated",
        "m/drift",
        {"status": "ok", "value": 0.05, "threshold": 0.2},
        "Monitor m/drift: ok at 0.05, limit 0.2",
    ),
    ("ownership.changed", "m", {}, "Ownership changed: m"),
]


@pytest.mark.parametrize(("type_", "subject", "data", "expected"), CASES)
def test_events_read_as_sentences(type_: str, subject: str, data: dict[str, object], expected: str) -> None:
    """An event says what happened in plain words."""
    assert sentence(Event(type=type_, subject=subject, data=data), who="anna") == expected


@pytest.mark.parametrize("type_", sorted(EVENT_TYPES))
def test_every_type_can_be_told_without_its_payload(type_: str) -> None:
    """An erased or foreign payload leaves a sentence, for every type of the catalogue."""
    assert sentence(Event(type=type_, subject="it"), who="somebody")
