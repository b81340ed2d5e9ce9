"""Samples and levels of many pipelines from what is kept of them."""

import msgspec
from msgspec.structs import replace

from ratchet.clock import to_us
from ratchet.measure.history import DEFAULT_WINDOW, History
from ratchet.measure.kpis.automation import STAGES
from ratchet.measure.policies import shipped
from ratchet.measure.projection import Fold, fold_name
from ratchet.measure.sampled import Sample, Sampled, read_sampled
from ratchet.measure.standings import code_of
from ratchet.measure.transitions import transitions
from ratchet.records import KeptRecent
from ratchet.store import migrations
from ratchet.store.database import Database
from ratchet.store.projections import Projections
from tests.ledgers import START, LedgerBuilder
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


def test_the_latest_are_told_whatever_the_order_in_which_they_were_read() -> None:
    """A sample takes the last transitions by their time, also where the table gives them the other way round."""
    facts = msgspec.json.encode(
        {"na": {}, "cadence_days": 0, "promised_days": 0, "trained_us": None, "own_rules": {}, "closures": 0}
        | {"last": {"train": [to_us(START) + 3, 3]}, "asked": {}, "schedules": [], "rules": [], "doubtful": []}
    ).decode()
    letters = code_of("auto", "native", ())
    texts = tuple(f"{letters}{to_us(START) + number}\x1fE{number}" for number in (1, 3, 2))
    kept = KeptRecent(pipeline="a", seq=9, facts=facts, recent={"train": texts}, deployments=())

    class Table:
        """One pipeline."""

        def folds(self) -> dict[str, int]:
            """Return up to which entry it was folded."""
            return {"a": 9}

        def recent(self, _pipelines: object, _stages: object, *, limit: int) -> list[KeptRecent]:
            """Return what is kept of it."""
            assert limit >= 2
            return [kept]

    few = replace(STANDARD, sample_size=2)
    found = read_sampled(Table(), [STRICT], by=few, stages=["train"], at=START, seq=9).sample("a", "train")
    assert found == Sample(modes=("auto", "auto"), event_ids=("E3", "E2"))
