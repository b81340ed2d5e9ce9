"""What KPIs read of the ledger, and what it looked like at a moment."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.measure.kpis.facts import Facts, OfTypes
from ratchet.records import Event
from tests.ledgers import START, LedgerBuilder


def folded(ledger: LedgerBuilder) -> Facts:
    """Return all events of a ledger folded."""
    facts = Facts()
    facts.fold(ledger.events)
    return facts


def test_redelivery_changes_nothing() -> None:
    """An event that comes again is not counted again, in no table."""
    ledger = LedgerBuilder()
    ledger.add("usage.recorded", "delays", {"count": 3})
    facts = folded(ledger)
    assert facts.fold(ledger.events) == 0
    assert facts.as_of(ledger.now).usage.number("count").tolist() == [3.0]


def test_a_view_sees_what_was_recorded_by_then_in_the_order_of_its_own_time() -> None:
    """A late event is there from its recording on, at the place where it belongs."""
    ledger = LedgerBuilder()
    first = ledger.add("code.pushed", "a")
    late = ledger.wait(days=2).add("code.pushed", "b", time=START - timedelta(days=3))
    facts = folded(ledger)
    before, after = facts.as_of(first.recordedtime), facts.as_of(ledger.now)
    assert [event.id for event in before.of("code.pushed")] == [first.id]
    assert [event.id for event in after.of("code.pushed")] == [late.id, first.id]
    assert (before.first_at, after.first_at) == (first.time, late.time)
    assert after.last_active(ledger.pipeline) == first.time


def test_events_of_several_types_come_in_one_order() -> None:
    """Types that are asked for together are merged by time."""
    ledger = LedgerBuilder()
    made = [ledger.add(kind, kind) for kind in ("code.pushed", "custom.emitted", "code.pushed")]
    found = folded(ledger).as_of(ledger.now).of("custom.emitted", "code.pushed")
    assert [event.id for event in found] == [event.id for event in made]


def test_a_chain_is_broken_until_its_cause_comes() -> None:
    """A cause that arrives late mends the chain from then on; what was said before stays true of then."""
    ledger = LedgerBuilder()
    orphan = ledger.add("run.queued", "r", causationid="LATE")
    lost = ledger.add("run.queued", "s", causationid="NEVER", source="scheduler")
    ledger.add("model.version.registered", "m", cause=lost, source="registry")
    middle = ledger.now
    ledger.wait(hours=1).add("command.issued", "x", id="LATE")
    facts = folded(ledger)
    assert [event.id for event in facts.as_of(middle).broken_chains] == [orphan.id, lost.id]
    assert [event.id for event in facts.as_of(ledger.now).broken_chains] == [lost.id]


def test_a_chain_is_read_once_where_nothing_can_change_it() -> None:
    """A view that is asked again, or a later one, gives the same chain; a missing cause is looked for each time."""
    ledger = LedgerBuilder()
    start = ledger.command()
    middle = ledger.add("run.queued", "r", cause=start)
    end = ledger.add("run.finished", "r", cause=middle)
    lost = ledger.add("run.failed", "q", causationid="E00005")
    facts = Facts()
    facts.fold(ledger.events)
    before = facts.as_of(ledger.now)
    for event, expected in ((middle, [middle, start]), (end, [end, middle, start]), (lost, [lost])):
        for _ in range(2):
            assert list(before.chain(event)) == expected == before.snapshot.chain(event)
    cause = ledger.add("run.queued", "q")
    facts.fold([cause])
    assert cause.id == "E00005"
    assert list(before.chain(lost)) == [lost]
    assert list(facts.as_of(ledger.now).chain(lost)) == [lost, cause]
    assert list(facts.as_of(ledger.now).chain(end)) == [end, middle, start]


def test_what_was_made_of_a_view_is_made_once() -> None:
    """Several KPIs share what is worked out from a view."""
    ledger = LedgerBuilder()
    ledger.command()
    view, calls = folded(ledger).as_of(ledger.now), list[Event]()
    for _ in range(2):
        assert view.once("commands", lambda seen: calls.append(seen.of("command.issued")[0]) or len(calls)) == 1


def test_what_was_made_of_some_types_is_taken_over_while_they_are_the_same() -> None:
    """A later view takes over what was made of events that it sees as well, until it sees others."""
    ledger, facts, made = LedgerBuilder(), Facts(), list[int]()
    facts.fold([ledger.command()])

    def count(seen: OfTypes) -> int:
        made.append(1)
        return len(seen.of("command.issued"))

    def ask(at: timedelta = timedelta()) -> tuple[int, int]:
        made.clear()
        return facts.as_of(ledger.now + at).made("commands", count, of=("command.issued",)), len(made)

    assert ask() == (1, 1)
    assert ask(timedelta(days=1)) == (1, 0)
    facts.fold([ledger.add("run.queued", "r")])
    assert ask() == (1, 0)
    facts.fold([ledger.command()])
    assert ask() == (2, 1)
    assert ask(-timedelta(seconds=1)) == (1, 1)
    assert ask() == (2, 0)
    late = replace(ledger.command(), source="elsewhere", evidence="imported", time=START)
    facts.fold([late])
    assert ask() == (3, 1)
    assert ask(-timedelta(seconds=1)) == (3, 1)


@pytest.mark.parametrize("is_nested", [False, True])
def test_what_rests_on_a_cause_that_is_missing_is_made_again(is_nested: bool) -> None:
    """A chain that a further event can mend is no ground to stand on, nor is what was made of one."""
    ledger, facts = LedgerBuilder(), Facts()
    facts.fold([ledger.add("run.queued", "q", causationid="E00003"), ledger.add("custom.emitted", "x")])

    def lengths(seen: OfTypes) -> list[int]:
        if is_nested:
            return seen.made("inner", inner, of=("run.queued",))
        return inner(seen)

    def inner(seen: OfTypes) -> list[int]:
        return [len(seen.chain(event)) for event in seen.of("run.queued")]

    def ask() -> list[int]:
        return facts.as_of(ledger.now).made("lengths", lengths, of=("run.queued",))

    assert ask() == [1]
    facts.fold([ledger.command()])
    assert ask() == [2]


def test_what_is_not_named_is_not_read() -> None:
    """What is made of some types for all views must not read others, else it would stay when those change."""
    ledger, facts = LedgerBuilder(), Facts()
    facts.fold([ledger.command()])
    view = facts.as_of(ledger.now)
    with pytest.raises(AssertionError, match="not named"):
        view.made("a", lambda seen: seen.of("run.queued"), of=("command.issued",))
    with pytest.raises(AssertionError, match="not named"):
        view.made("b", lambda seen: seen.made("c", lambda _: 1, of=("run.queued",)), of=("command.issued",))


def test_an_empty_ledger_has_no_first_event() -> None:
    """Nothing is nothing, not the beginning of time."""
    view = Facts().as_of(START)
    assert (view.seq, view.first_at, view.pipelines, view.broken_chains) == (0, None, (), [])


def test_imported_history_is_seen_at_its_own_time() -> None:
    """A year that is imported today has its months; what is metered here is seen from its recording on."""
    ledger = LedgerBuilder()
    told: list[Event] = []
    for days in (300, 200):
        at = START - timedelta(days=days)
        told.append(ledger.add("code.pushed", "a", source="github", time=at, evidence="imported", causationid="LOST"))
    ledger.add("usage.recorded", "delays", {"count": 3})
    view = folded(ledger).as_of(START - timedelta(days=250))
    assert view.of("code.pushed") == view.broken_chains == told[:1]
    assert (view.pipelines, view.usage.number("count").tolist()) == ((ledger.pipeline,), [])
    assert (view.first_at, view.last_active(ledger.pipeline)) == (told[0].at, told[0].at)
    assert view.count_from("github", told[0].at, START) == 1
    assert folded(ledger).as_of(START - timedelta(days=250), seq=0).of("code.pushed") == []
