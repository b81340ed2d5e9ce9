"""What is kept of months that are over is what the events give, whatever comes in, in whatever order and pieces."""

import json
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ratchet.measure.history import History
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.months import ClosedMonths
from ratchet.measure.policies import shipped
from ratchet.measure.reports.collecting import collect
from ratchet.measure.reports.report import Report
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.answers import Answers
from ratchet.store.database import Database, sqlite_url
from tests.unit.measure.reports import golden

ROWS = (Path(__file__).parents[1] / "golden" / "year.jsonl").read_text(encoding="utf-8").splitlines()
YEAR = msgspec.convert([json.loads(line) for line in ROWS], list[Event])
STANDARD = shipped("standard")


def mixed(seed: int, *, dropped: float, imported: float, moved: float, held: float) -> list[Event]:
    """Return the year with events left out, imported from elsewhere, moved, and held up between time and place."""
    chance = Random(seed)
    found = [event for event in YEAR if chance.random() >= dropped]
    for place in range(len(found)):
        recorded = found[place].recordedtime or found[place].at
        if chance.random() < moved:
            other = chance.randrange(len(found))
            one, two = found[place], found[other]
            found[place] = replace(two, recordedtime=one.recordedtime)
            found[other] = replace(one, recordedtime=two.recordedtime)
        elif chance.random() < imported:
            late = recorded + timedelta(days=chance.randrange(90))
            found[place] = replace(found[place], source="elsewhere", evidence="imported", recordedtime=late)
        elif chance.random() < held:
            # It got its time before the lock, and its place after others that came later.
            early = recorded - timedelta(hours=chance.randrange(72))
            found[place] = replace(found[place], recordedtime=early)
    return [replace(event, seq=seq) for seq, event in enumerate(found, start=1)]


def cuts(events: list[Event], months: list[int], *, further: int = 0) -> list[tuple[list[Event], datetime]]:
    """Return the ledger in pieces, each with the moment just after the end of a month at which it is asked.

    Args:
        events: The whole.
        months: At whose ends, of the year.
        further: How many events more are there when it is asked; fewer where some of the month are still on their way.
    """
    found, begin = [], 0
    for month in sorted(set(months)):
        end = datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        seen = sum(1 for _ in takewhile(lambda one, end=end: (one.recordedtime or one.at) <= end, events))
        place = max(0, seen + further)
        found.append((events[begin:place], end + timedelta(seconds=1)))
        begin = max(begin, place)
    return [*found, (events[begin:], datetime(2025, 1, 2, tzinfo=UTC))]


def told(facts: Facts, at: datetime, closed: ClosedMonths) -> Report:
    """Return the report of a moment."""
    asked = golden.question()
    question = Question(facts.as_of(at), asked.settings)
    return collect(question, STANDARD, ratchet="0", project="golden", closed=closed)


def compare(pieces: list[tuple[list[Event], datetime]]) -> int:
    """Ask as the ledger grows, with what is kept and from nothing; return how many answers were kept in the end."""
    seen: list[Event] = []
    with TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "ratchet.db"))
        migrations.migrate(database)
        answers = Answers(database)
        facts = Facts(History())
        for piece, at in pieces:
            facts.fold(piece)
            seen += piece
            afresh = Facts(History())
            afresh.fold(seen)
            with_kept = told(facts, at, ClosedMonths(answers, ratchet="0"))
            assert with_kept == told(afresh, at, ClosedMonths())
            assert told(facts, at, ClosedMonths(answers, ratchet="0")) == with_kept
        kept = len(answers.of("kpi/cost/organisation:"))
        database.close()
    return kept


def test_the_golden_year_is_kept() -> None:
    """Each month is kept after which something was recorded; nothing tells yet that the last one is over."""
    assert compare(cuts(YEAR, [6])) == 11


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    dropped=st.sampled_from([0.0, 0.3]),
    imported=st.sampled_from([0.0, 0.02, 0.3]),
    moved=st.sampled_from([0.0, 0.02, 0.2]),
    held=st.sampled_from([0.0, 0.1, 0.4]),
    months=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    further=st.sampled_from([-25, 0, 1, 15]),
)
@example(seed=1, dropped=0.0, imported=0.1, moved=0.0, held=0.0, months=[3, 8], further=1)
@example(seed=2, dropped=0.0, imported=0.0, moved=0.0, held=0.5, months=[4, 5, 7], further=-25)
def test_what_is_kept_is_what_the_events_give(
    *, seed: int, dropped: float, imported: float, moved: float, held: float, months: list[int], further: int
) -> None:
    """Imports of long ago, causes that come late, and records that were held up change nothing about that."""
    events = mixed(seed, dropped=dropped, imported=imported, moved=moved, held=held)
    compare(cuts(events, months, further=further))
