"""The fold of events, its snapshots, and how causes are found."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.measure.history import History, is_backdated, moment_of, stage_of
from ratchet.records import Event
from tests.ledgers import PIPELINE, START, LedgerBuilder


def test_redelivery_adds_nothing() -> None:
    """An event that is here already is not added again."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    history = History()
    assert history.fold(ledger.events) == len(ledger.events)
    assert history.fold(ledger.events) == 0
    assert history.last_seq == len(ledger.events)


def test_new_events_continue_an_old_fold() -> None:
    """Folding in pieces gives what folding at once gives."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    history = History()
    for event in ledger.events:
        assert history.add(event)
    assert history.pipelines == ledger.history().pipelines == (PIPELINE,)


def test_events_out_of_the_ledgers_order_are_a_programmers_error() -> None:
    """The caller reads by cursor, so a lower sequence number means that he lost his place."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    history = History()
    history.add(ledger.events[3])
    with pytest.raises(AssertionError, match="in the order of the ledger"):
        history.add(ledger.events[1])


def test_snapshot_sees_what_was_recorded_until_then() -> None:
    """A snapshot ends at its moment: neither later events nor later causes are seen."""
    ledger = LedgerBuilder()
    first = ledger.command()
    second = ledger.add("run.queued", "r", cause=first)
    snapshot = ledger.history().as_of(first.at)
    assert (snapshot.seq, snapshot.events("run.queued", PIPELINE)) == (1, [])
    assert snapshot.cause(second) == first
    assert ledger.history().as_of(START - timedelta(days=1)).cause(second) is None


def test_chain_ends_at_root_break_or_circle() -> None:
    """The chain of causes always ends."""
    ledger = LedgerBuilder()
    root = ledger.command()
    middle = ledger.add("run.queued", "r", cause=root)
    leaf = ledger.add("run.started", "r", cause=middle)
    snapshot = ledger.history().as_of(ledger.now)
    assert snapshot.chain(leaf) == [leaf, middle, root]
    a = ledger.add("run.queued", "a", id="A", causationid="B")
    b = ledger.add("run.queued", "b", id="B", causationid="A")
    assert ledger.history().as_of(ledger.now).chain(a) == [a, b]


@pytest.mark.parametrize(("minutes", "expected"), [(59, False), (61, True), (-61, True)])
def test_backdating_by_more_than_an_hour_is_flagged(minutes: int, expected: bool) -> None:
    """An event more than an hour from its recording counts as having happened when it was recorded."""
    event = Event(type="t", subject="s", time=START - timedelta(minutes=minutes), recordedtime=START)
    assert is_backdated(event) is expected
    assert moment_of(event) == (START if expected else event.time)


def test_what_was_imported_counts_when_it_happened() -> None:
    """A foreign system's time is believed where we asked it ourselves, and never for a time still to come."""
    a_year_ago = START - timedelta(days=365)
    event = Event(type="t", subject="s", time=a_year_ago, recordedtime=START, evidence="imported")
    assert (is_backdated(event), moment_of(event)) == (False, a_year_ago)
    sent = replace(event, evidence="attested")
    assert (is_backdated(sent), moment_of(sent)) == (True, START)
    ahead = replace(event, time=START + timedelta(hours=2))
    assert (is_backdated(ahead), moment_of(ahead)) == (True, START)


def _imported_year() -> tuple[LedgerBuilder, list[Event]]:
    """Return a ledger of two own events, between which and after which runs of the year before were imported."""
    ledger = LedgerBuilder()
    ledger.command()
    told = []
    for months in (10, 6, 2):
        at = START - timedelta(days=30 * months)
        told.append(
            ledger.add("run.queued", f"r{months}", source="airflow", pipeline="foreign", time=at, evidence="imported")
        )
    ledger.wait(days=40).command()
    return ledger, told


def test_a_moment_before_an_import_sees_what_had_happened_by_then() -> None:
    """Imported history is seen at its own time, own events only from their recording on."""
    ledger, told = _imported_year()
    at = START - timedelta(days=150)
    snapshot = ledger.history().as_of(at)
    assert snapshot.events("run.queued", "foreign") == snapshot.of_pipeline("foreign") == told[:2]
    assert snapshot.from_source("airflow") == snapshot.imported_later == told[:2]
    assert (snapshot.pipelines, snapshot.events("command.issued", ledger.pipeline)) == (("foreign",), [])
    assert (snapshot.first(), snapshot.first("foreign"), snapshot.first(ledger.pipeline)) == (told[0], told[0], None)
    assert snapshot.find(told[1].id, source="airflow") == told[1]
    assert snapshot.find(told[2].id, source="airflow") is None
    now = ledger.history().as_of(ledger.now)
    assert (now.seq, now.recorded_seq, now.imported_later, now.first()) == (5, 5, [], told[0])


def test_moment_and_place_name_what_was_seen() -> None:
    """What was imported since changes no answer that was given with its place in the ledger."""
    ledger, told = _imported_year()
    at = START - timedelta(days=50)
    before = ledger.history().as_of(at)
    assert before.seq == told[2].seq
    late = ledger.add("run.queued", "r3", source="airflow", pipeline="foreign", time=at, evidence="imported")
    history = ledger.history()
    assert history.as_of(at).of_pipeline("foreign") == [*told, late]
    assert history.as_of(at, seq=before.seq).of_pipeline("foreign") == told
    assert history.is_past_rewritten(at, since_seq=before.seq)
    assert not history.is_past_rewritten(at - timedelta(days=1), since_seq=before.seq)
    assert not history.is_past_rewritten(at, since_seq=late.seq)


def test_stage_is_the_catalogues_and_not_the_senders() -> None:
    """A sender cannot move an event to another stage, except for types that belong to none."""
    assert stage_of(Event(type="run.finished", subject="r", stage="data")) == "train"
    assert stage_of(Event(type="custom.emitted", subject="c", stage="deploy")) == "deploy"
    assert stage_of(Event(type="fitness.suite.finished", subject="v", data={"kind": "smoke"})) == "deploy"
    assert stage_of(Event(type="code.pushed", subject="c")) == "code"
