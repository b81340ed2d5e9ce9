"""What the chain of causes of each event holds."""

from ratchet.clock import to_us
from ratchet.measure.kpis.logs import NEVER
from ratchet.measure.kpis.traces import EMPTY, OPEN, Trace, Traces, trace_of
from ratchet.records import Event
from tests.ledgers import LedgerBuilder


def traced(events: list[Event]) -> dict[str, Trace]:
    """Return what the causes of each event hold."""
    traces, rows = Traces(), dict[str, int]()
    found = {}
    for event in events:
        cause = rows.get(event.causationid, -1) if event.causationid else None
        found[event.id] = traces.add(event, to_us(event.at), cause)
        rows[event.id] = len(rows)
    assert len(traces) == len(events)
    return found


def test_what_a_cause_holds_is_handed_on() -> None:
    """The nearest push and data, the earliest reason, and whether anything is repaired."""
    ledger = LedgerBuilder()
    push = ledger.add("code.pushed", "p")
    data = ledger.add("dataset.version.published", "d", cause=push)
    second = ledger.add("code.pushed", "q", cause=data)
    trouble = ledger.add("incident.detected", "i", cause=second)
    end = ledger.add("traffic.shifted", "e", cause=trouble)
    found = traced(ledger.events)
    assert found[push.id] == EMPTY
    assert found[end.id] == Trace(
        push_us=to_us(second.at), data_us=to_us(data.at), reason_us=to_us(push.at), reason_id=push.id, is_repair=True
    )
    assert not found[trouble.id].is_repair
    assert found[end.id] == trace_of([trouble, second, data, push])


def test_of_two_reasons_at_one_moment_the_nearer_one_began() -> None:
    """As where the chain is walked from its end."""
    ledger = LedgerBuilder()
    push = ledger.add("code.pushed", "p")
    data = ledger.add("dataset.version.published", "d", cause=push, time=push.time)
    end = ledger.add("traffic.shifted", "e", cause=data)
    assert traced(ledger.events)[end.id].reason_id == data.id


def test_behind_a_cause_that_is_missing_nothing_is_said() -> None:
    """What follows from it is open as well, whatever it has on its way."""
    ledger = LedgerBuilder()
    lost = ledger.add("code.pushed", "p", causationid="NEVER")
    end = ledger.add("traffic.shifted", "e", cause=lost)
    assert [traced(ledger.events)[one.id] for one in (lost, end)] == [OPEN, OPEN]
    assert OPEN.push_us == NEVER
