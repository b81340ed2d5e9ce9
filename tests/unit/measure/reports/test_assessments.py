"""Maps and comparisons in a report, as they stand in the ledger."""

from datetime import date

import msgspec

from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps import recording
from ratchet.measure.maps.plans import Step, StepFile
from ratchet.measure.maps.process_maps import ProcessMap, parse
from ratchet.measure.reports.assessments import read_evaluations, read_maps
from ratchet.measure.reports.numbers import Number
from tests.kpis import asked
from tests.ledgers import PERSON, LedgerBuilder

_MAP = """
[map]
id = "flights"
version = "{version}"
kind = "{kind}"
name = "Flights"
phases = ["Data", "Serving"]

[[node]]
id = "collect"
name = "Collect rows"
phase = "Data"
purpose = "Rows to learn from."
how = "By hand."
degree = "{degree}"
roles = ["data curator"]
"""


def _map(kind: str, degree: str) -> ProcessMap:
    return parse(_MAP.format(kind=kind, degree=degree, version=f"{kind}-1").encode(), where="map.toml")


def _record(ledger: LedgerBuilder, process_map: ProcessMap) -> None:
    data = recording.to_data(process_map)
    ledger.add("assessment.recorded", process_map.reference, data, actor=PERSON, pipeline="", evidence="declared")


def test_both_maps_give_a_difference_and_a_plan() -> None:
    """Steps that were handed in stand in the plan; without them they are proposed, and effort is not known."""
    ledger = LedgerBuilder()
    _record(ledger, _map("current", "exceptionally manual"))
    _record(ledger, _map("target", "automated"))
    numbers: dict[str, Number] = {}
    found = read_maps(asked(ledger), None, numbers)
    assert found.difference is not None
    assert found.plan is not None
    assert [one.step.is_proposed for one in found.plan.steps] == [True]
    assert (numbers["map/short"].value, numbers["plan/effort"].value) == (3, None)
    unsaid = LedgerBuilder()
    _record(unsaid, _map("current", "unmeasured"))
    _record(unsaid, _map("target", "automated"))
    read_maps(asked(unsaid), None, unknown := {})
    assert unknown["map/short"].value is None
    step = Step(
        id="s", title="Write a loader", nodes=("collect",), owner="person-1", effort_days=4, by=date(2026, 3, 1)
    )
    again = read_maps(asked(ledger), StepFile(steps=(step,)), numbers)
    assert again.plan is not None
    assert [one.step.owner for one in again.plan.steps] == ["person-1"]
    assert numbers["plan/effort"].text == "4 days"


def test_the_last_map_of_a_kind_counts_and_none_is_none() -> None:
    """A target alone has no difference; without maps there are no numbers of maps."""
    ledger, numbers = LedgerBuilder(), dict[str, Number]()
    assert read_maps(asked(ledger), None, numbers).current is None
    assert numbers == {}
    _record(ledger, _map("target", "automated"))
    found = read_maps(asked(ledger), None, numbers)
    assert (found.current, found.difference, found.plan) == (None, None, None)
    assert numbers["map/automated"].value == 1.0


def test_answers_that_were_withdrawn_do_not_count() -> None:
    """Of each candidate the answers in force, by what they amount to; without any they are unknown."""
    ledger, numbers = LedgerBuilder(), dict[str, Number]()
    about = {"evaluation": "platform", "digest": "d"}
    definition = {
        **about,
        "assessment": "evaluation",
        "title": "Platform",
        "candidates": ["one", "two"],
        "groups": ["ops"],
        "respondents": ["person-1"],
    }
    ledger.add("assessment.recorded", "platform@1", definition, actor=PERSON)
    who = {"group": "ops", "item": "a", "respondent": "person-1"}
    answer = {**about, **who, "assessment": "answer", "candidate": "one", "sentiment": Sentiment.GREEN.value}
    ledger.add("assessment.recorded", "platform/ops/a/one/person-1@1", answer, actor=PERSON)
    ledger.add("assessment.recorded", "platform/ops/b/one/person-1@1", answer, actor=PERSON)
    ledger.add("assessment.recorded", "platform/ops/b/one/person-1@2", {**answer, "is_withdrawn": True}, actor=PERSON)
    (found,) = read_evaluations(asked(ledger), numbers)
    assert [(one.name, one.answers["green"]) for one in found.candidates] == [("one", 1), ("two", 0)]
    assert numbers["evaluation/platform/one/green"].value == 1
    assert numbers["evaluation/platform/two/green"].value is None
    assert found.concluded_at == ""
    said = {"choice": "one", "disqualified": ["two"], "missing": [], "reasons": ["r"], "by": "person-1"}
    rests_on = {"concluded_at": "2026", "evaluation_digest": "e", "answered": 1, "expected": 2}
    conclusion = {**about, **said, **rests_on, "assessment": "conclusion"}
    ledger.add("assessment.recorded", "platform/conclusion@1", conclusion, actor=PERSON)
    (found,) = read_evaluations(asked(ledger), numbers)
    assert [(one.is_chosen, one.is_ruled_out) for one in found.candidates] == [(True, False), (False, True)]
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_the_figures_of_the_candidates_are_shown() -> None:
    """Before the conclusion those of the definition, then what was concluded upon; what nobody stated is no zero."""
    ledger, numbers = LedgerBuilder(), dict[str, Number]()
    one = {"name": "one", "cost_year": 1200, "currency": "EUR", "effort_days": 5, "processes": 4, "covered": 3}
    about = {"evaluation": "platform", "digest": "d", "candidates": ["one", "two"], "groups": [], "respondents": []}
    definition = {**about, "assessment": "evaluation", "figures": [one, {"name": "two"}]}
    defined = ledger.add("assessment.recorded", "platform@1", definition, actor=PERSON)
    read_evaluations(asked(ledger), numbers)
    texts = {name.rpartition("/")[2]: number.text for name, number in numbers.items() if "/one/" in name}
    assert (texts["cost"], texts["effort"], texts["coverage"]) == ("1\u202f200 EUR", "5 days", "75 %")
    assert numbers["evaluation/platform/one/coverage"].note == "3 of 4 processes"
    assert numbers["evaluation/platform/one/cost"].basis.first == defined.id
    assert [numbers[f"evaluation/platform/two/{what}"].text for what in ("cost", "coverage", "effort", "steps")] == [
        "not stated"
    ] * 4
    said = {"choice": "one", "disqualified": [], "missing": [], "reasons": ["r"], "by": "person-1"}
    rests_on = {"concluded_at": "2026", "evaluation_digest": "e", "answered": 1, "expected": 2}
    conclusion = {"evaluation": "platform", "digest": "c", **said, **rests_on, "assessment": "conclusion"}
    concluded = conclusion | {"figures": [{**one, "cost_year": 900, "steps_short": 2, "stated": 3}]}
    told = ledger.add("assessment.recorded", "platform/conclusion@1", concluded, actor=PERSON)
    read_evaluations(asked(ledger), numbers)
    assert numbers["evaluation/platform/one/cost"].text == "900 EUR"
    assert (numbers["evaluation/platform/one/steps"].value, numbers["evaluation/platform/one/steps"].note) == (
        2,
        "3 of 4 stated",
    )
    assert numbers["evaluation/platform/one/steps"].basis.first == told.id


def test_a_conclusion_of_an_earlier_release_is_still_read() -> None:
    """It says what was chosen, and nothing of what the candidates cost."""
    ledger, numbers = LedgerBuilder(), dict[str, Number]()
    about = {"evaluation": "platform", "digest": "d", "candidates": ["one"], "groups": [], "respondents": []}
    ledger.add("assessment.recorded", "platform@1", {**about, "assessment": "evaluation"}, actor=PERSON)
    said = {"choice": "one", "disqualified": [], "missing": [], "reasons": ["r"], "by": "person-1"}
    rests_on = {"concluded_at": "2026", "evaluation_digest": "e", "answered": 1, "expected": 2}
    old = {"evaluation": "platform", "digest": "c", **said, **rests_on, "assessment": "conclusion"}
    ledger.add("assessment.recorded", "platform/conclusion@1", old, actor=PERSON)
    (found,) = read_evaluations(asked(ledger), numbers)
    assert found.candidates[0].is_chosen
    assert numbers["evaluation/platform/one/cost"].text == "not stated"
