"""Samples and levels of many pipelines from what is kept of them."""

from ratchet.measure.history import DEFAULT_WINDOW, History
from ratchet.measure.kpis.automation import STAGES
from ratchet.measure.policies import shipped
from ratchet.measure.projection import Fold, fold_name
from ratchet.measure.sampled import Sample, Sampled, read_sampled
from ratchet.measure.transitions import transitions
from ratchet.store import migrations
from ratchet.store.database import Database
from ratchet.store.projections import Projections
from tests.ledgers import LedgerBuilder
from tests.rows import write_rows

STANDARD, STRICT = shipped("standard"), shipped("strict")


def test_letters_are_modes() -> None:
    """A sample of codes says what the transitions say that they were made of."""
    ledger = LedgerBuilder()
    for _ in range(3):
        ledger.automated_week()
    history = History()
    history.fold(ledger.events)
    found = transitions(history.as_of(ledger.now, window=DEFAULT_WINDOW), ledger.pipeline, "deploy")
    sample = Sample.of(found)
    assert sample.modes == ("auto", "auto", "auto")
    assert sample.event_ids == tuple(one.event_id for one in found)


def test_of_what_is_not_known_nothing_is_said() -> None:
    """A pipeline or a policy of which the table does not tell is left to the events; an empty stage is a sample."""
    found = Sampled({"a": {"train": Sample(modes=("auto",), event_ids=("E1",))}}, {STANDARD.digest: {"a": "1"}}, {})
    assert found.sample("a", "train") == Sample(modes=("auto",), event_ids=("E1",))
    assert found.sample("a", "deploy") == Sample()
    assert found.sample("b", "train") is None
    assert (found.bucket("a", STANDARD), found.bucket("a", STRICT), found.bucket("b", STANDARD)) == ("1", None, None)


def test_what_was_folded_further_is_left_out(sqlite_url: str) -> None:
    """Rows that rest on later entries than were asked of say nothing, whatever the cursor says."""
    database = Database(sqlite_url)
    migrations.migrate(database)
    kept, ledger = Projections(database, name=fold_name(())), LedgerBuilder()
    for _ in range(3):
        ledger.automated_week()
    write_rows(database, ledger.events)
    Fold(kept).catch_up(ledger.now)
    seq = len(ledger.events)
    now, before = (
        read_sampled(kept, [STRICT], by=STANDARD, stages=STAGES, at=ledger.now, seq=one) for one in (seq, seq - 1)
    )
    name = ledger.pipeline
    assert len((now.sample(name, "train") or Sample()).modes) == 3
    assert now.bucket(name, STANDARD)
    assert now.bucket(name, STRICT)
    assert (before.sample(name, "train"), before.bucket(name, STANDARD), before.bucket(name, STRICT)) == (None,) * 3
    database.close()
