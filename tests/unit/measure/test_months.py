"""What was said about months that are over, and when it is worked out again."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.measure.history import History
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.months import ClosedMonths
from ratchet.measure.policies import shipped
from ratchet.records import KeptAnswer
from tests.ledgers import START, LedgerBuilder

SETTINGS = Settings()


class Memory:
    """A shelf that is there as long as its test."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[int, KeptAnswer]] = {}

    def of(self, name: str) -> dict[int, KeptAnswer]:
        """Return what is kept of a name."""
        return self.taken.get(name, {})

    def keep(self, found: Sequence[KeptAnswer]) -> bool:
        """Keep all."""
        for one in found:
            self.taken.setdefault(one.name, {})[one.moment_us] = one
        return True


def two_months() -> LedgerBuilder:
    """Return a ledger with an event in January and one in February."""
    ledger = LedgerBuilder()
    ledger.declare()
    ledger.wait(days=40)
    ledger.declare()
    return ledger


def question(ledger: LedgerBuilder, **asked: object) -> Question:
    """Return what can be asked of a ledger an hour after its last event."""
    facts = Facts(History())
    facts.fold(ledger.events)
    return Question(facts.as_of(ledger.now + timedelta(hours=1)), SETTINGS, **asked)  # type: ignore[arg-type]


def is_worked_out(closed: ClosedMonths, asked: Question, *, month: int = 0, definition: str = "d") -> bool:
    """Ask about a month, and tell whether the answer was worked out."""
    said: list[int] = []

    def make(_then: Question) -> int:
        said.append(1)
        return 1

    end = asked.month_ends[month][1]
    assert closed.answer("kpi/x", asked, end, definition=definition, kind=int, make=make) == 1
    closed.keep()
    return bool(said)


def test_a_month_that_is_over_is_worked_out_once() -> None:
    """A second asker finds what the first was told; the month that is not over is worked out each time."""
    shelf, asked = Memory(), question(two_months())
    for is_first in (True, False):
        assert is_worked_out(ClosedMonths(shelf), asked) is is_first
        assert is_worked_out(ClosedMonths(shelf), asked, month=1)


def test_without_a_shelf_nothing_is_kept() -> None:
    """Whoever wants to see that figures come from the events gets them from there."""
    closed, asked = ClosedMonths(), question(two_months())
    assert is_worked_out(closed, asked)
    assert is_worked_out(closed, asked)


def test_a_month_is_over_when_something_was_recorded_after_it() -> None:
    """While nothing is, an event of the month may still be on its way into the ledger."""
    ledger = LedgerBuilder()
    ledger.declare()
    ledger.wait(days=40)
    shelf, asked = Memory(), question(ledger)
    assert is_worked_out(ClosedMonths(shelf), asked)
    assert is_worked_out(ClosedMonths(shelf), asked)
    assert shelf.taken == {}


@pytest.mark.parametrize("other", ["version", "settings", "policy", "scope", "definition"])
def test_an_answer_to_another_question_is_not_taken(other: str) -> None:
    """What was said by another version, setting, policy or definition, or of a part, is worked out again."""
    shelf, asked = Memory(), question(two_months())
    closed = ClosedMonths(shelf, ratchet="1")
    assert is_worked_out(closed, asked)
    assert not is_worked_out(ClosedMonths(shelf, ratchet="1"), asked)
    version = "2" if other == "version" else "1"
    others = {
        "settings": Question(asked.view, replace(SETTINGS, time_zone="Africa/Abidjan")),
        "policy": Question(asked.view, SETTINGS, policies=[shipped("google-0-2")]),
        "scope": Question(asked.view, SETTINGS, Scope(kind="pipeline", name="p")),
    }
    definition = "e" if other == "definition" else "d"
    assert is_worked_out(ClosedMonths(shelf, ratchet=version), others.get(other, asked), definition=definition)


@pytest.mark.parametrize(("days", "is_again"), [(10, True), (35, False)])
def test_an_import_of_its_time_is_worked_in(days: int, is_again: bool) -> None:
    """What is imported of a month that was said to be over changes it; what happened after it does not."""
    ledger, shelf = two_months(), Memory()
    assert is_worked_out(ClosedMonths(shelf), question(ledger))
    ledger.add("run.finished", "r", time=START + timedelta(days=days), evidence="imported", source="elsewhere")
    assert is_worked_out(ClosedMonths(shelf), question(ledger)) is is_again


def test_an_erased_payload_is_not_remembered() -> None:
    """What was said before something was erased rests on it, so it is worked out again."""
    ledger, shelf = two_months(), Memory()
    assert is_worked_out(ClosedMonths(shelf), question(ledger))
    ledger.add("payload.erased", "E00001", {"seq": 1})
    assert is_worked_out(ClosedMonths(shelf), question(ledger))
    assert not is_worked_out(ClosedMonths(shelf), question(ledger))


def test_what_a_later_asker_was_told_is_not_for_an_earlier_one() -> None:
    """Somebody whose view ends before what an answer rests on works it out for himself."""
    ledger, shelf = two_months(), Memory()
    before = question(ledger)
    ledger.declare()
    assert is_worked_out(ClosedMonths(shelf), question(ledger))
    assert is_worked_out(ClosedMonths(shelf), before)
