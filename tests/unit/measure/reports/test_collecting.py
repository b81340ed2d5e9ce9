"""A report's figures: those of the golden year, of a part of it, and of an empty ledger."""

import pytest

from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.policies import shipped
from ratchet.measure.reports.collecting import MONTHS, collect, enabled_rules, scope_text
from ratchet.measure.rulebook import LIFECYCLE
from tests.kpis import END_OF_YEAR, asked, rounded
from tests.ledgers import LedgerBuilder
from tests.unit.measure.reports import golden


@pytest.mark.parametrize("name", list(KPIS))
def test_each_kpi_is_what_the_golden_year_expects(name: str) -> None:
    """Value, all its numbers, and how many events stand behind it."""
    number, expected = golden.report().numbers[f"kpi/{name}"], golden.EXPECTED[golden.DAY][name]
    assert number.status == expected["status"]
    assert rounded(number.values) == expected["values"]
    assert rounded(number.value) == expected["values"][KPIS[name].headline]
    ids = expected["events"]
    assert (number.basis.count, number.basis.first, number.basis.last) == (len(ids), min(ids), max(ids))


def test_the_ten_have_the_values_of_their_kpis_and_a_series_that_ends_with_them() -> None:
    """What stands on a card is the KPI, and its last month is now."""
    report = golden.report()
    assert len(report.ten) == 10
    for name in report.ten:
        number = report.numbers[name]
        assert number.value == report.numbers[f"kpi/{number.definition}"].value
        assert number.series[-1].value == number.value
        assert [point.month for point in number.series] == [line.month for line in report.months]


@pytest.mark.parametrize("day", ["2024-06-30", "2024-09-30"])
def test_each_month_of_a_series_is_what_the_golden_year_expects(day: str) -> None:
    """Where the golden year knows a month's end, the series has its value."""
    report = golden.report()
    for name in report.ten:
        number = report.numbers[name]
        expected = golden.EXPECTED[day][number.definition]["values"][KPIS[number.definition].headline]
        point = next(one for one in number.series if one.month == day[:7])
        assert rounded(point.value) == expected, name


def test_pipelines_and_their_levels_are_those_of_the_golden_year() -> None:
    """Level and want of evidence of each active pipeline; the archived one is named apart."""
    report, expected = golden.report(), golden.EXPECTED["levels"][golden.DAY]
    found = {line.name: "insufficient" if line.is_insufficient else str(line.level) for line in report.pipelines}
    buckets = golden.EXPECTED[golden.DAY]["level_distribution"]["by"]["standard"]
    assert {name: list(found.values()).count(name) for name in buckets} == buckets
    assert report.months[-1].buckets == buckets
    assert set(found) | set(report.archived) == set(expected)
    assert report.numbers["level/flight-delay"].value == 4
    assert report.numbers["level/churn"].value is None


def test_months_hold_levels_beside_the_errors_of_people() -> None:
    """Errors add up to the KPI; each month has as many pipelines as were active."""
    report = golden.report()
    assert sum(line.errors for line in report.months) == report.numbers["kpi/human_induced_errors"].value
    assert len(report.months) == 12 <= MONTHS
    asked = golden.question()
    for line, (_, end) in zip(report.months, asked.month_ends, strict=True):
        assert sum(line.buckets.values()) == len(asked.at(end).active)


def test_incidents_are_attributed_as_expected() -> None:
    """Each incident with its verdict and cause, the newest first."""
    report, expected = golden.report(), golden.EXPECTED["incidents"][golden.DAY]
    assert {one.name for one in report.incidents} == set(expected)
    assert [one.onset for one in report.incidents] == sorted((one.onset for one in report.incidents), reverse=True)
    assert {one.name: one.verdict for one in report.incidents} == {
        name: one["verdict"] for name, one in expected.items()
    }
    assert report.numbers["incidents/all"].value == len(expected)


def test_what_was_bought_is_held_against_the_baseline() -> None:
    """Days, hours and accuracy are the golden year's; each says what it is held against."""
    numbers, expected = golden.report().numbers, golden.EXPECTED[golden.DAY]
    assert rounded(numbers["bought/days"].value) == expected["value_at_stake"]["values"]["saved_days"]
    assert rounded(numbers["bought/hours"].value) == expected["value_at_stake"]["values"]["saved_hours"]
    assert rounded(numbers["bought/gain"].value) == expected["iteration_time"]["values"]["accuracy_gained"]
    assert numbers["bought/days"].note == "before: 31 days to each deployment"


def test_it_ends_with_the_sentence() -> None:
    """Models, frameworks, libraries, months: each is a number with its definition."""
    report = golden.report()
    assert report.sentence == "3 models with 3 frameworks and 5 libraries in 12 months"
    assert [report.numbers[f"closing/{name}"].value for name in ("models", "frameworks", "libraries", "months")] == [
        3,
        3,
        5,
        12,
    ]


def test_each_number_names_a_definition_that_is_there() -> None:
    """No number is without a meaning, and none that is known rests on nothing but what is counted as 0."""
    report = golden.report()
    for name, number in report.numbers.items():
        definition = report.definitions[number.definition]
        assert definition.sentence
        assert definition.formula
        assert len(definition.digest) == 64
        if number.value not in (None, 0):
            assert number.basis.count, name


def test_a_part_of_the_organisation_has_its_own_report() -> None:
    """Only what belongs to the part is counted."""
    scope = Scope(kind="pipeline", name="credit-risk")
    found = collect(golden.question(scope), shipped("standard"), ratchet="0", project="golden")
    assert [line.name for line in found.pipelines] == ["credit-risk"]
    assert found.scope == "pipeline:credit-risk"
    assert sum(found.months[-1].buckets.values()) == 1
    assert scope_text(Scope(kind="node", name="")) == "nobody"


def test_an_empty_ledger_gives_a_report_without_a_single_value() -> None:
    """Nothing is said to be 0 of which nothing is known."""
    asked = Question(Facts().as_of(END_OF_YEAR), Settings())
    found = collect(asked, shipped("standard"), ratchet="0", project="empty")
    assert {name: number.value for name, number in found.numbers.items() if number.value is not None} == {}
    assert (found.months, found.pipelines, found.goals, found.sentence) == ((), (), (), "")


def test_enabled_rules_are_those_of_the_rule_book() -> None:
    """Whatever was switched on and off, and wherever it was written, all pipelines at once have the rules of each."""
    ledger = LedgerBuilder()
    weekly = ledger.weekly()
    release = ledger.release_rule()
    ledger.toggle(weekly, is_enabled=False)
    ledger.toggle(release, is_enabled=False)
    ledger.toggle(release, is_enabled=True)
    ledger.add("rule.updated", release.subject, release.data | {"leads_to": ["label"]}, pipeline="elsewhere")
    ledger.add("rule.created", "common", {"rule_id": "common", "leads_to": ["train"]}, pipeline="")
    view = asked(ledger).view
    names = (ledger.pipeline, "elsewhere", "", "unknown")
    found = view.made("enabled rules", enabled_rules, of=LIFECYCLE)
    assert {name: found.get(name, []) for name in names} == {name: view.snapshot.rules.enabled(name) for name in names}
    assert [rule.rule_id for rule in found["elsewhere"]] == [release.subject]
