"""KPIs on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.config import KPI_NAMES
from tests.kpis import write_golden_year
from tests.unit.cli.conftest import Call


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the golden year in its ledger."""
    return write_golden_year(tmp_path_factory.mktemp("golden"))


@pytest.fixture
def in_golden(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in the folder of the golden year, whose clock stands at its end."""
    monkeypatch.chdir(golden)
    yield
    clock.stop_simulating()


@pytest.mark.usefixtures("in_golden")
def test_what_people_ask_for_first_has_a_line_each(call: Call) -> None:
    """Each with its number, how it was, and how it should be, within 80 columns and one screen."""
    shown = call("kpi").out
    lines = {line[:21].strip(): line[22:].split("  ") for line in shown.splitlines()[1:11]}
    found = {title: [part.strip() for part in parts if part.strip()] for title, parts in lines.items()}
    assert list(found) == [
        "Time to deployment",
        "Models in production",
        "New models per month",
        "API calls",
        "Cost by part",
        "Use by part",
        "Audit",
        "Operations overhead",
        "Speed of iteration",
        "Reuse",
    ]
    assert found["Time to deployment"] == ["7 h", "as before", "-"]
    assert found["API calls"] == ["15\u202f820 calls", "up from 13\u202f970", "-"]
    assert found["Use by part"] == ["web 81 %", "was web 88.2 %", "-"]
    assert found["Audit"] == ["92 %", "as before", "95 %, not met"]
    assert len(shown.splitlines()) <= 20
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.usefixtures("in_golden")
def test_all_are_shown_where_they_are_wanted(call: Call) -> None:
    """The rest follow below the ten; explained, each has its formula."""
    few, every = call("kpi").out, call("kpi", "--all").out
    assert "All 25: ratchet kpi --all" in few
    assert "60 days, not met" in every
    assert "60 days" not in few
    assert all(len(line) <= 80 for line in every.splitlines())
    assert call("kpi", "--explain").out.count("How it is worked out") == 25


@pytest.mark.usefixtures("in_golden")
def test_a_trend_is_as_of_the_day_that_is_asked_for(call: Call) -> None:
    """A past day is held against the month before it; before the year nothing is known, and there is no trend."""
    shown = call("kpi", "--as-of", "2024-03-20").out
    line = next(line for line in shown.splitlines() if "Models in" in line)
    assert line.split()[3:] == ["4", "models", "up", "from", "2", "-"]
    assert "up" not in call("kpi", "--as-of", "2023-06-30").out.split("No targets")[0].split()


@pytest.mark.usefixtures("in_golden")
def test_a_span_of_time_is_in_a_unit_for_people(call: Call) -> None:
    """Numbers and parts of them say minutes, hours or days; names that others gave stay as they are."""
    assert "p50                  6.5 h" in call("kpi", "time_to_deployment").out
    shown = call("kpi", "time_to_deployment").out
    assert "count 4, p50 58.6 d, p90 83.1 d" in shown
    assert "segments p50" in shown
    assert "evaluate 30 min" in shown


@pytest.mark.usefixtures("in_golden")
def test_one_is_shown_with_the_events_behind_it(call: Call) -> None:
    """Value, meaning, what it is held against, how it is worked out, and events."""
    shown = call("kpi", "time_to_deployment", "--explain").out
    assert shown.startswith("Time to deployment: 7 h")
    assert "published average  31 d" in shown
    assert "Kaplan-Meier" in shown
    assert "What it rests on: 42 events" in shown
    assert "traffic.shifted" in shown


@pytest.mark.usefixtures("in_golden")
def test_json_says_the_same(call: Call) -> None:
    """All KPIs, or one, with values, events and the digest of the definition."""
    everything = json.loads(call("kpi", "--json").out)
    assert sorted(one["name"] for one in everything) == sorted(KPI_NAMES)
    one = json.loads(call("kpi", "new_models", "--json").out)
    assert (one["values"]["versions_count"], len(one["events"]), len(one["digest"])) == (20, 20, 64)


@pytest.mark.usefixtures("in_golden")
def test_parts_have_a_line_each(call: Call) -> None:
    """By team, by month; the parts of one department; what is unknown is answered with the known."""
    found = json.loads(call("kpi", "models_in_production", "--by", "team", "--json").out)
    assert {name: one["value"] for name, one in found.items()} == {
        "delays": 2,
        "growth": None,
        "lending": 2,
        "web": None,
    }
    lines = call("kpi", "new_models", "--by", "month").out.splitlines()
    assert [line.split()[0] for line in lines[1:13]] == [f"2024-{month:02d}" for month in range(1, 13)]
    part = json.loads(call("kpi", "models_in_production", "--by", "pipeline", "--for", "risk", "--json").out)
    assert list(part) == ["churn", "credit-risk", "price-forecast"]
    refused = call("kpi", "cost", "--for", "marketing").err
    assert "No part named 'marketing'. Known: cc-100" in refused


@pytest.mark.usefixtures("in_golden")
def test_an_earlier_day_is_as_it_was(call: Call) -> None:
    """At the end of June there were five models; before the year there is no evidence, and no 0."""
    assert call("kpi", "models_in_production", "--as-of", "2024-06-30").out.startswith("Models in production: 5 models")
    shown = call("kpi", "models_in_production", "--as-of", "2023-06-30").out
    assert shown.startswith("Models in production: no evidence")
    assert "No event stands behind it yet" in shown
    assert call("kpi", "models_in_production", "--for", "lending").out.startswith("Models in production of lending: 2")


@pytest.mark.usefixtures("in_golden")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("speed",), 1, "No KPI named 'speed'. Known: model_freshness"),
        (("--by", "team"), 2, "--by team needs the name of one KPI"),
        (("cost", "--by", "weekday"), 2, "'weekday' is not one of"),
        (("cost", "--as-of", "yesterday"), 2, "Write it as 2026-03-31"),
    ],
)
def test_what_means_nothing_is_refused(call: Call, words: tuple[str, ...], code: int, said: str) -> None:
    """The message says what is allowed."""
    answer = call("kpi", *words)
    assert answer.code == code
    assert said in answer.err
