"""What is known to be missing from a record."""

from msgspec.structs import replace

from ratchet.measure.completeness import Completeness, completeness
from ratchet.measure.history import History
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import shipped
from tests.ledgers import LAPTOP, PIPELINE, LedgerBuilder


def measured(ledger: LedgerBuilder) -> Completeness:
    """Return how complete the record is at the ledger's present."""
    return completeness(ledger.history().as_of(ledger.now), PIPELINE, [])


def warnings(ledger: LedgerBuilder) -> tuple[str, ...]:
    """Return the warnings of the level."""
    return measure_level(ledger.history(), PIPELINE, shipped("standard"), as_of=ledger.now).warnings


def imported(ledger: LedgerBuilder, times: int) -> None:
    """Write trainings that came from another system."""
    for number in range(times):
        ledger.add("run.finished", f"r{number}", {"run_id": f"r{number}"}, source="airflow", evidence="imported")


def test_a_native_record_has_no_warning() -> None:
    """What we did ourselves claims nothing and misses nothing."""
    ledger = LedgerBuilder()
    ledger.automated_week()
    assert warnings(ledger) == ()
    assert (measured(ledger).share, measured(ledger).unknown_share) == (None, None)


def test_a_source_that_gave_less_than_it_has_is_named() -> None:
    """Below 95 % of what a source claims, the level says so; at 95 % it does not."""
    ledger = LedgerBuilder()
    imported(ledger, 18)
    about = {"source": "airflow", "from": ledger.events[0].at.isoformat(), "to": "", "count": 20}
    ledger.add("source.cursor", "airflow", about, pipeline="", cause=None)
    assert measured(ledger).share == 0.9
    assert "Only 18 of the 20 records (90%) of 'airflow' are here." in warnings(ledger)
    ledger.events[-1] = replace(ledger.events[-1], data={**about, "imported": 19})
    assert warnings(ledger) == ()


def test_parts_of_a_source_add_up() -> None:
    """Each cursor covers a part; one that claims no number counts for nothing, and another source's is not ours."""
    ledger = LedgerBuilder()
    imported(ledger, 3)
    for source, count, claimed in (("airflow", 2, True), ("airflow", 3, True), ("airflow", 90, False), ("x", 9, True)):
        about = {"source": source, "count": count, "imported": 1, "is_claimed": claimed}
        ledger.add("source.cursor", source, about, pipeline="")
    (only,) = measured(ledger).sources
    assert (only.source, only.imported, only.claimed) == ("airflow", 2, 5)


def test_a_part_of_the_history_does_not_count_what_it_does_not_hold() -> None:
    """Where only one pipeline's events are read, a source that does not say what it gave is taken at its word."""
    ledger = LedgerBuilder()
    imported(ledger, 1)
    ledger.add("source.cursor", "airflow", {"source": "airflow", "count": 50}, pipeline="")
    part = History(is_whole=False)
    part.fold(ledger.events)
    assert completeness(part.as_of(ledger.now), PIPELINE, []).share == 1.0
    assert measured(ledger).share == 0.02


def test_unknown_initiators_and_broken_chains_are_counted() -> None:
    """A stranger's runs and an event whose cause is missing are said in the warnings."""
    ledger = LedgerBuilder()
    for _ in range(3):
        ledger.train(ledger.tick(ledger.weekly()), actor=LAPTOP)
    ledger.add("sample.taken", "delays", {"rows": 1}, causationid="nowhere")
    found = warnings(ledger)
    assert any(text.startswith("Nobody knows who started 4 of 7") for text in found), found
    assert any(text.startswith("1 event names a cause that is not in the ledger") for text in found), found
    ledger.wait(days=400)
    assert measured(ledger).broken == ()
