"""The tables of what was folded, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ratchet.records import Event, KeptFold
from ratchet.store import migrations
from ratchet.store.database import Database
from ratchet.store.projections import Projections
from tests.rows import write_rows

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kept(request: pytest.FixtureRequest) -> Iterator[Projections]:
    """Give empty tables."""
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    migrations.migrate(database)
    yield Projections(database, name="fold/1")
    database.close()


def row(seq: int, *, pipeline: str = "a", stage: str = "train", code: str = "00", at_us: int = 0) -> dict[str, Any]:
    """Return a row of a transition."""
    texts = ("event_id", "subject", "root_event", "rule_id", "input_digest", "outcome")
    return {
        **dict.fromkeys(texts, "x"),
        "seq": seq,
        "stage": stage,
        "pipeline": pipeline,
        "at_us": at_us or seq,
        "code": code,
        "recorded_us": seq,
        "mode": "auto",
        "root_class": "automation",
        "touches": 0,
        "gates": 0,
        "evidence": "native",
    }


def fold(pipeline: str, rows: list[dict[str, Any]], *, facts: str = "{}", window_us: int = 0, seq: int) -> KeptFold:
    """Return what a fold gave."""
    return KeptFold(pipeline=pipeline, rows=tuple(rows), facts=facts, activity="-", window_us=window_us, seq=seq)


def event(seq: int, *, pipeline: str = "a", cause: str = "", kind: str = "run.finished") -> Event:
    """Return an event with a place."""
    return Event(
        type=kind,
        subject=f"subject-{seq}",
        id=f"E{seq}",
        pipeline=pipeline,
        causationid=cause,
        time=AT,
        recordedtime=AT,
        seq=seq,
    )


def test_the_most_recent_codes_come_in_one_string(kept: Projections) -> None:
    """Each pipeline has its latest codes within the window, no more than asked for; its own window may be longer."""
    kept.keep([fold("a", [row(seq, code=f"{seq}x") for seq in range(1, 6)], facts="{}", window_us=0, seq=9)])
    kept.keep([fold("b", [row(7, pipeline="b", at_us=1, code="7x")], facts="{}", window_us=100, seq=9)])
    found = kept.tails(["train", "deploy"], at_us=10, window_us=8, limit=3)
    codes = {name: sorted(texts["train"].split("x")) for name, texts in found.items()}
    assert codes == {"a": ["", "3", "4", "5"], "b": ["", "7"]}
    assert kept.tails(["train"], at_us=10, window_us=5, limit=20)["a"]["train"] == "5x"
    assert kept.moments("a", "train", since_us=2, limit=2) == [(5, 5), (4, 4)]


def test_the_most_recent_events_come_with_their_codes(kept: Projections) -> None:
    """Each event stands behind the code of its own transition; where an id cannot be told, nothing is said of it."""
    rows = [{**row(seq, code=f"{seq}x"), "event_id": f"E {seq}"} for seq in range(1, 6)]
    kept.keep([fold("a", rows, facts="{}", window_us=0, seq=9)])
    strange = {**row(7, pipeline="b"), "event_id": "E\x1e00F"}
    kept.keep([fold("b", [strange, row(8, pipeline="b")], facts="{}", window_us=0, seq=10)])
    shifted = [row(seq, stage="deploy", pipeline="c", code=f"{seq}y") for seq in (2, 3)]
    kept.keep([fold("c", shifted, facts="{}", window_us=0, seq=30)])
    found = {one.pipeline: one for one in kept.recent(["a", "b", "c"], ["train", "deploy"], limit=3)}
    assert {name: one.seq for name, one in found.items()} == {"a": 9, "c": 30}
    assert found["a"].recent == {"train": ("5x5\x1fE 5", "4x4\x1fE 4", "3x3\x1fE 3")}
    assert (found["a"].deployments, found["c"].deployments) == ((), ((2, "2y"), (3, "3y")))
    assert kept.folds() == {"a": 9, "b": 10, "c": 30}


def test_rows_that_are_gone_or_changed_are_replaced(kept: Projections) -> None:
    """What a later fold does not give any more is gone; what an earlier one gives changes nothing."""
    kept.keep([fold("a", [row(1), row(2)], facts="1", window_us=0, seq=5)])
    kept.keep([fold("a", [row(2, code="99"), row(3)], facts="2", window_us=0, seq=6)])
    assert kept.tails(["train"], at_us=10, window_us=100, limit=9)["a"]["train"] in ("9900", "0099")
    kept.keep([fold("a", [row(1)], facts="3", window_us=0, seq=5)])
    assert kept.facts() == {"a": "2"}


def test_one_event_may_complete_changes_in_two_stages(kept: Projections) -> None:
    """A stage of a policy's own may count an event that another stage counts, too."""
    kept.keep([fold("a", [row(1), row(1, stage="nightly@1")], facts="{}", window_us=0, seq=1)])
    assert set(kept.tails(["train", "nightly@1"], at_us=9, window_us=9, limit=9)["a"]) == {"train", "nightly@1"}


def test_the_cursor_only_goes_forward(kept: Projections) -> None:
    """A slower fold does not set back how far a faster one has come; another version begins at 0."""
    assert kept.cursor() == 0
    kept.advance(7)
    kept.advance(5)
    assert kept.cursor() == 7
    kept.start_over()
    assert kept.cursor() == 7
    other = Projections(kept._database, name="fold/2")
    other.start_over()
    assert (other.cursor(), kept.cursor()) == (0, 0)


def test_what_a_fold_reads(kept: Projections) -> None:
    """Events are found by pipeline, by key, by name, and where they came before their cause."""
    events = [
        event(1, cause="E4"),
        event(2, pipeline="b", cause="E1"),
        event(3, pipeline="", kind="rule.fired"),
        event(4, pipeline="c", kind="rule.fired"),
        event(5, pipeline="d", cause="E4"),
    ]
    write_rows(kept._database, events)
    assert kept.last_seq() == 5
    assert kept.pipelines_between(2, 4) == ["", "c"]
    assert kept.caused_late(3, 5) == ["a", "b"]
    assert [e.seq for e in kept.events("", until=5, types=["rule.fired"])] == [3]
    assert [e.seq for e in kept.by_key([("ratchet", "E2"), ("ratchet", "E9")], until=5)] == [2]
    assert kept.named(["E5", "subject-2", "subject-3"], 5) == ["b", "d"]
    assert kept.subjects(["rule.fired"], after=3, until=5) == [("ratchet", "subject-4", "c")]


def test_standings_of_the_past_stay(kept: Projections) -> None:
    """A standing that was kept is not replaced; each moment and policy has its own."""
    kept.keep_standings("p", 1, {"a": "first"}, seq=0)
    kept.keep_standings("p", 1, {"a": "second", "b": "first"}, seq=0)
    assert kept.standings("p", 1) == {"a": "first", "b": "first"}
    assert kept.standings("p", 2) == {}


def test_standings_of_a_time_that_was_imported_later_go(kept: Projections) -> None:
    """Those of the pipeline from that moment on are forgotten; what was read before more was folded is not kept."""
    for moment in (1, 2, 3):
        kept.keep_standings("p", moment, {"a": "first", "b": "first"}, seq=0)
    kept.forget_standings("a", since_us=2)
    found = [sorted(kept.standings("p", moment)) for moment in (1, 2, 3)]
    assert found == [["a", "b"], ["b"], ["b"]]
    kept.advance(7)
    kept.keep_standings("p", 3, {"a": "of before"}, seq=0)
    assert sorted(kept.standings("p", 3)) == ["b"]
    kept.keep_standings("p", 3, {"a": "of now"}, seq=7)
    assert kept.standings("p", 3)["a"] == "of now"
