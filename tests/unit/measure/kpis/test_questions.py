"""What is asked of a KPI: scope, owners, months."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from ratchet.config import TeamSection
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import EVERYTHING, Answer, Ids, Kpi, Question, Scope, month_end, months_between
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.reports.numbers import Basis, basis_of
from tests.ledgers import ENDPOINT, PIPELINE, LedgerBuilder

SETTINGS = Settings(
    time_zone="America/New_York",
    team=(
        TeamSection(name="consumer", kind="department"),
        TeamSection(name="risk", kind="department"),
        TeamSection(name="growth", part_of="consumer"),
        TeamSection(name="growth", part_of="risk", since=date(2026, 2, 1)),
    ),
)


def ask(ledger: LedgerBuilder, scope: Scope = EVERYTHING) -> Question:
    """Ask something about all events of a ledger."""
    facts = Facts()
    facts.fold(ledger.events)
    return Question(facts.as_of(ledger.now), SETTINGS, scope)


def test_events_belong_to_whoever_owned_them_when_they_happened() -> None:
    """A department has the events of the time in which the team and the pipeline were its own."""
    ledger = LedgerBuilder()
    ledger.declare(owner="growth")
    early = ledger.add("code.pushed", "a")
    late = ledger.wait(days=40).add("code.pushed", "b")
    assert ask(ledger, Scope(kind="node", name="consumer")).events("code.pushed") == [early]
    assert ask(ledger, Scope(kind="node", name="risk")).events("code.pushed") == [late]
    assert ask(ledger, Scope(kind="node", name="growth")).events("code.pushed") == [early, late]
    assert ask(ledger, Scope(kind="node", name="risk")).pipelines == (PIPELINE,)
    assert ask(ledger, Scope(kind="node", name="consumer")).pipelines == ()


def test_a_pipeline_changes_its_owner_from_the_event_on() -> None:
    """Before the change the old owner's, before the declaration the first one's."""
    ledger = LedgerBuilder()
    before = ledger.now
    declared = ledger.declare(owner="growth")
    changed = ledger.wait(days=1).add("ownership.changed", PIPELINE, {"from": "growth", "to": "lending"})
    question = ask(ledger)
    assert question.owner(PIPELINE, before) == "growth"
    assert question.owner(PIPELINE, declared.at) == "growth"
    assert question.owner(PIPELINE, changed.at) == question.owner(PIPELINE) == "lending"
    assert question.owner("nothing") == ""


def test_nobody_is_a_part_as_well() -> None:
    """What has no owner is not lost: it belongs to the part without a name."""
    ledger = LedgerBuilder()
    ledger.declare()
    assert ask(ledger, Scope(kind="node", name="")).pipelines == (PIPELINE,)
    assert ask(ledger, Scope(kind="node", name="growth")).pipelines == ()


def test_a_scope_covers_what_names_it_and_what_stands_behind_it() -> None:
    """An endpoint has its own events and those of its pipeline that name no endpoint; so has a model."""
    ledger = LedgerBuilder()
    shifted = ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    elsewhere = ledger.add("config.changed", "x", {"service": "other"})
    pushed = ledger.add("code.pushed", "a")
    foreign = ledger.add("code.pushed", "b", pipeline="other")
    for scope in (Scope(kind="endpoint", name=ENDPOINT), Scope(kind="model", name=PIPELINE)):
        question = ask(ledger, scope)
        assert [question.covers(event) for event in (shifted, pushed, foreign)] == [True, True, False]
    assert not ask(ledger, Scope(kind="endpoint", name=ENDPOINT)).covers(elsewhere)
    assert not ask(ledger, Scope(kind="model", name="other")).covers(shifted)
    assert ask(ledger, Scope(kind="pipeline", name="other")).events("code.pushed") == [foreign]


def test_active_are_those_with_an_event_in_ninety_days_that_are_not_archived() -> None:
    """An archived pipeline is listed apart, and active again once it is declared again."""
    ledger = LedgerBuilder()
    ledger.add("code.pushed", "a", pipeline="quiet")
    ledger.wait(days=89).declare()
    assert ask(ledger).active == (PIPELINE, "quiet")
    ledger.wait(days=2).add("code.pushed", "b")
    assert ask(ledger).active == (PIPELINE,)
    ledger.add("pipeline.archived", PIPELINE)
    assert (ask(ledger).active, ask(ledger).archived) == ((), (PIPELINE,))
    ledger.declare()
    assert (ask(ledger).active, ask(ledger).archived) == ((PIPELINE,), ())


def test_months_are_local_and_the_clock_changes_in_them() -> None:
    """A month begins at local midnight, in winter and in summer time; its end is out."""
    zone = ZoneInfo("America/New_York")
    assert month_end("2024-03", zone).astimezone(UTC) == datetime(2024, 4, 1, 4, tzinfo=UTC)
    assert month_end("2024-11", zone).astimezone(UTC) == datetime(2024, 12, 1, 5, tzinfo=UTC)
    assert month_end("2024-12", zone).astimezone(UTC) == datetime(2025, 1, 1, 5, tzinfo=UTC)
    first = datetime(2024, 3, 1, 4, tzinfo=UTC)
    assert months_between(first, datetime(2024, 4, 1, 4, tzinfo=UTC), zone) == ("2024-02", "2024-03")
    assert months_between(first, datetime(2024, 4, 1, 4, 1, tzinfo=UTC), zone)[-1] == "2024-04"


def test_an_answer_without_events_is_no_evidence() -> None:
    """Whatever its numbers are, nothing stands behind them."""
    event = LedgerBuilder().command()
    assert Answer.of({"count": 0}, {}, []).status == "no evidence"
    assert Answer.of({"count": 1}, {}, [event, event.id]) == Answer(
        status="ok", values={"count": 1}, by={}, ids=Ids([event.id])
    )


@pytest.mark.parametrize("listed", [[], ["b"], ["c", "a", "b", "a"]], ids=["none", "one", "some"])
@pytest.mark.parametrize("others", [[], ["b"], ["0", "z"]], ids=["none", "one", "some"])
def test_ids_know_their_ends(listed: list[str], others: list[str]) -> None:
    """Each id once, the first and the last by name, alone and with others."""
    for made, of in ((Ids(listed), listed), (Ids(listed).joined(others), [*listed, *others])):
        assert made == frozenset(of)
        assert (made.first, made.last) == ((min(of), max(of)) if of else ("", ""))
        assert basis_of(made) == basis_of(iter(of))
    assert basis_of(Ids(["", "a"])) == Basis(count=1, first="a", last="a")


def test_the_digest_names_the_definition() -> None:
    """Another formula or another version is another digest; another title is not."""
    about = {"title": "A", "sentence": "A.", "unit": "1", "headline": "a", "formula": "a", "direction": "up"}
    kind = {"timing": "leading", "nature": "risk", "answer": lambda _: Answer.of({}, {}, [])}

    def digest(**other: object) -> str:
        return Kpi(**{"name": "a", **about, **kind, **other}).digest

    assert digest() == digest(title="B")
    assert len({digest(), digest(formula="b"), digest(version=2), digest(name="b"), digest(headline="b")}) == 5
