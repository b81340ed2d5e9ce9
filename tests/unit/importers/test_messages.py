"""Messages: whole and once."""

import msgspec
import pytest

from ratchet.errors import LedgerConflict
from ratchet.importers.messages import deliver, named_by_sender
from ratchet.importers.readings import Place, read
from ratchet.importers.tables import kinds
from ratchet.records import Actor
from tests.unit.importers.shapes import WITNESS, Desk, run, types_of


def _events(**changes: object) -> tuple:  # type: ignore[type-arg]  # of events
    found = read(
        kinds("github"), "run", run(1, **changes), place=Place(file="f", number=1), sections={}, witness=WITNESS
    )
    return named_by_sender(found, "message-1", "digest")


def test_all_events_of_a_message_are_new_or_known(desk: Desk) -> None:
    """The second time nothing is new."""
    assert [new for _, new in deliver(desk.database, desk.ledger, _events())] == [True] * 4
    assert [new for _, new in deliver(desk.database, desk.ledger, _events())] == [False] * 4


def test_a_conflict_takes_nothing_of_the_message(desk: Desk) -> None:
    """Also the parts that would be new stay out."""
    first = _events(status="in_progress", conclusion=None)
    deliver(desk.database, desk.ledger, first)
    with pytest.raises(LedgerConflict, match="message-1 of source github/example/churn is in the ledger"):
        deliver(desk.database, desk.ledger, _events(head_sha="f" * 40))
    assert types_of(desk.events()) == [*types_of(first), *["ledger.conflict.detected"] * 2]


def test_the_main_event_has_the_senders_name(desk: Desk) -> None:
    """What follows names it as its cause; what it follows keeps its own."""
    start, queued, started, finished = _events()
    assert (queued.id, queued.causationid, queued.data["message_digest"]) == ("message-1", start.id, "digest")
    assert (started.causationid, finished.causationid) == ("message-1", started.id)
    assert "message_digest" not in started.data


def test_a_message_that_only_begins_something_keeps_its_start() -> None:
    """Where there is no event but the start, there is none to name."""
    found = read(kinds("github"), "run", run(1), place=Place(file="f", number=1), sections={}, witness=WITNESS)
    alone = msgspec.structs.replace(found, events=found.events[:1], actor=Actor())
    assert named_by_sender(alone, "message-1", "digest") == found.events[:1]
